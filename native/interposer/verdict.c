/* What the policy says about a call: the gates of POLICY.md, from the compiled table. */
#include "core.h"

/* ---- the call's own copy ----------------------------------------------------------------------- */

/* Paths are copied once; the copy is judged and executed. What cannot be read gets the kernel's errno here and now, so
 * that no other thread can make it readable in between. Returns 0 or that errno. */
static int copy_paths(struct st_call *call, const struct st_call_entry *entry)
{
    const struct st_path_use *uses = ST_PLAN_AT(struct st_path_use, st_state.plan->paths) + entry->paths.first;
    for (uint32_t i = 0; i < entry->paths.count && i < 2; i++) {
        uint64_t *argument = &call->args[uses[i].path];
        if (!*argument) {
            if (call->sysno == __NR_utimensat || call->sysno == __NR_quotactl) continue; /* NULL has a meaning */
            return ST_EFAULT;
        }
        int64_t length = st_copy_string(call->path[i], (const void *)*argument, ST_PATH_MAX);
        if (length < 0) return ST_EFAULT;
        if (length == ST_PATH_MAX) return ST_ENAMETOOLONG;
        if (st_is_exe_link(call->path[i]) && st_follows(call, &uses[i])) length = st_exe_path(call->path[i]);
        call->path_length[i] = (int32_t)length;
        *argument = (uint64_t)call->path[i];
        call->copied |= 1u << uses[i].path;
        if (uses[i].follow != ST_FOLLOW_OPENAT2) continue;
        if (call->args[3] < 24 || st_copy_in(call->small, (const void *)call->args[2], 24) < 0)
            return call->args[3] < 24 ? ST_EINVAL : ST_EFAULT;
        if (call->args[3] == 24) {
            call->args[2] = (uint64_t)call->small;
            call->copied |= 4;
        }
    }
    return 0;
}

void st_call_begin(struct st_block *block, struct st_call *call, const struct st_context *uc)
{
    const struct st_regs *r = &uc->regs;
    call->args[0] = r->rdi;
    call->args[1] = r->rsi;
    call->args[2] = r->rdx;
    call->args[3] = r->r10;
    call->args[4] = r->r8;
    call->args[5] = r->r9;
    call->site = r->rip;
    call->sysno = (int32_t)r->rax;
    call->block = (uint64_t)block;
    call->tid = block->tid;
    call->result = 0;
    call->rule = call->rule_row = call->copied = call->delay_exit_us = call->signal = call->quiet = call->decided = call->event_flags =
        call->poke = 0;
    call->grants[0] = call->grants[1] = 0;
    block->turns = 0;
    for (int i = 0; i < 3; i++) call->path_length[i] = call->resolved_length[i] = -1;
    call->address_length = -1;
}

/* ---- conditions ---------------------------------------------------------------------------------- */

static int in_set(const struct st_condition *condition, uint64_t value)
{
    const uint64_t *set = ST_PLAN_AT(uint64_t, st_state.plan->sets) + condition->set.first;
    for (uint32_t i = 0; i < condition->set.count; i++)
        if (set[i] == value) return 1;
    return 0;
}

static int holds(const struct st_condition *condition, const struct st_call *call)
{
    uint64_t value = call->args[condition->arg], other = condition->value;
    if (condition->width == 4) value = (uint32_t)value;
    switch (condition->op) {
    case ST_EQ: return value == other;
    case ST_NE: return value != other;
    case ST_LT: return value < other;
    case ST_LE: return value <= other;
    case ST_GT: return value > other;
    case ST_GE: return value >= other;
    case ST_BETWEEN: return value >= other && value <= condition->value2;
    case ST_ANY: return (value & other) != 0;
    case ST_NONE: return (value & other) == 0;
    case ST_ONLY: return (value & ~other) == 0;
    case ST_IN: return in_set(condition, value);
    case ST_MASKED: return (value & other) == condition->value2;
    default: return 0;
    }
}

static int all_hold(struct st_span span, const struct st_call *call)
{
    const struct st_condition *conditions = ST_PLAN_AT(struct st_condition, st_state.plan->conditions) + span.first;
    for (uint32_t i = 0; i < span.count; i++)
        if (!holds(&conditions[i], call)) return 0;
    return 1;
}

