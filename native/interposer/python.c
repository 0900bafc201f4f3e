/* A Python verdict: taken on the program's own stack, with its own mask, after the signal frame is gone. */
#include "core.h"

#define STACK_NEEDED 0x40000 /* what CPython may use below us */

/* The parts of a call that are in use, at another place; pointers into it move along. */
static void call_move(struct st_call *to, const struct st_call *from)
{
    memcpy(to, from, offsetof(struct st_call, path));
    for (int i = 0; i < 2; i++)
        if (from->path_length[i] >= 0) memcpy(to->path[i], from->path[i], (uint32_t)from->path_length[i] + 1);
    for (int i = 0; i < 3; i++)
        if (from->resolved_length[i] > 0) memcpy(to->resolved[i], from->resolved[i], (uint32_t)from->resolved_length[i]);
    for (int i = 0; i < 6; i++)
        if (from->copied & (1u << i)) to->args[i] = (uint64_t)to + (from->args[i] - (uint64_t)from);
    if (from->address_length > 0 && to->message[0] == (uint64_t)from->address) to->message[0] = (uint64_t)to->address;
    if (to->message[2] == (uint64_t)from->small) to->message[2] = (uint64_t)to->small;
}

/* The signals that the program handles: its handlers may never come back (siglongjmp), and would leave Python half done and
 * the thread unasked for ever. Those without a handler may end the process at any time. */
static st_mask handled(const struct st_block *block)
{
    st_mask found = 0;
    for (int32_t signal = 1; signal <= ST_SIGNALS; signal++)
        if (block->sighand->actions[signal].handler > ST_SIG_IGN) found |= ST_BIT(signal);
    return found & ~(ST_SYNCHRONOUS | ST_BIT(ST_SIGSYS) | ST_BIT(ST_SIGILL) | ST_BIT(ST_SIGTRAP) | ST_BIT(ST_SIGFPE));
}

/* Leads the thread to the trampoline. Where the stack has no room the call is refused: an error in a handler denies. */
void st_python_enter(struct st_block *block, struct st_context *uc, struct st_call *call)
{
    const uint32_t *software = (const uint32_t *)(uc->regs.fpstate + 464);
    uint64_t xsave_size = (uint64_t)software[1] + 64, sp = uc->regs.rsp - 128;
    if (!uc->regs.fpstate || software[0] != 0x46505853 || st_touch((sp - STACK_NEEDED) & ~4095ull, sp & ~4095ull) < 0) {
        static const uint8_t note[] = "no room on the thread's stack for a Python handler";
        st_report(call, ST_RECORD_ERROR, call->rule_row, -ST_EPERM, note, sizeof note - 1);
        uc->regs.rax = (uint64_t)-ST_EPERM;
        return;
    }
    uint64_t xsave = (sp - xsave_size) & ~63ull;
    struct st_call *moved = (struct st_call *)((xsave - sizeof *moved) & ~63ull);
    struct st_tramp *tramp = (struct st_tramp *)(((uint64_t)moved - sizeof *tramp) & ~63ull);
    memset((void *)(xsave + 512), 0, 64); /* XSAVEC's header */
    call_move(moved, call);
    tramp->xsave = xsave;
    tramp->xsave_mask = *(const uint64_t *)&software[2];
    tramp->regs = uc->regs;
    tramp->block = block;
    tramp->call = moved;
    tramp->mask = uc->mask;
    if (st_state.embedded) uc->mask |= handled(block);
    uc->regs.rsp = (uint64_t)tramp;
    uc->regs.rdi = (uint64_t)tramp;
    uc->regs.rip = (uint64_t)st_python_tramp;
}

static struct st_block *block_of(struct st_call *call)
{
    return (struct st_block *)call->block;
}

/* The rest of the rules, for a handler's proceed(). */
int64_t st_next(struct st_call *call)
{
    struct st_block *block = block_of(call);
    uint32_t depth = block->python;
    block->python = 0; /* later handlers of this call are part of the chain */
    st_enter(block);
    enum st_verdict verdict = st_continue(block, call);
    st_exit(block);
    block->python = depth;
    return verdict;
}

/* Runs the call as it stands, as the program would: interruptible, with its mask. */
int64_t st_execute(struct st_call *call)
{
    const uint64_t *a = call->args;
    if (call->sysno == __NR_execve || call->sysno == __NR_execveat) return -ST_ENOSYS; /* would take the handler with it */
    call->result = ST_SYS(call->sysno, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (call->delay_exit_us) st_pause(call->delay_exit_us);
    call->event_flags |= st_poke_exit(call->poke, call, call->args);
    if (call->signal) st_raise(call->signal);
    return call->result;
}

/* A thread that runs handlers for others: its calls ask none. */
void st_own(int32_t on)
{
    struct st_stack kernel;
    if (ST_SYS(__NR_sigaltstack, 0, &kernel) < 0 || (kernel.flags & ST_SS_DISABLE)) return;
    struct st_block *block = (struct st_block *)kernel.sp;
    block->python += on ? 1 : -1;
}

/* Asks one handler after the other. Returns whether the call is to be made; its result is in it otherwise. */
static int ask(struct st_call *call)
{
    for (;;) {
        st_state.hook(call);
        if (call->decided) return 0;
        enum st_verdict verdict = (enum st_verdict)st_next(call);
        if (verdict == ST_VERDICT_PASS) return 1;
        if (verdict == ST_VERDICT_RESULT) return 0;
        if (verdict == ST_VERDICT_KILL) ST_SYS(__NR_kill, st_state.pid, ST_SIGKILL);
    }
}

/* The result's event, with all signals blocked: this is the program's own time. */
static void trace_result(struct st_block *block, const struct st_tramp *tramp)
{
    const struct st_regs *r = &tramp->regs;
    const uint64_t args[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
    const st_mask all = ST_ALL_BLOCKED & ~ST_SYNCHRONOUS;
    st_mask old = 0;
    ST_SYS(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, &all, &old, 8);
    st_trace_exit(block, tramp->call->sysno, args, tramp->call->result, tramp->call->event_flags);
    ST_SYS(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &old, 0, 8);
}

/* The call itself is made with the program's mask, and when nothing of this is under way any more: a signal handler that
 * interrupts it may stay away. */
void st_python_entry(struct st_tramp *tramp)
{
    struct st_block *block = tramp->block;
    struct st_call *call = tramp->call;
    block->python++;
    int pass = ask(call);
    block->python--;
    if (st_state.embedded) ST_SYS(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &tramp->mask, 0, 8);
    if (pass && (call->sysno == __NR_execve || call->sysno == __NR_execveat))
        call->result = st_exec_now(block, call, tramp->mask);
    else if (pass)
        st_execute(call);
    tramp->regs.rax = (uint64_t)call->result;
    if (!block->python && st_traced(block, call->sysno)) trace_result(block, tramp);
}
