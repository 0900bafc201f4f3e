/* Tracing from outside: the ptrace supervisor. One thread starts or attaches to programs, waits for their stops and makes the
 * same frames as the interposer does in process.
 *
 * ptrace belongs to a thread: all functions on one supervisor are called by the thread that made it. It waits for that thread's
 * children only (__WNOTHREAD), and reaps whichever of them ends: a launcher with other children gives it a thread of its own.
 *
 * A policy is judged by `enter`: it is called at each entry of a call whose bit in `stops` is set, before the call is made, while
 * the calling thread is stopped, and answers by an st_ptrace_verdict. Where another thread can still write what a pointer argument
 * leads to, a verdict on it is advisory (the kernel reads it again); a verdict on numbers holds. `leave` is called when such a
 * call returns, if `enter` set `leaves`; it may change the result. Both run between two stops of the program: what they cost is
 * added to each such call. A stop and its resumption cost 7 us on one core (strace's 8.5); a call that is shown or has a `leave`
 * stops twice, one that is only judged, under a filter, once. With ST_PTRACE_FILTER calls that neither `trace` nor `stops` nor a
 * fault names run at the speed of the kernel's filter. ST_PTRACE_EXITKILL makes a supervisor's death the program's: for
 * sandboxes, never for traces. With ST_PTRACE_GUARD nothing is shown, and every stop of a filter that the caller has given to
 * the program is judged (judge.h).
 *
 * What a filter sends to us comes back as ENOSYS when we are gone, and nobody can take a filter off: programs started with
 * ST_PTRACE_FILTER are not let go by st_ptrace_detach, but go on unseen. */
#ifndef ST_SUPERVISOR_H
#define ST_SUPERVISOR_H
#include "../trace/lines.h"
/* cffi: begin */
#define ST_PTRACE_FOLLOW 1     /* new threads and processes too */
#define ST_PTRACE_FILTER 2     /* programs that are started stop only where they have to, by a seccomp filter; with FOLLOW only */
#define ST_PTRACE_EXITKILL 4   /* they die with us */
#define ST_PTRACE_STACK 8      /* entries and signals have registers and stack; for -k */
#define ST_PTRACE_CPU_TIME 16  /* times are of each thread's own time on a processor */
#define ST_PTRACE_NO_VDSO 32   /* programs make calls of what the vDSO would answer */
#define ST_PTRACE_UNPINNED 64  /* which processor we run on is left to the scheduler */
#define ST_PTRACE_LOCKSTEP 128 /* a task whose frames are handed over stays stopped until they have been looked at */
#define ST_PTRACE_GUARD 256    /* programs that are attached to have a filter of the caller's, or will; all that it stops is judged */

enum st_ptrace_verdict {
    ST_PTRACE_PASS,   /* the call is made; with the number and arguments in `call`, if they were changed */
    ST_PTRACE_ANSWER, /* it is not made: `result` is what the program gets */
    ST_PTRACE_KILL    /* its process is killed */
};
/* A call that has been stopped. Pointers are the program's. */
struct st_ptrace_call {
    int32_t pid, tid, sysno;
    uint32_t leaves; /* set by `enter`: `leave` is to be called */
    uint64_t args[6];
    uint64_t site, stack;                           /* address behind the syscall instruction; stack pointer */
    int64_t result;                                 /* >= 0 or -errno */
    uint32_t flags;                                 /* ST_EVENT_* for the exit's frame */
    uint32_t delay_enter_us, delay_exit_us, signal; /* set by `enter`: how long it is held; what is sent on return, 0: nothing */
};
/* A fault in one call. What it does, in this order: poke, shorten, wait, send a signal, answer; poke again on return. Pokes: as in
 * struct st_rule's content; NULL: none. */
