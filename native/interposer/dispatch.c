/* Calls that arrive by Syscall User Dispatch: in the tracer's own process, thread by thread, to be given up again without a
 * trace. The kernel turns dispatch on and off only for the thread that asks, so other threads are sent orders (a SIGSYS
 * that says so), and what is inherited over a fork or exec is nothing.
 *
 * Threads without a block ("bystanders") meet us only in the signal handlers, which a process has in common. What they, and
 * threads on their way out, still need once the blob is gone lies outside of it: struct st_door. */
#include "core.h"

#define PR_SYSCALL_USER_DISPATCH 59
#define ORDER_MAGIC 0x53540000u
#define ORDER_TIME 0xfffu /* of st_state.ended, in what an order says */
#define SI_QUEUE (-1)
#define UNBLOCK_NONE (~0ull & ~ST_UNBLOCKABLE)

void st_undispatch(struct st_block *block)
{
    ST_SYS(__NR_prctl, PR_SYSCALL_USER_DISPATCH, 0, 0, 0, 0);
    st_shortcut_close(block);
    block->own->dispatched = block->own->selector = 0;
    block->dispatched = 0;
}

/* For the calling thread. own: where its selector is; NULL: in its block. */
static int64_t dispatch(struct st_block *block, struct st_own *own)
{
    if (!own) own = &block->own_here;
    block->own = own;
    own->record = 0;
    own->dispatched = 1;
    own->selector = !own->aside;
    int64_t r = ST_SYS(__NR_prctl, PR_SYSCALL_USER_DISPATCH, 1, ST_GATE_LO, ST_GATE_HI - ST_GATE_LO + 1, &own->selector);
    if (r < 0)
        own->dispatched = own->selector = 0;
    else
        __atomic_store_n(&block->dispatched, ST_DISPATCHED, __ATOMIC_RELEASE);
    return r;
}

/* In a fork's child, which the kernel has taken off it. */
int64_t st_dispatch_again(struct st_block *block)
{
    return dispatch(block, NULL);
}

/* What the kernel's mask may be while nothing may arrive: orders wait. */
st_mask st_all_blocked(void)
{
    return st_state.dispatch ? UNBLOCK_NONE : ST_ALL_BLOCKED;
}

/* ---- the plan and its readers --------------------------------------------------------------------- */

/* From here to st_exit the plan stays what it is. All asynchronous signals are blocked, or what is done is begun anew after
 * one: a flag is enough. */
void st_enter(struct st_block *block)
{
    if (!st_state.dispatch) return;
    for (;;) {
        __atomic_exchange_n(&block->inside, 1, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&st_state.changing, __ATOMIC_SEQ_CST)) return;
        __atomic_store_n(&block->inside, 0, __ATOMIC_RELEASE);
        while (__atomic_load_n(&st_state.changing, __ATOMIC_ACQUIRE)) ST_SYS(__NR_sched_yield);
    }
}

void st_exit(struct st_block *block)
{
    __atomic_store_n(&block->inside, 0, __ATOMIC_RELEASE);
}

/* The next block that is in use, from *at on; NULL: no more. */
static struct st_block *next_block(uint32_t *at)
{
    while (++*at <= __atomic_load_n(&st_state.blocks, __ATOMIC_ACQUIRE) && *at < ST_BLOCKS)
        if (__atomic_load_n(&st_records[*at].published, __ATOMIC_ACQUIRE)) return st_block_at(*at);
    return NULL;
}

static int alive(const struct st_block *block)
{
    return block->dispatched == ST_DISPATCHED && ST_SYS(__NR_tgkill, st_state.pid, block->tid, 0) == 0;
}

