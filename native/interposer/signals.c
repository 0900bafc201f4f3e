/* The program's signal handlers: entered through us, so that SIGSYS stays out of masks, its altstack stays its own,
 * and an interrupted call looks as if it had been made at its site. */
#include "core.h"

#define SYS_SECCOMP 1
#define TRAP_TRACE 2
#define ACTION_FLAGS 0xdc000807ull /* what the kernel keeps of sa_flags */

static void lock(struct st_sighand *hand)
{
    while (__atomic_exchange_n(&hand->lock, 1, __ATOMIC_ACQUIRE)) ST_SYS(__NR_sched_yield);
}

static void unlock(struct st_sighand *hand)
{
    __atomic_store_n(&hand->lock, 0, __ATOMIC_RELEASE);
}

static int64_t register_ours(int32_t signal, uint64_t flags)
{
    if (st_state.dispatch) return st_register_door(signal, flags);
    struct st_sigaction ours = {(uint64_t)st_signal_entry, flags | ST_SA_SIGINFO | ST_SA_RESTORER, (uint64_t)st_restorer,
                                ~0ull & ~ST_BIT(ST_SIGSYS)};
    return ST_SYS(__NR_rt_sigaction, signal, &ours, 0, 8);
}

/* The default action of the others is to be ignored, or to stop the process. */
#define ST_FATAL                                                                                                                           \
    (~0ull & ~(ST_UNBLOCKABLE | ST_BIT(ST_SIGCHLD) | ST_BIT(ST_SIGCONT) | ST_BIT(ST_SIGURG) | ST_BIT(ST_SIGWINCH) | ST_BIT(20) |           \
               ST_BIT(21) | ST_BIT(22) | ST_BIT(ST_SIGSYS)))

/* A signal that is about to end a traced program is seen first. */
static int seen_first(int32_t signal, const struct st_sigaction *action)
{
    return !st_state.dispatch && action->handler == ST_SIG_DFL && (ST_BIT(signal) & ST_FATAL) && (st_state.plan->flags & ST_PLAN_TRACE);
}

/* Tells the kernel what the program's action means for it. SIGSEGV and SIGBUS stay ours: guarded reads need them. */
int64_t st_kernel_action(int32_t signal, const struct st_sigaction *action)
{
    if (signal == ST_SIGSYS) return 0;
    if (seen_first(signal, action)) return register_ours(signal, ST_SA_ONSTACK);
    if (ST_BIT(signal) & ST_ALWAYS_OURS) return register_ours(signal, (action->flags & ~(uint64_t)ST_SA_RESETHAND) | ST_SA_ONSTACK);
    if (action->handler > ST_SIG_IGN) return register_ours(signal, action->flags);
    if (st_state.dispatch) return ST_SYS(__NR_rt_sigaction, signal, action, 0, 8);
    struct st_sigaction plain = {action->handler, action->flags | ST_SA_RESTORER, (uint64_t)st_restorer, action->mask};
    return ST_SYS(__NR_rt_sigaction, signal, &plain, 0, 8);
}

static int64_t virtual_action(struct st_block *block, const uint64_t args[6])
{
    int32_t signal = (int32_t)args[0];
    struct st_sigaction new, old;
    if (args[3] != 8) return -ST_EINVAL;
    if (args[1] && st_copy_in(&new, (const void *)args[1], sizeof new) < 0) return -ST_EFAULT;
    if (signal < 1 || signal > ST_SIGNALS || (args[1] && (ST_BIT(signal) & ST_UNBLOCKABLE))) return -ST_EINVAL;
    lock(block->sighand);
    struct st_sigaction *held = &block->sighand->actions[signal];
    old = *held;
    int64_t result = 0;
    if (args[1]) {
        new.flags &= ACTION_FLAGS;
        new.mask &= ~ST_UNBLOCKABLE;
        result = st_kernel_action(signal, &new);
        if (result >= 0) *held = new;
    }
    unlock(block->sighand);
    if (result >= 0 && args[2] && st_copy_out((void *)args[2], &old, sizeof old) < 0) return -ST_EFAULT;
    return result;
}

/* Takes over what the process has set so far. */
void st_signals_arm(void)
{
    struct st_sigaction *actions = st_state.sighand.actions;
    for (int32_t signal = 1; signal <= ST_SIGNALS; signal++) {
        if (ST_SYS(__NR_rt_sigaction, signal, 0, &actions[signal], 8) < 0) continue;
        if (actions[signal].handler > ST_SIG_IGN || (ST_BIT(signal) & ST_ALWAYS_OURS) || seen_first(signal, &actions[signal]))
            st_kernel_action(signal, &actions[signal]);
    }
}

