/* User dispatch: what patched sites need outside of the blob. The objects whose sites may be patched, arenas within reach of
 * them, and the way back: the program's own bytes when nobody traces any more. See interposer/patch.c. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <linux/membarrier.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../patching.h"
#include "module.h"

#define PAGE 4095ull

extern const uint8_t st_patch_entry[], st_patch_entry_own[], st_patch_entry_after[], st_patch_entry_ways[], st_patch_entry_stub[],
    st_patch_entry_record[], st_patch_entry_self[], st_patch_entry_traced[], st_patch_entry_end[];

static struct st_patching patching = {.patience = ST_PATCH_PATIENCE};
static unsigned long long adds, subs; /* of the objects that were looked at */

void st_dispatch_patches(struct st_patch_results *results)
{
    memcpy(results->sites, patching.results, sizeof results->sites);
    results->refused = patching.refused;
}

void st_dispatch_patience(uint32_t calls)
{
    patching.patience = calls;
}

/* ---- arenas --------------------------------------------------------------------------------------------- */

static void *map_at(uint64_t address)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | (address ? MAP_FIXED_NOREPLACE : 0);
    return mmap((void *)address, ST_PATCH_ARENA_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
}

/* Wherever the kernel puts it, which is near libraries, else below the object: above is its heap. */
static void *map_near(const struct st_patch_object *object)
{
    void *found = map_at(0);
    if (found != MAP_FAILED && st_patch_near((uint64_t)found, object)) return found;
    if (found != MAP_FAILED) munmap(found, ST_PATCH_ARENA_BYTES);
    for (uint64_t n = 1; n <= ST_PATCH_TRIES && object->base > n * ST_PATCH_STEP + ST_PATCH_STEP; n++) {
        found = map_at((object->base & ~PAGE) - n * ST_PATCH_STEP);
        if (found != MAP_FAILED) return found;
    }
    return NULL;
}

static void put(uint8_t *code, const uint8_t *end, const void *value, uint32_t size)
{
    st_patch_put(code, st_patch_entry, end, value, size);
}

static void put_distance(uint8_t *code, const uint8_t *end, const void *to)
{
    st_patch_put_distance(code, st_patch_entry, end, to);
}

/* The entries' code is written once, and never again: what is a site's own is data. */
static uint32_t new_arena(const struct st_patch_object *object)
{
    if (patching.arena_count == ST_PATCH_ARENAS) return ST_PATCH_ARENAS;
    uint8_t *code = map_near(object);
    if (!code) return ST_PATCH_ARENAS;
    struct st_patch_entry *entries = (struct st_patch_entry *)(code + ST_PATCH_CODE_BYTES);
    const uint8_t *ways = patching.ways;
    int32_t own = st_own_offset(), record = own + (int32_t)offsetof(struct st_own, record);
    for (uint32_t i = 0; i < ST_PATCH_ENTRIES; i++, code += ST_PATCH_ENTRY) {
        memcpy(code, st_patch_entry, ST_PATCH_ENTRY);
        put(code, st_patch_entry_own, &own, sizeof own);
        put(code, st_patch_entry_record, &record, sizeof record);
        put(code, st_patch_entry_ways, &ways, sizeof ways);
        put_distance(code, st_patch_entry_self, &entries[i]);
        put_distance(code, st_patch_entry_traced, &entries[i].traced);
        put_distance(code, st_patch_entry_after, &entries[i].after);
        put_distance(code, st_patch_entry_stub, &entries[i].stub);
    }
    code -= ST_PATCH_CODE_BYTES;
    if (mprotect(code, ST_PATCH_CODE_BYTES, PROT_READ | PROT_EXEC)) {
        munmap(code, ST_PATCH_ARENA_BYTES);
        return ST_PATCH_ARENAS;
    }
    patching.arenas[patching.arena_count] = (struct st_patch_arena){.code = (uint64_t)code, .entries = entries};
    return patching.arena_count++;
}

static uint32_t arena_near(const struct st_patch_object *object)
{
    for (uint32_t i = 0; i < patching.arena_count; i++)
        if (st_patch_near(patching.arenas[i].code, object)) return i;
    return new_arena(object);
}

/* ---- objects ----------------------------------------------------------------------------------------------- */

/* One with exactly one executable segment, its header in memory, and a table of functions. */
static int describe(const struct dl_phdr_info *info, struct st_patch_object *object)
{
    uint64_t base = 0, texts = 0, vdso = getauxval(AT_SYSINFO_EHDR);
    *object = (struct st_patch_object){.arena = ST_PATCH_ARENAS};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uint64_t at = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_GNU_EH_FRAME && p->p_memsz >= 32) object->frames = at;
        if (p->p_type != PT_LOAD) continue;
        if (!p->p_offset && p->p_filesz >= ST_PATCH_SAMPLE) base = at;
        if (!(p->p_flags & PF_X)) continue;
        if (p->p_flags & PF_W) return 0;
        texts++;
        object->low = at & ~PAGE;
        object->high = (at + p->p_memsz + PAGE) & ~PAGE;
    }
    object->base = base;
    if (!base || base == vdso || texts != 1 || !object->frames || base % 8 || object->frames % 4) return 0;
    uint64_t head[4];
    memcpy(head, (const void *)object->frames, sizeof head);
    object->sum = st_patch_sum((const uint64_t *)base, head);
    return 1;
}

