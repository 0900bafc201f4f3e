/* Per-thread blocks, and the calls that make threads and processes. */
#include "core.h"

#define BLOCKS_BASE (ST_BLOB_BASE + 0x10000000ull)
#define LOOKS_PATIENCE 30000 /* pauses of 2 ms */

/* The first thread's: each program has it, so it comes with the blob. */
static struct st_block first_block __attribute__((section(".bss.block"), aligned(4096)));

struct st_block *st_block_at(uint32_t index)
{
    return !index ? &first_block : (struct st_block *)(BLOCKS_BASE + (uint64_t)index * ST_BLOCK_AREA + ST_GUARD);
}

static struct st_stack kernel_stack(struct st_block *block)
{
    return (struct st_stack){.sp = (uint64_t)block->stack, .flags = 0, .size = ST_BLOCK_STACK};
}

#define PRIVATE_MEMORY 0x4022 /* MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE */
#define MAP_FIXED_NOREPLACE 0x100000

/* Memory for a block, when it is needed: all of them at once would be half a GiB of a program's RLIMIT_AS. The page below
 * stays free, to stop what runs over. */
static int64_t block_open(struct st_block *block, uint32_t index)
{
    int64_t r = ST_SYS(__NR_mmap, block, ST_BLOCK_AREA - ST_GUARD, 3 /* read, write */, PRIVATE_MEMORY | MAP_FIXED_NOREPLACE, -1, 0);
    if (r < 0) return r;
    block->index = index;
    return 0;
}

/* `used` is ST_TAKEN, or the block is not published: nobody else takes it until all of it is reset. */
static void block_reset(struct st_block *block)
{
    static uint32_t lives;
    uint32_t index = block->index, first = offsetof(struct st_block, python);
    block->tid = 0;
    memset((uint8_t *)block + first, 0, offsetof(struct st_block, call) - first);
    block->scopes = ~0u;
    memset(block->counters, 0, sizeof block->counters);
    block->stack_virtual.flags = ST_SS_DISABLE;
    st_records[index].altstack = kernel_stack(block);
    __atomic_store_n(&block->used, __atomic_add_fetch(&lives, 2, __ATOMIC_RELAXED) | 1, __ATOMIC_RELEASE);
}

static int pending(const struct st_block *block)
{
    return __atomic_load_n(&st_records[block->index].parent_pending, __ATOMIC_ACQUIRE) != 0;
}

/* Whether the thread that has it is gone, and nobody comes back to it. A child's number is there last, and while its vfork
 * parent waits for it: what is read before may be older than what is read after. */
static int abandoned(const struct st_block *block)
{
    int32_t tid = __atomic_load_n(&block->tid, __ATOMIC_ACQUIRE);
    if (!tid || ST_SYS(__NR_tkill, tid, 0) != -3 /* ESRCH */ || pending(block)) return 0;
    return !__atomic_load_n(&block->vforks, __ATOMIC_ACQUIRE) && __atomic_load_n(&block->tid, __ATOMIC_ACQUIRE) == tid;
}