/* What an exec leaves of it, passed on by word: of SIGSYS, SIGSEGV and SIGBUS the kernel cannot hand anything down, they are
 * ours, and to ask it for each of the others would take the loader longer than reading the program's headers. */
uint32_t st_signals_keep(const struct st_block *block, st_mask *ignored)
{
    *ignored = 0;
    for (int32_t signal = 1; signal <= ST_SIGNALS; signal++)
        if (block->sighand->actions[signal].handler == ST_SIG_IGN) *ignored |= ST_BIT(signal);
    return (block->sigsys_blocked ? ST_KEEP_SIGSYS_BLOCKED : 0) | (block->sigsys_pending ? ST_KEEP_SIGSYS_PENDING : 0);
}

void st_signals_kept(struct st_block *block, uint32_t kept, st_mask ignored)
{
    struct st_sigaction *actions = block->sighand->actions;
    for (int32_t signal = 1; ignored; signal++, ignored >>= 1)
        if (ignored & 1) actions[signal].handler = ST_SIG_IGN;
    for (int32_t signal = 1; signal <= ST_SIGNALS; signal++)
        if ((ST_BIT(signal) & ST_SYNCHRONOUS) || seen_first(signal, &actions[signal])) st_kernel_action(signal, &actions[signal]);
    if (kept & ST_KEEP_SIGSYS_BLOCKED) block->sigsys_blocked = 1;
    if (kept & ST_KEEP_SIGSYS_PENDING) {
        block->sigsys_pending = 1;
        block->sigsys_info = (struct st_siginfo){.signal = ST_SIGSYS};
    }
}

/* ---- delivery ------------------------------------------------------------------------------------ */

/* A call that has been counted and not been made: it comes, and is counted, again. */
static void uncount(struct st_block *block, uint64_t sysno)
{
    for (; block->turns; block->turns--) __atomic_fetch_sub(block->turned[block->turns - 1], 1, __ATOMIC_RELAXED);
    if (st_state.ring && sysno < ST_NR_MAX) __atomic_fetch_sub(&st_state.ring->calls[sysno], 1, __ATOMIC_RELAXED);
}

/* Whether a signal came while the event of a call's result was being written: on the block's stack, or on the way there
 * or back. */
static int event_under_way(const struct st_block *block, const struct st_regs *regs)
{
    if (!block || (st_records[block->index].event < ST_EVENT_DUE && !st_records[block->index].post)) return 0;
    if (regs->rip >= (uint64_t)st_trace_return && regs->rip < (uint64_t)st_trace_return_end) return 1;
    return regs->rsp - (uint64_t)block->stack <= ST_BLOCK_STACK;
}

/* User dispatch: the second half of a call, for which the thread was on its way. */
static void post_here(struct st_block *block, struct st_context *uc)
{
    st_records[block->index].post = 0;
    st_post(block, uc, block->index);
}

/* The event is finished here, and the call has returned. */
static void show_result(struct st_block *block, struct st_context *uc)
{
    struct st_record *record = &st_records[block->index];
    struct st_regs *regs = &uc->regs;
    int saved = regs->rip < (uint64_t)st_trace_return || regs->rip >= (uint64_t)st_trace_saved;
    if (!saved) record->result = regs->rax;
    st_claim_show(regs);
    if (saved) st_put_saved(regs, record);
    st_put_args(regs, record->args);
    regs->rax = record->result;
    regs->rip = record->site;
    if (record->post)
        post_here(block, uc);
    else
        st_trace_finish(block, record);
}

/* A call of which nothing came: a signal was first. It is made again after the handler, or gone: was not made at all. */
static void show_restart(struct st_block *block, const struct st_record *record, int gone)
{
    if (!block || (record->event != ST_EVENT_DUE && record->event != ST_EVENT_AT_TRAP)) return;
    st_records[block->index].event = ST_NO_EVENT;
    st_trace_exit(block, record->sysno, record->args, -512 /* ERESTARTSYS */, gone ? ST_EVENT_CANCELLED : ST_EVENT_RESTART);
}

/* User dispatch: a sigreturn that has yet to be made in the gate. The frame becomes the program's again, and the call comes
 * again from its site: whoever returns to it may be out of the blob's reach by then. */
