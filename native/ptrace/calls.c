/* A call on its way in and out: shown, judged, changed. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "internal.h"

#define REGISTER(name) offsetof(struct user_regs_struct, name)

int st_poke_register(int32_t tid, size_t offset, uint64_t value)
{
    return ptrace(PTRACE_POKEUSER, tid, offset, value) ? -errno : 0;
}

static int shown(const struct st_ptrace *s, int32_t sysno)
{
    if (!s->started || s->silent || s->muted) return 0;
    return !st_call_name(sysno) || st_has(s->options.trace, sysno);
}

/* The call is not made. On x86_64 the kernel leaves rax as it is when the number is none, so nothing is left to do on return. */
static void answer(const struct st_task *t, int64_t result)
{
    st_poke_register(t->tid, REGISTER(orig_rax), ~0ull);
    st_poke_register(t->tid, REGISTER(rax), (uint64_t)result);
}

void st_poke_argument(int32_t tid, uint32_t argument, uint64_t value)
{
    static const size_t registers[6] = {REGISTER(rdi), REGISTER(rsi), REGISTER(rdx), REGISTER(r10), REGISTER(r8), REGISTER(r9)};
    if (argument < 6) st_poke_register(tid, registers[argument], value);
}

static void write_changes(struct st_task *t, const struct st_ptrace_call *before)
{
    for (uint32_t i = 0; i < 6; i++)
        if (t->call.args[i] != before->args[i]) {
            st_poke_argument(t->tid, i, t->call.args[i]);
            t->changed |= (uint8_t)(1u << i);
        }
    if (t->call.sysno != before->sysno) st_poke_register(t->tid, REGISTER(orig_rax), (uint64_t)(int64_t)t->call.sysno);
}

static void put_back(struct st_task *t)
{
    for (uint32_t i = 0; i < 6; i++)
        if (t->changed >> i & 1) st_poke_argument(t->tid, i, t->call.args[i]);
    t->changed = 0;
}

static void judge(const struct st_ptrace *s, struct st_task *t, uint32_t *delay_us)
{
    struct st_ptrace_call before = t->call;
    int32_t verdict = s->options.enter(s->options.own, &t->call);
    if (verdict == ST_PTRACE_KILL)
        kill(t->pid, SIGKILL);
    else if (verdict == ST_PTRACE_ANSWER)
        answer(t, t->call.result);
    else
        write_changes(t, &before);
    t->call.sysno = before.sysno; /* what the program called: that is what returns */
    memcpy(t->call.args, before.args, sizeof before.args);
    *delay_us += t->call.delay_enter_us;
    t->delay_exit_us += t->call.delay_exit_us;
    if (t->call.signal) t->inject = t->call.signal;
}

static int judged(const struct st_ptrace *s, int32_t sysno)
{
    return (s->options.flags & ST_PTRACE_GUARD) || st_has(s->options.stops, sysno);
}

/* Returns 0 where the task is held for a while: it is not to be resumed now. */
int st_call_enters(struct st_ptrace *s, struct st_task *t, const struct st_call_info *info)
{
    uint32_t delay_us = 0;
    int32_t sysno = (int32_t)info->entry.nr;
    if (t->call.sysno != ST_RESTART_SYSCALL) t->previous = t->call.sysno;
    t->call = (struct st_ptrace_call){.pid = t->pid, .tid = t->tid, .sysno = sysno, .site = info->instruction, .stack = info->stack};
    memcpy(t->call.args, info->entry.args, sizeof t->call.args);
    t->delay_exit_us = t->inject = t->poke_exit = t->instead = t->changed = 0;
    if (t->tid == s->first && (sysno == ST_EXECVE || sysno == ST_EXECVEAT)) s->started = 1;
    /* Faults come first: what is shown has the memory that the kernel will find. */
    if (s->started && !s->silent && st_faults_enter(s, t, &delay_us) && !t->instead) answer(t, t->call.result);
    t->shown = (uint8_t)shown(s, sysno);
    if (t->shown) st_frame_entry(s, t);
    if (s->options.enter && s->started && judged(s, sysno)) judge(s, t, &delay_us);
    /* Under a filter nothing stops it on its way out unless it is asked to. */
    t->in_call = !t->filtered || t->shown || t->call.leaves || t->delay_exit_us || t->inject || t->poke_exit || t->instead || t->changed;
    if (delay_us) st_hold(s, t, delay_us, 0);
    return !delay_us;
}

static void tell_policy(const struct st_ptrace *s, struct st_task *t)
{
    int64_t before = t->call.result;
    s->options.leave(s->options.own, &t->call);
    if (t->call.result != before) st_poke_register(t->tid, REGISTER(rax), (uint64_t)t->call.result);
}

/* As above; *signal: what the task is to be resumed with. */
int st_call_leaves(struct st_ptrace *s, struct st_task *t, const struct st_call_info *info, int *signal)
{
    if (!t->in_call) return 1; /* it was in the call before we came */
    t->in_call = 0;
    if (t->changed) put_back(t);
    if (t->instead)
        st_poke_register(t->tid, REGISTER(rax), (uint64_t)t->call.result);
    else
        t->call.result = info->exit.result;
    if (t->poke_exit) {
        const struct st_ptrace_fault *f = &s->options.faults[t->poke_exit - 1];
        t->call.flags |= st_poke_memory(s, t, f->poke_exit, f->poke_exit_size);
    }
    if (t->call.leaves && s->options.leave) tell_policy(s, t);
    int was_first = t->tid == s->first && (t->call.sysno == ST_EXECVE || t->call.sysno == ST_EXECVEAT);
    if (was_first && t->call.result < 0 && !s->replaced) s->silent = 1;
    if (t->shown && !s->muted) st_frame_exit(s, t);
    *signal = (int)t->inject;
    if (t->delay_exit_us) st_hold(s, t, t->delay_exit_us, *signal);
    return !t->delay_exit_us;
}
