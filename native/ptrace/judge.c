/* Each call that the filter stops goes through the gates here, while its thread stands still. What a pointer leads to is read
 * once and judged; the kernel reads it again, and another thread may have written there in between. */
#include "judge.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../interposer/core.h"

#define BUCKETS 1024u
#define PR_SECCOMP 22
#define PR_SET_MM 35
#define PR_SYSCALL_USER_DISPATCH 59
#define MFD_CLOEXEC_SEALING 3
#define ALL_SEALS 15

/* The interposer's code knows one process, its own: here, the one whose call is judged just now. Runs in other threads wait. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
struct st_state st_state;
struct st_rare *st_process;
extern __thread int32_t st_reader_task;

/* What a rule has asked for in that call. */
static uint32_t pause_us;
static const uint8_t *content;
static uint64_t content_size;

struct thread {
    struct thread *next;
    int32_t tid;
    const uint8_t *content; /* of the memory file that its call makes; NULL: none */
    uint64_t content_size;
    struct st_block block;
};
struct process {
    struct process *next;
    int32_t pid;
    struct st_rare own;
};
struct st_judge_state {
    const struct st_plan *plan;
    struct st_ring_header *ring;
    struct thread *threads[BUCKETS];
    struct process *processes[BUCKETS];
    uint32_t starts, armed;
};

/* ---- who is judged -------------------------------------------------------------------------------- */

struct st_judge_state *st_judge_new(const void *plan, void *ring, uint32_t starts)
{
    struct st_judge_state *j = calloc(1, sizeof *j);
    if (!j) return NULL;
    j->plan = plan;
    j->ring = ring;
    j->starts = starts;
    return j;
}

static struct thread *thread_of(struct st_judge_state *j, int32_t tid)
{
    struct thread **bucket = &j->threads[(uint32_t)tid % BUCKETS], *t = *bucket;
    while (t && t->tid != tid) t = t->next;
    if (t || !(t = calloc(1, sizeof *t))) return t;
    t->tid = tid;
    t->next = *bucket;
    return *bucket = t;
}

static struct process *process_of(struct st_judge_state *j, int32_t pid)
{
    struct process **bucket = &j->processes[(uint32_t)pid % BUCKETS], *p = *bucket;
    while (p && p->pid != pid) p = p->next;
    if (p || !(p = calloc(1, sizeof *p))) return p;
    p->pid = pid;
    p->next = *bucket;
    return *bucket = p;
}

static void forget_thread(struct st_judge_state *j, int32_t tid)
{
    struct thread **at = &j->threads[(uint32_t)tid % BUCKETS], *t;
    while ((t = *at) && t->tid != tid) at = &t->next;
    if (t) *at = t->next;
    free(t);
}

static void forget_process(struct st_judge_state *j, int32_t pid)
{
    struct process **at = &j->processes[(uint32_t)pid % BUCKETS], *p;
    while ((p = *at) && p->pid != pid) at = &p->next;
    if (p) *at = p->next;
    free(p);
}

void st_judge_ends(void *judge, int32_t tid, int32_t pid, int32_t dead)
{
    struct st_judge_state *j = judge;
    forget_thread(j, tid);
    if (tid == pid) forget_process(j, pid);
    if (dead && j->plan->tasks) __atomic_sub_fetch(&j->ring->tasks, 1, __ATOMIC_RELAXED);
}

void st_judge_free(struct st_judge_state *j)
{
    for (uint32_t i = 0; i < BUCKETS; i++) {
        while (j->threads[i]) forget_thread(j, j->threads[i]->tid);
        while (j->processes[i]) forget_process(j, j->processes[i]->pid);
    }
    free(j);
}

/* From here on the interposer's code is about this thread. */
static struct thread *take_up(struct st_judge_state *j, const struct st_ptrace_call *c)
{
    struct thread *t = thread_of(j, c->tid);
    struct process *p = process_of(j, c->pid);
    if (!t || !p) return NULL;
    st_state.plan = j->plan;
    st_state.ring = j->ring;
    st_state.pid = st_state.main_tid = c->pid;
    st_process = &p->own;
    st_reader_task = c->tid;
    t->block.tid = c->tid;
    t->block.pid = c->pid;
    return t;
}

/* ---- what the rules ask for instead of doing it --------------------------------------------------- */

void st_pause(uint32_t microseconds)
{
    pause_us += microseconds;
}

/* A memory file has to be the program's own: its call becomes one that makes it, and what is in it follows on return. */
int64_t st_content(const void *bytes, uint64_t size)
{
    content = bytes;
    content_size = size;
    return 0;
}

/* Programs are started by the kernel here, and /proc/self/exe is what it says. */
int st_is_exe_link(const uint8_t *path)
{
    (void)path;
    return 0;
}

int64_t st_exe_path(uint8_t *out)
{
    (void)out;
    return 0;
}

/* ---- the gates ---------------------------------------------------------------------------------------- */

/* Gate 1. A program with a filter of its own could have its calls let through by it: no stop, no judgement. */
static int integrity(const struct st_call *call)
{
    uint64_t first = call->args[0];
    if (call->sysno == __NR_seccomp) return (uint32_t)first < 2 ? ST_EPERM : 0;
    if (call->sysno != __NR_prctl) return 0;
    return first == PR_SECCOMP || first == PR_SYSCALL_USER_DISPATCH || first == PR_SET_MM ? ST_EPERM : 0;
}