static void undo_sigreturn(const struct st_block *block, struct st_regs *regs)
{
    struct st_context *theirs = (struct st_context *)regs->rsp;
    theirs->stack = block->stack_virtual;
    if (block->sigsys_blocked) theirs->mask |= ST_BIT(ST_SIGSYS);
    regs->rip = block->sigreturn_site - 2;
}

/* An interrupted call is shown at its site: before the `syscall` (it will be made, and judged, again) or after it. */
void st_show_site(struct st_block *block, struct st_context *uc)
{
    struct st_regs *regs = &uc->regs;
    uint64_t stubs = (uint64_t)st_stubs, blocks = (uint64_t)st_block_stubs;
    uint64_t leave = block ? st_block_stub(block, ST_STUB_LEAVE) : 0;
    if (block && regs->rip >= leave && regs->rip < leave + 64) st_gone(block, uc, regs->rip == leave);
    /* A stub's `syscall` starts at a multiple of 16. A thread there has come to make the call, from our handler or by
     * st_shortcut; or the kernel has made it, and restarts it: then rcx is where it returns to. */
    int counted = regs->rip % 16 == 0 && regs->rcx == regs->rip;
    int gone = counted || (block && regs->rcx == (uint64_t)&st_records[block->index]);
    if (block && st_in_shortcut(block, regs)) {
        st_shortcut_show(block, regs);
        return;
    }
    if (event_under_way(block, regs)) {
        show_result(block, uc);
        return;
    }
    if (st_state.dispatch && block && regs->rip == (uint64_t)st_gate_call && regs->rax == __NR_rt_sigreturn) undo_sigreturn(block, regs);
    if (regs->rip >= stubs && regs->rip < stubs + 16 * ST_SITES) {
        uint64_t site = st_slots[(regs->rip - stubs) / 16];
        if (counted) uncount(block, regs->rax);
        regs->rip = (regs->rip & 15) ? site : site - 2;
    } else if (regs->rip >= blocks && regs->rip < blocks + 256 * ST_BLOCKS) {
        uint32_t index = (uint32_t)((regs->rip - blocks) / 256), offset = (regs->rip - blocks) % 256;
        const struct st_record *record = &st_records[index];
        if (offset == ST_STUB_EXIT || offset == ST_STUB_POST || offset == ST_STUB_TRACE) {
            show_restart(block, record, gone);
            st_put_args(regs, record->args);
            regs->rax = (uint64_t)record->sysno; /* an exec goes on as another call */
            if (counted) uncount(block, regs->rax);
            regs->rip = record->site - 2;
        } else if (offset < ST_STUB_EXIT_END) {
            st_put_args(regs, record->args);
            regs->rip = record->site;
        } else if (offset < ST_STUB_POST_TRAP && block) {
            if (offset < ST_STUB_POST + 9) st_records[index].result = regs->rax;
            st_post(block, uc, index);
        } else if (offset < ST_STUB_TRACE_END && block) {
            st_records[index].result = regs->rax;
            st_put_args(regs, record->args);
            regs->rip = record->site;
            if (record->post)
                post_here(block, uc);
            else if (regs->rax == (uint64_t)-ST_EINTR)
                st_trace_interrupted(block, &st_records[index]);
            else
                st_trace_finish(block, &st_records[index]);
        }
    }
}

static int on_stack(const struct st_stack *stack, uint64_t sp)
{
    return !(stack->flags & ST_SS_DISABLE) && sp > stack->sp && sp - stack->sp <= stack->size;
}

static uint64_t fpstate_size(const struct st_context *uc)
{
    const uint32_t *software = (const uint32_t *)(uc->regs.fpstate + 464); /* struct _fpx_sw_bytes */
    return software[0] == 0x46505853 ? software[1] : 512;
}

/* The frame on another stack, as the kernel would have laid it there. NULL: it does not fit above `low`. */
struct st_frame *st_move_frame(struct st_frame *frame, uint64_t top, uint64_t low)
{
    uint64_t fp = frame->context.regs.fpstate, size = fp ? fpstate_size(&frame->context) : 0;
    if (top - low < size + sizeof *frame + 64 + 24) return NULL;
    if (fp) {
        uint64_t to = (top - size) & ~63ull;
        memcpy((void *)to, (const void *)fp, size);
        top = to;
    }
    struct st_frame *moved = (struct st_frame *)(((top - sizeof *frame) & ~15ull) - 8);
    memcpy(moved, frame, sizeof *frame);
    if (fp) moved->context.regs.fpstate = top;
    return moved;
}