static int path_in(const struct st_match *match, struct st_call *call)
{
    const struct st_pattern *patterns = ST_PLAN_AT(struct st_pattern, st_state.plan->patterns) + match->span.first;
    if (st_resolve(call, match->which) <= 0) return 0;
    for (uint32_t i = 0; i < match->span.count; i++)
        if (st_path_matches(st_state.plan, &patterns[i], call->resolved[match->which], (uint32_t)call->resolved_length[match->which]))
            return 1;
    return 0;
}

static int address_in(const struct st_match *match, struct st_call *call)
{
    const struct st_addr_pattern *patterns = ST_PLAN_AT(struct st_addr_pattern, st_state.plan->addr_patterns) + match->span.first;
    if (st_call_address(call) <= 0) return 0;
    for (uint32_t i = 0; i < match->span.count; i++)
        if (st_address_matches(call, &patterns[i], patterns[i].protocol)) return 1;
    return 0;
}

static int matches(const struct st_rule *rule, struct st_call *call)
{
    const struct st_match *match = ST_PLAN_AT(struct st_match, st_state.plan->matches) + rule->matches.first;
    for (uint32_t i = 0; i < rule->matches.count; i++, match++) {
        int yes = 0;
        switch (match->kind) {
        case ST_MATCH_SCALAR: yes = all_hold(match->span, call); break;
        case ST_MATCH_PATH: yes = path_in(match, call); break;
        case ST_MATCH_ADDR: yes = address_in(match, call); break;
        case ST_MATCH_SCOPE: yes = (((const struct st_block *)call->block)->scopes & match->span.first) != 0; break;
        case ST_MATCH_THREAD: yes = (call->tid == st_state.main_tid) == (match->which == 0); break;
        default: break;
        }
        if (yes == match->negate) return 0;
    }
    return 1;
}

/* A rule for some of the calls only, always for the same ones: a hash of the seed and the call's number. */
static int drawn(const struct st_rule *rule, uint64_t n)
{
    uint64_t x = rule->seed + n * 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return !rule->chance || (uint32_t)((x ^ (x >> 31)) >> 32) < rule->chance;
}

/* strace's `when`: the nth matching call, counted by thread, process or tree. */
static int its_turn(struct st_block *block, const struct st_rule *rule)
{
    if (!rule->first) return 1;
    if (rule->count_by != ST_COUNT_TREE) st_state.counted = 1;
    uint64_t *counter = rule->count_by == ST_COUNT_THREAD || !st_state.ring ? &block->counters[rule->counter]
                        : rule->count_by == ST_COUNT_PROCESS                ? &ST_RARE.process_counters[rule->counter]
                                                                            : &st_state.ring->tree_counters[rule->counter];
    uint64_t n = __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
    if (block->turns < 6) block->turned[block->turns++] = counter;
    if (n < rule->first || n > rule->last) return 0;
    return (rule->step ? (n - rule->first) % rule->step == 0 : n == rule->first) && drawn(rule, n);
}

/* ---- actions -------------------------------------------------------------------------------------- */

static int audited(void)
{
    return (st_state.plan->flags & ST_PLAN_AUDIT) != 0;
}

/* Refuses, or under audit only says so. Returns 1 if the call ends here. */
static int refuse(struct st_call *call, int32_t error, uint32_t row, uint32_t quiet)
{
    if (!quiet) st_report(call, ST_RECORD_VIOLATION, row, -error, NULL, 0);
    if (audited()) return 0;
    call->result = -error;
    return 1;
}

static int may_ask_python(const struct st_block *block, const struct st_call *call)
{
    return !block->python && (call->site < st_state.ldso_low || call->site >= st_state.ldso_high);
}

/* A rule's signal, to this thread, as if from the kernel. */
void st_raise(uint32_t signal)
{
    struct st_siginfo info = {.signal = (int32_t)signal, .code = 0x80 /* SI_KERNEL */};
    ST_SYS(__NR_rt_tgsigqueueinfo, ST_SYS(__NR_getpid), ST_SYS(__NR_gettid), signal, &info);
}

