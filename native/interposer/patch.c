/* Sites whose calls need not arrive. One that arrives costs ten times its price, and under user dispatch every call of a thread
 * does; from a site that has arrived a few times with calls that nobody judges, they go through the gate without a signal:
 *
 *     site:     syscall      becomes  jmp jump        2 bytes, one store: threads see one or the other
 *     jump:     padding      becomes  jmp entry       between two functions, where nothing is ever executed
 *     entry:    in an arena near by: is the thread one of ours, and the number one that nobody wants to see? Then on to
 *               the site's stub in the gate. One that is recorded, and no more? To shortcut.c. Else the entry's own
 *               `syscall`: it arrives, or is native, as the site's would.
 *
 * So what is seen never depends on what is patched. A blob's end puts the sites back; jumps and arenas stay. Runs in the
 * SIGSYS handler, of threads whose asynchronous signals are blocked. */
#include "core.h"

#define DECIDED 255 /* patched, or never to be */
#define LINE 64     /* a store within a cache line is seen whole */
#define TEXT 5      /* PROT_READ | PROT_EXEC */
#define WRITABLE 7
#define MEMBARRIER_SYNC_CORE (1 << 5)
#define MEMBARRIER_REGISTER_SYNC_CORE (1 << 6)
#define MAP_FIXED 0x10
#define SYSCALL 0x050f /* the instruction, as 16 bits */

/* By the number of the stub: how often the site's calls arrived that need not. */
static uint8_t arrivals[ST_SITES] __attribute__((section(".bss.rare")));

static struct st_patching *patching(void)
{
    return st_state.door.patching;
}

static int reads(void *to, uint64_t from, uint64_t size)
{
    return st_copy_in(to, (const void *)from, size) == 0;
}

/* ---- which calls need not arrive ------------------------------------------------------------------------ */

/* Calls that the interposer itself has to see. */
static int ours(uint32_t sysno)
{
    switch (sysno) {
    case __NR_readlink: /* of /proc/self/exe, which is the loader for the kernel */
    case __NR_readlinkat:
    case __NR_close_range:
    case __NR_ptrace: return !st_state.dispatch;
    case __NR_rt_sigaction:
    case __NR_rt_sigprocmask:
    case __NR_rt_sigreturn:
    case __NR_rt_sigpending:
    case __NR_rt_sigtimedwait:
    case __NR_rt_sigsuspend:
    case __NR_sigaltstack:
    case __NR_signalfd:
    case __NR_signalfd4:
    case __NR_ppoll:
    case __NR_pselect6:
    case __NR_epoll_pwait:
    case __NR_epoll_pwait2:
    case __NR_fork:
    case __NR_vfork:
    case __NR_clone:
    case __NR_clone3:
    case __NR_execve:
    case __NR_execveat:
    case __NR_exit:
    case __NR_exit_group:
    case __NR_prctl:
    case __NR_seccomp:
    case __NR_arch_prctl: return 1;
    default: return 0;
    }
}

/* Stacks and names are read in our handler only: with signals open there would be too much to undo. */
static uint8_t way(const struct st_plan *plan, uint32_t sysno)
{
    const struct st_call_entry *entry = (const struct st_call_entry *)((const char *)plan + plan->calls) + sysno;
    if (ours(sysno) || entry->gates.count || entry->rules.count || entry->paths.count || entry->address) return ST_ARRIVES;
    if (!entry->traced) return st_state.dispatch ? ST_QUIET : ST_ARRIVES; /* seccomp's filter has brought it: it is to be counted */
    return plan->flags & (ST_PLAN_STACK | ST_PLAN_STACK_PYTHON | ST_PLAN_NAMES) ? ST_ARRIVES : ST_RECORDED;
}

/* A plan is about to be in force: what it wants in another way arrives from now on. */
void st_patch_before(const struct st_plan *plan)
{
    struct st_patching *p = patching();
    for (uint32_t i = 0; i < ST_NR_MAX; i++)
        if (p->ways[i] != way(plan, i)) __atomic_store_n(&p->ways[i], ST_ARRIVES, __ATOMIC_SEQ_CST);
}