static struct st_frame *choose_stack(struct st_block *block, struct st_frame *frame, uint64_t flags)
{
    const struct st_stack *own = &block->stack_virtual;
    uint64_t sp = frame->context.regs.rsp;
    int ours = (uint64_t)frame >= (uint64_t)block->stack && (uint64_t)frame < (uint64_t)block->stack + ST_BLOCK_STACK;
    if ((flags & ST_SA_ONSTACK) && !(own->flags & ST_SS_DISABLE) && !on_stack(own, sp))
        return st_move_frame(frame, own->sp + own->size, own->sp);
    return ours ? st_move_frame(frame, sp - 128, on_stack(own, sp) ? own->sp : 0) : frame;
}

/* A handler without room for its frame: the kernel makes it a SIGSEGV, the last one if that cannot be handled either. */
static void no_room(struct st_block *block, int32_t signal, struct st_context *uc)
{
    static const struct st_sigaction none;
    uint64_t handler = block->sighand->actions[ST_SIGSEGV].handler;
    if (signal == ST_SIGSEGV || handler <= ST_SIG_IGN || (uc->mask & ST_BIT(ST_SIGSEGV)))
        ST_SYS(__NR_rt_sigaction, ST_SIGSEGV, &none, 0, 8);
    uc->mask &= ~ST_BIT(ST_SIGSEGV);
    ST_SYS(__NR_tkill, block->tid, ST_SIGSEGV);
}

/* The default action, which the kernel would have taken had we not been asked: its handler is removed and the signal
 * comes again. For a fault returning is enough, the instruction faults once more. */
static void take_default(int32_t signal, const struct st_siginfo *info)
{
    struct st_sigaction none = {0};
    ST_SYS(__NR_rt_sigaction, signal, &none, 0, 8);
    int faults = (ST_BIT(signal) & (ST_SYNCHRONOUS | ST_BIT(ST_SIGILL) | ST_BIT(ST_SIGTRAP) | ST_BIT(ST_SIGFPE))) != 0;
    if (info->code <= 0 || !faults) ST_SYS(__NR_tkill, ST_SYS(__NR_gettid), signal);
}

static int fixed_up(int32_t signal, struct st_frame *frame)
{
    struct st_regs *regs = &frame->context.regs;
    if (!(ST_BIT(signal) & ST_SYNCHRONOUS) || frame->info.code <= 0) return 0;
    if (regs->rip < (uint64_t)st_user_begin || regs->rip >= (uint64_t)st_user_end) return 0;
    regs->rip = regs->rip >= (uint64_t)st_copy_some ? (uint64_t)st_some_fault : (uint64_t)st_user_fault;
    return 1;
}

/* A thread that steps through its own code (EFLAGS.TF) has taken a step in ours: none that it sees. Shown at its site, it would
 * take it for ever. */
static int stepped(int32_t signal, struct st_frame *frame, uint64_t at)
{
    struct st_regs *regs = &frame->context.regs;
    if (!st_state.door.patching || signal != ST_SIGTRAP || frame->info.code != TRAP_TRACE) return 0;
    if (regs->rip == at && !st_in_blob(at)) return 0;
    regs->rip = at;
    return 1;
}

/* A signal sent while our handler had to keep SIGSEGV open: it waits until the handler is done. */
static int postponed(int32_t signal, struct st_frame *frame)
{
    uint64_t rip = frame->context.regs.rip, sp = frame->context.regs.rsp;
    if (!(ST_BIT(signal) & ST_SYNCHRONOUS) || frame->info.code > 0) return 0;
    int ours = (rip >= ST_BLOB_BASE && rip < (uint64_t)st_text_end) || (rip >= (uint64_t)st_late && rip < (uint64_t)st_late_end);
    if (!ours) return 0;
    if (sp < ST_BLOB_BASE || sp >= ST_REGION_HIGH) return 0; /* the loader's, or Python's way: no handler to wait for */
    const struct st_block *block = st_block_of(&frame->context);
    int posting = block && st_records[block->index].post == ST_POST_RUNS;
    if (block && st_in_shortcut(block, &frame->context.regs)) return 0;
    if (!posting && event_under_way(block, &frame->context.regs)) return 0;
    frame->context.mask |= ST_BIT(signal);
    ST_SYS(__NR_rt_tgsigqueueinfo, st_state.pid, ST_SYS(__NR_gettid), signal, &frame->info);
    return 1;
}