struct st_ptrace_fault {
    int32_t sysno, signal; /* signal 0: none */
    int32_t instead;       /* with an answer: the number of the call that is made in its place; -1: none is */
    uint32_t answers;      /* the call is not made: result is what the program gets */
    uint32_t success;      /* whatever its value, it is a success */
    int32_t buffer, count; /* short, data: the arguments that bytes are at, and how many; -1: no such thing */
    uint32_t most;         /* at most so many bytes are moved; 0: all */
    int64_t result;
    const uint8_t *poke_enter, *poke_exit, *data; /* data: what is read instead; NULL: nothing */
    uint32_t poke_enter_size, poke_exit_size, data_size;
    uint32_t delay_enter_us, delay_exit_us;
    uint32_t first, last, step, chance; /* as in struct st_rule */
    uint64_t seed;
    uint32_t count_by;                     /* st_count_by */
    struct st_span conditions;             /* on its arguments: all must hold */
    int32_t path_argument, dirfd_argument; /* `path_matches` is asked about this argument; -1: nobody is asked */
    int32_t path_fd_argument;              /* or about this descriptor; -1: no */
};
enum st_ptrace_note { ST_PTRACE_FOREIGN, ST_PTRACE_UNPOKED, ST_PTRACE_NOTES };
struct st_ptrace_options {
    const struct st_capture *ops;
    struct st_span spans[ST_TRACE_CALLS]; /* the operations of each call */
    uint64_t trace[ST_TRACE_BITS];        /* calls that are shown; numbers that nobody knows always are */
    uint64_t stops[ST_TRACE_BITS];        /* calls that `enter` judges */
    uint32_t string_limit, flags;
    const struct st_ptrace_fault *faults; /* by sysno */
    uint32_t fault_count;
    const struct st_condition *conditions; /* of faults */
    void *own;                             /* the caller's */
    int32_t (*enter)(void *own, struct st_ptrace_call *call);
    void (*leave)(void *own, struct st_ptrace_call *call);
    void (*ends)(void *own, int32_t tid, int32_t pid, int32_t dead); /* a task is over, or (dead 0) has another program now */
    /* Whether the fault is about this path (NULL: the descriptor), as thread tid means it. */
    int32_t (*path_matches)(uint32_t fault, int32_t tid, int32_t dirfd, const char *path);
};
struct st_ptrace;

/* The options are copied, what they point at is not. NULL: errno says why. */
struct st_ptrace *st_ptrace_new(const struct st_ptrace_options *options);
void st_ptrace_free(struct st_ptrace *supervisor);
/* Starts a program with our descriptors, directory and process group. Its number or -errno; that it cannot be executed is known
 * from st_ptrace_start_error. Once only. */
int32_t st_ptrace_start(struct st_ptrace *supervisor, const char *path, char *const *argv, char *const *envp);
/* Attaches to all threads of a process (without ST_PTRACE_FOLLOW to this thread alone). How many, or -errno: then to none. */
int32_t st_ptrace_attach(struct st_ptrace *supervisor, int32_t pid);
/* Lets the programs run on until there are frames to be had; `out` is aligned to 8 and has at least 64 KiB. Returns the bytes of
 * whole frames, 0 when a signal or some time came first, -1 when no task is left. */
int64_t st_ptrace_read(struct st_ptrace *supervisor, uint8_t *out, uint64_t room);
/* Lets go of all tasks at their next stop, which st_ptrace_read waits for. Returns how many programs cannot be let go. */
int32_t st_ptrace_detach(struct st_ptrace *supervisor);
/* Of the program that was started: its wait status, -1: it has not ended; errno of its execve, 0: none. */
int32_t st_ptrace_status(const struct st_ptrace *supervisor);
int32_t st_ptrace_start_error(struct st_ptrace *supervisor);
/* Once the number of a process that there is something to say of, then 0: its calls are another architecture's, and not shown; a
 * fault could not change its memory. */
int32_t st_ptrace_note(struct st_ptrace *supervisor, enum st_ptrace_note which);
/* Stops so far. */
uint64_t st_ptrace_stops(const struct st_ptrace *supervisor);
/* cffi: end */
#endif