/* Another plan, once nobody reads the one before. By a thread with all signals blocked. */
void st_change(const struct st_plan *plan)
{
    __atomic_store_n(&st_state.changing, 1, __ATOMIC_SEQ_CST);
    uint32_t at = 0;
    for (struct st_block *block; (block = next_block(&at));)
        while (__atomic_load_n(&block->inside, __ATOMIC_SEQ_CST) && alive(block)) ST_SYS(__NR_sched_yield);
    if (st_state.door.patching) st_patch_before(plan);
    st_state.plan = plan;
    if (st_state.door.patching) st_patch_plan(plan);
    __atomic_store_n(&st_state.changing, 0, __ATOMIC_SEQ_CST);
}

/* The counter of a rule that begins to count. */
void st_forget_counter(uint32_t counter)
{
    uint32_t at = 0;
    for (struct st_block *block; (block = next_block(&at));) block->counters[counter] = 0;
    st_rare.process_counters[counter] = 0;
    if (st_state.ring) st_state.ring->tree_counters[counter] = 0;
}

/* ---- joining and leaving ---------------------------------------------------------------------------- */

static struct st_block *block_of_tid(int32_t tid)
{
    uint32_t at = 0;
    for (struct st_block *block; (block = next_block(&at));)
        if (block->dispatched == ST_DISPATCHED && block->tid == tid) return block;
    return NULL;
}

/* A thread that has returned from a handler while its own calls were let through has lost our altstack: found by its id,
 * and mended by the frame. NULL: a bystander. */
struct st_block *st_dispatched_block(struct st_context *uc)
{
    struct st_block *block = block_of_tid((int32_t)ST_SYS(__NR_gettid));
    if (block) uc->stack = (struct st_stack){.sp = (uint64_t)block->stack, .size = ST_BLOCK_STACK};
    return block;
}

/* One that the thread has had before and quit: nobody else may have it as long as the thread lives. */
static struct st_block *block_before(int32_t tid)
{
    uint32_t at = 0;
    for (struct st_block *block; (block = next_block(&at));)
        if (!block->dispatched && (block->used & 1) && block->tid == tid) return block;
    return NULL;
}

static struct st_block *new_block(uint32_t scopes)
{
    int32_t tid = (int32_t)ST_SYS(__NR_gettid);
    struct st_block *block = block_before(tid);
    if (block) st_block_free(block);
    block = st_block_new();
    if (!block) return NULL;
    block->sighand = &st_state.sighand;
    block->tid = tid;
    block->pid = st_state.pid;
    block->scopes = scopes;
    return block;
}

/* The altstack of a thread that has lost it: here and now, for a sigreturn would hide whether the call that follows was made.
 * Returns what is registered, 0: not ours. */
uint64_t st_register_again(const struct st_block *block)
{
    return ST_SYS(__NR_sigaltstack, &st_records[block->index].altstack, 0) < 0 ? 0 : (uint64_t)block;
}

struct st_block *st_own_block(void)
{
    struct st_stack kernel;
    struct st_context uc = {.stack = {.flags = ST_SS_DISABLE}};
    if (ST_SYS(__NR_sigaltstack, 0, &kernel) == 0) uc.stack = kernel;
    return st_block_of(&uc);
}

/* The calling thread, from its own code, which is aside, with all signals blocked. program: its mask. */
int64_t st_join(uint32_t scopes, st_mask program)
{
    struct st_block *block = st_own_block();
    __atomic_or_fetch(&st_state.scopes, scopes, __ATOMIC_ACQ_REL);
    if (block) {
        block->scopes |= scopes;
        return 0;
    }
    block = new_block(scopes);
    if (!block) return -ST_EAGAIN;
    block->sigsys_blocked = (program & ST_BIT(ST_SIGSYS)) != 0;
    struct st_stack ours = st_records[block->index].altstack;
    int64_t r = ST_SYS(__NR_sigaltstack, &ours, &block->stack_virtual);
    if (r >= 0) r = dispatch(block, st_state.door.own());
    if (r >= 0 && st_state.follow) st_trace_task(block, ST_EVENT_TASK, 0, 0); /* nobody has told of it */
    if (r >= 0) return 0;
    ST_SYS(__NR_sigaltstack, &block->stack_virtual, 0);
    st_block_free(block);
    return r;
}

