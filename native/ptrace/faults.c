/* Fault injection: which of the faults on a call takes effect, counted as strace counts. */
#include <stdlib.h>
#include <string.h>
#include <sys/user.h>

#include "../trace/capture.h"
#include "internal.h"

/* Finds the faults of each call, which are sorted by it. 0 or -1. */
int st_faults_prepare(struct st_ptrace *s)
{
    for (uint32_t i = 0; i < s->options.fault_count; i++) {
        uint32_t sysno = (uint32_t)s->options.faults[i].sysno;
        if (sysno >= ST_TRACE_CALLS) return -1;
        if (!s->faults[sysno].count) s->faults[sysno].first = i;
        s->faults[sysno].count++;
    }
    s->tree_counters = calloc(s->options.fault_count + 1, sizeof *s->tree_counters);
    return s->tree_counters ? 0 : -1;
}

static uint64_t *counters_of(struct st_ptrace *s, struct st_task *t, uint32_t count_by)
{
    if (count_by == ST_COUNT_TREE) return s->tree_counters;
    struct st_task *leader = count_by == ST_COUNT_PROCESS ? st_task_find(s, t->pid) : NULL;
    if (leader) t = leader;
    if (!t->counters) t->counters = calloc(s->options.fault_count, sizeof *t->counters);
    return t->counters;
}

/* As the interposer draws: the same calls in each run. */
static int drawn(const struct st_ptrace_fault *f, uint64_t n)
{
    uint64_t x = f->seed + n * 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return !f->chance || (uint32_t)((x ^ (x >> 31)) >> 32) < f->chance;
}

static int its_turn(struct st_ptrace *s, struct st_task *t, uint32_t index)
{
    const struct st_ptrace_fault *f = &s->options.faults[index];
    if (!f->first) return 1;
    uint64_t *counters = counters_of(s, t, f->count_by);
    if (!counters) return 0;
    uint64_t n = ++counters[index];
    if (n < f->first || n > f->last) return 0;
    return (f->step ? (n - f->first) % f->step == 0 : n == f->first) && drawn(f, n);
}

static int about_path(const struct st_ptrace *s, const struct st_task *t, uint32_t index)
{
    const struct st_ptrace_fault *f = &s->options.faults[index];
    char path[4096];
    if (f->path_argument < 0 && f->path_fd_argument < 0) return 1;
    if (f->path_argument < 0) return s->options.path_matches(index, t->tid, (int32_t)t->call.args[f->path_fd_argument], NULL);
    st_reader_task = t->tid;
    uint32_t size = st_capture_string((uint8_t *)path, t->call.args[f->path_argument], sizeof path);
    if (!size || path[size - 1]) return 0;
    int32_t at = f->dirfd_argument < 0 ? -100 /* AT_FDCWD */ : (int32_t)t->call.args[f->dirfd_argument];
    return s->options.path_matches(index, t->tid, at, path);
}

static int holds(const struct st_condition *condition, const uint64_t args[6])
{
    uint64_t value = args[condition->arg], other = condition->value;
    if (condition->width == 4) value = (uint32_t)value;
    switch (condition->op) {
    case ST_EQ: return value == other;
    case ST_NE: return value != other;
    case ST_LE: return value <= other;
    case ST_GE: return value >= other;
    case ST_ANY: return (value & other) != 0;
    default: return 0; /* faults have no others */
    }
}

static int matches(const struct st_ptrace *s, const struct st_task *t, uint32_t index)
{
    struct st_span span = s->options.faults[index].conditions;
    for (uint32_t i = span.first; i < span.first + span.count; i++)
        if (!holds(&s->options.conditions[i], t->call.args)) return 0;
    return about_path(s, t, index);
}

/* Returns whether the call is answered. */
static int act(struct st_ptrace *s, struct st_task *t, uint32_t index, uint32_t *delay_us)
{
    const struct st_ptrace_fault *f = &s->options.faults[index];
    uint32_t flags = 0;
    if (f->poke_enter) flags |= st_poke_memory(s, t, f->poke_enter, f->poke_enter_size);
    if (f->poke_exit && !t->poke_exit) t->poke_exit = index + 1;
    if (f->most) flags |= st_shorten_call(t, f);
    if (f->delay_enter_us || f->delay_exit_us) flags |= ST_EVENT_DELAYED;
    *delay_us += f->delay_enter_us;
    if (f->delay_exit_us) t->delay_exit_us = f->delay_exit_us;
    if (f->signal) {
        t->inject = (uint32_t)f->signal;
        flags |= ST_EVENT_SIGNALLED;
    }
    if (f->answers) {
        flags |= ST_EVENT_INJECTED | (f->success ? ST_EVENT_SUCCESS : 0);
        t->call.result = f->data ? st_give_data(t, f) : f->result;
        t->instead = f->instead >= 0;
        if (t->instead) st_poke_register(t->tid, offsetof(struct user_regs_struct, orig_rax), (uint64_t)(int64_t)f->instead);
    }
    t->call.flags |= flags;
    return f->answers != 0;
}

/* Returns whether the call is answered, with call.result, instead of being made. */
int st_faults_enter(struct st_ptrace *s, struct st_task *t, uint32_t *delay_us)
{
    if (t->call.sysno < 0 || t->call.sysno >= ST_TRACE_CALLS) return 0;
    struct st_span span = s->faults[t->call.sysno];
    for (uint32_t i = span.first; i < span.first + span.count; i++)
        if (matches(s, t, i) && its_turn(s, t, i) && act(s, t, i, delay_us)) return 1;
    return 0;
}
