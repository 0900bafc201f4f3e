/* Coming to processes that run, and leaving them. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>

#include "internal.h"

/* Nothing but the options that are asked for: a supervisor's death is the program's only where it is a sandbox. */
long st_seize(const struct st_ptrace *s, int32_t tid, int filtered)
{
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC;
    if (s->options.flags & ST_PTRACE_FOLLOW) options |= PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    if (filtered) options |= PTRACE_O_TRACESECCOMP; /* else a program's own RET_TRACE would come to us */
    if (s->options.flags & ST_PTRACE_EXITKILL) options |= PTRACE_O_EXITKILL;
    return ptrace(PTRACE_SEIZE, tid, 0, options) ? -errno : 0;
}

/* 1: new; 0: ours already; -errno. */
static int take(struct st_ptrace *s, int32_t tid)
{
    if (st_task_find(s, tid)) return 0;
    int guarded = (s->options.flags & ST_PTRACE_GUARD) != 0;
    long error = st_seize(s, tid, guarded);
    if (error) return (int)error;
    struct st_task *t = st_task_new(s, tid);
    if (!t) return -ENOMEM; /* it is let go when we end */
    t->attached = 1;
    t->filtered = (uint8_t)guarded;
    s->filtered += t->filtered;
    ptrace(PTRACE_INTERRUPT, tid, 0, 0);
    return 1;
}

/* The threads of a process that are not ours yet. A thread that starts meanwhile is ours by its parent, or found next time. */
static int take_threads(struct st_ptrace *s, int32_t pid, int *error)
{
    char path[64];
    int found = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    for (struct dirent *d; tasks && (d = readdir(tasks));) {
        int32_t tid = atoi(d->d_name);
        int taken = tid > 0 ? take(s, tid) : 0;
        if (taken > 0) found++;
        if (taken < 0) *error = taken;
    }
    if (tasks) closedir(tasks);
    return found;
}

int32_t st_ptrace_attach(struct st_ptrace *s, int32_t pid)
{
    int error = -ESRCH, count = 0, found;
    if (!(s->options.flags & ST_PTRACE_FOLLOW)) {
        found = take(s, pid);
        return found ? found : -EEXIST;
    }
    while ((found = take_threads(s, pid, &error))) count += found;
    if (count) return count;
    return st_task_find(s, pid) ? -EEXIST : error;
}

/* ---- leaving --------------------------------------------------------------------------------------------------------- */

/* A task that runs is interrupted first, and let go at the stop that this makes. */
int32_t st_ptrace_detach(struct st_ptrace *s)
{
    s->detaching = s->muted = 1;
    for (uint32_t i = 0; i < ST_TASKS; i++)
        for (struct st_task *t = s->tasks[i], *next; t; t = next) {
            next = t->next;
            if (t->due || t->held || t->paused)
                st_release(s, t);
            else if (!t->filtered)
                ptrace(PTRACE_INTERRUPT, t->tid, 0, 0);
        }
    return (int32_t)s->filtered;
}

/* From time to time while there are some left: a first thread that has ended before the others never stops again. */
void st_detach_again(struct st_ptrace *s)
{
    for (uint32_t i = 0; i < ST_TASKS; i++)
        for (struct st_task *t = s->tasks[i], *next; t; t = next) {
            next = t->next;
            if (t->filtered) continue;
            if (st_task_dead(t->tid))
                st_task_forget(s, t);
            else
                ptrace(PTRACE_INTERRUPT, t->tid, 0, 0);
        }
}