void st_requeue(const struct st_block *block)
{
    if (block->sigsys_pending) ST_SYS(__NR_rt_tgsigqueueinfo, st_state.pid, block->tid, ST_SIGSYS, &block->sigsys_info);
}

/* The calling thread again. 1: its mask is to have SIGSYS, 0: not, else -errno. */
int64_t st_quit(void)
{
    struct st_block *block = st_own_block();
    if (!block) return 0;
    st_undispatch(block);
    ST_SYS(__NR_sigaltstack, &block->stack_virtual, 0);
    st_requeue(block);
    int64_t blocked = block->sigsys_blocked;
    st_block_free(block);
    return blocked;
}

void st_scope_begins(uint32_t scopes)
{
    uint32_t at = 0;
    for (struct st_block *block; (block = next_block(&at));)
        if (block->dispatched) __atomic_or_fetch(&block->scopes, scopes, __ATOMIC_ACQ_REL);
}

/* Nobody is under this scope any more. The threads that are under none now; they are to quit. born: how many are about to
 * begin: their makers may be under no scope any more. */
int32_t st_scope_ends(uint32_t scope, int32_t *tids, int32_t most, int32_t *born)
{
    uint32_t at = 0;
    int32_t found = 0;
    *born = 0;
    __atomic_and_fetch(&st_state.scopes, ~scope, __ATOMIC_ACQ_REL);
    __atomic_add_fetch(&st_state.ended, 1, __ATOMIC_SEQ_CST);
    for (struct st_block *block; (block = next_block(&at));) {
        uint32_t left = __atomic_and_fetch(&block->scopes, ~scope, __ATOMIC_ACQ_REL);
        *born += __atomic_load_n(&block->dispatched, __ATOMIC_ACQUIRE) == ST_BORN;
        if (!left && alive(block) && found < most) tids[found++] = block->tid;
    }
    return found;
}

int32_t st_is_dispatched(int32_t tid)
{
    return block_of_tid(tid) != NULL;
}

/* ---- orders to other threads ------------------------------------------------------------------------- */

struct order {
    int32_t signal, error, code, pad, pid, uid;
    uint32_t what, scopes; /* si_value */
    uint8_t rest[96];
};
_Static_assert(sizeof(struct order) == sizeof(struct st_siginfo), "");

static uint32_t time_of_order(void)
{
    return (__atomic_load_n(&st_state.ended, __ATOMIC_SEQ_CST) & ORDER_TIME) << 4;
}

/* Signals queue up: a thread is asked to quit again only when it has answered that it could not. */
int64_t st_order(int32_t tid, uint32_t order, uint32_t scopes)
{
    struct st_block *block = order == ST_ORDER_QUIT ? block_of_tid(tid) : NULL;
    struct order info = {.signal = ST_SIGORDER, .code = SI_QUEUE, .pid = st_state.pid, .scopes = scopes};
    info.what = ORDER_MAGIC | time_of_order() | order;
    if (block && __atomic_exchange_n(&block->asked, 1, __ATOMIC_ACQ_REL)) return 0;
    int64_t r = ST_SYS(__NR_rt_tgsigqueueinfo, st_state.pid, tid, ST_SIGORDER, &info);
    if (block && r < 0) __atomic_store_n(&block->asked, 0, __ATOMIC_RELEASE);
    return r;
}

int st_is_order(int32_t signal, const struct st_siginfo *info)
{
    const struct order *order = (const struct order *)info;
    if (!st_state.dispatch || signal != ST_SIGORDER || info->code != SI_QUEUE || order->pid != st_state.pid) return 0;
    return (order->what & 0xffff0000u) == ORDER_MAGIC;
}

