/* The interposer's rules: no libc, no errno, no allocation, no vector registers; nothing here runs with the
 * program's signals open but the trampoline's C (python.c) and st_before_sigreturn. Results are >= 0 or -errno. */
#ifndef ST_CORE_H
#define ST_CORE_H
#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

#include "../patching.h"
#include "../selftrace.h"
#include "../trace/capture.h"
#include "layout.h"

#ifdef ST_OUTSIDE /* the rules once more, for the ptrace supervisor: native/ptrace/judge.c */
#include <string.h>
#else
#pragma GCC poison malloc free printf errno
#pragma GCC visibility push(hidden) /* one object, no GOT: the blob is linked at its address */
#endif

typedef uint64_t st_mask; /* a kernel sigset: bit n-1 is signal n */
#define ST_BIT(signal) (1ull << ((signal)-1))

enum {
    ST_SIGILL = 4,
    ST_SIGTRAP = 5,
    ST_SIGBUS = 7,
    ST_SIGFPE = 8,
    ST_SIGKILL = 9,
    ST_SIGSEGV = 11,
    ST_SIGCHLD = 17,
    ST_SIGCONT = 18,
    ST_SIGSTOP = 19,
    ST_SIGURG = 23,
    ST_SIGWINCH = 28,
    ST_SIGSYS = 31,
    ST_SIGORDER = 33, /* user dispatch: the C library's own (SIGSETXID), which it lets nobody block */
    ST_SIGNALS = 64,
};
#define ST_ALWAYS_OURS (ST_SYNCHRONOUS | (st_state.dispatch ? ST_BIT(ST_SIGORDER) : 0))
#define ST_SYNCHRONOUS (ST_BIT(ST_SIGSEGV) | ST_BIT(ST_SIGBUS))
#define ST_ALL_BLOCKED (~0ull & ~ST_UNBLOCKABLE & ~ST_BIT(ST_SIGSYS)) /* what the kernel's mask may be at most */
#define ST_UNBLOCKABLE (ST_BIT(ST_SIGKILL) | ST_BIT(ST_SIGSTOP))

#define ST_EPERM 1
#define ST_ENOENT 2
#define ST_EINTR 4
#define ST_EIO 5
#define ST_E2BIG 7
#define ST_ENOEXEC 8
#define ST_EBADF 9
#define ST_EAGAIN 11
#define ST_ENOMEM 12
#define ST_EACCES 13
#define ST_EFAULT 14
#define ST_EEXIST 17
#define ST_ENOTDIR 20
#define ST_EINVAL 22
#define ST_ETXTBSY 26
#define ST_ENAMETOOLONG 36
#define ST_ENOSYS 38
#define ST_ELOOP 40
#define ST_ELIBBAD 80

#define ST_RING_BYTES (ST_RING_OFFSET + (uint64_t)ST_RING_SLOTS * ST_RECORD_SIZE) /* without events */
#define ST_REGION_HIGH (ST_BLOB_BASE + 0x40000000ull)                             /* everything of ours lies below */

/* What an exec leaves of the state of signals that the kernel does not know. */
enum { ST_KEEP_SIGSYS_BLOCKED = 1, ST_KEEP_SIGSYS_PENDING = 2 };

/* What the launcher, and a process that execs, say to the loader in argv[0]; numbers follow. */
#define ST_ORDERS_FIRST "selftrace-first "
#define ST_ORDERS "selftrace-exec "

#define ST_SA_SIGINFO 4u
#define ST_SA_RESTORER 0x04000000u
#define ST_SA_ONSTACK 0x08000000u
#define ST_SA_RESTART 0x10000000u
#define ST_SA_NODEFER 0x40000000u
#define ST_SA_RESETHAND 0x80000000u
#define ST_SIG_DFL 0ull
#define ST_SIG_IGN 1ull

