/* How a call passes: the thread resumes in the gate with its own registers and mask. */
#include "core.h"

uint64_t st_slots[ST_SITES] __attribute__((section(".bss.slots"), aligned(4096)));
struct st_state st_state __attribute__((section(".bss.state"), aligned(4096)));
struct st_record st_records[ST_BLOCKS] __attribute__((section(".bss.records"), aligned(256)));
struct st_rare st_rare __attribute__((section(".bss.rare")));

#define SLOTS_IN_PAGE 512u
#define TRIES_IN_PAGE 8u

/* The slots are a hash table: open addressing, filled once, never emptied. A page after the other: all sites of a small
 * program share the first, and each page that a process touches costs it two faults. */
uint64_t st_stub_for(uint64_t site)
{
    uint64_t hash = (site * 0x9e3779b97f4a7c15ull) >> 32;
    for (uint32_t probe = 0; probe < ST_SITES / SLOTS_IN_PAGE * TRIES_IN_PAGE; probe++) {
        uint64_t at = probe / TRIES_IN_PAGE * SLOTS_IN_PAGE + (hash + probe) % SLOTS_IN_PAGE;
        uint64_t held = __atomic_load_n(&st_slots[at], __ATOMIC_RELAXED);
        if (!held && __atomic_compare_exchange_n(&st_slots[at], &held, site, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) held = site;
        if (held == site) return (uint64_t)st_stubs + 16 * at;
    }
    return 0;
}

/* ---- the way out of our handler without rt_sigreturn: 15 % of a trap --------------------------------- */

#define EFLAGS_TRAP 0x100
#define FP_XSTATE_MAGIC1 0x46505853

/* A shadow stack has a token that only the kernel may take off; a thread that is stepped by itself would trap in here; a
 * frame without XSAVE's layout is none that XRSTOR reads. These leave by rt_sigreturn. */
int st_may_leave(const struct st_context *uc)
{
    uint64_t shadow_stack = 0;
    __asm__ volatile("rdsspq %0" : "+r"(shadow_stack));
    if (shadow_stack || (uc->regs.eflags & EFLAGS_TRAP) || !uc->regs.fpstate) return 0;
    return *(const uint32_t *)(uc->regs.fpstate + 464) == FP_XSTATE_MAGIC1;
}

/* The thread goes on as `uc` says. Five registers are needed for setting the mask: they wait in the record. */
_Noreturn void st_go(struct st_block *block, struct st_context *uc)
{
    const struct st_regs *regs = &uc->regs;
    uint64_t *leave = st_records[block->index].leave;
    leave[0] = regs->rdi;
    leave[1] = regs->rsi;
    leave[2] = regs->rdx;
    leave[3] = regs->r10;
    leave[4] = regs->rax;
    leave[5] = regs->rip;
    block->leave_mask = uc->mask;
    st_leave(uc, st_block_stub(block, ST_STUB_LEAVE), &block->leave_mask);
}

/* A signal came between the mask and the last jump: the thread has gone already. before: not even the mask is set. */
void st_gone(struct st_block *block, struct st_context *uc, int before)
{
    const uint64_t *leave = st_records[block->index].leave;
    struct st_regs *regs = &uc->regs;
    if (before) uc->mask = block->leave_mask;
    regs->rdi = leave[0];
    regs->rsi = leave[1];
    regs->rdx = leave[2];
    regs->r10 = leave[3];
    regs->rax = leave[4];
    regs->rcx = regs->rip = leave[5];
}

uint64_t st_block_stub(const struct st_block *block, uint32_t which)
{
    return (uint64_t)st_block_stubs + 256ull * block->index + which;
}

/* Whether a fault has something to do when the call is over. */
static int hooked(const struct st_call *call)
{
    return call->delay_exit_us || call->signal || call->poke;
}

/* Which stub a call leaves by. What a traced one returns is read by the program's own thread, which must be able to fault:
 * where it has the faults' signals blocked, by our handler. */
static uint32_t returning(const struct st_block *block, const struct st_context *uc, uint32_t stub)
{
    if (hooked(&block->call)) return ST_STUB_POST;
    if (stub != ST_STUB_EXIT || !block->traced) return stub;
    return uc->mask & ST_SYNCHRONOUS ? ST_STUB_POST : ST_STUB_TRACE;
}

/* What is to be done when the call comes back, by which stub it leaves. */
void st_keep_hooks(const struct st_block *block, uint32_t stub)
{
    struct st_record *record = &st_records[block->index];
    record->event = !block->traced ? ST_NO_EVENT : stub == ST_STUB_TRACE && !record->post ? ST_EVENT_DUE : ST_EVENT_AT_TRAP;
    record->flags = block->call.event_flags;
    record->claimed = 0;
    record->delay_exit_us = block->call.delay_exit_us;
    record->signal = block->call.signal;
    record->poke = block->call.poke;
}

static void through_block(struct st_block *block, struct st_context *uc, const uint64_t args[6], uint32_t stub)
{
    struct st_record *record = &st_records[block->index];
    struct st_regs *regs = &uc->regs;
    stub = returning(block, uc, stub);
    record->post = 0;
    if (stub == ST_STUB_POST && st_state.dispatch) { /* no second trap in the gate: st_trace_return looks at this */
        record->post = ST_POST_WAITS;
        stub = ST_STUB_TRACE;
    }
    st_keep_hooks(block, stub);
    record->args[0] = regs->rdi;
    record->args[1] = regs->rsi;
    record->args[2] = regs->rdx;
    record->args[3] = regs->r10;
    record->args[4] = regs->r8;
    record->args[5] = regs->r9;
    record->site = regs->rip;
    record->sysno = (int32_t)regs->rax;
    st_put_args(regs, args);
    regs->rip = st_block_stub(block, stub);
}

void st_pass_changed(struct st_block *block, struct st_context *uc, const uint64_t args[6])
{
    through_block(block, uc, args, ST_STUB_EXIT);
}

void st_pass_hooked(struct st_block *block, struct st_context *uc, const uint64_t args[6])
{
    through_block(block, uc, args, ST_STUB_POST);
}

/* Unchanged: the site's own stub. For an event, or with the arena full, the block's: slower by a few loads, counted. */
void st_pass(struct st_block *block, struct st_context *uc)
{
    uint64_t stub = block->traced || hooked(&block->call) ? 0 : st_stub_for(uc->regs.rip);
    if (stub) {
        uc->regs.rip = stub;
        return;
    }
    const struct st_regs *r = &uc->regs;
    uint64_t args[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
    if (!block->traced) st_state.slow_calls++;
    st_pass_changed(block, uc, args);
}
