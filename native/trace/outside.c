/* The ptrace loop that makes frames from outside: for the ptrace backend, and to compare the formatter with strace. */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "capture.h"
#include "outside.h"

extern int32_t st_outside_reading; /* whose memory the readers read */

#define ST_TASKS 1024

/* What the kernel's PTRACE_GET_SYSCALL_INFO fills in. */
struct call_info {
    uint8_t op, pad[3];
    uint32_t arch;
    uint64_t instruction, stack;
    union {
        struct {
            uint64_t nr, args[6];
        } entry;
        struct {
            int64_t result;
            uint8_t is_error;
        } exit;
    };
};
#define ST_GET_SYSCALL_INFO 0x420e

struct task {
    struct task *next;
    int32_t tid, pid;
    uint64_t args[6];
    int32_t sysno;
    uint8_t in_call, begun, stopping;
};

struct loop {
    const struct st_outside_options *options;
    struct st_lines *lines;
    struct task *tasks[ST_TASKS];
    uint32_t count;
    int32_t first; /* the program that was started; 0: attached */
    int32_t first_status;
    uint8_t started;          /* its execve has begun */
    uint8_t replaced, silent; /* it has succeeded; it has failed: the rest is ours */
    _Alignas(8) uint8_t frame[ST_EVENT_MAX];
};

static volatile sig_atomic_t stop_wanted;

void st_outside_stop(void)
{
    stop_wanted = 1;
}

/* ---- tasks --------------------------------------------------------------------------------------------------------------- */