#define ST_CLONE_VM 0x100ull
#define ST_CLONE_FILES 0x400ull
#define ST_CLONE_SIGHAND 0x800ull
#define ST_CLONE_VFORK 0x4000ull
#define ST_CLONE_THREAD 0x10000ull
#define ST_CLONE_SETTLS 0x80000ull
#define ST_CLONE_CLEAR_SIGHAND 0x100000000ull

struct st_sigaction {
    uint64_t handler, flags, restorer;
    st_mask mask;
}; /* the kernel's */
struct st_stack {
    uint64_t sp;
    int32_t flags, pad;
    uint64_t size;
}; /* stack_t */
#define ST_SS_ONSTACK 1
#define ST_SS_DISABLE 2
#define ST_SS_AUTODISARM 0x80000000u

/* The kernel's sigcontext, by name. */
struct st_regs {
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags, segments, error, trap, oldmask, cr2,
        fpstate, reserved[8];
};
static inline void st_put_args(struct st_regs *regs, const uint64_t args[6])
{
    regs->rdi = args[0];
    regs->rsi = args[1];
    regs->rdx = args[2];
    regs->r10 = args[3];
    regs->r8 = args[4];
    regs->r9 = args[5];
}

struct st_context {
    uint64_t flags, link;
    struct st_stack stack;
    struct st_regs regs;
    st_mask mask;
};
struct st_siginfo {
    int32_t signal, error, code, pad;
    uint64_t address;
    int32_t sysno;
    uint32_t arch;
    uint8_t rest[96];
};
struct st_frame {
    uint64_t return_address;
    struct st_context context;
    struct st_siginfo info;
};

/* Signal handlers as the program set them; shared by the threads that share them in the kernel. */
struct st_sighand {
    uint32_t lock, users;
    struct st_sigaction actions[ST_SIGNALS + 1];
};

/* A clone with shared memory, under way through its child's stub. Apart from what the child's own calls use: the child may
 * make some before its parent has come back. */
struct st_cloning {
    uint64_t args[6], site, result;
    st_mask mask;
    uint64_t flags;
};

/* A block's stubs read and write this; one for each block, at a constant distance from its stubs. */
struct st_record {
    uint64_t args[6]; /* rdi rsi rdx r10 r8 r9 as the program had them */
    uint64_t site, result;
    uint64_t leave[6]; /* rdi rsi rdx r10 rax rip of a thread on its way out of our handler; see st_leave */
    struct st_stack altstack;
    st_mask mask; /* the program's, while a fork is under way */
    uint64_t clone_flags;
    int32_t sysno;
    uint32_t parent_pending; /* clone: the parent has not come back yet, the record is not free */
    uint32_t delay_exit_us, signal;
    struct st_cloning cloning;
    uint32_t published; /* the block has memory and an owner: before that, only its maker may touch it */
    uint32_t pad;
    uint64_t saved[8]; /* a traced call's return: see st_trace_return */
    uint64_t claimed;  /* its event's position in the ring, bit 0 set; 0: none yet */
    uint32_t event;    /* st_event_state of the call under way */
    uint32_t flags;    /* ST_EVENT_* of that */
    uint64_t parent;   /* user dispatch: the record of whoever makes the clone that this block is for */
    uint32_t post;     /* user dispatch: ST_POST_*, for a call that ST_STUB_TRACE comes back from */
    uint32_t poke;     /* as in struct st_call */
    uint64_t entry;    /* the st_patch_entry by which a call came; see st_shortcut */
    uint64_t entered;  /* the position of its first event in the ring, bit 0 set; 0: none yet */
    uint32_t due;      /* what `event` is to be when it leaves */
    uint32_t unused[3];
};

/* Whether a call gets an event when it returns. AT_TRAP: by the handler, of ST_STUB_POST. DUE: by st_trace_return; WRITTEN:
 * and the thread may still be on its way back from there. ENTERING: its first event is being written by st_shortcut. */
enum st_event_state { ST_NO_EVENT, ST_EVENT_AT_TRAP, ST_EVENT_DUE, ST_EVENT_WRITTEN, ST_EVENT_ENTERING };

