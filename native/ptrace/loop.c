/* The supervisor's loop: waits for what its tasks do. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"

#define LEAST (4u * ST_EVENT_MAX) /* room that one stop may need */

struct st_ptrace *st_ptrace_new(const struct st_ptrace_options *options)
{
    struct st_ptrace *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->options = *options;
    if (!(options->flags & ST_PTRACE_FOLLOW)) s->options.flags &= ~(uint32_t)ST_PTRACE_FILTER; /* children would have it too */
    s->report = s->cpu = s->first_status = -1;
    s->started = 1;
    s->muted = (options->flags & ST_PTRACE_GUARD) != 0;
    int error = st_faults_prepare(s) ? -EINVAL : st_pace_begin(s);
    if (!error) return s;
    free(s->tree_counters);
    free(s);
    errno = -error;
    return NULL;
}

void st_ptrace_free(struct st_ptrace *s)
{
    for (uint32_t i = 0; i < ST_TASKS; i++)
        while (s->tasks[i]) st_task_forget(s, s->tasks[i]);
    st_pace_end(s);
    if (s->report >= 0) close(s->report);
    free(s->tree_counters);
    free(s);
}

int32_t st_ptrace_status(const struct st_ptrace *s)
{
    return s->first_status;
}

int32_t st_ptrace_note(struct st_ptrace *s, enum st_ptrace_note which)
{
    int32_t pid = s->notes[which];
    if (pid > 0) s->notes[which] = -1; /* said */
    return pid > 0 ? pid : 0;
}

uint64_t st_ptrace_stops(const struct st_ptrace *s)
{
    return s->stops;
}

static void ended(struct st_ptrace *s, struct st_task *t, int status)
{
    if (t->tid == s->first) s->first_status = status;
    if (s->started && !s->silent) st_frame_plain(s, t, ST_EVENT_END, status);
    st_task_forget(s, t);
}

/* The next stop or end. A stop is looked at, not reaped: reaping takes the signal that a task has stopped with, and if we were
 * killed before it is resumed with that, nobody would have it. -1: errno says why. */
static int32_t next(idtype_t which, int32_t tid, int flags, int *status)
{
    siginfo_t info = {0};
    if (waitid(which, (id_t)tid, &info, flags | WEXITED | WNOWAIT | __WALL | __WNOTHREAD)) return -1;
    int exec = info.si_status >> 8 == PTRACE_EVENT_EXEC; /* the kernel wants it reaped before it can be asked about */
    if (!info.si_pid) return 0;
    if (info.si_code != CLD_TRAPPED || exec) return waitpid(info.si_pid, status, __WALL | __WNOTHREAD);
    *status = info.si_status << 8 | 0x7f;
    return info.si_pid;
}

/* So that a task that stays stopped is not looked at again. */
void st_reap(int32_t tid)
{
    waitpid(tid, NULL, __WALL | __WNOTHREAD | WNOHANG);
}

/* A task that we have not heard of is a new one, and stopped before its parent's stop was seen: it waits until that is. */
static void unknown(struct st_ptrace *s, int32_t tid)
{
    struct st_task *t = st_task_new(s, tid);
    if (!t) return;
    t->held = 1;
    s->waiting++;
    st_reap(tid);
    if (s->detaching) st_release(s, t);
}

static void one(struct st_ptrace *s, int32_t tid, int status)
{
    struct st_task *t = st_task_find(s, tid);
    if (!WIFSTOPPED(status)) {
        if (t) ended(s, t, status); /* else: a child of ours that is not traced */
        return;
    }
    s->stops++;
    s->last = tid;
    if (t)
        st_stopped(s, t, status);
    else
        unknown(s, tid);
}

/* Tasks whose time has come, and those whose parent was killed before it could tell of them. */
static void release(struct st_ptrace *s, int ticked)
{
    uint64_t now = s->delayed || ticked ? st_now() : 0;
    for (uint32_t i = 0; (s->delayed || s->waiting) && i < ST_TASKS; i++)
        for (struct st_task *t = s->tasks[i], *next; t; t = next) {
            next = t->next;
            if (t->held && ticked) t->waited++;
            if ((t->due && t->due <= now) || t->waited > 2) st_release(s, t);
        }
    if (s->delayed) st_pace_set(s, 0);
}

static void on_tick(struct st_ptrace *s, int busy)
{
    st_pace_set(s, !busy);
    st_pin(s);
    if (s->detaching) st_detach_again(s);
}

/* Each task in turn: the kernel always tells of the same one first, and where that is busy others would wait for ever. */
static void sweep(struct st_ptrace *s)
{
    uint32_t count = 0;
    int32_t *tids = malloc(s->count * sizeof *tids);
    for (uint32_t i = 0; tids && i < ST_TASKS; i++)
        for (const struct st_task *t = s->tasks[i]; t; t = t->next) tids[count++] = t->tid;
    for (uint32_t i = 0; i < count && s->room - s->used >= LEAST; i++) {
        int status;
        if (st_task_find(s, tids[i]) && next(P_PID, tids[i], WNOHANG, &status) > 0) one(s, tids[i], status);
    }
    free(tids);
}

/* All tasks are gone, though not each has been told of. */
static void forget_all(struct st_ptrace *s)
{
    for (uint32_t i = 0; i < ST_TASKS; i++)
        while (s->tasks[i]) st_task_forget(s, s->tasks[i]);
}

int64_t st_ptrace_read(struct st_ptrace *s, uint8_t *out, uint64_t room)
{
    uint64_t before = s->stops;
    s->out = out;
    s->room = room;
    s->used = 0;
    int lockstep = (s->options.flags & ST_PTRACE_LOCKSTEP) != 0;
    if (lockstep) st_unpause(s);
    while (s->count && room - s->used >= LEAST) {
        int status, ticked = st_pace_ticked(s);
        if (ticked) on_tick(s, s->stops != before);
        if (s->delayed || s->waiting) release(s, ticked);
        if (ticked && !lockstep && s->count > 1 && s->stops != before) sweep(s);
        if (ticked) break; /* frames have waited long enough, and a signal may have come for our caller */
        int32_t tid = next(P_ALL, 0, 0, &status);
        if (tid > 0)
            one(s, tid, status);
        else if (errno == ECHILD)
            forget_all(s);
        else if (!st_pace_due(s))
            break; /* a signal for our caller */
        if (s->idle && s->used) st_pace_set(s, 0);
        if (lockstep && s->used) break;
    }
    return s->used ? (int64_t)s->used : s->count ? 0 : -1;
}