static struct st_sigaction take_action(struct st_sighand *hand, int32_t signal)
{
    lock(hand);
    struct st_sigaction action = hand->actions[signal];
    if (action.handler > ST_SIG_IGN && (action.flags & ST_SA_RESETHAND)) hand->actions[signal].handler = ST_SIG_DFL;
    unlock(hand);
    return action;
}

/* What a handler returns to. Under user dispatch the program's own: nothing on a stack may point into the blob when it goes. */
static uint64_t restorer(const struct st_sigaction *action)
{
    if (!st_state.dispatch) return (uint64_t)st_restorer;
    return action->flags & ST_SA_RESTORER ? action->restorer : st_state.door.restorer;
}

/* User dispatch: a signal for a thread that is not under it. Only the handler is ours. */
static uint64_t bystander(int32_t signal, struct st_frame *frame, uint64_t out[3])
{
    struct st_context *uc = &frame->context;
    struct st_sigaction action = take_action(&st_state.sighand, signal);
    if (action.handler == ST_SIG_IGN && frame->info.code <= 0) return 0;
    if (action.handler <= ST_SIG_IGN) {
        take_default(signal, &frame->info);
        return 0;
    }
    frame->return_address = restorer(&action);
    out[1] = (uc->mask | action.mask | ((action.flags & ST_SA_NODEFER) ? 0 : ST_BIT(signal))) & ~ST_UNBLOCKABLE;
    out[2] = st_state.door.out;
    return action.handler;
}

static uint64_t deliver(struct st_block *block, int32_t signal, struct st_frame *frame, uint64_t out[3])
{
    struct st_context *uc = &frame->context;
    int filtered = signal == ST_SIGSYS && frame->info.code == SYS_SECCOMP; /* by a filter of the program's own */
    if (filtered && block->sigsys_blocked) {
        take_default(signal, &frame->info);
        return 0;
    }
    if (signal == ST_SIGSYS && block->sigsys_blocked) {
        block->sigsys_pending = 1;
        block->sigsys_info = frame->info;
        return 0;
    }
    if (block->traceme && frame->info.code > 0) { /* a fault that its tracer waits for: it comes again */
        st_trace_me(block);
        return 0;
    }
    st_show_site(block, uc);
    if (filtered) frame->info.address = uc->regs.rip;
    struct st_sigaction action = take_action(block->sighand, signal);
    if (action.handler == ST_SIG_IGN && frame->info.code <= 0) return 0;
    if (action.handler <= ST_SIG_IGN) {
        st_trace_signal(block, signal, &frame->info, &uc->regs);
        take_default(signal, &frame->info);
        return 0;
    }
    frame->return_address = st_state.dispatch && block->own->aside ? (uint64_t)st_restorer : restorer(&action);
    block->handlers_aside += st_state.dispatch && block->own->aside;
    frame = choose_stack(block, frame, action.flags);
    if (!frame) {
        no_room(block, signal, uc);
        return 0;
    }
    uc = &frame->context;
    uint64_t blocked = uc->mask | action.mask | ((action.flags & ST_SA_NODEFER) ? 0 : ST_BIT(signal));
    if (block->sigsys_blocked) uc->mask |= ST_BIT(ST_SIGSYS);
    if (blocked & ST_BIT(ST_SIGSYS)) block->sigsys_blocked = 1;
    uc->stack = block->stack_virtual;
    if ((uint32_t)block->stack_virtual.flags & ST_SS_AUTODISARM) block->stack_virtual = (struct st_stack){.flags = ST_SS_DISABLE};
    st_trace_signal(block, signal, &frame->info, &uc->regs);
    out[0] = (uint64_t)frame;
    out[1] = blocked & ~(ST_BIT(ST_SIGSYS) | ST_UNBLOCKABLE);
    st_shortcut_open(block, out[1]);
    return action.handler;
}

/* Decides what the program sees of a signal. Out: the frame to enter its handler on and the mask to set.
 * Returns the handler, 0 for none. Every signal is blocked here. */
uint64_t st_deliver(int32_t signal, struct st_frame *frame, uint64_t out[3])
{
    struct st_context *uc = &frame->context;
    out[2] = 0;
    uint64_t at = uc->regs.rip;
    if (st_state.door.patching) st_patch_show(&uc->regs);
    struct st_block *block = st_state.dispatch ? st_arrived(frame, out) : NULL;
    if (fixed_up(signal, frame) || stepped(signal, frame, at) || postponed(signal, frame)) return 0;
    if (st_is_order(signal, &frame->info)) return st_obey(block, frame, out);
    if (!block && st_state.dispatch) return bystander(signal, frame, out);
    if (!block) block = st_block_of(uc);
    if (!block) return 0;
    st_enter(block);
    uint64_t handler = deliver(block, signal, frame, out);
    st_exit(block);
    return handler;
}