enum { ST_DISPATCHED = 1, ST_BORN = 2 };
enum { ST_POST_WAITS = 1, ST_POST_RUNS = 2 }; /* st_post is to be called; it is at work, with signals blocked */

/* A vfork parent's share of a block while its child borrows it. */
struct st_vfork {
    struct st_record record;
    struct st_sighand *sighand, own;
    struct st_stack stack_virtual;
    uint32_t sigsys_blocked;
    int32_t tid, pid;
    uint32_t pad;
};
#define ST_VFORKS 3

/* An exec under way: what is to be given back if it fails. memory 0: none; size 0: it is the block's own. */
struct st_exec {
    uint64_t memory, size;
    int32_t fd, interpreter;
    int32_t pid; /* in whose table the descriptors are: a vfork child has one of its own */
};

/* What a thread has: found from any signal frame through uc_stack.ss_sp, which is the low end of `stack`. */
#define ST_BLOCK_AREA 0x28000
#define ST_BLOCK_STACK 0xf000
#define ST_GUARD 0x1000
#define ST_ARGUMENTS 0x4000
enum { ST_FREE = 0, ST_TAKEN = 2 };
struct st_block {
    uint8_t stack[ST_BLOCK_STACK];
    uint32_t index;
    int32_t tid, pid;
    uint32_t used;           /* ST_FREE, ST_TAKEN; odd while a thread has it, another number for each */
    uint32_t python;         /* > 0 while a handler runs: its own calls ask no handler */
    uint32_t sigsys_blocked; /* the program's mask has SIGSYS */
    uint32_t sigsys_pending;
    struct st_siginfo sigsys_info;
    struct st_stack stack_virtual; /* the program's sigaltstack */
    struct st_sighand *sighand;
    st_mask leave_mask; /* what the thread's mask becomes on its way out of our handler */
    uint32_t vforks;
    st_mask exec_mask;       /* the program's mask over an exec: all is blocked until the loader is done */
    uint32_t traceme;        /* PTRACE_TRACEME was called and has yet to be made */
    uint32_t traced;         /* the call under way gets an event when it returns */
    uint32_t scopes;         /* whose rules and events this thread is under, one bit each; see dispatch.c */
    uint32_t dispatched;     /* user dispatch is on for the thread */
    uint32_t asked;          /* an order to quit is under way to the thread */
    uint32_t inside;         /* the plan is in use: it must not change */
    uint32_t handlers_aside; /* handlers at work whose frames need st_restorer; see deliver */
    uint32_t turns;          /* counters that the call under way has moved on, and which; to be moved back if it is not made */
    uint64_t *turned[6];
    uint64_t sigreturn_site; /* where a sigreturn of the program's own comes from */
    struct st_own *own;      /* the thread's; own_here where it has none */
    struct st_own own_here;
    struct st_exec exec;
    struct st_call call; /* from here on down: what few calls use, or only the first bytes of */
    uint64_t counters[ST_COUNTERS];
    struct st_vfork vfork[ST_VFORKS];
    uint8_t arguments[ST_ARGUMENTS];                         /* of an exec, if it has few */
    uint8_t frame[ST_EVENT_MAX] __attribute__((aligned(8))); /* an event that is being made */
};
_Static_assert(sizeof(struct st_block) <= ST_BLOCK_AREA - ST_GUARD, "a block outgrows its area");
_Static_assert(ST_RING_ADDRESS + ST_RING_BYTES <= ST_PLAN_ADDRESS, "the ring reaches the table");
_Static_assert(sizeof(struct st_record) == ST_RECORD_BYTES && offsetof(struct st_record, saved) == ST_REC_SAVED, "");
_Static_assert(offsetof(struct st_record, parent) == ST_REC_PARENT && offsetof(struct st_record, post) == ST_REC_POST, "");
_Static_assert(offsetof(struct st_record, claimed) == ST_REC_CLAIMED && offsetof(struct st_record, event) == ST_REC_EVENT, "");
_Static_assert(offsetof(struct st_record, entry) == ST_REC_ENTRY && offsetof(struct st_record, entered) == ST_REC_ENTERED, "");
_Static_assert(offsetof(struct st_record, due) == ST_REC_DUE && offsetof(struct st_record, sysno) == ST_REC_SYSNO, "");
_Static_assert((int)ST_EVENT_ENTERING == ST_ENTERING, "");
_Static_assert(offsetof(struct st_record, args[3]) == ST_REC_R10 && offsetof(struct st_record, site) == ST_REC_RETURN, "");
_Static_assert(offsetof(struct st_record, result) == ST_REC_RESULT && offsetof(struct st_record, leave) == ST_REC_LEAVE, "");
_Static_assert(offsetof(struct st_record, altstack) == ST_REC_ALTSTACK, "");
_Static_assert(offsetof(struct st_record, cloning.result) == ST_REC_CLONE_RESULT, "");
_Static_assert(offsetof(struct st_context, regs) == ST_UC_REGS && offsetof(struct st_context, regs.fpstate) == ST_UC_FPSTATE, "");
_Static_assert(offsetof(struct st_context, stack) == ST_UC_STACK && offsetof(struct st_context, mask) == ST_UC_SIGMASK, "");
_Static_assert(sizeof(struct st_context) == 304 && sizeof(struct st_siginfo) == 128, "");