static int32_t process_of(int32_t tid)
{
    char path[64], line[256];
    int32_t pid = tid;
    snprintf(path, sizeof path, "/proc/%d/status", tid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Tgid: %d", &pid) == 1) break;
    if (f) fclose(f);
    return pid;
}

static struct task *task_find(struct loop *l, int32_t tid)
{
    struct task *t = l->tasks[(uint32_t)tid % ST_TASKS];
    while (t && t->tid != tid) t = t->next;
    return t;
}

static struct task *task_new(struct loop *l, int32_t tid)
{
    struct task *t = task_find(l, tid);
    if (t) return t;
    t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->tid = tid;
    t->pid = process_of(tid);
    t->next = l->tasks[(uint32_t)tid % ST_TASKS];
    l->tasks[(uint32_t)tid % ST_TASKS] = t;
    l->count++;
    return t;
}

static void task_forget(struct loop *l, int32_t tid)
{
    struct task **at = &l->tasks[(uint32_t)tid % ST_TASKS], *t;
    while (*at && (*at)->tid != tid) at = &(*at)->next;
    if (!(t = *at)) return;
    *at = t->next;
    l->count--;
    free(t);
}

/* ---- frames -------------------------------------------------------------------------------------------------------------- */

static struct st_event *event_begin(struct loop *l, const struct task *t, uint16_t kind, int32_t sysno)
{
    struct timespec now;
    struct st_event *event = (struct st_event *)l->frame;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *event = (struct st_event){.stamp = ST_EVENT_STAMP,
                               .time = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
                               .pid = t->pid,
                               .tid = t->tid,
                               .kind = kind,
                               .sysno = sysno};
    return event;
}

static void event_end(struct loop *l, uint32_t size)
{
    ((struct st_event *)l->frame)->size = size;
    st_lines_feed(l->lines, l->frame, size);
}

static void plain_event(struct loop *l, const struct task *t, uint16_t kind, int32_t sysno)
{
    event_begin(l, t, kind, sysno);
    event_end(l, sizeof(struct st_event));
}

static int traced(const struct loop *l, int32_t sysno)
{
    if (!st_call_name(sysno)) return 1;
    return (int)(l->options->trace[sysno / 64] >> (sysno & 63) & 1);
}

static uint32_t capture(struct loop *l, const struct task *t, int64_t result, uint32_t when, uint32_t used, uint16_t *flags)
{
    if (t->sysno < 0 || t->sysno >= ST_TRACE_CALLS) return 0;
    struct st_span span = l->options->spans[t->sysno];
    st_outside_reading = t->tid;
    return st_capture_all(l->options->ops + span.first, span.count, t->args, result, when, l->options->string_limit, l->frame + used,
                          ST_EVENT_MAX - used, flags);
}

static void entry_event(struct loop *l, struct task *t, const struct call_info *info)
{
    t->in_call = 1;
    t->sysno = (int32_t)info->entry.nr;
    memcpy(t->args, info->entry.args, sizeof t->args);
    if (t->tid == l->first && t->sysno == 59) l->started = 1;
    if (!l->started || l->silent || !traced(l, t->sysno)) return;
    struct st_entry *e = (struct st_entry *)event_begin(l, t, ST_EVENT_ENTRY, t->sysno);
    memcpy(e->args, t->args, sizeof e->args);
    e->site = info->instruction;
    event_end(l, (uint32_t)sizeof *e + capture(l, t, (int64_t)info->stack, ST_CAPTURE_ENTRY, sizeof *e, &e->event.flags));
}

static void exit_event(struct loop *l, struct task *t, const struct call_info *info)
{
    int was = t->in_call;
    t->in_call = 0;
    if (!was || !l->started || !traced(l, t->sysno)) return;
    struct st_exit *e = (struct st_exit *)event_begin(l, t, ST_EVENT_EXIT, t->sysno);
    e->result = info->exit.result;
    if (t->tid == l->first && t->sysno == 59 && e->result < 0 && !l->replaced) l->silent = 1;
    event_end(l, (uint32_t)sizeof *e + capture(l, t, e->result, ST_CAPTURE_EXIT, sizeof *e, &e->event.flags));
}

static void call_stop(struct loop *l, struct task *t)
{
    struct call_info info = {0};
    if (ptrace(ST_GET_SYSCALL_INFO, t->tid, sizeof info, &info) <= 0) return;
    if (info.op == 1)
        entry_event(l, t, &info);
    else if (info.op == 2)
        exit_event(l, t, &info);
}

static void signal_event(struct loop *l, struct task *t, int signal, int has_info)
{
    siginfo_t info;
    uint32_t size = sizeof(struct st_event);
    if (!l->started) return;
    event_begin(l, t, ST_EVENT_SIGNAL, signal);
    if (has_info && !ptrace(PTRACE_GETSIGINFO, t->tid, 0, &info)) {
        struct st_chunk *chunk = (struct st_chunk *)(l->frame + size);
        *chunk = (struct st_chunk){0, sizeof info, ST_CHUNK_MEMORY};
        memcpy(chunk + 1, &info, sizeof info);
        size += (uint32_t)(sizeof *chunk + sizeof info);
    }
    event_end(l, size);
}

/* ---- stops --------------------------------------------------------------------------------------------------------------- */

static void note(struct loop *l, const char *format, int32_t tid)
{
    if (l->options->notes >= 0) dprintf(l->options->notes, format, tid);
}

static void new_task(struct loop *l, struct task *parent)
{
    unsigned long tid = 0;
    if (ptrace(PTRACE_GETEVENTMSG, parent->tid, 0, &tid)) return;
    int known = task_find(l, (int32_t)tid) != NULL;
    struct task *t = task_new(l, (int32_t)tid);
    if (t && !known) {
        t->begun = 1;
        plain_event(l, t, ST_EVENT_TASK, parent->tid);
        note(l, "strace: Process %d attached\n", t->tid);
    }
}

static void replaced(struct loop *l, struct task *t)
{
    unsigned long caller = 0;
    if (ptrace(PTRACE_GETEVENTMSG, t->tid, 0, &caller)) return;
    l->replaced = 1;
    struct task *other = (int32_t)caller != t->tid ? task_find(l, (int32_t)caller) : NULL;
    if (other) {
        t->in_call = other->in_call;
        t->sysno = other->sysno;
        memcpy(t->args, other->args, sizeof t->args);
    }
    plain_event(l, t, ST_EVENT_EXEC, (int32_t)caller);
    if (other) task_forget(l, (int32_t)caller);
}

static int stopping(int signal)
{
    return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

/* Handles a stop; returns the request that lets the task go on, and the signal it gets. */
static int stopped(struct loop *l, struct task *t, int status, int *deliver)
{
    int signal = WSTOPSIG(status), event = status >> 16;
    *deliver = 0;
    if (signal == (SIGTRAP | 0x80)) {
        call_stop(l, t);
    } else if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
        new_task(l, t);
    } else if (event == PTRACE_EVENT_EXEC) {
        replaced(l, t);
    } else if (event == PTRACE_EVENT_STOP) {
        if (!stopping(signal)) return PTRACE_SYSCALL;
        signal_event(l, t, signal, 0);
        return PTRACE_LISTEN;
    } else if (!event) {
        signal_event(l, t, signal, 1);
        *deliver = signal;
    }
    return PTRACE_SYSCALL;
}

static void flush(struct loop *l)
{
    int32_t tid;
    uint64_t size;
    if (l->options->flush) {
        l->options->flush(l->lines);
        return;
    }
    const uint8_t *text = st_lines_text(l->lines, &tid, &size);
    if (!text) return;
    while (size) {
        ssize_t n = write(l->options->output, text, size);
        if (n <= 0) break;
        text += n;
        size -= (uint64_t)n;
    }
    st_lines_taken(l->lines, tid);
}

static void detach_all(struct loop *l)
{
    for (unsigned i = 0; i < ST_TASKS; i++)
        for (struct task *t = l->tasks[i]; t; t = t->next) {
            int status;
            ptrace(PTRACE_INTERRUPT, t->tid, 0, 0);
            if (waitpid(t->tid, &status, __WALL) == t->tid && WIFSTOPPED(status)) {
                int signal = status >> 16 || WSTOPSIG(status) & 0x80 ? 0 : WSTOPSIG(status);
                ptrace(PTRACE_DETACH, t->tid, 0, signal);
            }
        }
}

static int handle(struct loop *l, int32_t tid, int status)
{
    struct task *t = WIFSTOPPED(status) ? task_new(l, tid) : task_find(l, tid);
    int deliver;
    if (!t) return WIFSTOPPED(status) ? -ENOMEM : 0; /* a child that CLONE_PARENT made ours */
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
        if (tid == l->first) l->first_status = status;
        if (l->started) plain_event(l, t, ST_EVENT_END, status);
        task_forget(l, tid);
        return 0;
    }
    if (!WIFSTOPPED(status)) return 0;
    int request = stopped(l, t, status, &deliver);
    ptrace(request, tid, 0, deliver);
    return 0;
}

