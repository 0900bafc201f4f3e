/* Patched sites of a traced program, where no module of ours has looked at its files: the one that a site lies in is found
 * when it is wanted, in /proc/self/maps, and an arena near it is made. Runs in the SIGSYS handler. */
#include "core.h"
#include <elf.h>

#define PAGE 4095ull
#define MAP_SHARED_NOTHING 0x100022 /* MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE */
#define LOOKS 32                    /* files that are looked for; each costs as much as a hundred traps */
#define SEGMENTS 64

extern const uint8_t st_patch_entry[], st_patch_entry_after[], st_patch_entry_ways[], st_patch_entry_self[], st_patch_entry_traced[];

static struct st_patching own __attribute__((section(".bss.rare")));
static uint32_t looks;

static int reads(void *to, uint64_t from, uint64_t size)
{
    return st_copy_in(to, (const void *)from, size) == 0;
}

/* ---- arenas --------------------------------------------------------------------------------------------- */

static void put_distance(uint8_t *code, const uint8_t *end, const void *to)
{
    st_patch_put_distance(code, st_patch_entry, end, to);
}

static uint64_t map_near(const struct st_patch_object *object)
{
    for (uint64_t n = 1; n <= ST_PATCH_TRIES && object->base > (n + 1) * ST_PATCH_STEP; n++) {
        int64_t at = ST_SYS(__NR_mmap, (object->base & ~PAGE) - n * ST_PATCH_STEP, ST_PATCH_ARENA_BYTES, 3, MAP_SHARED_NOTHING, -1, 0);
        if (at > 0) return (uint64_t)at;
    }
    return 0;
}

static uint32_t new_arena(struct st_patching *p, const struct st_patch_object *object)
{
    if (p->arena_count == ST_PATCH_ARENAS) return ST_PATCH_ARENAS;
    uint64_t at = map_near(object);
    if (!at) return ST_PATCH_ARENAS;
    uint8_t *code = (uint8_t *)at;
    struct st_patch_entry *entries = (struct st_patch_entry *)(code + ST_PATCH_CODE_BYTES);
    const uint8_t *ways = p->ways;
    for (uint32_t i = 0; i < ST_PATCH_ENTRIES; i++, code += ST_PATCH_ENTRY) {
        memcpy(code, st_patch_entry, ST_PATCH_ENTRY);
        st_patch_put(code, st_patch_entry, st_patch_entry_ways, &ways, sizeof ways);
        put_distance(code, st_patch_entry_after, &entries[i].after);
        put_distance(code, st_patch_entry_self, &entries[i]);
        put_distance(code, st_patch_entry_traced, &entries[i].traced);
    }
    if (ST_SYS(__NR_mprotect, at, ST_PATCH_CODE_BYTES, 5 /* read, execute */) < 0) {
        ST_SYS(__NR_munmap, at, ST_PATCH_ARENA_BYTES);
        return ST_PATCH_ARENAS;
    }
    p->arenas[p->arena_count] = (struct st_patch_arena){.code = at, .entries = entries};
    return p->arena_count++;
}

static uint32_t arena_near(struct st_patching *p, const struct st_patch_object *object)
{
    for (uint32_t i = 0; i < p->arena_count; i++)
        if (st_patch_near(p->arenas[i].code, object)) return i;
    return new_arena(p, object);
}

/* ---- files --------------------------------------------------------------------------------------------------- */

/* One with exactly one executable segment, its header in memory, and a table of functions. */
static int describe(struct st_patch_object *object, uint64_t base)
{
    Elf64_Ehdr h;
    Elf64_Phdr p;
    uint64_t bias = 0, sample[ST_PATCH_SAMPLE / 8], head[4];
    uint32_t texts = 0;
    int based = 0;
    *object = (struct st_patch_object){.base = base, .arena = ST_PATCH_ARENAS};
    if (!reads(&h, base, sizeof h) || memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_phnum > SEGMENTS) return 0;
    for (uint32_t i = 0; i < h.e_phnum; i++) {
        if (!reads(&p, base + h.e_phoff + i * sizeof p, sizeof p)) return 0;
        if (p.p_type == PT_LOAD && !based) { /* the first: where the header is */
            if (p.p_offset || p.p_filesz < ST_PATCH_SAMPLE) return 0;
            bias = base - (p.p_vaddr & ~PAGE);
            based = 1;
        }
        if (p.p_type == PT_GNU_EH_FRAME && p.p_memsz >= sizeof head) object->frames = p.p_vaddr;
        if (p.p_type != PT_LOAD || !(p.p_flags & PF_X)) continue;
        if (p.p_flags & PF_W) return 0;
        texts++;
        object->low = (bias + p.p_vaddr) & ~PAGE;
        object->high = (bias + p.p_vaddr + p.p_memsz + PAGE) & ~PAGE;
    }
    object->frames += bias; /* program headers come in any order */
    if (!based || texts != 1 || object->frames == bias || object->frames % 4) return 0;
    if (!reads(sample, base, sizeof sample) || !reads(head, object->frames, sizeof head)) return 0;
    object->sum = st_patch_sum(sample, head);
    return 1;
}