/* A Python verdict under way, on the program's stack. */
struct st_tramp {
    uint64_t xsave_mask, xsave;
    struct st_regs regs;
    struct st_block *block;
    struct st_call *call;
    st_mask mask; /* the program's */
};
_Static_assert(offsetof(struct st_tramp, regs) == ST_TRAMP_REGS, "");
_Static_assert(offsetof(struct st_tramp, regs.rip) == ST_TRAMP_RIP && offsetof(struct st_tramp, regs.rdi) == ST_TRAMP_RDI, "");

/* A file that the loader has mapped, for whoever unwinds stacks. */
struct st_object {
    uint64_t low, high; /* low 0: none */
    uint32_t length;
    uint8_t path[1024];
};

struct st_state {
    const struct st_plan *plan;
    struct st_ring_header *ring;
    uint32_t (*stack)(uint8_t *, uint32_t, uint32_t *);
    void (*hook)(struct st_call *);
    uint64_t ldso_low, ldso_high;
    struct st_sighand sighand; /* the first process's */
    int32_t main_tid, pid;
    uint32_t blocks;           /* blocks ever made, but number 0 */
    uint32_t armed, embedded;  /* embedded: the handlers' Python is ours, the program has none */
    uint64_t slow_calls;       /* executed the slower way: no stub left */
    uint32_t tsc_off;          /* the program has forbidden itself the time-stamp counter */
    uint32_t dispatch;         /* user dispatch brings the calls, not seccomp */
    uint32_t follow;           /* user dispatch: forked children are under it too */
    uint32_t scopes;           /* those that are active */
    uint32_t ended;            /* how many have ended: an order to join is for the scopes of its time */
    uint32_t changing;         /* the plan is about to be another one: nobody may begin to read it */
    struct st_door door;       /* user dispatch: the ways in and out that outlive the blob */
    uint64_t fired[ST_SCOPES]; /* how often a rule that counts has acted */
    uint32_t loaded;           /* how the program that the loader started is known: exec.c; 0: another started it */
    uint32_t counted;          /* counters of threads or processes are in use */
};
/* What most processes never touch: pages of its own. */
struct st_rare {
    uint64_t process_counters[ST_COUNTERS];
    uint8_t exe[ST_PATH_MAX]; /* the program's name, where ST_KEPT_PROGRAM lies beyond its RLIMIT_NOFILE */
};
extern struct st_state st_state;
#ifdef ST_OUTSIDE /* the process that is judged just now */
extern struct st_rare *st_process;
#define ST_RARE (*st_process)
#else
extern struct st_rare st_rare;
#define ST_RARE st_rare
#endif
extern struct st_record st_records[ST_BLOCKS];
extern uint64_t st_slots[ST_SITES];
extern const char st_stubs[], st_block_stubs[], st_user_begin[], st_user_end[], st_user_fault[], st_some_fault[], st_blob_end[],
    st_text_end[], st_gate_end[], st_late[], st_late_end[];