/* It is in force: what it does not judge need arrive no more. */
void st_patch_plan(const struct st_plan *plan)
{
    struct st_patching *p = patching();
    for (uint32_t i = 0; i < ST_NR_MAX; i++)
        if (!p->off) __atomic_store_n(&p->ways[i], way(plan, i), __ATOMIC_SEQ_CST);
}

/* For as long as this blob is mapped: a thread or process begins that reads another's selector. */
void st_patch_off(void)
{
    struct st_patching *p = patching();
    p->off = 1;
    memset(p->ways, ST_ARRIVES, ST_NR_MAX);
}

/* No thread is under dispatch yet. Entries made for another blob lead to this one's gate. */
void st_patch_engage(const struct st_plan *plan)
{
    struct st_patching *p = patching();
    for (uint32_t a = 0; a < p->arena_count; a++)
        for (uint32_t i = 0; i < p->arenas[a].used; i++) {
            struct st_patch_entry *entry = &p->arenas[a].entries[i];
            entry->stub = st_stub_for(entry->after);
            entry->traced = (uint64_t)st_shortcut;
            if (!entry->stub) p->off = 1;
        }
    st_patch_plan(plan);
}

/* ---- where a thread is ---------------------------------------------------------------------------------- */

/* A thread in an entry is shown at its site: before the call, or after the entry's own. */
int st_patch_show_entry(struct st_regs *regs)
{
    const struct st_patching *p = patching();
    for (uint32_t a = 0; a < p->arena_count; a++) {
        const struct st_patch_arena *arena = &p->arenas[a];
        uint64_t at = regs->rip - arena->code;
        if (at >= ST_PATCH_CODE_BYTES) continue;
        regs->rip = arena->entries[at / ST_PATCH_ENTRY].after - (at % ST_PATCH_ENTRY == ST_PATCH_OWN + 2 ? 0 : 2);
        return 1;
    }
    return 0;
}

/* Whether a jump of ours is at the address, still: the file that it was written into may be gone. Read through the kernel: a
 * fault here, where a signal is delivered, would be the last. */
static int jumps(uint64_t at, uint64_t to)
{
    uint8_t bytes[ST_FAR_JUMP] = {0};
    int32_t distance;
    const uint64_t here[2] = {(uint64_t)bytes, sizeof bytes}, there[2] = {at, sizeof bytes};
    if (ST_SYS(__NR_process_vm_readv, ST_SYS(__NR_getpid), here, 1, there, 1, 0) < ST_SHORT_JUMP) return 0;
    if (bytes[0] == 0xeb) return at + ST_SHORT_JUMP + (uint64_t)(int64_t)(int8_t)bytes[1] == to;
    memcpy(&distance, bytes + 1, sizeof distance);
    return bytes[0] == 0xe9 && at + ST_FAR_JUMP + (uint64_t)(int64_t)distance == to;
}

/* The same of one that a signal may have found on its way there, too. */
void st_patch_show(struct st_regs *regs)
{
    const struct st_patching *p = patching();
    uint64_t at = regs->rip;
    if (st_patch_show_entry(regs)) return;
    for (uint32_t a = 0; a < p->arena_count; a++) {
        const struct st_patch_arena *arena = &p->arenas[a];
        for (uint32_t i = 0; i < arena->used; i++) {
            const struct st_patch_entry *entry = &arena->entries[i];
            if (at != entry->jump && at != entry->far) continue;
            if (jumps(at, at == entry->far ? arena->code + (uint64_t)i * ST_PATCH_ENTRY : entry->far)) regs->rip = entry->after - 2;
            return;
        }
    }
}

/* ---- the patch --------------------------------------------------------------------------------------------- */

