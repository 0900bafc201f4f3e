/* Put in from outside: native/inject has mapped the blob into a process of which nothing is ours, and has its threads join
 * and leave, one after the other, all of them stopped by ptrace. What a thread may need once the blob is gone it must not have. */
#include "core.h"

#define ERESTART_FIRST 512 /* ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND */
#define ERESTART_LAST 514
#define ERESTART_BLOCK 516

uint64_t st_visitors;
static uint64_t leaving;

/* A thread's selector is in its block. */
static struct st_own *own(void)
{
    return NULL;
}

void st_own_entry(void);
void st_own_out(void);
void st_own_back(void);
const struct st_door st_own_door = {
    (uint64_t)st_own_entry,
    (uint64_t)st_sigreturn_trap,
    (uint64_t)st_own_out,
    (uint64_t)st_own_back,
    (uint64_t)st_own_back,
    &st_visitors,
    &leaving,
    own,
    NULL,
};

static int in_stub(uint64_t rip)
{
    uint64_t sites = (uint64_t)st_stubs, blocks = (uint64_t)st_block_stubs;
    return (rip >= sites && rip < sites + 16 * ST_SITES) || (rip >= blocks && rip < blocks + 256 * ST_BLOCKS);
}

/* What the kernel would do before a handler that has calls restarted: back to the instruction. Returns the number that the call
 * is made by again, -1: it was not interrupted. */
static int64_t rewind(struct st_standing *where, struct st_regs *regs)
{
    int64_t error = -(int64_t)regs->rax, call = where->call;
    if (call < 0 || !in_stub(regs->rip)) return -1;
    int again = (error >= ERESTART_FIRST && error <= ERESTART_LAST) || error == ERESTART_BLOCK;
    where->call = -1; /* ours to see to */
    if (!again) return -1;
    regs->rip -= 2;
    regs->rax = (uint64_t)call;
    return error == ERESTART_BLOCK ? __NR_restart_syscall : call;
}

/* Runs on a stack of the tracer's, all signals blocked. From 0 on the thread goes on as `where` says, without us. In our own code,
 * which a signal would not have found it in, it stays. */
int64_t st_depart(struct st_standing *where)
{
    struct st_context uc = {.mask = where->mask};
    struct st_block *block = st_own_block();
    if (!block) return 0;
    memcpy(&uc.regs, where->regs, sizeof where->regs);
    if (block->vforks || (st_in_blob(uc.regs.rip) && !in_stub(uc.regs.rip))) return -ST_EAGAIN;
    int64_t again = rewind(where, &uc.regs);
    if (in_stub(uc.regs.rip)) st_show_site(block, &uc);
    int inside = st_in_blob(uc.regs.rip);
    if (again >= 0 && !inside) uc.regs.rax = (uint64_t)again;
    memcpy(where->regs, &uc.regs, sizeof where->regs);
    where->mask = uc.mask;
    if (inside) return -ST_EAGAIN;
    st_undispatch(block);
    ST_SYS(__NR_sigaltstack, &block->stack_virtual, 0);
    if (block->sigsys_blocked) where->mask |= ST_BIT(ST_SIGSYS);
    st_requeue(block);
    st_block_free(block);
    return 0;
}