void st_signal_entry(void);
void st_sigsys_entry(void);
void st_restorer(void);
void st_sigreturn_trap(void);
void st_python_tramp(void);
int64_t st_gate_call(void);
int64_t st_set_altstack(const struct st_stack *stack, uint8_t *top);
_Noreturn void st_leave(struct st_context *uc, uint64_t stub, const st_mask *mask);

/* gate */
int64_t st_sys(int64_t nr, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f);
#define ST_SYS_6(nr, a, b, c, d, e, f, ...) st_sys((nr), (int64_t)(a), (int64_t)(b), (int64_t)(c), (int64_t)(d), (int64_t)(e), (int64_t)(f))
#define ST_SYS(...) ST_SYS_6(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
uint64_t st_stub_for(uint64_t site);
uint64_t st_block_stub(const struct st_block *block, uint32_t which);
void st_pass(struct st_block *block, struct st_context *uc);
void st_pass_changed(struct st_block *block, struct st_context *uc, const uint64_t args[6]);
void st_pass_hooked(struct st_block *block, struct st_context *uc, const uint64_t args[6]);
void st_keep_hooks(const struct st_block *block, uint32_t stub);
int st_may_leave(const struct st_context *uc);
_Noreturn void st_go(struct st_block *block, struct st_context *uc);
void st_gone(struct st_block *block, struct st_context *uc, int before);

/* exec */
void st_exec(struct st_block *block, struct st_context *uc, struct st_call *call);
int64_t st_exec_prepare(struct st_block *block, uint64_t dirfd, const uint8_t *path, const uint8_t *name, uint64_t argv, uint64_t envp,
                        uint64_t flags, uint64_t out[6]);
int64_t st_exec_now(struct st_block *block, struct st_call *call, st_mask mask);
void st_exec_release(struct st_block *block, int own_descriptors);
uint8_t *st_put_number(uint8_t *at, int64_t value);
void st_exec_forget(const struct st_block *own);
void st_trace_me(struct st_block *block);
int st_is_exe_link(const uint8_t *path);
int64_t st_read_exe(uint8_t *out);
int64_t st_exe_path(uint8_t *out);
void st_keep_exe(int32_t fd);
int st_kept(uint64_t fd);
int64_t st_arm_process(const struct st_arm *from, int first);
void st_seal(void);
_Noreturn void st_jump(uint64_t sp, uint64_t entry);
uint64_t *st_with_shim(uint64_t *sp, const uint8_t *shim);

/* user memory */
int64_t st_copy_in(void *to, const void *from, uint64_t size);
int64_t st_copy_string(void *to, const void *from, uint64_t size);
int64_t st_touch(uint64_t low, uint64_t high);
int64_t st_copy_some(void *to, const void *from, uint64_t size);
int64_t st_copy_out(void *to, const void *from, uint64_t size);

/* small things */
#ifndef ST_OUTSIDE
void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);
#endif
uint32_t st_length(const uint8_t *text);

/* threads */
struct st_block *st_block_of(struct st_context *uc);
struct st_block *st_block_new(void);
void st_block_free(struct st_block *block);
void st_task_ends(void);
int st_other_threads(const struct st_block *block);
void st_clone(struct st_block *block, struct st_context *uc, struct st_call *call);
int st_forked(const struct st_record *record);
void st_post(struct st_block *block, struct st_context *uc, uint32_t stub);
void st_child(struct st_block *block, struct st_context *uc);
struct st_block *st_block_at(uint32_t index);

