/* The program's stack at a call or signal, for whoever unwinds it outside: the bytes, not what they mean. */
#include "core.h"

_Static_assert(offsetof(struct st_regs, rip) == 8 * (ST_STACK_REGISTERS - 1), "what is captured ends with the program counter");

static uint32_t room_left(const struct st_block *block)
{
    return (uint32_t)sizeof block->frame - ((const struct st_event *)block->frame)->size;
}

/* Through the kernel, which stops at the stack's end: a fault here, where a signal is delivered, would be the last. */
static uint32_t read_stack(const struct st_block *block, uint64_t from, uint8_t *to, uint32_t size)
{
    const uint64_t here[2] = {(uint64_t)to, size}, there[2] = {from, size};
    int64_t got = ST_SYS(__NR_process_vm_readv, block->pid, here, 1, there, 1, 0);
    return got < 0 ? 0 : (uint32_t)got;
}

static void add_native(struct st_block *block, const struct st_regs *regs)
{
    struct st_event *event = (struct st_event *)block->frame;
    uint32_t heads = 2 * sizeof(struct st_chunk) + 8 * ST_STACK_REGISTERS;
    if (room_left(block) < heads + 64) {
        event->flags |= ST_EVENT_CUT;
        return;
    }
    st_trace_chunk(block, regs->rsp, ST_CHUNK_REGISTERS, regs, 8 * ST_STACK_REGISTERS);
    struct st_chunk *chunk = (struct st_chunk *)(block->frame + event->size);
    uint32_t most = (room_left(block) - (uint32_t)sizeof *chunk) & ~7u;
    if (most > ST_STACK_MOST) most = ST_STACK_MOST;
    uint32_t size = read_stack(block, regs->rsp, (uint8_t *)(chunk + 1), most) & ~7u;
    *chunk = (struct st_chunk){.address = regs->rsp, .size = size, .kind = ST_CHUNK_STACK};
    event->size += (uint32_t)sizeof *chunk + size;
}

static void add_python(struct st_block *block)
{
    struct st_event *event = (struct st_event *)block->frame;
    struct st_chunk *chunk = (struct st_chunk *)(block->frame + event->size);
    uint32_t foreign = 0;
    if (!st_state.stack || room_left(block) < sizeof *chunk + 256) return;
    uint32_t size = st_state.stack((uint8_t *)(chunk + 1), room_left(block) - (uint32_t)sizeof *chunk - 8, &foreign);
    if (!size) return;
    *chunk = (struct st_chunk){.size = size, .kind = ST_CHUNK_PYTHON};
    event->size += (uint32_t)sizeof *chunk + ((size + 7) & ~7u);
}

/* Adds to the event that is being made what the plan wants of the stack. regs: the program's. */
void st_trace_stack(struct st_block *block, const struct st_regs *regs)
{
    if (st_state.plan->flags & ST_PLAN_STACK) add_native(block, regs);
    if (st_state.plan->flags & ST_PLAN_STACK_PYTHON) add_python(block);
}