static int unchanged(struct dl_phdr_info *info, size_t size, void *result)
{
    (void)size;
    *(int *)result = info->dlpi_adds == adds && info->dlpi_subs == subs;
    return 1;
}

static int collect(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    struct st_patch_object *object = &patching.objects[patching.object_count];
    adds = info->dlpi_adds;
    subs = info->dlpi_subs;
    if (patching.object_count == ST_PATCH_OBJECTS || !describe(info, object)) return 0;
    object->arena = arena_near(object);
    patching.object_count++;
    return 0;
}

/* Before the blob is armed: nobody reads the tables. NULL: no site is to be patched. */
struct st_patching *st_patch_prepare(void)
{
    static int registered;
    int same = 0;
    memset(patching.results, 0, sizeof patching.results);
    patching.refused = 0;
    if (patching.patience >= ST_PATCH_NEVER) return NULL;
    patching.lock = patching.off = patching.open = 0;
    if (!registered) registered = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) ? errno : -1;
    if (registered > 0) { /* no barrier, no patch */
        patching.refused = registered;
        return NULL;
    }
    if (patching.object_count) dl_iterate_phdr(unchanged, &same);
    if (same) return &patching;
    patching.object_count = 0;
    dl_iterate_phdr(collect, NULL);
    return &patching;
}

/* ---- the way back ---------------------------------------------------------------------------------------------- */

static int lies_in(const struct st_patch_object *object, const struct st_patch_entry *entry)
{
    return entry->patched && entry->after - 2 >= object->low && entry->after <= object->high;
}

/* Whether the site still jumps to where it was sent, and from there to its entry: a file mapped since has other bytes. */
static int is_patched(const struct st_patch_object *object, const struct st_patch_entry *entry, uint64_t code)
{
    uint16_t jump = (uint16_t)(0xeb | (entry->jump - entry->after) << 8), now;
    int32_t distance;
    if (entry->far < object->low || entry->far + ST_FAR_JUMP > object->high) return 0;
    memcpy(&now, (const void *)(entry->after - 2), sizeof now);
    memcpy(&distance, (const void *)(entry->far + 1), sizeof distance);
    return now == jump && *(const uint8_t *)entry->far == 0xe9 && entry->far + ST_FAR_JUMP + (uint64_t)(int64_t)distance == code;
}

static void restore_sites(const struct st_patch_object *object, const struct st_patch_arena *arena)
{
    for (uint32_t i = 0; i < arena->used; i++) {
        struct st_patch_entry *entry = &arena->entries[i];
        if (!lies_in(object, entry)) continue;
        if (is_patched(object, entry, arena->code + (uint64_t)i * ST_PATCH_ENTRY))
            __atomic_store_n((uint16_t *)(entry->after - 2), 0x050f /* syscall */, __ATOMIC_SEQ_CST);
        entry->patched = 0;
    }
}

static uint32_t patched_in(const struct st_patch_object *object, const struct st_patch_arena *arena)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < arena->used; i++) count += lies_in(object, &arena->entries[i]);
    return count;
}

/* The loader lets nobody unmap an object meanwhile. */
static int restore(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    struct st_patch_object object;
    if (!describe(info, &object)) return 0;
    for (uint32_t i = 0; i < patching.arena_count; i++) {
        const struct st_patch_arena *arena = &patching.arenas[i];
        if (!patched_in(&object, arena)) continue;
        if (mprotect((void *)object.low, object.high - object.low, PROT_READ | PROT_WRITE | PROT_EXEC)) continue;
        restore_sites(&object, arena);
        mprotect((void *)object.low, object.high - object.low, PROT_READ | PROT_EXEC);
    }
    return 0;
}

static void all_arrives(void)
{
    patching.off = 1;
    memset(patching.ways, ST_ARRIVES, ST_NR_MAX);
}

/* No thread is under dispatch any more. What cannot be put back is native all the same. */
void st_patch_restore(void)
{
    static const struct st_patch_object all = {.high = ~0ull};
    uint32_t left = 0;
    all_arrives();
    for (uint32_t i = 0; i < patching.arena_count; i++) left += patched_in(&all, &patching.arenas[i]);
    if (left) dl_iterate_phdr(restore, NULL);
}

/* In a fork's child, whose calls its sites' entries make natively. A text that was just being written is closed. */
void st_patch_forked(void)
{
    const struct st_patch_object *object = patching.open ? &patching.objects[patching.open - 1] : NULL;
    if (object) mprotect((void *)object->low, object->high - object->low, PROT_READ | PROT_EXEC);
    patching.lock = patching.open = 0;
    all_arrives();
}
