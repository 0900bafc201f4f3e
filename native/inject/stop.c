/* Stopping and letting go of the threads of a process. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "inject.h"

#define PATIENCE_MS 3000
#define STEP_US 50
#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif
#define MASK_BYTES ((void *)8)

static const char *step = "";

void st_inject_at(const char *what)
{
    step = what;
}

const char *st_inject_step(void)
{
    return step;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

/* The next thing that the kernel has to say of a thread: its status, or -ETIMEDOUT. */
static int32_t said(int32_t tid, int32_t *status)
{
    int64_t until = now_ms() + PATIENCE_MS;
    for (int tries = 0;; tries++) {
        int32_t r = waitpid(tid, status, __WALL | WNOHANG);
        if (r == tid) return 0;
        if (r < 0 && errno != EINTR) return -errno;
        if (now_ms() > until) return -ETIMEDOUT;
        struct timespec pause = {0, tries < 50 ? 20000 : 500000};
        nanosleep(&pause, NULL);
    }
}

static int is_event_stop(int32_t status)
{
    return status >> 16 == PTRACE_EVENT_STOP;
}

static int is_fault(int32_t signal, int32_t code)
{
    int faults = signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE || signal == SIGTRAP || signal == SIGSYS;
    return faults && code > 0;
}

/* A fault, or a call that has been dispatched, of which the thread is yet to be told: that comes before anything that we have
 * it do. */
static int fault_pending(int32_t tid)
{
    siginfo_t found[16];
    struct __ptrace_peeksiginfo_args which = {.nr = 16};
    long count = ptrace(PTRACE_PEEKSIGINFO, tid, &which, found);
    for (long i = 0; i < count; i++)
        if (is_fault(found[i].si_signo, found[i].si_code)) return 1;
    return 0;
}

/* A call on its way to us is taken back: it comes again, to us or to the kernel. */
static int take_call_back(const struct remote_thread *thread, const siginfo_t *info)
{
    struct user_regs_struct regs;
    if (info->si_signo != SIGSYS || info->si_code != SYS_USER_DISPATCH) return 0;
    if (ptrace(PTRACE_GETREGS, thread->tid, 0, &regs)) return 0;
    regs.rip -= 2;
    regs.orig_rax = ~0ull;
    return !ptrace(PTRACE_SETREGS, thread->tid, 0, &regs);
}

static int is_timers(const siginfo_t *info)
{
    int expired = info->si_signo == SIGALRM || info->si_signo == SIGVTALRM || info->si_signo == SIGPROF;
    return info->si_code == SI_TIMER || (info->si_code == SI_KERNEL && expired);
}

/* Another signal that it was about to get: kept, and sent again later. Its handler is not entered now, or under a timer that is
 * faster than we are the thread would never be found anywhere else. */
static int keep_signal(struct remote_thread *thread)
{
    siginfo_t info;
    if (ptrace(PTRACE_GETSIGINFO, thread->tid, 0, &info)) return 0; /* a stop of the whole process */
    if (take_call_back(thread, &info)) return 1;
    if (is_fault(info.si_signo, info.si_code)) return 0;
    if (thread->signal && (thread->signal != info.si_signo || !is_timers(&info))) return 0; /* there is room for one */
    thread->signal = info.si_signo;
    thread->info = info;
    return 1;
}

int32_t st_remote_stop(struct remote_thread *thread)
{
    int32_t status, again = 0;
    if (ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0)) return -errno;
    for (;;) {
        int32_t r = said(thread->tid, &status);
        if (r) return r;
        if (!WIFSTOPPED(status)) return -ESRCH;
        int32_t signal = is_event_stop(status) ? 0 : WSTOPSIG(status);
        if (!signal && !fault_pending(thread->tid)) return 0;
        if (signal && keep_signal(thread)) return 0;
        if (ptrace(PTRACE_CONT, thread->tid, 0, (void *)(intptr_t)signal)) return -errno;
        if (!signal) again = 1; /* but not yet: we would be first once more */
        if (signal && again) again = ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0) != 0;
    }
}

static int32_t look_at(struct remote_thread *thread)
{
    if (ptrace(PTRACE_GETREGS, thread->tid, 0, &thread->regs)) return -errno;
    return ptrace(PTRACE_GETSIGMASK, thread->tid, MASK_BYTES, &thread->mask) ? -errno : 0;
}

/* For a call of ours: with these registers, and no signal. */
int32_t st_remote_borrow(const struct remote_thread *thread, const struct user_regs_struct *regs)
{
    static const uint64_t all = ~0ull;
    if (ptrace(PTRACE_SETSIGMASK, thread->tid, MASK_BYTES, &all)) return -errno;
    return ptrace(PTRACE_SETREGS, thread->tid, 0, regs) ? -errno : 0;
}

/* Its own registers and mask, after each call: whoever kills us between two leaves it whole. A call that was interrupted is
 * restarted, or not, by the kernel, as it would have been. */
void st_remote_give_back(const struct remote_thread *thread)
{
    ptrace(PTRACE_SETREGS, thread->tid, 0, &thread->regs);
    ptrace(PTRACE_SETSIGMASK, thread->tid, MASK_BYTES, &thread->mask);
}