/* One block after the other, however many more there are each time: the looks shall not stay with a few that live long. */
static uint32_t next_index(uint32_t made)
{
    static uint32_t cursor;
    uint32_t at = __atomic_load_n(&cursor, __ATOMIC_RELAXED), next;
    do next = at < made ? at + 1 : 1;
    while (!__atomic_compare_exchange_n(&cursor, &at, next, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return next;
}

/* A block whose thread is gone is used again. A few are looked at on each call, so that thousands of threads stay cheap. */
static struct st_block *block_again(uint32_t looks)
{
    uint32_t made = __atomic_load_n(&st_state.blocks, __ATOMIC_ACQUIRE);
    if (made >= ST_BLOCKS) made = ST_BLOCKS - 1;
    for (uint32_t look = 0; look < looks && look < made; look++) {
        uint32_t index = next_index(made);
        if (!__atomic_load_n(&st_records[index].published, __ATOMIC_ACQUIRE)) continue;
        struct st_block *block = st_block_at(index);
        uint32_t used = __atomic_load_n(&block->used, __ATOMIC_ACQUIRE);
        if (used == ST_TAKEN || (used & 1 ? !abandoned(block) : pending(block))) continue;
        /* Still the life that was looked at: somebody else may have taken it meanwhile, and given it to a thread of his. */
        if (!__atomic_compare_exchange_n(&block->used, &used, ST_TAKEN, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) continue;
        st_exec_release(block, (st_records[index].cloning.flags & ST_CLONE_FILES) != 0); /* of a child that is a program now */
        return block;
    }
    return NULL;
}

static struct st_block *block_more(void)
{
    uint32_t index = __atomic_add_fetch(&st_state.blocks, 1, __ATOMIC_ACQ_REL);
    if (index < ST_BLOCKS) return block_open(st_block_at(index), index) < 0 ? NULL : st_block_at(index);
    __atomic_sub_fetch(&st_state.blocks, 1, __ATOMIC_ACQ_REL);
    return NULL;
}

struct st_block *st_block_new(void)
{
    struct st_block *block = block_again(16);
    if (!block) block = block_more();
    if (!block) block = block_again(ST_BLOCKS);
    if (!block) return NULL;
    block_reset(block);
    __atomic_store_n(&st_records[block->index].published, 1, __ATOMIC_RELEASE);
    return block;
}

void st_block_free(struct st_block *block)
{
    block->tid = 0;
    block->dispatched = 0;
    __atomic_store_n(&block->used, ST_FREE, __ATOMIC_RELEASE);
}

/* A thread that the program made behind our back (none should) gets its block at its first call: sigreturn
 * registers the altstack that the frame names. */
struct st_block *st_block_of(struct st_context *uc)
{
    uint64_t sp = uc->stack.flags & ST_SS_DISABLE ? 0 : uc->stack.sp;
    if (sp == (uint64_t)&first_block || (sp >= BLOCKS_BASE && sp < BLOCKS_BASE + (uint64_t)ST_BLOCKS * ST_BLOCK_AREA))
        return (struct st_block *)sp;
    if (st_state.dispatch) return st_dispatched_block(uc);
    struct st_block *block = st_block_new();
    if (!block) return NULL;
    block->sighand = &st_state.sighand;
    block->tid = (int32_t)ST_SYS(__NR_gettid);
    block->pid = st_state.pid;
    uc->stack = kernel_stack(block);
    return block;
}

/* clone3's structure is copied: the copy is judged and executed, without the flag that would disarm the child. */
static uint64_t clone_flags(struct st_call *call)
{
    if (call->sysno == __NR_vfork) return ST_CLONE_VM | ST_CLONE_VFORK;
    if (call->sysno == __NR_clone) return call->args[0];
    if (call->sysno != __NR_clone3) return 0;
    uint64_t *copy = (uint64_t *)call->path[0];
    if (call->args[1] < 8 || call->args[1] > sizeof call->path[0]) return 0;
    if (st_copy_in(copy, (const void *)call->args[0], call->args[1]) < 0) return 0; /* the kernel says EFAULT */
    uint64_t flags = copy[0];
    if (st_state.dispatch && !(st_state.follow && !(flags & ST_CLONE_VM))) return flags; /* such a child is none of ours */
    copy[0] &= ~ST_CLONE_CLEAR_SIGHAND;
    if (flags & ST_CLONE_CLEAR_SIGHAND && !(flags & ST_CLONE_SIGHAND)) call->args[0] = (uint64_t)copy;
    return flags;
}

/* The number of tasks in the tree, as the monitor counted it last and with what was made since. Processes that were killed
 * since are still in it, so at the limit a whole look of the monitor's is waited for, which is soon: only if nobody looks at all,
 * LOOKS_PATIENCE is over. Returns 1 if one more is too many. Advisory: the kernel counts by uid, and only root's runs have one of
 * their own. */
static int too_many_tasks(struct st_call *call)
{
    struct st_ring_header *ring = st_state.ring;
    uint32_t limit = st_state.plan->tasks;
    int64_t pause[2] = {0, 2000000};
    if (!limit || !ring) return 0;
    uint32_t before = __atomic_load_n(&ring->looks, __ATOMIC_ACQUIRE);
    for (int tries = 0; tries < LOOKS_PATIENCE; tries++) {
        uint32_t looks = __atomic_load_n(&ring->looks, __ATOMIC_ACQUIRE) - before; /* the first may have begun before us */
        if (__atomic_add_fetch(&ring->tasks, 1, __ATOMIC_RELAXED) <= (int32_t)limit) return 0;
        __atomic_sub_fetch(&ring->tasks, 1, __ATOMIC_RELAXED);
        if (looks >= 2) break;
        ST_SYS(__NR_nanosleep, pause, 0);
    }
    st_report(call, ST_RECORD_VIOLATION, st_state.plan->tasks_row, -ST_EAGAIN, NULL, 0);
    return 1;
}

/* A thread or process is about to end. */
void st_task_ends(void)
{
    struct st_ring_header *ring = st_state.ring;
    if (ring && st_state.plan->tasks) __atomic_sub_fetch(&ring->tasks, 1, __ATOMIC_RELAXED);
}

/* Whether the process goes on without this thread. One that has just been made does not know its number yet. */
int st_other_threads(const struct st_block *block)
{
    for (uint32_t i = 0; i <= st_state.blocks && i < ST_BLOCKS; i++) {
        const struct st_block *other = st_block_at(i);
        if (other == block || !__atomic_load_n(&st_records[i].published, __ATOMIC_ACQUIRE) || !(other->used & 1)) continue;
        if (!other->tid || ST_SYS(__NR_tgkill, st_state.pid, other->tid, 0) == 0) return 1;
    }
    return 0;
}

/* A child that shares memory but not the parent's suspension: it gets a block of its own, and no signal until it has it.
 * Parent and child leave by the child's clone stub. */
static void clone_shared(struct st_block *block, struct st_context *uc, struct st_call *call, uint64_t flags)
{
    struct st_block *child = st_block_new();
    if (!child) {
        uc->regs.rax = (uint64_t)-ST_EAGAIN;
        return;
    }
    child->sighand = block->sighand;
    child->sigsys_blocked = block->sigsys_blocked;
    child->scopes = block->scopes;
    if (st_state.dispatch) child->dispatched = ST_BORN;
    if (st_state.dispatch && st_state.door.patching && !(flags & ST_CLONE_SETTLS))
        st_patch_off(); /* it has its maker's thread-local storage */
    struct st_record *record = &st_records[child->index];
    const struct st_regs *r = &uc->regs;
    record->cloning = (struct st_cloning){{r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9}, r->rip, 0, uc->mask, flags};
    record->parent = (uint64_t)&st_records[block->index];
    record->parent_pending = 1;
    child->pid = block->tid; /* until it knows its own: who made it */
    st_keep_hooks(block, ST_STUB_POST);
    st_records[block->index].sysno = call->sysno;
    st_put_args(&uc->regs, call->args);
    uc->regs.rip = st_block_stub(child, ST_STUB_CLONE);
    uc->mask = st_all_blocked();
}

/* Every fork goes through a post-stub, so that the child is known before one instruction of the program runs. */
void st_clone(struct st_block *block, struct st_context *uc, struct st_call *call)
{
    if (too_many_tasks(call)) {
        uc->regs.rax = (uint64_t)-ST_EAGAIN;
        return;
    }
    uint64_t flags = clone_flags(call);
    if ((flags & ST_CLONE_VM) && !(flags & ST_CLONE_VFORK)) {
        clone_shared(block, uc, call, flags);
        return;
    }
    struct st_record *record = &st_records[block->index];
    record->clone_flags = flags;
    record->mask = uc->mask;
    st_pass_hooked(block, uc, call->args);
    uc->mask = st_all_blocked();
}

static void back_to(struct st_context *uc, const uint64_t args[6], uint64_t site, uint64_t result)
{
    st_put_args(&uc->regs, args);
    uc->regs.rip = site;
    uc->regs.rax = result;
}

static void back_to_site(struct st_context *uc, const struct st_record *record, uint64_t result)
{
    back_to(uc, record->args, record->site, result);
}

/* A vfork child borrows block and memory: what it does to handlers and stacks must not be seen by its parent. */
static void vfork_child(struct st_block *block, const struct st_record *record)
{
    if (block->vforks == ST_VFORKS) return; /* deeper than any program goes: the child shares */
    struct st_vfork *saved = &block->vfork[block->vforks++];
    saved->record = *record;
    saved->sighand = block->sighand;
    saved->stack_virtual = block->stack_virtual;
    saved->sigsys_blocked = block->sigsys_blocked;
    saved->tid = block->tid;
    saved->pid = block->pid;
    saved->own = *block->sighand;
    saved->own.lock = 0;
    block->sighand = &saved->own;
    block->tid = block->pid = (int32_t)ST_SYS(__NR_gettid);
    st_trace_task(block, ST_EVENT_TASK, saved->tid, 0);
}

/* The parent is back: the child's calls have used the record, its own is put back. Returns 1 if that was the case. */
static int vfork_parent(struct st_block *block, struct st_record *record)
{
    if (!block->vforks) return 0;
    struct st_vfork *saved = &block->vfork[block->vforks - 1];
    if (saved->tid != (int32_t)ST_SYS(__NR_gettid)) return 0;
    uint64_t result = record->result;
    *record = saved->record;
    record->result = result;
    block->sighand = saved->sighand;
    block->stack_virtual = saved->stack_virtual;
    block->sigsys_blocked = saved->sigsys_blocked;
    block->pid = saved->pid;
    block->traceme = 0;
    __atomic_store_n(&block->tid, saved->tid, __ATOMIC_RELEASE); /* first: see abandoned */
    __atomic_store_n(&block->vforks, block->vforks - 1, __ATOMIC_RELEASE);
    return 1;
}

/* The only thread of a new process: the others' blocks are free, and no lock is held by anybody. */
static void fork_child(struct st_block *block)
{
    int32_t parent = block->tid;
    block->tid = (int32_t)ST_SYS(__NR_gettid);
    block->traceme = 0;
    st_state.pid = (int32_t)ST_SYS(__NR_getpid);
    st_state.main_tid = block->tid;
    block->pid = st_state.pid;
    block->sighand->lock = 0;
    st_patch_child();
    if (block->vforks) { /* forked by a vfork child: nobody waits here any more */
        st_state.sighand = *block->sighand;
        block->sighand = &st_state.sighand;
        block->vforks = 0;
    }
    for (uint32_t i = 0; i <= st_state.blocks; i++)
        if (i != block->index && st_records[i].published) {
            st_records[i].parent_pending = 0;
            st_exec_release(st_block_at(i), 0);
            st_block_free(st_block_at(i));
        }
    if (st_state.counted) { /* a new process begins to count, as strace has it */
        memset(block->counters, 0, sizeof block->counters);
        memset(st_rare.process_counters, 0, sizeof st_rare.process_counters);
    }
    st_trace_task(block, ST_EVENT_TASK, parent, 0);
}

/* CLONE_CLEAR_SIGHAND, done here because the kernel's own would take away our SIGSYS handler too. */
static void clear_handlers(struct st_block *block)
{
    for (int32_t signal = 1; signal <= ST_SIGNALS; signal++) {
        struct st_sigaction *action = &block->sighand->actions[signal];
        if (action->handler <= ST_SIG_IGN) continue;
        *action = (struct st_sigaction){0};
        st_kernel_action(signal, action);
    }
}

static int is_fork(int32_t sysno)
{
    return sysno == __NR_clone || sysno == __NR_clone3 || sysno == __NR_fork || sysno == __NR_vfork;
}

/* Whether a call that has run has made this process, with memory of its own. */
int st_forked(const struct st_record *record)
{
    return is_fork(record->sysno) && !record->result && !(record->clone_flags & ST_CLONE_VM);
}

/* The end of a call that has run: what faults have still to do, and its event. */
static void came_back(struct st_block *block, struct st_record *record, const uint64_t args[6], int64_t result)
{
    if (record->delay_exit_us) st_pause(record->delay_exit_us);
    record->flags |= st_poke_exit(record->poke, &block->call, args);
    if (record->event == ST_EVENT_AT_TRAP) st_trace_exit(block, record->sysno, args, result, record->flags);
    record->event = ST_NO_EVENT;
    if (record->signal) st_raise(record->signal);
}

static void fork_post(struct st_block *block, struct st_context *uc, struct st_record *record)
{
    uint64_t result = record->result;
    int shared = (record->clone_flags & ST_CLONE_VM) != 0;
    if (!result && st_state.dispatch && (shared || !st_state.follow)) {
        st_native_child(block, uc, record);
        return;
    }
    if (!result && !(record->clone_flags & ST_CLONE_FILES)) st_exec_forget(block);
    if (!result && shared) vfork_child(block, record);
    if (!result && !shared) fork_child(block);
    if (!result && !shared && st_state.follow) st_dispatch_again(block);
    if (!result && (record->clone_flags & ST_CLONE_CLEAR_SIGHAND)) clear_handlers(block);
    if (result) came_back(block, record, record->args, (int64_t)result);
    uc->mask = record->mask;
    back_to_site(uc, record, result);
}

/* The post-hook: the call has run, its result waits in the record. */
void st_post(struct st_block *block, struct st_context *uc, uint32_t index)
{
    struct st_record *record = &st_records[index];
    if (index != block->index) { /* the parent of a clone, in the child's stub */
        struct st_cloning cloning = record->cloning;
        struct st_record *own = &st_records[block->index];
        came_back(block, own, cloning.args, (int64_t)cloning.result);
        uc->mask = cloning.mask;
        back_to(uc, cloning.args, cloning.site, cloning.result);
        __atomic_store_n(&record->parent_pending, 0, __ATOMIC_RELEASE);
        if ((int64_t)cloning.result < 0 && (int64_t)cloning.result > -4096) st_block_free(st_block_at(index));
        return;
    }
    if (vfork_parent(block, record)) { /* what is left is its child's, whose exec went well: so are the descriptors */
        st_exec_release(block, (record->clone_flags & ST_CLONE_FILES) != 0);
        fork_post(block, uc, record);
        return;
    }
    if (is_fork(record->sysno)) {
        fork_post(block, uc, record);
        return;
    }
    if (record->sysno == __NR_execve || record->sysno == __NR_execveat) {
        st_exec_release(block, 1);
        uc->mask = record->mask;
    }
    back_to_site(uc, record, record->result);
    came_back(block, record, record->args, (int64_t)record->result);
}

/* A clone child's first trap, on its own block. Its parent may still be reading the record: nothing in it is changed. */
void st_child(struct st_block *block, struct st_context *uc)
{
    const struct st_cloning *cloning = &st_records[block->index].cloning;
    int32_t parent = block->pid;
    block->tid = (int32_t)ST_SYS(__NR_gettid);
    block->pid = (int32_t)ST_SYS(__NR_getpid);
    st_trace_task(block, ST_EVENT_TASK, parent, 0);
    if (!(cloning->flags & ST_CLONE_SIGHAND)) {
        struct st_vfork *own = &block->vfork[ST_VFORKS - 1];
        own->own = *block->sighand;
        own->own.lock = 0;
        block->sighand = &own->own;
        if (cloning->flags & ST_CLONE_CLEAR_SIGHAND) clear_handlers(block);
    }
    uc->mask = cloning->mask;
    back_to(uc, cloning->args, cloning->site, 0);
}
