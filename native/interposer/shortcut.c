/* A traced call that comes from a patched site: recorded without a signal, for a tenth of its price. The site's entry comes
 * to st_shortcut (x86_64.S), on the block's stack its first event is written here, and it leaves by the block's stub as if it
 * had arrived. All signals are open: one that comes in between finds everything in the record, and the call is shown as not
 * made yet (st_shortcut_show). Nothing here may be half done that this does not undo. */
#include "core.h"

#define EFLAGS_ZERO 0x40ull

/* From now on the thread's calls may come this way. mask: what its kernel's mask will be; where faults are blocked, nobody may
 * read what the program points to but our handler. */
void st_shortcut_open(struct st_block *block, st_mask mask)
{
    uint64_t record = mask & ST_SYNCHRONOUS ? 0 : (uint64_t)&st_records[block->index];
    if (st_state.dispatch)
        block->own->record = record;
    else if (st_state.door.patching && st_state.door.patching->arena_count)
        st_set_gs(record);
}

void st_shortcut_close(const struct st_block *block)
{
    block->own->record = 0;
}

/* Back to the entry's own instruction: the plan has changed meanwhile. */
static uint64_t arrive(const struct st_patch_entry *entry)
{
    const struct st_patching *p = st_state.door.patching;
    for (uint32_t a = 0; a < p->arena_count; a++) {
        uint64_t number = (uint64_t)(entry - p->arenas[a].entries);
        if (number < ST_PATCH_ENTRIES) return p->arenas[a].code + number * ST_PATCH_ENTRY + ST_PATCH_OWN;
    }
    return entry->after - 2; /* never: all entries are some arena's */
}

/* Where the call goes. */
__attribute__((used)) uint64_t st_shortcut_enter(struct st_record *record)
{
    struct st_block *block = st_block_at((uint32_t)(record - st_records));
    const struct st_patch_entry *entry = (const struct st_patch_entry *)record->entry;
    struct st_call *call = &block->call;
    uint64_t to = entry->stub;
    record->due = ST_NO_EVENT;
    st_enter(block);
    call->sysno = record->sysno;
    memcpy(call->args, record->args, sizeof call->args);
    if (st_state.door.patching->ways[(uint16_t)record->sysno] != ST_RECORDED || block->python || block->traceme || st_integrity(call)) {
        to = arrive(entry);
        st_exit(block);
        return to;
    }
    st_patch_touched(call);
    if (st_traced(block, record->sysno)) {
        record->site = entry->after;
        record->flags = record->delay_exit_us = record->signal = record->poke = record->post = 0;
        st_trace_enter(block, record);
        record->due = ST_EVENT_DUE;
        to = st_block_stub(block, ST_STUB_TRACE);
    }
    st_exit(block);
    return to;
}

static int between(uint64_t at, const char *low, const char *high)
{
    return at >= (uint64_t)low && at < (uint64_t)high;
}

/* Whether the thread had come by here when a signal arrived, and was not in the gate yet. */
int st_in_shortcut(const struct st_block *block, const struct st_regs *regs)
{
    if (between(regs->rip, st_shortcut, st_shortcut_end)) return 1;
    return st_records[block->index].event == ST_EVENT_ENTERING && regs->rsp - (uint64_t)block->stack <= ST_BLOCK_STACK;
}

/* st_claim had the position, and no time to say so. */
void st_claim_show(const struct st_regs *regs)
{
    if (!between(regs->rip, st_claimed, st_claim_end)) return;
    if (regs->rip != (uint64_t)st_claimed || (regs->eflags & EFLAGS_ZERO)) *(uint64_t *)regs->rcx = regs->r8;
}

/* The registers that st_trace_return and st_shortcut save. */
void st_put_saved(struct st_regs *regs, const struct st_record *record)
{
    const uint64_t *at = record->saved;
    regs->rsp = at[0];
    regs->rbx = at[1];
    regs->rbp = at[2];
    regs->r12 = at[3];
    regs->r13 = at[4];
    regs->r14 = at[5];
    regs->r15 = at[6];
    regs->eflags = at[7];
    st_put_args(regs, record->args);
}

/* The call is about to be made, at its site. */
void st_shortcut_show(struct st_block *block, struct st_regs *regs)
{
    struct st_record *record = &st_records[block->index];
    uint64_t flags = regs->eflags;
    if (between(regs->rip, st_shortcut, st_shortcut_saved)) {
        regs->rip = ((const struct st_patch_entry *)regs->r11)->after - 2;
        return;
    }
    int kept = between(regs->rip, st_shortcut_saved, st_shortcut_flags);
    st_claim_show(regs);
    st_put_saved(regs, record);
    if (kept) regs->eflags = flags;
    regs->rax = (uint64_t)(int64_t)record->sysno;
    regs->rip = ((const struct st_patch_entry *)record->entry)->after - 2;
    record->event = ST_NO_EVENT;
    st_trace_cancel(block, record);
}