/* The program's altstack, as a frame names it: a thread that never had one may be given size 0 and no flag by the kernel. */
void st_keep_altstack(struct st_block *block, const struct st_stack *theirs)
{
    block->stack_virtual = *theirs;
    block->stack_virtual.flags &= (int32_t)(ST_SS_DISABLE | ST_SS_AUTODISARM);
    if (!theirs->size) block->stack_virtual.flags |= ST_SS_DISABLE;
}

/* The other way: what the program left in its frame becomes what the kernel may read. */
static void take_back(struct st_block *block, struct st_context *uc)
{
    block->sigsys_blocked = (uc->mask & ST_BIT(ST_SIGSYS)) != 0;
    uc->mask &= ~ST_BIT(ST_SIGSYS);
    int direct = uc->stack.sp == (uint64_t)block->stack; /* the kernel entered a handler that was set past us */
    if (!direct && !on_stack(&block->stack_virtual, uc->regs.rsp)) st_keep_altstack(block, &uc->stack);
    st_shortcut_open(block, uc->mask);
    uc->stack = (struct st_stack){.sp = (uint64_t)block->stack, .flags = 0, .size = ST_BLOCK_STACK};
    if (!block->sigsys_blocked) st_sigsys_unblocked(block);
}

/* The program did not make this call, its C library would have: with all signals blocked, this is the program's own time. */
static void trace_sigreturn(struct st_block *block, const struct st_context *uc)
{
    const st_mask all = ST_ALL_BLOCKED & ~ST_SYNCHRONOUS;
    const uint64_t args[6] = {(uint64_t)uc};
    ST_SYS(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, &all, 0, 8); /* sigreturn sets the program's */
    st_trace_entry(block, __NR_rt_sigreturn, args, 0, NULL);
    st_trace_exit(block, __NR_rt_sigreturn, args, (int64_t)uc->regs.rax, 0);
}

/* Runs as the program, on its handler's stack, after the handler returned. */
void st_before_sigreturn(struct st_context *uc)
{
    struct st_context now = {.stack = {.flags = ST_SS_DISABLE}};
    if (ST_SYS(__NR_sigaltstack, 0, &now.stack) < 0) return;
    if (!st_state.dispatch && (now.stack.flags & ST_SS_DISABLE)) return;
    struct st_block *block = st_state.dispatch ? st_block_of(&now) : (struct st_block *)now.stack.sp;
    if (!block) return;
    take_back(block, uc);
    if (st_state.dispatch) { /* a handler that came while the thread's calls were our own */
        if (block->handlers_aside) block->handlers_aside--;
        return;
    }
    if (st_traced(block, __NR_rt_sigreturn)) trace_sigreturn(block, uc);
}

/* A SIGSYS that came while the program had it blocked comes again. */
int st_sigsys_unblocked(struct st_block *block)
{
    if (!block->sigsys_pending) return 0;
    block->sigsys_pending = 0;
    return (int)ST_SYS(__NR_rt_tgsigqueueinfo, ST_SYS(__NR_getpid), ST_SYS(__NR_gettid), ST_SIGSYS, &block->sigsys_info);
}

/* ---- calls about signals -------------------------------------------------------------------------- */

static int64_t virtual_mask(struct st_block *block, struct st_context *uc, const uint64_t args[6])
{
    st_mask set = 0, old = uc->mask | (block->sigsys_blocked ? ST_BIT(ST_SIGSYS) : 0), new = old;
    if (args[3] != 8) return -ST_EINVAL;
    if (args[1]) {
        if (st_copy_in(&set, (const void *)args[1], 8) < 0) return -ST_EFAULT;
        set &= ~ST_UNBLOCKABLE;
        switch ((int32_t)args[0]) {
        case 0: new |= set; break;
        case 1: new &= ~set; break;
        case 2: new = set; break;
        default: return -ST_EINVAL;
        }
        block->sigsys_blocked = (new &ST_BIT(ST_SIGSYS)) != 0;
        uc->mask = new & ~ST_BIT(ST_SIGSYS);
        if (!block->sigsys_blocked) st_sigsys_unblocked(block);
    }
    if (args[2] && st_copy_out((void *)args[2], &old, 8) < 0) return -ST_EFAULT;
    return 0;
}

