/* The supervisor's own state, shared by its files. */
#ifndef ST_PTRACE_INTERNAL_H
#define ST_PTRACE_INTERNAL_H
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

#include "supervisor.h"

#define ST_TASKS 1024 /* buckets */
#define ST_EXECVE 59
#define ST_EXECVEAT 322
#define ST_RESTART_SYSCALL 219

/* What the kernel's PTRACE_GET_SYSCALL_INFO fills in. */
struct st_call_info {
    uint8_t op, pad[3];
    uint32_t arch;
    uint64_t instruction, stack;
    union {
        struct {
            uint64_t nr, args[6];
        } entry; /* of a seccomp stop too */
        struct {
            int64_t result;
            uint8_t is_error;
        } exit;
    };
};
enum st_call_op { ST_OP_NONE, ST_OP_ENTRY, ST_OP_EXIT, ST_OP_SECCOMP };

struct st_task {
    struct st_task *next;
    struct st_ptrace_call call; /* the one that it is in */
    int32_t tid, pid;
    int32_t previous;               /* number of the call before that was no restart_syscall; -1: not known */
    int32_t signal;                 /* what it is resumed with, while it waits */
    int32_t cpu_fd;                 /* its schedstat; -1: not open */
    uint64_t due;                   /* it is held until then (CLOCK_MONOTONIC in ns); 0: it is not */
    uint64_t *counters;             /* of faults */
    uint32_t poke_exit;             /* 1 + the fault that pokes on its way out; 0: none */
    uint32_t delay_exit_us, inject; /* what faults want on its way out; inject: a signal */
    uint8_t in_call;                /* it has entered a call whose return is wanted */
    uint8_t shown;                  /* that call is shown */
    uint8_t filtered;               /* a seccomp filter decides where it stops */
    uint8_t instead;                /* another call is made in its place: what the program gets is put in on return */
    uint8_t foreign;                /* of another architecture: it is left alone */
    uint8_t paused;                 /* until the next read */
    uint8_t held;                   /* stopped at its very first instruction: its parent has not told of it yet */
    uint8_t waited;                 /* ticks since */
    uint8_t announced;              /* the frame of its beginning has been made */
    uint8_t attached;               /* it ran before we came */
    uint8_t changed;                /* bit i: a policy has changed args[i]; the program's own are put back on return */
};

struct st_ptrace {
    struct st_ptrace_options options;
    struct st_task *tasks[ST_TASKS];
    uint32_t count, filtered, delayed, waiting; /* tasks: all, under a filter, held for a time, held for their parent */
    struct st_span faults[ST_TRACE_CALLS];
    uint64_t *tree_counters;
    int32_t first, first_status, report; /* the program that was started; the pipe that says why it was not */
    int32_t notes[ST_PTRACE_NOTES];      /* a process; -1: it has been said */
    uint64_t stops;
    uint8_t started;  /* the program's execve has begun, or nothing was started */
    uint8_t replaced; /* it has succeeded */
    uint8_t silent;   /* it has failed: the rest is ours */
    uint8_t detaching, muted;
    uint8_t *out; /* where frames go */
    uint64_t used, room;
    timer_t timer;
    uint8_t idle;
    uint64_t ticks;       /* that have been looked at */
    int32_t last, cpu;    /* the task that stopped last; the processor that we are pinned to, -1: to none */
    cpu_set_t processors; /* that we may run on */
};

static inline int st_has(const uint64_t bits[ST_TRACE_BITS], int32_t n)
{
    return n >= 0 && n < ST_TRACE_CALLS && (bits[n / 64] >> (n & 63) & 1);
}

/* tasks.c */
struct st_task *st_task_find(const struct st_ptrace *s, int32_t tid);
struct st_task *st_task_new(struct st_ptrace *s, int32_t tid);
void st_task_forget(struct st_ptrace *s, struct st_task *t);
int32_t st_task_field(int32_t tid, const char *name);
int st_task_dead(int32_t tid);
/* frames.c */
uint64_t st_now(void);
void st_frame_entry(struct st_ptrace *s, struct st_task *t);
void st_frame_exit(struct st_ptrace *s, struct st_task *t);
void st_frame_signal(struct st_ptrace *s, struct st_task *t, int signal, int has_info);
void st_frame_plain(struct st_ptrace *s, struct st_task *t, uint16_t kind, int32_t number);
/* stack.c */
uint32_t st_put_stack(int32_t tid, uint8_t *out, uint32_t room, uint16_t *flags);
void st_frame_mappings(struct st_ptrace *s, struct st_task *t);
void st_hide_vdso(int32_t tid);
/* calls.c */
int st_call_known(const struct st_ptrace *s, int32_t sysno);
int st_call_enters(struct st_ptrace *s, struct st_task *t, const struct st_call_info *info);
int st_call_leaves(struct st_ptrace *s, struct st_task *t, const struct st_call_info *info, int *signal);
int st_poke_register(int32_t tid, size_t offset, uint64_t value);
void st_poke_argument(int32_t tid, uint32_t argument, uint64_t value);
void st_task_note(struct st_ptrace *s, const struct st_task *t, enum st_ptrace_note which);
/* faults.c */
int st_faults_prepare(struct st_ptrace *s);
int st_faults_enter(struct st_ptrace *s, struct st_task *t, uint32_t *delay_us);
/* tamper.c */
uint32_t st_poke_memory(struct st_ptrace *s, const struct st_task *t, const uint8_t *pokes, uint32_t size);
uint32_t st_shorten_call(const struct st_task *t, const struct st_ptrace_fault *f);
int64_t st_give_data(const struct st_task *t, const struct st_ptrace_fault *f);
/* filter.c */
struct sock_fprog;
int st_filter_make(const struct st_ptrace *s, struct sock_fprog *program);
int st_filter_install(const struct sock_fprog *program);
/* loop.c */
void st_reap(int32_t tid);
/* stops.c */
void st_stopped(struct st_ptrace *s, struct st_task *t, int status);
void st_resume(struct st_ptrace *s, struct st_task *t, int signal);
void st_hold(struct st_ptrace *s, struct st_task *t, uint32_t delay_us, int signal);
void st_release(struct st_ptrace *s, struct st_task *t);
void st_unpause(struct st_ptrace *s);
int st_let_go(struct st_ptrace *s, struct st_task *t, int signal);
/* attach.c */
long st_seize(const struct st_ptrace *s, int32_t tid, int filtered);
void st_detach_again(struct st_ptrace *s);
/* pace.c */
int st_pace_begin(struct st_ptrace *s);
void st_pace_end(struct st_ptrace *s);
int st_pace_due(const struct st_ptrace *s);
int st_pace_ticked(struct st_ptrace *s);
void st_pace_set(struct st_ptrace *s, int idle);
void st_pin(struct st_ptrace *s);

extern __thread int32_t st_reader_task; /* whose memory readers.c reads */
#endif
