/* Putting the interposer into a process that runs, and taking it out again: ptrace stops all its threads, has them make a few
 * calls, and lets go. Between these the process traces itself. Functions return -errno; `st_inject_step` says what failed. All are
 * called by one thread, which is the tracer. */
#ifndef ST_INJECT_H
#define ST_INJECT_H
#include <stdint.h>
/* cffi: begin */
#define ST_REGION_END 0x7e9040000000 /* nothing of the blob lies beyond */
struct st_inject;
/* Stops all threads of a process. NULL: *error is the errno, and the process goes on. */
struct st_inject *st_inject_stop(int32_t pid, int32_t *error);
/* A ring of that many bytes of events, mapped there; the descriptor of its memory file, ours to map and close. */
int32_t st_inject_ring(struct st_inject *in, uint64_t records, uint64_t trace);
/* Blob and plan are mapped, the process's handlers become ours, and every thread is put under dispatch. blob: its file. */
int32_t st_inject_arm(struct st_inject *in, int32_t blob, const void *plan, uint64_t size);
/* Everything as it was: of what `st_inject_arm` did and of what is mapped. */
int32_t st_inject_take_out(struct st_inject *in);
/* The threads go on; frees `in`. */
void st_inject_let_go(struct st_inject *in);
int32_t st_inject_threads(const struct st_inject *in);
/* A few words for the step that failed last. */
const char *st_inject_step(void);
/* cffi: end */

#include <signal.h>
#include <sys/user.h>

struct remote_thread {
    int32_t tid;                  /* 0: it has ended */
    int32_t kept;                 /* is yet to depart */
    struct user_regs_struct regs; /* as it goes on with */
    uint64_t mask;
    int32_t signal; /* that it is yet to be sent again; 0: none */
    siginfo_t info;
};
struct st_inject {
    int32_t pid, memory; /* memory: /proc/PID/mem */
    int32_t count, room;
    uint64_t syscall_at; /* a `syscall` instruction of the process's own */
    int32_t scratch;     /* is mapped */
    struct remote_thread *threads;
};

/* stop.c */
int32_t st_remote_stop(struct remote_thread *thread);
int32_t st_remote_run_on(struct st_inject *in, int64_t us);
int32_t st_remote_borrow(const struct remote_thread *thread, const struct user_regs_struct *regs);
void st_remote_give_back(const struct remote_thread *thread);

/* remote.c */
int64_t st_remote_syscall(struct st_inject *in, struct remote_thread *thread, int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                          uint64_t e, uint64_t f);
/* result: what it returned; NULL: nothing */
int32_t st_remote_function(struct st_inject *in, struct remote_thread *thread, uint64_t function, uint64_t a, uint64_t b, int64_t *result);
int32_t st_remote_read(const struct st_inject *in, void *to, uint64_t from, uint64_t size);
int32_t st_remote_write(const struct st_inject *in, uint64_t to, const void *from, uint64_t size);
void st_remote_requeue(struct st_inject *in, struct remote_thread *thread);
int32_t st_remote_find_syscall(struct st_inject *in);
int32_t st_remote_scratch(struct st_inject *in);
void st_remote_no_scratch(struct st_inject *in);

/* Said for whoever fails after it. */
void st_inject_at(const char *step);

#define ST_SCRATCH 0x7e903f000000ull /* in the region of the blob, where nothing of it lies */
#define ST_SCRATCH_SIZE 0x10000u
#endif