/* The one that is mapped there now, if it is the one that was when the objects were looked at. */
static struct st_patch_object *object_of(struct st_patching *p, struct st_block *block, uint64_t address)
{
    uint64_t sample[ST_PATCH_SAMPLE / 8], head[4];
    for (uint32_t i = 0; i < p->object_count; i++) {
        struct st_patch_object *object = &p->objects[i];
        if (address < object->low || address + 2 > object->high) continue;
        if (!reads(sample, object->base, sizeof sample) || !reads(head, object->frames, sizeof head)) return NULL;
        return st_patch_sum(sample, head) == object->sum ? object : NULL;
    }
    return st_patch_find(p, block, address);
}

static struct st_patch_entry *entry_for(struct st_patch_arena *arena, uint64_t after, uint64_t stub)
{
    uint32_t at = 0;
    while (at < arena->used && arena->entries[at].after != after) at++;
    if (at == ST_PATCH_ENTRIES) return NULL;
    struct st_patch_entry *entry = &arena->entries[at];
    entry->after = after;
    entry->stub = stub;
    entry->traced = (uint64_t)st_shortcut;
    if (at == arena->used) __atomic_store_n(&arena->used, at + 1, __ATOMIC_RELEASE);
    return entry;
}

static int64_t protect(const struct st_patch_object *object, int protection)
{
    return ST_SYS(__NR_mprotect, object->low, object->high - object->low, protection);
}

static void write_jump(uint64_t at, uint32_t opcode, uint32_t size, uint64_t to, uint32_t rest)
{
    volatile uint8_t *bytes = (volatile uint8_t *)at;
    uint64_t distance = to - (at + size);
    bytes[0] = (uint8_t)opcode;
    for (uint32_t i = 1; i < size; i++, distance >>= 8) bytes[i] = (uint8_t)distance;
    for (uint32_t i = 0; i < rest; i++) bytes[size + i] = 0x90;
}

static void write_jumps(const struct st_patch_place *place, uint64_t code)
{
    write_jump(place->far, 0xe9, ST_FAR_JUMP, code, place->far_rest);
    if (place->jump != place->far) write_jump(place->jump, 0xeb, ST_SHORT_JUMP, place->far, place->jump_rest);
}

static int64_t barrier(void)
{
    int64_t r = ST_SYS(__NR_membarrier, MEMBARRIER_SYNC_CORE);
    if (r == -ST_EPERM && ST_SYS(__NR_membarrier, MEMBARRIER_REGISTER_SYNC_CORE) == 0) r = ST_SYS(__NR_membarrier, MEMBARRIER_SYNC_CORE);
    return r;
}

/* The whole segment is made writable, not one page: pages that once were would stay mappings of their own. */
static enum st_patch_result write(struct st_patching *p, struct st_patch_object *object, struct st_patch_entry *entry,
                                  const struct st_patch_place *place, uint64_t code)
{
    uint64_t after = entry->after;
    int64_t r = protect(object, WRITABLE);
    if (r >= 0 && !st_state.dispatch && !p->results[ST_PATCH_DONE]) st_patch_plan(st_state.plan); /* the only one there will be */
    if (r >= 0) {
        p->open = 1 + (uint32_t)(object - p->objects);
        if (place->far) {
            entry->jump = place->jump;
            entry->far = place->far;
            write_jumps(place, code);
        }
        r = barrier(); /* every core sees the jump before it can be sent there */
        uint16_t jump = (uint16_t)(0xeb | (entry->jump - after) << 8);
        if (r >= 0) __atomic_store_n((uint16_t *)(after - 2), jump, __ATOMIC_SEQ_CST);
        entry->patched = r >= 0;
        protect(object, TEXT);
        p->open = 0;
    }
    if (r >= 0) return ST_PATCH_DONE;
    p->refused = (int32_t)-r;
    object->arena = ST_PATCH_ARENAS;
    return ST_PATCH_REFUSED;
}