/* A timer's signal may be late. Where the timer is faster than a busy machine lets a thread handle it, the thread would get no
 * further between two: it is kept until the end. */
static int may_be_late(struct remote_thread *thread)
{
    siginfo_t info;
    return !ptrace(PTRACE_GETSIGINFO, thread->tid, 0, &info) && is_timers(&info) && keep_signal(thread);
}

/* A thread that we let run stops at each signal: it goes on with it. 0: it has ended. */
static int goes_on(struct remote_thread *thread)
{
    int32_t status;
    if (waitpid(thread->tid, &status, __WALL | WNOHANG) != thread->tid) return 1;
    if (!WIFSTOPPED(status)) return 0;
    int32_t signal = is_event_stop(status) || may_be_late(thread) ? 0 : WSTOPSIG(status);
    ptrace(PTRACE_CONT, thread->tid, 0, (void *)(intptr_t)signal);
    return 1;
}

static void forget(struct remote_thread *thread)
{
    thread->kept = thread->tid = 0;
}

/* A little further: all that are kept, for one may wait for another. A thread that ends is forgotten. */
int32_t st_remote_run_on(struct st_inject *in, int64_t us)
{
    for (int32_t i = 0; i < in->count; i++) {
        if (!in->threads[i].kept) continue;
        if (!is_timers(&in->threads[i].info)) st_remote_requeue(in, &in->threads[i]);
        ptrace(PTRACE_CONT, in->threads[i].tid, 0, 0);
    }
    for (int64_t passed = 0; passed < us; passed += STEP_US) {
        struct timespec pause = {0, STEP_US * 1000};
        nanosleep(&pause, NULL);
        for (int32_t i = 0; i < in->count; i++)
            if (in->threads[i].kept && !goes_on(&in->threads[i])) forget(&in->threads[i]);
    }
    for (int32_t i = 0; i < in->count; i++) {
        struct remote_thread *thread = &in->threads[i];
        if (!thread->kept) continue;
        int32_t r = st_remote_stop(thread);
        if (!r) r = look_at(thread);
        if (r && r != -ESRCH) return r;
        if (r) forget(thread);
    }
    return 0;
}

static int known(const struct st_inject *in, int32_t tid)
{
    for (int32_t i = 0; i < in->count; i++)
        if (in->threads[i].tid == tid) return 1;
    return 0;
}

static int32_t stop_one(struct st_inject *in, int32_t tid)
{
    if (in->count == in->room) {
        int32_t room = in->room ? in->room * 2 : 16;
        struct remote_thread *more = realloc(in->threads, (size_t)room * sizeof *more);
        if (!more) return -ENOMEM;
        in->threads = more;
        in->room = room;
    }
    if (ptrace(PTRACE_SEIZE, tid, 0, 0)) return errno == ESRCH && tid != in->pid ? 0 : -errno;
    struct remote_thread *thread = &in->threads[in->count];
    *thread = (struct remote_thread){.tid = tid};
    int32_t r = st_remote_stop(thread);
    if (r == -ESRCH && tid != in->pid) return 0; /* it has ended meanwhile */
    if (!r) r = look_at(thread);
    if (!r && thread->regs.cs != 0x33) r = -ENOEXEC;
    if (!r) in->count++;
    if (r) ptrace(PTRACE_DETACH, tid, 0, 0);
    return r;
}

/* Threads that have not been stopped yet may make others: until there is none to be found. */
static int32_t stop_all(struct st_inject *in)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/task", in->pid);
    for (int32_t before = -1; before != in->count;) {
        before = in->count;
        DIR *tasks = opendir(path);
        if (!tasks) return -ESRCH;
        int32_t r = 0;
        for (struct dirent *entry; !r && (entry = readdir(tasks));) {
            int32_t tid = atoi(entry->d_name);
            if (tid > 0 && !known(in, tid)) r = stop_one(in, tid);
        }
        closedir(tasks);
        if (r) return r;
    }
    return in->count ? 0 : -ESRCH;
}

struct st_inject *st_inject_stop(int32_t pid, int32_t *error)
{
    char path[40];
    struct st_inject *in = calloc(1, sizeof *in);
    *error = ENOMEM;
    if (!in) return NULL;
    in->pid = pid;
    in->memory = -1;
    st_inject_at("stopping its threads");
    int32_t r = stop_all(in);
    if (!r) {
        st_inject_at("opening its memory");
        snprintf(path, sizeof path, "/proc/%d/mem", pid);
        in->memory = open(path, O_RDWR | O_CLOEXEC);
        r = in->memory < 0 ? -errno : st_remote_find_syscall(in);
    }
    *error = -r;
    if (!r) return in;
    st_inject_let_go(in);
    return NULL;
}

void st_inject_let_go(struct st_inject *in)
{
    if (in->count) st_remote_no_scratch(in);
    for (int32_t i = 0; i < in->count; i++) {
        if (!in->threads[i].tid) continue;
        st_remote_give_back(&in->threads[i]);
        ptrace(PTRACE_DETACH, in->threads[i].tid, 0, (void *)(intptr_t)in->threads[i].signal);
    }
    if (in->memory >= 0) close(in->memory);
    free(in->threads);
    free(in);
}

int32_t st_inject_threads(const struct st_inject *in)
{
    return in->count;
}