#ifndef ST_OUTSIDE /* whoever holds a program from outside has others to look after */
void st_pause(uint32_t microseconds)
{
    int64_t wait[2] = {microseconds / 1000000, (int64_t)(microseconds % 1000000) * 1000};
    ST_SYS(__NR_nanosleep, wait, 0);
}
#endif

/* One rule that matches. Returns an st_verdict that ends the call, or -1 to go on, -2 to skip the other rules. */
static int act(struct st_block *block, struct st_call *call, const struct st_rule *rule)
{
    const uint8_t *texts = ST_PLAN_AT(uint8_t, st_state.plan->texts);
    call->rule_row = rule->row;
    switch (rule->action) {
    case ST_ALLOW: return -2;
    case ST_ERROR:
        call->event_flags |= ST_EVENT_INJECTED;
        return refuse(call, rule->error, rule->row, rule->fired) ? ST_VERDICT_RESULT : -1;
    case ST_RETVAL:
        call->event_flags |= ST_EVENT_INJECTED | ST_EVENT_SUCCESS;
        call->result = rule->value;
        return ST_VERDICT_RESULT;
    case ST_SYSCALL: ST_SYS(rule->value); return -1; /* for whoever watches from outside: the answer is another rule's */
    case ST_DATA:
        call->event_flags |= ST_EVENT_INJECTED;
        call->result = st_give(call, rule);
        return ST_VERDICT_RESULT;
    case ST_SHORT: st_shorten(call, rule); return -1;
    case ST_POKE_EXIT:
        if (!call->poke) call->poke = 1 + (uint32_t)(rule - ST_PLAN_AT(struct st_rule, st_state.plan->rules));
        return -1;
    case ST_CONTENT: call->result = st_content(texts + rule->content.offset, rule->content.length); return ST_VERDICT_RESULT;
    case ST_SIGNAL:
        call->event_flags |= ST_EVENT_SIGNALLED;
        call->signal = (uint32_t)rule->signal;
        return -1;
    case ST_LOG: st_report(call, ST_RECORD_LOG, rule->row, 0, NULL, 0); return -1;
    case ST_DELAY_ENTER:
        call->event_flags |= ST_EVENT_DELAYED;
        st_pause(rule->delay_us);
        return -1;
    case ST_DELAY_EXIT:
        call->event_flags |= ST_EVENT_DELAYED;
        call->delay_exit_us = rule->delay_us;
        return -1;
    case ST_KILL: return refuse(call, ST_KILLED, rule->row, 0) ? ST_VERDICT_KILL : -1;
    case ST_PYTHON:
        if (!may_ask_python(block, call)) return -1;
        if (!st_state.hook) { /* nobody can be asked, so it is refused: programs without a dynamic linker */
            static const uint8_t note[] =
                "the handler is Python, and none could be put into this program (it is static, or selftrace's Python is)";
            st_report(call, ST_RECORD_VIOLATION, rule->row, -ST_EPERM, note, sizeof note - 1);
            call->result = -ST_EPERM;
            return audited() ? -1 : ST_VERDICT_RESULT;
        }
        call->handler = (uint32_t)rule->handler;
        return ST_VERDICT_PYTHON;
    default: return -1;
    }
}

/* Rules from where the call stands, then gate 3. */
enum st_verdict st_continue(struct st_block *block, struct st_call *call)
{
    const struct st_plan *plan = st_state.plan;
    const struct st_call_entry *entry = ST_PLAN_AT(struct st_call_entry, plan->calls) + call->sysno;
    const uint16_t *refs = ST_PLAN_AT(uint16_t, plan->rule_refs) + entry->rules.first;
    while (call->rule < entry->rules.count) {
        const struct st_rule *rule = ST_PLAN_AT(struct st_rule, plan->rules) + refs[call->rule++];
        if (rule->action == ST_POKE_ENTER || !matches(rule, call) || !its_turn(block, rule)) continue;
        if (rule->fired) __atomic_fetch_add(&st_state.fired[rule->fired - 1], 1, __ATOMIC_RELAXED);
        int verdict = act(block, call, rule);
        if (verdict >= 0) return (enum st_verdict)verdict;
        if (verdict == -2) call->rule = entry->rules.count;
    }
    int error = entry->paths.count ? st_fs_refuses(call) : 0;
    if (!error && entry->address) error = st_net_refuses(call);
    if (error && refuse(call, error, call->rule_row, call->quiet)) return ST_VERDICT_RESULT;
    return ST_VERDICT_PASS;
}

