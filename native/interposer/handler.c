/* SIGSYS: a call of the program has arrived. Runs on the thread's block, every asynchronous signal blocked. */
#include "core.h"

/* Calls by which a process tells its tracer where it is; see st_trace_me. */
static int tells_tracer(int32_t sysno)
{
    return sysno == __NR_kill || sysno == __NR_tkill || sysno == __NR_tgkill || sysno == __NR_rt_sigqueueinfo ||
           sysno == __NR_rt_tgsigqueueinfo || sysno == __NR_exit || sysno == __NR_exit_group;
}

/* What a fault has still to do when a call is over that was answered here. */
static void after(const struct st_context *uc, struct st_call *call)
{
    const struct st_regs *r = &uc->regs;
    const uint64_t args[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
    if (call->delay_exit_us) st_pause(call->delay_exit_us);
    call->event_flags |= st_poke_exit(call->poke, call, args);
    if (call->signal) st_raise(call->signal);
}

/* What ends with the call: the process, a thread, or the first of several. */
static uint16_t end_of(const struct st_block *block, int32_t sysno)
{
    if (sysno == __NR_exit_group) return ST_EVENT_GROUP;
    return block->tid == block->pid && st_other_threads(block) ? ST_EVENT_STAYS : 0;
}

static void pass(struct st_block *block, struct st_context *uc, struct st_call *call)
{
    if (block->traceme && tells_tracer(call->sysno)) st_trace_me(block);
    if ((call->sysno == __NR_execve || call->sysno == __NR_execveat) && !st_state.dispatch) {
        st_exec(block, uc, call);
    } else if (call->sysno == __NR_exit || call->sysno == __NR_exit_group) {
        st_task_ends();
        st_trace_task(block, ST_EVENT_END, (int32_t)((call->args[0] & 0xff) << 8), end_of(block, call->sysno));
        st_pass(block, uc);
    } else if (st_emulate(block, uc, call)) {
        if (uc->regs.rip == call->site) after(uc, call);
    } else if (call->copied || (call->event_flags & ST_EVENT_POKED)) {
        st_pass_changed(block, uc, call->args);
    } else {
        if (st_state.door.patching) st_patch_arrived(block, call->site, call->sysno);
        st_pass(block, uc);
    }
}

static void judged(struct st_block *block, struct st_context *uc, struct st_call *call)
{
    int error = st_integrity(call);
    if (error) {
        if (!st_unnoticed(call, error)) st_report(call, ST_RECORD_VIOLATION, st_state.plan->integrity_row, -error, NULL, 0);
        uc->regs.rax = (uint64_t) - (int64_t)error;
        call->event_flags |= ST_EVENT_REFUSED;
        return;
    }
    switch (st_judge(block, call)) {
    case ST_VERDICT_PASS: pass(block, uc, call); break;
    case ST_VERDICT_RESULT:
        uc->regs.rax = (uint64_t)call->result;
        after(uc, call);
        break;
    case ST_VERDICT_PYTHON: st_python_enter(block, uc, call); break;
    case ST_VERDICT_KILL: ST_SYS(__NR_kill, ST_SYS(__NR_getpid), ST_SIGKILL); break;
    }
}

static void trapped(struct st_block *block, struct st_context *uc)
{
    struct st_call *call = &block->call;
    st_call_begin(block, call, uc);
    if (st_state.ring && (uint32_t)call->sysno < ST_NR_MAX) __atomic_fetch_add(&st_state.ring->calls[call->sysno], 1, __ATOMIC_RELAXED);
    st_poke_enter(block, call, uc);
    block->traced = !block->python && st_traced(block, call->sysno);
    if (!block->traced) {
        judged(block, uc, call);
        return;
    }
    const uint64_t args[6] = {uc->regs.rdi, uc->regs.rsi, uc->regs.rdx, uc->regs.r10, uc->regs.r8, uc->regs.r9};
    st_trace_entry(block, call->sysno, args, call->site, &uc->regs);
    judged(block, uc, call);
    if (uc->regs.rip == call->site) st_trace_exit(block, call->sysno, args, (int64_t)uc->regs.rax, call->event_flags);
}

/* A trap of a block's own stubs: the second half of a call under way. */
static int own_trap(struct st_block *block, struct st_context *uc)
{
    uint64_t blocks = (uint64_t)st_block_stubs, rip = uc->regs.rip;
    if (rip < blocks || rip >= blocks + 256ull * ST_BLOCKS) return 0;
    uint32_t index = (uint32_t)((rip - blocks) / 256), offset = (rip - blocks) % 256;
    if (offset == ST_STUB_POST_TRAP || offset == ST_STUB_CLONE_TRAP)
        st_post(block, uc, index);
    else if (offset == ST_STUB_CHILD_TRAP)
        st_child(block, uc);
    else
        return 0;
    return 1;
}

__attribute__((used)) void st_on_sigsys(int32_t signal, struct st_siginfo *info, struct st_context *uc)
{
    (void)signal;
    (void)info;
    uint64_t registered = uc->stack.sp; /* only rt_sigreturn makes the kernel take another */
    struct st_block *block = st_block_of(uc);
    if (!block) {
        uc->regs.rax = (uint64_t)-ST_EAGAIN;
        return;
    }
    if (st_state.door.patching) st_patch_show_entry(&uc->regs); /* it may come from an entry's own instruction */
    st_enter(block);
    if (uc->mask & ST_SYNCHRONOUS) { /* guarded reads must be able to fault */
        st_mask open = ST_SYNCHRONOUS;
        ST_SYS(__NR_rt_sigprocmask, 1 /* SIG_UNBLOCK */, &open, 0, 8);
    }
    int arrived = !own_trap(block, uc);
    if (arrived) {
        st_records[block->index].event = ST_NO_EVENT;
        trapped(block, uc);
    }
    if (!arrived || block->call.sysno != __NR_rt_sigreturn) st_shortcut_open(block, uc->mask);
    st_exit(block);
    if (registered != (uint64_t)block && st_state.dispatch) registered = st_register_again(block);
    if (registered == (uint64_t)block && st_may_leave(uc)) st_go(block, uc);
}