static int64_t loop(struct loop *l)
{
    while (l->count && !stop_wanted) {
        int status;
        int32_t tid = waitpid(-1, &status, __WALL | WNOHANG);
        if (!tid) {
            flush(l);
            tid = waitpid(-1, &status, __WALL);
        }
        if (tid < 0) {
            if (errno == EINTR) continue;
            break;
        }
        if (handle(l, tid, status)) break;
    }
    if (stop_wanted) detach_all(l);
    st_lines_finish(l->lines, stop_wanted);
    flush(l);
    for (unsigned i = 0; i < ST_TASKS; i++)
        while (l->tasks[i]) task_forget(l, l->tasks[i]->tid);
    return l->first ? l->first_status : 0;
}

static long seize_options(const struct st_outside_options *o)
{
    long follow = o->follow ? PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE : 0;
    return PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | follow;
}

static int child(const char *path, char *const *argv, char *const *envp, int report)
{
    /* Python ignores these two. */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    kill(getpid(), SIGSTOP);
    execve(path, argv, envp);
    int error = errno;
    return write(report, &error, sizeof error) == sizeof error ? 1 : 126;
}

static struct loop *loop_new(const struct st_outside_options *options, struct st_lines *lines)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->options = options;
    l->lines = lines;
    stop_wanted = 0;
    return l;
}

int64_t st_outside_run(const struct st_outside_options *options, struct st_lines *lines, const char *path, char *const *argv,
                       char *const *envp)
{
    int status, ends[2], error = 0;
    struct loop *l = loop_new(options, lines);
    if (!l || pipe2(ends, O_CLOEXEC)) return -errno;
    pid_t pid = fork();
    if (!pid) _exit(child(path, argv, envp, ends[1]));
    close(ends[1]);
    if (pid < 0 || waitpid(pid, &status, WSTOPPED) != pid || ptrace(PTRACE_SEIZE, pid, 0, seize_options(options) | PTRACE_O_EXITKILL))
        return -errno;
    l->first = pid;
    task_new(l, pid);
    kill(pid, SIGCONT);
    int64_t result = loop(l);
    if (read(ends[0], &error, sizeof error) == sizeof error) result = -error;
    close(ends[0]);
    free(l);
    return result;
}

int64_t st_outside_attach(const struct st_outside_options *options, struct st_lines *lines, const int32_t *pids, uint32_t count)
{
    struct loop *l = loop_new(options, lines);
    if (!l) return -ENOMEM;
    l->started = 1;
    for (uint32_t i = 0; i < count; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/task", pids[i]);
        DIR *tasks = opendir(path);
        for (struct dirent *d; tasks && (d = readdir(tasks));) {
            int32_t tid = atoi(d->d_name);
            if (tid <= 0 || ptrace(PTRACE_SEIZE, tid, 0, seize_options(options))) continue;
            ptrace(PTRACE_INTERRUPT, tid, 0, 0);
            struct task *t = task_new(l, tid);
            if (t) plain_event(l, t, ST_EVENT_TASK, 0);
        }
        if (tasks) closedir(tasks);
    }
    int64_t result = l->count ? loop(l) : -ESRCH;
    free(l);
    return result;
}