/* From sigreturn on the altstack is ours; the selector is read from the next call on. */
static void join_here(struct st_context *uc, const struct order *order, uint64_t out[3])
{
    struct st_block *block = new_block(order->scopes);
    if (!block) return;
    __atomic_store_n(&block->dispatched, ST_BORN, __ATOMIC_SEQ_CST); /* seen by whoever ends the scope, or his end is seen here */
    if ((order->what & ORDER_TIME << 4) != time_of_order()) {
        st_block_free(block);
        return;
    }
    st_keep_altstack(block, &uc->stack);
    uc->stack = (struct st_stack){.sp = (uint64_t)block->stack, .size = ST_BLOCK_STACK};
    block->sigsys_blocked = (uc->mask & ST_BIT(ST_SIGSYS)) != 0;
    uc->mask &= ~ST_BIT(ST_SIGSYS);
    if (dispatch(block, st_state.door.own()) >= 0) { /* no bystander any more: only the gate's sigreturn passes */
        __atomic_sub_fetch(st_state.door.visitors, 1, __ATOMIC_ACQ_REL);
        out[2] = 0;
        return;
    }
    uc->stack = block->stack_virtual;
    if (block->sigsys_blocked) uc->mask |= ST_BIT(ST_SIGSYS);
    st_block_free(block);
}

int st_in_blob(uint64_t address)
{
    return address >= ST_BLOB_BASE && address < ST_REGION_HIGH;
}

/* Only a thread that is wholly in the program's code may go; any other is asked again. */
static uint64_t quit_here(struct st_block *block, struct st_frame *frame, uint64_t out[3])
{
    struct st_context *uc = &frame->context;
    st_enter(block);
    st_show_site(block, uc);
    st_exit(block);
    if (block->python || block->handlers_aside || st_in_blob(uc->regs.rip)) return 0;
    uint64_t sp = uc->regs.rsp;
    const struct st_stack *own = &block->stack_virtual;
    int on_own = !(own->flags & ST_SS_DISABLE) && sp > own->sp && sp - own->sp <= own->size;
    if (st_in_blob((uint64_t)frame)) frame = st_move_frame(frame, sp - 128, on_own ? own->sp : 0);
    if (!frame) return 0;
    __atomic_add_fetch(st_state.door.leaving, 1, __ATOMIC_ACQ_REL);
    st_undispatch(block); /* the block stays the thread's: it is on its stack for a few instructions more */
    frame->context.stack = block->stack_virtual;
    if (block->sigsys_blocked) frame->context.mask |= ST_BIT(ST_SIGSYS);
    st_requeue(block);
    out[0] = (uint64_t)frame;
    out[2] = st_state.door.gone;
    return 0;
}

uint64_t st_obey(struct st_block *block, struct st_frame *frame, uint64_t out[3])
{
    const struct order *order = (const struct order *)&frame->info;
    uint32_t what = order->what & 15;
    if (what == ST_ORDER_JOIN && !block) join_here(&frame->context, order, out);
    if (what == ST_ORDER_JOIN && block && (order->what & ORDER_TIME << 4) == time_of_order())
        __atomic_or_fetch(&block->scopes, order->scopes, __ATOMIC_ACQ_REL);
    if (what == ST_ORDER_QUIT && block) {
        __atomic_store_n(&block->asked, 0, __ATOMIC_RELEASE);
        return block->scopes & __atomic_load_n(&st_state.scopes, __ATOMIC_ACQUIRE) ? 0 : quit_here(block, frame, out);
    }
    return 0;
}

/* ---- signal handlers ------------------------------------------------------------------------------------ */

int64_t st_register_door(int32_t signal, uint64_t flags)
{
    struct st_sigaction ours = {st_state.door.entry, flags | ST_SA_SIGINFO | ST_SA_RESTORER, st_state.door.restorer, ~0ull};
    if (signal == ST_SIGORDER) ours.flags |= ST_SA_RESTART;
    return ST_SYS(__NR_rt_sigaction, signal, &ours, 0, 8);
}