static int gate_refuses(struct st_call *call, const struct st_call_entry *entry, enum st_verdict *verdict)
{
    const struct st_call_gate *gates = ST_PLAN_AT(struct st_call_gate, st_state.plan->gates) + entry->gates.first;
    for (uint32_t i = 0; i < entry->gates.count; i++) {
        if (!all_hold(gates[i].conditions, call)) continue;
        call->rule_row = gates[i].row;
        if (gates[i].flags & ST_GATE_LOG) {
            st_report(call, ST_RECORD_LOG, gates[i].row, 0, NULL, 0);
            return 0;
        }
        int kill = (gates[i].flags & ST_GATE_KILL) != 0;
        if (!refuse(call, kill ? ST_KILLED : gates[i].error, gates[i].row, gates[i].flags & ST_GATE_QUIET)) return 0;
        *verdict = kill ? ST_VERDICT_KILL : ST_VERDICT_RESULT;
        return 1;
    }
    return 0;
}

/* Rules that change memory come before all others: the event, and who judges, have what the kernel will find. Paths are
 * copied for the rules' conditions, and forgotten. */
void st_poke_enter(struct st_block *block, struct st_call *call, const struct st_context *uc)
{
    if (!(st_state.plan->flags & ST_PLAN_POKES) || (uint32_t)call->sysno >= ST_NR_MAX) return;
    const struct st_call_entry *entry = ST_PLAN_AT(struct st_call_entry, st_state.plan->calls) + call->sysno;
    const uint16_t *refs = ST_PLAN_AT(uint16_t, st_state.plan->rule_refs) + entry->rules.first;
    uint32_t flags = 0, looked = 0;
    for (uint32_t i = 0; i < entry->rules.count; i++) {
        const struct st_rule *rule = ST_PLAN_AT(struct st_rule, st_state.plan->rules) + refs[i];
        if (rule->action != ST_POKE_ENTER) continue;
        if (!looked++ && entry->paths.count) copy_paths(call, entry);
        if (!matches(rule, call) || !its_turn(block, rule)) continue;
        if (rule->fired) __atomic_fetch_add(&st_state.fired[rule->fired - 1], 1, __ATOMIC_RELAXED);
        const struct st_regs *r = &uc->regs;
        const uint64_t args[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
        flags |= st_poke(rule, call, args);
    }
    if (!looked) return;
    uint32_t turns = block->turns;
    st_call_begin(block, call, uc);
    block->turns = turns;
    call->event_flags = flags;
}

/* The whole of it, from the first gate on. */
enum st_verdict st_judge(struct st_block *block, struct st_call *call)
{
    const struct st_plan *plan = st_state.plan;
    enum st_verdict verdict = ST_VERDICT_RESULT;
    const struct st_call_entry *entry = ST_PLAN_AT(struct st_call_entry, plan->calls) + (uint32_t)call->sysno;
    if ((uint32_t)call->sysno >= ST_NR_MAX || !entry->known) {
        if (st_state.dispatch) return ST_VERDICT_PASS; /* nothing is refused for being new */
        call->rule_row = plan->unknown_row;
        call->result = -ST_ENOSYS;
        if ((uint32_t)call->sysno < ST_NR_MAX && !refuse(call, plan->unknown_error, plan->unknown_row, 0)) return ST_VERDICT_PASS;
        return ST_VERDICT_RESULT;
    }
    if (entry->paths.count) {
        int error = copy_paths(call, entry);
        if (error) {
            call->result = -error;
            return ST_VERDICT_RESULT;
        }
    }
    if (entry->gates.count && gate_refuses(call, entry, &verdict)) return verdict;
    return st_continue(block, call);
}