static int64_t virtual_altstack(struct st_block *block, const struct st_context *uc, const uint64_t args[6])
{
    struct st_stack new, *held = &block->stack_virtual, old = *held;
    int inside = !((uint32_t)held->flags & ST_SS_AUTODISARM) && on_stack(held, uc->regs.rsp);
    if (!(held->flags & ST_SS_DISABLE)) old.flags = (int32_t)((uint32_t)held->flags & ST_SS_AUTODISARM) | (inside ? ST_SS_ONSTACK : 0);
    if (args[0]) {
        if (st_copy_in(&new, (const void *)args[0], sizeof new) < 0) return -ST_EFAULT;
        uint32_t mode = (uint32_t) new.flags & ~ST_SS_AUTODISARM;
        if (inside) return -ST_EPERM;
        if (mode != ST_SS_DISABLE && mode != ST_SS_ONSTACK && mode != 0) return -ST_EINVAL;
        if ((held->flags & ST_SS_DISABLE) && !new.sp && !new.size && !new.flags)
            mode = ST_SS_DISABLE, new.flags = ST_SS_DISABLE; /* no change: Linux 5.17 and newer ask no more of it */
        if (mode == ST_SS_DISABLE)
            new.sp = new.size = 0;
        else if (new.size < 2048)
            return -ST_ENOMEM;
        new.flags = (int32_t)((uint32_t) new.flags &(ST_SS_AUTODISARM | ST_SS_DISABLE));
        *held = new;
    }
    old.pad = 0;
    if (args[1] && st_copy_out((void *)args[1], &old, sizeof old) < 0) return -ST_EFAULT;
    return 0;
}

static int64_t virtual_pending(struct st_block *block, const struct st_context *uc, const uint64_t args[6])
{
    st_mask set = 0;
    if (args[1] > 8) return -ST_EINVAL;
    int64_t result = ST_SYS(__NR_rt_sigpending, &set, 8);
    if (result < 0) return result;
    set &= uc->mask;
    if (block->sigsys_pending) set |= ST_BIT(ST_SIGSYS);
    return st_copy_out((void *)args[0], &set, args[1]);
}

/* A mask argument without SIGSYS: the copy is what the kernel reads. */
static void clean_mask(struct st_block *block, struct st_context *uc, struct st_call *call, uint32_t index, uint64_t size)
{
    st_mask *copy = (st_mask *)call->small;
    if (!call->args[index] || size != 8 || st_copy_in(copy, (const void *)call->args[index], 8) < 0) {
        st_pass(block, uc);
        return;
    }
    *copy &= ~ST_BIT(ST_SIGSYS);
    call->args[index] = (uint64_t)copy;
    st_pass_changed(block, uc, call->args);
}

static void clean_pselect(struct st_block *block, struct st_context *uc, struct st_call *call)
{
    uint64_t *copy = (uint64_t *)call->small;
    if (!call->args[5] || st_copy_in(copy, (const void *)call->args[5], 16) < 0 || !copy[0] || copy[1] != 8 ||
        st_copy_in(&copy[2], (const void *)copy[0], 8) < 0) {
        st_pass(block, uc);
        return;
    }
    copy[2] &= ~ST_BIT(ST_SIGSYS);
    copy[0] = (uint64_t)&copy[2];
    call->args[5] = (uint64_t)copy;
    st_pass_changed(block, uc, call->args);
}

static void timed_wait(struct st_block *block, struct st_context *uc, struct st_call *call)
{
    st_mask set;
    if (block->sigsys_pending && call->args[3] == 8 && st_copy_in(&set, (const void *)call->args[0], 8) == 0 && (set & ST_BIT(ST_SIGSYS))) {
        block->sigsys_pending = 0;
        uc->regs.rax = ST_SIGSYS;
        if (call->args[1] && st_copy_out((void *)call->args[1], &block->sigsys_info, sizeof block->sigsys_info) < 0)
            uc->regs.rax = (uint64_t)-ST_EFAULT;
        return;
    }
    clean_mask(block, uc, call, 0, call->args[3]);
}