/* A signal has arrived; a bystander is counted by the door until it has left by it. */
struct st_block *st_arrived(struct st_frame *frame, uint64_t out[3])
{
    struct st_block *block = st_block_of(&frame->context);
    out[0] = (uint64_t)frame;
    out[2] = block ? 0 : st_state.door.back;
    if (block) __atomic_sub_fetch(st_state.door.visitors, 1, __ATOMIC_ACQ_REL);
    return block;
}

static int64_t take_sigsys(void)
{
    struct st_sigaction ours = {st_state.door.entry, ST_SA_SIGINFO | ST_SA_ONSTACK | ST_SA_RESTART | ST_SA_RESTORER,
                                (uint64_t)st_sigreturn_trap, ~0ull & ~ST_SYNCHRONOUS};
    return ST_SYS(__NR_rt_sigaction, ST_SIGSYS, &ours, 0, 8);
}

/* The process's handlers become ours; no thread is under dispatch yet. All signals are blocked. door: NULL where nothing of
 * ours but the blob is in the process: then forked children are followed. */
int64_t st_engage(const struct st_arm *arm, const struct st_door *door)
{
    if (st_state.armed) return -ST_EEXIST;
    st_state.plan = arm->plan;
    st_state.ring = arm->ring;
    st_state.stack = arm->stack;
    st_state.hook = arm->hook;
    st_state.ldso_low = arm->ldso_low;
    st_state.ldso_high = arm->ldso_high;
    st_state.pid = (int32_t)ST_SYS(__NR_getpid);
    st_state.main_tid = st_state.pid;
    st_state.door = door ? *door : st_own_door;
    st_state.follow = !door;
    st_state.dispatch = 1;
    if (!door) st_find_clock();
    if (st_state.door.patching) st_patch_engage(arm->plan);
    st_signals_arm();
    int64_t r = take_sigsys();
    if (r >= 0) st_state.armed = 1;
    return r;
}

/* The program's own handlers again: those that somebody has set since, past us, stay. */
void st_release(void)
{
    static const struct st_sigaction ignore = {.handler = ST_SIG_IGN};
    struct st_sigaction now;
    if (ST_SYS(__NR_rt_sigaction, ST_SIGORDER, 0, &now, 8) == 0 && now.handler == st_state.door.entry) {
        ST_SYS(__NR_rt_sigaction, ST_SIGORDER, &ignore, 0, 8); /* takes orders away that nobody has followed yet */
        ST_SYS(__NR_rt_sigaction, ST_SIGORDER, &st_state.sighand.actions[ST_SIGORDER], 0, 8);
    }
    for (int32_t signal = 1; signal <= ST_SIGNALS; signal++) {
        if (ST_SYS(__NR_rt_sigaction, signal, 0, &now, 8) < 0 || now.handler != st_state.door.entry) continue;
        ST_SYS(__NR_rt_sigaction, signal, &st_state.sighand.actions[signal], 0, 8);
    }
}

/* ---- forks and threads ------------------------------------------------------------------------------------ */

/* What is ignored stays so under CLONE_CLEAR_SIGHAND, and of three signals only we know it. */
static void ignore_again(void)
{
    static const int32_t ours[] = {ST_SIGSYS, ST_SIGSEGV, ST_SIGBUS};
    for (int i = 0; i < 3; i++) {
        const struct st_sigaction *action = &st_state.sighand.actions[ours[i]];
        if (action->handler == ST_SIG_IGN) ST_SYS(__NR_rt_sigaction, ours[i], action, 0, 8);
    }
}

/* Handlers and altstack as the program set them. flags: of the clone that made the process. */
static void restore_child(struct st_block *block, uint64_t flags)
{
    if (flags & ST_CLONE_CLEAR_SIGHAND)
        ignore_again();
    else if (!(flags & ST_CLONE_SIGHAND))
        st_release();
    st_set_altstack(&block->stack_virtual, block->frame + sizeof block->frame - 64);
}