/* Whether the jumps that the entry had are still there: the object may have been mapped anew. */
static int has_jumps(const struct st_patch_object *object, const struct st_patch_entry *entry, uint64_t code)
{
    uint8_t bytes[ST_FAR_JUMP], hop[ST_SHORT_JUMP];
    int32_t distance;
    if (entry->far < object->low || entry->far + sizeof bytes > object->high || !reads(bytes, entry->far, sizeof bytes)) return 0;
    memcpy(&distance, bytes + 1, sizeof distance);
    if (bytes[0] != 0xe9 || entry->far + sizeof bytes + (uint64_t)(int64_t)distance != code) return 0;
    if (entry->jump == entry->far) return 1;
    if (!reads(hop, entry->jump, sizeof hop)) return 0;
    return hop[0] == 0xeb && entry->jump + sizeof hop + (uint64_t)(int64_t)(int8_t)hop[1] == entry->far;
}

static enum st_patch_result patch(struct st_patching *p, struct st_block *block, uint64_t after, uint64_t stub)
{
    struct st_patch_object *object = object_of(p, block, after - 2);
    struct st_patch_place place = {0};
    uint16_t bytes;
    if (!object) return ST_PATCH_NO_OBJECT;
    if (object->arena >= p->arena_count) return ST_PATCH_NO_ARENA;
    struct st_patch_arena *arena = &p->arenas[object->arena];
    struct st_patch_entry *entry = entry_for(arena, after, stub);
    if (!entry) return ST_PATCH_NO_ARENA;
    if (entry->patched) return ST_PATCH_RESULTS; /* before the last fork, or another thread was faster */
    if (!reads(&bytes, after - 2, 2) || bytes != SYSCALL) return ST_PATCH_OTHER_BYTES;
    if ((after - 2) % LINE == LINE - 1) return ST_PATCH_TWO_LINES;
    uint64_t code = arena->code + ST_PATCH_ENTRY * (uint64_t)(entry - arena->entries);
    if (!has_jumps(object, entry, code) && !st_patch_place(p, object, after, &place)) return ST_PATCH_NO_PADDING;
    return write(p, object, entry, &place, code);
}

/* In a fork's child, under the loader: whoever was patching is not in it. A text that was just being written is closed. */
void st_patch_child(void)
{
    struct st_patching *p = patching();
    if (!p || st_state.dispatch) return; /* else the module does it */
    if (p->open) protect(&p->objects[p->open - 1], TEXT);
    p->lock = p->open = 0;
}

/* The program changes what is mapped where: a file of whose text it takes something is as it wants it, and patched no more. */
void st_patch_touched(const struct st_call *call)
{
    struct st_patching *p = patching();
    const uint64_t *args = call->args;
    switch (call->sysno) {
    case __NR_mmap:
        if (!(args[3] & MAP_FIXED)) return;
        break;
    case __NR_munmap:
    case __NR_mprotect:
    case __NR_pkey_mprotect:
    case __NR_mremap: break;
    default: return;
    }
    for (uint32_t i = 0; i < p->object_count; i++)
        if (args[0] < p->objects[i].high && args[0] + args[1] > p->objects[i].low) p->objects[i].arena = ST_PATCH_ARENAS;
}

/* A call has arrived that passes unchanged. */
void st_patch_arrived(struct st_block *block, uint64_t after, int32_t sysno)
{
    struct st_patching *p = patching();
    st_patch_touched(&block->call);
    if (p->off || (uint32_t)sysno >= ST_NR_MAX || way(st_state.plan, (uint32_t)sysno) == ST_ARRIVES) return;
    uint64_t stub = st_stub_for(after);
    if (!stub) return;
    uint8_t *count = &arrivals[(stub - (uint64_t)st_stubs) / 16];
    if (*count == DECIDED) return;
    if (*count < p->patience) {
        ++*count;
        return;
    }
    if (__atomic_exchange_n(&p->lock, 1, __ATOMIC_ACQUIRE)) return; /* the next one tries again */
    if (*count != DECIDED && !p->off) {
        enum st_patch_result result = patch(p, block, after, stub);
        if (result < ST_PATCH_RESULTS) p->results[result]++;
    }
    *count = DECIDED;
    __atomic_store_n(&p->lock, 0, __ATOMIC_RELEASE);
}