/* user dispatch */
void st_enter(struct st_block *block);
void st_exit(struct st_block *block);
struct st_block *st_dispatched_block(struct st_context *uc);
struct st_block *st_arrived(struct st_frame *frame, uint64_t out[3]);
int64_t st_register_door(int32_t signal, uint64_t flags);
uint64_t st_register_again(const struct st_block *block);
int st_is_order(int32_t signal, const struct st_siginfo *info);
uint64_t st_obey(struct st_block *block, struct st_frame *frame, uint64_t out[3]);
void st_native_child(struct st_block *block, struct st_context *uc, struct st_record *record);
st_mask st_all_blocked(void);
int64_t st_engage(const struct st_arm *arm, const struct st_door *door);
int64_t st_join(uint32_t scopes, st_mask program);
int64_t st_quit(void);
void st_scope_begins(uint32_t scopes);
int32_t st_scope_ends(uint32_t scope, int32_t *tids, int32_t most, int32_t *born);
int64_t st_order(int32_t tid, uint32_t order, uint32_t scopes);
int32_t st_is_dispatched(int32_t tid);
void st_change(const struct st_plan *plan);
void st_forget_counter(uint32_t counter);
void st_release(void);
struct st_block *st_own_block(void);
void st_undispatch(struct st_block *block);
void st_requeue(const struct st_block *block);
int64_t st_dispatch_again(struct st_block *block);
int st_in_blob(uint64_t address);

/* put in from outside */
extern const struct st_door st_own_door;
int64_t st_depart(struct st_standing *where);
void st_remote_call(void);
void st_find_clock(void);

/* patched sites */
void st_patch_before(const struct st_plan *plan);
void st_patch_plan(const struct st_plan *plan);
void st_patch_engage(const struct st_plan *plan);
void st_patch_off(void);
void st_patch_child(void);
void st_patch_show(struct st_regs *regs);
int st_patch_show_entry(struct st_regs *regs);
void st_patch_touched(const struct st_call *call);
void st_patch_arrived(struct st_block *block, uint64_t after, int32_t sysno);
void st_patch_own(const struct st_plan *plan, uint64_t features);
struct st_patch_object *st_patch_find(struct st_patching *p, struct st_block *block, uint64_t address);
int st_patch_place(const struct st_patching *p, const struct st_patch_object *object, uint64_t after, struct st_patch_place *found);

/* shortcut */
void st_set_gs(uint64_t base);
void st_shortcut_open(struct st_block *block, st_mask mask);
void st_shortcut_close(const struct st_block *block);
int st_in_shortcut(const struct st_block *block, const struct st_regs *regs);
void st_shortcut_show(struct st_block *block, struct st_regs *regs);
void st_claim_show(const struct st_regs *regs);
void st_put_saved(struct st_regs *regs, const struct st_record *record);
extern const char st_shortcut[], st_shortcut_saved[], st_shortcut_flags[], st_shortcut_end[];

/* signals */
uint64_t st_deliver(int32_t signal, struct st_frame *frame, uint64_t out[3]);
void st_keep_altstack(struct st_block *block, const struct st_stack *theirs);
void st_show_site(struct st_block *block, struct st_context *uc);
struct st_frame *st_move_frame(struct st_frame *frame, uint64_t top, uint64_t low);
void st_before_sigreturn(struct st_context *uc);
int st_emulate(struct st_block *block, struct st_context *uc, struct st_call *call);
void st_user_sigsys(struct st_block *block, struct st_context *uc, struct st_siginfo *info);
int st_sigsys_unblocked(struct st_block *block);
int64_t st_kernel_action(int32_t signal, const struct st_sigaction *action);
void st_signals_arm(void);
uint32_t st_signals_keep(const struct st_block *block, st_mask *ignored);
void st_signals_kept(struct st_block *block, uint32_t kept, st_mask ignored);