/* What is known of a line of maps; a file's mappings follow each other. */
struct mapping {
    uint64_t low, high, offset, base; /* base: of the file's first mapping */
    uint64_t file;                    /* a number that stands for it: of device and inode */
    int text;                         /* r-xp */
};

static const uint8_t *number(const uint8_t *at, const uint8_t *end, uint64_t *value)
{
    for (*value = 0; at < end; at++) {
        uint32_t digit = *at >= 'a' ? *at - 'a' + 10u : (uint32_t)*at - '0';
        if (digit > 15) break;
        *value = *value * 16 + digit;
    }
    return at + 1;
}

static void read_line(const uint8_t *at, const uint8_t *end, struct mapping *m)
{
    uint64_t file = 0, before = m->file;
    at = number(at, end, &m->low);
    at = number(at, end, &m->high);
    m->text = end - at > 5 && !memcmp(at, "r-xp", 4);
    at = number(at + 5, end, &m->offset);
    for (uint32_t spaces = 0; at < end && (spaces += *at == ' ') < 2; at++) file = (file ^ *at) * 0x9e3779b97f4a7c15ull;
    m->file = file;
    if (file != before) m->base = m->offset ? 0 : m->low;
}

/* The text that has the address, and its file's first address, 0 for none. buffer: room for `size` bytes. */
static struct mapping mapping_of(uint64_t address, uint8_t *buffer, uint64_t size)
{
    struct mapping m = {0};
    uint64_t used = 0;
    int64_t got, fd = ST_SYS(__NR_openat, -100 /* AT_FDCWD */, "/proc/self/maps", 02000000 /* O_CLOEXEC */, 0);
    if (fd < 0) return m;
    while ((got = ST_SYS(__NR_read, fd, buffer + used, size - used)) > 0 && m.high <= address) {
        const uint8_t *line = buffer, *end = buffer + used + got;
        for (const uint8_t *at = line; at < end && m.high <= address; at++)
            if (*at == '\n') {
                read_line(line, at, &m);
                line = at + 1;
            }
        used = (uint64_t)(end - line);
        memmove(buffer, line, used);
    }
    ST_SYS(__NR_close, fd);
    if (!m.text || address < m.low || address >= m.high) m.base = 0;
    return m;
}

/* The file that is mapped at the address, as an object that was not known yet. */
struct st_patch_object *st_patch_find(struct st_patching *p, struct st_block *block, uint64_t address)
{
    struct st_patch_object *object = &p->objects[p->object_count];
    if (st_state.dispatch || looks == LOOKS || p->object_count == ST_PATCH_OBJECTS) return NULL;
    looks++;
    struct mapping m = mapping_of(address, block->frame, sizeof block->frame);
    if (!m.base || !describe(object, m.base) || address < object->low || address + 2 > object->high) return NULL;
    if (m.low > object->low || m.high < object->high) return NULL; /* not as it was mapped: some of it is the program's to write */
    object->arena = arena_near(p, object);
    p->object_count++;
    p->patience = ST_PATCH_PATIENCE;
    return object;
}

/* For programs that only the loader has started: sites may be patched if threads can carry their record in GS. */
void st_patch_own(const struct st_plan *plan, uint64_t features)
{
    own.patience = ST_PATCH_AT_FIRST;
    if ((plan->flags & ST_PLAN_TRACE) && (features & 2 /* HWCAP2_FSGSBASE */)) st_state.door.patching = &own;
}