/* sigreturn by the program's own instruction: its frame is mended where it lies, then the gate's does it. */
static void own_sigreturn(struct st_block *block, struct st_context *uc)
{
    struct st_context *theirs = (struct st_context *)uc->regs.rsp, copy;
    if (st_copy_in(&copy, theirs, sizeof copy) == 0) {
        take_back(block, &copy);
        st_copy_out(theirs, &copy, sizeof copy);
    }
    block->sigreturn_site = uc->regs.rip;
    uc->regs.rip = (uint64_t)st_gate_call;
}

/* Everything but what the run keeps. */
static int64_t close_range(const uint64_t args[6])
{
    uint32_t first = (uint32_t)args[0], last = (uint32_t)args[1], flags = (uint32_t)args[2];
    int64_t result = 0;
    if (first > last || first >= ST_KEPT_BLOB + ST_KEPT_COUNT || last < ST_KEPT_BLOB) return ST_SYS(__NR_close_range, first, last, flags);
    if (first < ST_KEPT_BLOB) result = ST_SYS(__NR_close_range, first, ST_KEPT_BLOB - 1, flags);
    if (result >= 0 && last >= ST_KEPT_BLOB + ST_KEPT_COUNT) result = ST_SYS(__NR_close_range, ST_KEPT_BLOB + ST_KEPT_COUNT, last, flags);
    return result;
}

/* /proc/self/exe is the loader for the kernel. Returns 0 if the call is about another link. */
static int read_exe_link(struct st_context *uc, struct st_call *call)
{
    int at = call->sysno == __NR_readlinkat;
    uint64_t buffer = call->args[at ? 2 : 1], size = (uint32_t)call->args[at ? 3 : 2];
    if (call->path_length[0] < 0 && st_copy_string(call->path[0], (const void *)call->args[at], ST_PATH_MAX) < 0) return 0;
    if (!st_is_exe_link(call->path[0]) || (int32_t)size <= 0) return 0;
    int64_t length = st_read_exe(call->path[0]);
    if (length > (int64_t)(int32_t)size) length = (int32_t)size;
    uc->regs.rax = (uint64_t)(length > 0 && st_copy_out((void *)buffer, call->path[0], (uint64_t)length) < 0 ? -ST_EFAULT : length);
    return 1;
}

/* Calls that are answered or rewritten here. Returns 0 for any other. */
int st_emulate(struct st_block *block, struct st_context *uc, struct st_call *call)
{
    const uint64_t *args = call->args;
    if (st_state.dispatch && (call->sysno == __NR_readlink || call->sysno == __NR_readlinkat || call->sysno == __NR_ptrace)) return 0;
    switch (call->sysno) {
    case __NR_rt_sigaction: uc->regs.rax = (uint64_t)virtual_action(block, args); return 1;
    case __NR_rt_sigprocmask: uc->regs.rax = (uint64_t)virtual_mask(block, uc, args); return 1;
    case __NR_sigaltstack: uc->regs.rax = (uint64_t)virtual_altstack(block, uc, args); return 1;
    case __NR_rt_sigpending: uc->regs.rax = (uint64_t)virtual_pending(block, uc, args); return 1;
    case __NR_rt_sigreturn: own_sigreturn(block, uc); return 1;
    case __NR_rt_sigtimedwait: timed_wait(block, uc, call); return 1;
    case __NR_rt_sigsuspend: clean_mask(block, uc, call, 0, args[1]); return 1;
    case __NR_signalfd:
    case __NR_signalfd4: clean_mask(block, uc, call, 1, args[2]); return 1;
    case __NR_ppoll: clean_mask(block, uc, call, 3, args[4]); return 1;
    case __NR_epoll_pwait:
    case __NR_epoll_pwait2: clean_mask(block, uc, call, 4, args[5]); return 1;
    case __NR_pselect6: clean_pselect(block, uc, call); return 1;
    case __NR_readlink:
    case __NR_readlinkat: return read_exe_link(uc, call);
    case __NR_close_range:
        if (!(st_state.plan->flags & ST_PLAN_HOSTS)) return 0;
        uc->regs.rax = (uint64_t)close_range(args);
        return 1;
    case __NR_ptrace:
        if ((int32_t)args[0] != 0 /* PTRACE_TRACEME */) return 0;
        block->traceme = 1;
        uc->regs.rax = 0;
        return 1;
    case __NR_prctl:
    case __NR_seccomp:
        if (!st_sets_filter(call)) return 0;
        uc->regs.rax = (uint64_t)st_own_filter(call);
        return 1;
    case __NR_fork:
    case __NR_vfork:
    case __NR_clone:
    case __NR_clone3: st_clone(block, uc, call); return 1;
    default: return 0;
    }
}