/* verdicts */
void st_pause(uint32_t microseconds);
void st_raise(uint32_t signal);
void st_call_begin(struct st_block *block, struct st_call *call, const struct st_context *uc);
enum st_verdict st_judge(struct st_block *block, struct st_call *call);
void st_poke_enter(struct st_block *block, struct st_call *call, const struct st_context *uc);
enum st_verdict st_continue(struct st_block *block, struct st_call *call);
int st_integrity(const struct st_call *call);
int st_unnoticed(const struct st_call *call, int error);
int st_follows(const struct st_call *call, const struct st_path_use *use);
int st_resolve(struct st_call *call, uint32_t which);
int st_path_matches(const struct st_plan *plan, const struct st_pattern *pattern, const uint8_t *path, uint32_t length);
int st_fs_refuses(struct st_call *call);
int st_net_refuses(struct st_call *call);
int st_call_address(struct st_call *call);
int st_address_matches(const struct st_call *call, const struct st_addr_pattern *pattern, int64_t protocol);
int64_t st_content(const void *bytes, uint64_t size);

/* filters */
int st_sets_filter(const struct st_call *call);
int64_t st_own_filter(const struct st_call *call);

/* tampering */
void st_shorten(struct st_call *call, const struct st_rule *rule);
int64_t st_give(struct st_call *call, const struct st_rule *rule);
uint32_t st_poke(const struct st_rule *rule, struct st_call *call, const uint64_t args[6]);
uint32_t st_poke_exit(uint32_t poke, struct st_call *call, const uint64_t args[6]);

/* python */
void st_python_enter(struct st_block *block, struct st_context *uc, struct st_call *call);
void st_python_entry(struct st_tramp *tramp);
int64_t st_next(struct st_call *call);
void st_own(int32_t on);
int64_t st_execute(struct st_call *call);

#define ST_PLAN_AT(type, offset) ((const type *)((const char *)st_state.plan + (offset)))

/* events: what every call asks is here, the rest lies apart (blob.ld.in) */
static inline int st_speaks(const struct st_block *block) /* whether this thread has anything to say at all */
{
    if (!(st_state.plan->flags & ST_PLAN_TRACE)) return 0;
    return !st_state.ring->trace_only || st_state.ring->trace_only == block->tid;
}
static inline const struct st_call_entry *st_call_entry_of(int32_t sysno)
{
    return ST_PLAN_AT(struct st_call_entry, st_state.plan->calls) + ((uint32_t)sysno < ST_NR_MAX ? (uint32_t)sysno : ST_NR_MAX - 1);
}
static inline int st_traced(const struct st_block *block, int32_t sysno)
{
    return st_speaks(block) && (st_call_entry_of(sysno)->traced & block->scopes) != 0;
}
void st_trace_entry(struct st_block *block, int32_t sysno, const uint64_t args[6], uint64_t site, const struct st_regs *regs);
void st_trace_exit(struct st_block *block, int32_t sysno, const uint64_t args[6], int64_t result, uint32_t flags);
void st_trace_enter(struct st_block *block, struct st_record *record);
void st_trace_cancel(struct st_block *block, struct st_record *record);
void st_trace_after(struct st_record *record);
void st_trace_finish(struct st_block *block, struct st_record *record);
void st_trace_interrupted(struct st_block *block, struct st_record *record);
void st_trace_signal(struct st_block *block, int32_t signal, const struct st_siginfo *info, const struct st_regs *regs);
void st_trace_task(struct st_block *block, uint16_t kind, int32_t number, uint16_t flags);
void st_trace_exec(struct st_block *block, int32_t former, const struct st_object objects[2]);
void st_trace_chunk(struct st_block *block, uint64_t address, uint32_t kind, const void *bytes, uint32_t size);
void st_trace_stack(struct st_block *block, const struct st_regs *regs);
int st_claim(uint64_t *word, uint64_t old, uint64_t new, uint64_t *said, uint64_t position);
extern const char st_claimed[], st_claim_end[], st_trace_return[], st_trace_saved[], st_trace_return_end[];

/* ring */
void st_report(struct st_call *call, uint32_t kind, uint32_t row, int64_t result, const uint8_t *note, uint32_t length);
void st_report_once(struct st_call *call, const uint8_t *text, uint32_t length);
void st_used(struct st_call *call, uint32_t row, const void *key, uint32_t length);

#endif