static int is_fork(int32_t sysno)
{
    return sysno == __NR_clone || sysno == __NR_clone3 || sysno == __NR_fork || sysno == __NR_vfork;
}

static int one_too_many(const struct st_judge_state *j)
{
    if (!j->plan->tasks || __atomic_add_fetch(&j->ring->tasks, 1, __ATOMIC_RELAXED) <= (int32_t)j->plan->tasks) return 0;
    __atomic_sub_fetch(&j->ring->tasks, 1, __ATOMIC_RELAXED);
    return 1;
}

static int32_t refused(struct st_call *call, uint32_t row, int error, struct st_ptrace_call *c)
{
    st_report(call, ST_RECORD_VIOLATION, row, -error, NULL, 0);
    c->result = -error;
    c->flags = ST_EVENT_REFUSED;
    return ST_PTRACE_ANSWER;
}

/* The path that the call would have opened lends its end, an empty text, as the file's name. */
static int32_t make_file(struct thread *t, struct st_ptrace_call *c)
{
    uint64_t name = c->args[c->sysno == __NR_openat || c->sysno == __NR_openat2];
    int64_t length = st_copy_string(t->block.call.walk[0], (const void *)name, ST_PATH_MAX);
    if (length < 0 || length == ST_PATH_MAX) {
        c->result = length < 0 ? -ST_EFAULT : -ST_ENAMETOOLONG;
        return ST_PTRACE_ANSWER;
    }
    t->content = content;
    t->content_size = content_size;
    c->sysno = __NR_memfd_create;
    c->args[0] = name + (uint64_t)length;
    c->args[1] = MFD_CLOEXEC_SEALING;
    c->leaves = 1;
    return ST_PTRACE_PASS;
}

static int64_t fill_file(const struct thread *t, const struct st_ptrace_call *c)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", c->tid, (int)c->result);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    int64_t done = fd < 0 ? -1 : pwrite(fd, t->content, t->content_size, 0);
    if (done >= 0) fcntl(fd, F_ADD_SEALS, ALL_SEALS);
    if (fd >= 0) close(fd);
    return done == (int64_t)t->content_size ? c->result : -ST_EIO;
}

/* What the program gave goes to the kernel, but for the numbers that a rule has changed: our copies are ours. */
static int32_t passes(const struct st_call *call, struct st_ptrace_call *c)
{
    for (int i = 0; i < 6; i++)
        if (!(call->copied >> i & 1)) c->args[i] = call->args[i];
    return ST_PTRACE_PASS;
}

static int32_t judge(struct thread *t, struct st_ptrace_call *c)
{
    struct st_call *call = &t->block.call;
    pause_us = 0;
    content = NULL;
    enum st_verdict verdict = st_judge(&t->block, call);
    c->delay_enter_us = pause_us;
    c->delay_exit_us = call->delay_exit_us;
    c->signal = call->signal;
    c->flags |= call->event_flags;
    c->leaves = call->poke != 0;
    c->result = call->result;
    t->content = NULL;
    if (verdict == ST_VERDICT_KILL) return ST_PTRACE_KILL;
    if (verdict == ST_VERDICT_PASS) return passes(call, c);
    return content ? make_file(t, c) : ST_PTRACE_ANSWER;
}

static int starts_program(int32_t sysno)
{
    return sysno == __NR_execve || sysno == __NR_execveat;
}

static int32_t enters(struct st_judge_state *j, struct st_ptrace_call *c)
{
    if (c->sysno == ST_NR_POST && !j->armed) { /* native/guard.c: the limits are in place */
        j->armed = 1;
        __atomic_store_n(&j->ring->armed, 2, __ATOMIC_RELEASE);
        c->result = 0;
        return ST_PTRACE_ANSWER;
    }
    if (j->starts && starts_program(c->sysno)) {
        j->starts = 0;
        return ST_PTRACE_PASS;
    }
    struct thread *t = take_up(j, c);
    c->result = -ST_ENOMEM;
    if (!t) return ST_PTRACE_ANSWER;
    struct st_call *call = &t->block.call;
    struct st_context uc;
    st_put_args(&uc.regs, c->args);
    uc.regs.rip = c->site;
    uc.regs.rax = (uint64_t)(int64_t)c->sysno;
    st_call_begin(&t->block, call, &uc);
    if ((uint32_t)c->sysno < ST_NR_MAX) __atomic_fetch_add(&j->ring->calls[c->sysno], 1, __ATOMIC_RELAXED);
    st_poke_enter(&t->block, call, &uc);
    int error = integrity(call);
    if (error) return refused(call, j->plan->integrity_row, error, c);
    int32_t verdict = judge(t, c);
    if (verdict == ST_PTRACE_PASS && is_fork(c->sysno) && one_too_many(j)) return refused(call, j->plan->tasks_row, ST_EAGAIN, c);
    return verdict;
}

int32_t st_judge_enter(void *judge_state, struct st_ptrace_call *c)
{
    pthread_mutex_lock(&one_at_a_time);
    int32_t verdict = enters(judge_state, c);
    pthread_mutex_unlock(&one_at_a_time);
    return verdict;
}

void st_judge_leave(void *judge_state, struct st_ptrace_call *c)
{
    pthread_mutex_lock(&one_at_a_time);
    struct thread *t = take_up(judge_state, c);
    if (t) c->flags |= st_poke_exit(t->block.call.poke, &t->block.call, c->args);
    if (t && t->content && c->result >= 0) c->result = fill_file(t, c);
    pthread_mutex_unlock(&one_at_a_time);
}