/* A fork's child, before one instruction of the program runs in it: no dispatch, and nothing of ours. In memory that it
 * shares with its parent, which waits, nothing may change. */
void st_native_child(struct st_block *block, struct st_context *uc, struct st_record *record)
{
    restore_child(block, record->clone_flags);
    st_shortcut_close(block);
    uc->mask = record->mask | (block->sigsys_blocked ? ST_BIT(ST_SIGSYS) : 0);
    st_put_args(&uc->regs, record->args);
    uc->regs.rip = record->site;
    uc->regs.rax = 0;
    if (record->clone_flags & ST_CLONE_VM) return;
    uint32_t at = 0;
    for (struct st_block *other; (other = next_block(&at));) other->dispatched = 0;
}

static void saved_registers(const struct st_block *block, struct st_context *uc)
{
    const uint64_t *saved = st_records[block->index].saved;
    memset(uc, 0, sizeof *uc);
    uc->stack = (struct st_stack){.sp = (uint64_t)block->stack, .size = ST_BLOCK_STACK};
    uc->regs.rsp = saved[0];
    uc->regs.rbx = saved[1];
    uc->regs.rbp = saved[2];
    uc->regs.r12 = saved[3];
    uc->regs.r13 = saved[4];
    uc->regs.r14 = saved[5];
    uc->regs.r15 = saved[6];
    uc->regs.eflags = saved[7];
}

/* Instead of a second trap: the thread comes here from its stub. own: its record; record: of the stub that it came by, which
 * is its child's after a clone. */
__attribute__((used)) _Noreturn void st_post_jump(struct st_record *own, struct st_record *record)
{
    struct st_block *block = st_block_at((uint32_t)(own - st_records));
    const st_mask all = UNBLOCK_NONE & ~ST_SYNCHRONOUS;
    struct st_context uc;
    st_mask mask = 0;
    ST_SYS(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &all, &mask, 8);
    uint32_t posted = own->post;
    own->post = ST_POST_RUNS;
    saved_registers(block, &uc);
    uc.mask = mask;
    if (own == record && st_forked(own)) st_state.changing = 0; /* whoever was changing the plan is not in this process */
    st_enter(block);
    st_post(block, &uc, (uint32_t)(record - st_records));
    st_exit(block);
    int borrowed = own == record && !uc.regs.rax && (own->clone_flags & ST_CLONE_VM); /* a vfork's child: its parent comes by here too */
    own->post = borrowed ? posted : 0;
    st_go(block, &uc);
}

/* A clone's child. A thread is under dispatch like its maker, a process is not. */
__attribute__((used)) _Noreturn void st_child_jump(struct st_record *record)
{
    struct st_block *block = st_block_at((uint32_t)(record - st_records));
    const struct st_cloning *cloning = &record->cloning;
    const st_mask all = UNBLOCK_NONE & ~ST_SYNCHRONOUS;
    const struct st_stack none = {.flags = ST_SS_DISABLE};
    struct st_context uc;
    ST_SYS(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &all, 0, 8);
    saved_registers(block, &uc);
    if (cloning->flags & ST_CLONE_THREAD) {
        st_enter(block);
        st_child(block, &uc);
        st_exit(block);
        dispatch(block, cloning->flags & ST_CLONE_SETTLS ? st_state.door.own() : &block->own_here);
        st_go(block, &uc);
    }
    block->dispatched = 0;
    block->stack_virtual = none;
    restore_child(block, cloning->flags);
    uc.mask = cloning->mask | (block->sigsys_blocked ? ST_BIT(ST_SIGSYS) : 0);
    st_put_args(&uc.regs, cloning->args);
    uc.regs.rip = cloning->site;
    block->tid = (int32_t)ST_SYS(__NR_gettid); /* the block is free when the process is gone */
    st_go(block, &uc);
}
