/* What each stop of a task means, and how it goes on. */
#include <errno.h>
#include <linux/audit.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "internal.h"

#define GET_SYSCALL_INFO 0x420e
#define OUR_ARCHITECTURE AUDIT_ARCH_X86_64

/* ---- going on -------------------------------------------------------------------------------------------------------- */

/* A task that is killed meanwhile refuses: its end will be told. */
void st_resume(struct st_ptrace *s, struct st_task *t, int signal)
{
    int to_next_call = t->in_call || (!t->filtered && !t->foreign);
    if (s->detaching && st_let_go(s, t, signal)) return;
    if ((s->options.flags & ST_PTRACE_LOCKSTEP) && s->used && !s->detaching) {
        t->paused = 1;
        t->signal = signal;
        return;
    }
    ptrace(to_next_call ? PTRACE_SYSCALL : PTRACE_CONT, t->tid, 0, signal);
}

/* 0: a filter that needs us keeps it. A stopped process stays stopped. */
int st_let_go(struct st_ptrace *s, struct st_task *t, int signal)
{
    if (t->filtered) return 0;
    ptrace(PTRACE_DETACH, t->tid, 0, signal);
    st_task_forget(s, t);
    return 1;
}

/* Keeps a stopped task for a while. */
void st_hold(struct st_ptrace *s, struct st_task *t, uint32_t delay_us, int signal)
{
    t->due = st_now() + (uint64_t)delay_us * 1000;
    t->signal = signal;
    s->delayed++;
    st_reap(t->tid);
    st_pace_set(s, 0);
}

void st_release(struct st_ptrace *s, struct st_task *t)
{
    s->delayed -= t->due != 0;
    s->waiting -= t->held;
    t->due = 0;
    t->held = t->paused = 0;
    st_resume(s, t, t->signal);
}

/* What was to be looked at has been. */
void st_unpause(struct st_ptrace *s)
{
    for (uint32_t i = 0; i < ST_TASKS; i++)
        for (struct st_task *t = s->tasks[i]; t; t = t->next)
            if (t->paused) st_release(s, t);
}

/* ---- stops ----------------------------------------------------------------------------------------------------------- */

static int call_info(const struct st_task *t, struct st_call_info *info)
{
    memset(info, 0, sizeof *info);
    return ptrace(GET_SYSCALL_INFO, t->tid, sizeof *info, info) > 0;
}

void st_task_note(struct st_ptrace *s, const struct st_task *t, enum st_ptrace_note which)
{
    if (!s->notes[which]) s->notes[which] = t->pid;
}

/* Returns 0 where the task is held. */
static int call_stop(struct st_ptrace *s, struct st_task *t, int *signal)
{
    struct st_call_info info;
    if (!call_info(t, &info)) return 1;
    if (info.op == ST_OP_EXIT) return st_call_leaves(s, t, &info, signal);
    if (info.op != ST_OP_ENTRY && info.op != ST_OP_SECCOMP) return 1;
    if (info.arch == OUR_ARCHITECTURE) return st_call_enters(s, t, &info);
    t->in_call = 0;
    st_task_note(s, t, ST_PTRACE_FOREIGN);
    return 1;
}

/* A thread or process has been made: it may have stopped already, unknown until now. */
static void new_task(struct st_ptrace *s, struct st_task *parent)
{
    unsigned long tid = 0;
    if (ptrace(PTRACE_GETEVENTMSG, parent->tid, 0, &tid) || !tid) return;
    struct st_task *t = st_task_new(s, (int32_t)tid);
    if (!t) return;
    if (!t->announced && s->started) st_frame_plain(s, t, ST_EVENT_TASK, parent->tid);
    t->announced = 1;
    t->foreign = parent->foreign;
    s->filtered += parent->filtered && !t->filtered;
    t->filtered = parent->filtered;
    if (t->held) st_release(s, t);
}

/* Another program runs now. If a thread that is not the first called execve, it has taken the first one's number. */
static void replaced(struct st_ptrace *s, struct st_task *t)
{
    unsigned long caller = 0;
    struct st_call_info info;
    if (ptrace(PTRACE_GETEVENTMSG, t->tid, 0, &caller)) return;
    if (t->tid == s->first) s->replaced = s->started = 1;
    struct st_task *other = (int32_t)caller != t->tid ? st_task_find(s, (int32_t)caller) : NULL;
    if (other) {
        t->call = other->call;
        t->call.tid = t->tid;
        t->in_call = other->in_call;
        t->shown = other->shown;
        t->inject = other->inject;
        t->delay_exit_us = other->delay_exit_us;
    }
    st_frame_plain(s, t, ST_EVENT_EXEC, (int32_t)caller);
    if (other) st_task_forget(s, other);
    if (s->options.ends) s->options.ends(s->options.own, t->tid, t->pid, 0);
    t->foreign = call_info(t, &info) && info.arch != OUR_ARCHITECTURE;
    if (t->foreign) st_task_note(s, t, ST_PTRACE_FOREIGN);
    if ((s->options.flags & ST_PTRACE_NO_VDSO) && !t->foreign) st_hide_vdso(t->tid);
    st_frame_mappings(s, t);
}

static int stopping(int signal)
{
    return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

/* The first stop of a task that ran before we came. */
static void announce(struct st_ptrace *s, struct st_task *t)
{
    t->announced = 1;
    if (!t->attached) return;
    t->call.sysno = (int32_t)ptrace(PTRACE_PEEKUSER, t->tid, offsetof(struct user_regs_struct, orig_rax), 0); /* -1: it is in none */
    st_frame_plain(s, t, ST_EVENT_TASK, 0);
    if (t->tid == t->pid) st_frame_mappings(s, t);
}

/* The whole process is stopped, as job control wants it: it stays so until SIGCONT, and we are told of that. */
static void group_stop(struct st_ptrace *s, struct st_task *t, int signal)
{
    st_frame_signal(s, t, signal, 0);
    if (s->detaching && st_let_go(s, t, 0)) return;
    ptrace(PTRACE_LISTEN, t->tid, 0, 0);
}

void st_stopped(struct st_ptrace *s, struct st_task *t, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16, deliver = 0;
    if (!t->announced) announce(s, t);
    if (signal == (SIGTRAP | 0x80) || event == PTRACE_EVENT_SECCOMP) {
        if (!call_stop(s, t, &deliver)) return;
    } else if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
        new_task(s, t);
    } else if (event == PTRACE_EVENT_EXEC) {
        replaced(s, t);
    } else if (event == PTRACE_EVENT_STOP && stopping(signal)) {
        group_stop(s, t, signal);
        return;
    } else if (!event) {
        deliver = signal;
        st_frame_signal(s, t, signal, 1);
    }
    st_resume(s, t, deliver);
}
