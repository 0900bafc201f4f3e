/* Where a jump may be put: bytes near a site that are never executed. Which they are is proved by the object's own table of
 * functions (.eh_frame_hdr): a run of nops is only padding if it lies between two of them, or if all of a function was
 * decoded and the nops come after a jump or a return and nothing jumps to them. Nops elsewhere are executed. */
#include "../patching.h"
#include "core.h"
#include "instructions.h"

#define WINDOW 272    /* bytes around a site: twice the reach of a short jump, and what that cuts */
#define FUNCTION 8192 /* longer ones are not looked into */
#define GAP 64        /* longer ones are no padding */
#define ALIGNMENT 8   /* of what comes after padding within a function */
#define REACH_BACK 128
#define REACH_ON 127

enum { FREE = 1, BEGINS = 2 }; /* of a byte; an instruction begins there */

struct surroundings {
    const struct st_patching *patching;
    uint64_t low;
    uint8_t bytes[2 * WINDOW];
    uint8_t code[FUNCTION + ST_INSTRUCTION_ROOM];
    uint8_t targets[FUNCTION / 8];
};

static int reads(void *to, uint64_t from, uint64_t size)
{
    return st_copy_in(to, (const void *)from, size) == 0;
}

/* ---- functions ------------------------------------------------------------------------------------------ */

struct functions {
    uint64_t table; /* .eh_frame_hdr: what its addresses are relative to */
    uint32_t count;
};
struct function {
    uint64_t low, high;
};

/* Only the form that linkers write: 32-bit pairs (function, its FDE), sorted. */
static int find_functions(const struct st_patch_object *object, struct functions *found)
{
    struct {
        uint8_t version, pointer, count, table;
        int32_t frames;
        uint32_t number;
    } head;
    if (!reads(&head, object->frames, sizeof head)) return 0;
    *found = (struct functions){object->frames, head.number};
    return head.version == 1 && head.pointer == 0x1b && head.count == 0x03 && head.table == 0x3b && head.number > 1;
}

static int begins(const struct functions *all, uint32_t index, uint64_t *low, uint64_t *fde)
{
    int32_t pair[2];
    if (!reads(pair, all->table + 12 + 8ull * index, sizeof pair)) return 0;
    *low = all->table + (uint64_t)(int64_t)pair[0];
    *fde = all->table + (uint64_t)(int64_t)pair[1];
    return 1;
}

/* The FDE is read as if its addresses were 32-bit and relative; if the first comes out as the table says, they are. */
static int function_at(const struct functions *all, uint32_t index, struct function *found)
{
    uint64_t fde;
    struct {
        uint32_t length, cie;
        int32_t begin;
        uint32_t range;
    } entry;
    if (index >= all->count || !begins(all, index, &found->low, &fde) || !reads(&entry, fde, sizeof entry)) return 0;
    if (entry.length < 12 || entry.length >= 0xfffffff0u || fde + 8 + (uint64_t)(int64_t)entry.begin != found->low) return 0;
    found->high = found->low + entry.range;
    return 1;
}

/* Index of the function that has the address; -1: none. */
static int64_t function_with(const struct functions *all, uint64_t address)
{
    uint32_t low = 0, high = all->count;
    struct function found;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        uint64_t begin, fde;
        if (!begins(all, middle, &begin, &fde)) return -1;
        if (begin <= address)
            low = middle;
        else
            high = middle;
    }
    if (!function_at(all, low, &found) || address < found.low || address >= found.high) return -1;
    return low;
}

/* ---- what is free ------------------------------------------------------------------------------------------ */

static void set_free(struct surroundings *s, uint64_t address, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        uint64_t at = address + i - s->low;
        if (at < sizeof s->bytes) s->bytes[at] = i ? FREE : FREE | BEGINS;
    }
}

/* Whether a jump of ours is there; site: or whether a site is that jumps. */
static int is_ours(const struct st_patching *p, uint64_t address, int site)
{
    for (uint32_t a = 0; a < p->arena_count; a++)
        for (uint32_t i = 0; i < p->arenas[a].used; i++) {
            const struct st_patch_entry *entry = &p->arenas[a].entries[i];
            if (site ? entry->after - 2 == address : entry->jump == address || entry->far == address) return 1;
        }
    return 0;
}

/* A gap between functions, if it is padding to its last byte, but for jumps of ours. */
static void look_between(struct surroundings *s, uint64_t low, uint64_t high)
{
    if (low >= high || high - low > GAP || !reads(s->code, low, high - low)) return;
    memset(s->code + (high - low), 0, ST_INSTRUCTION_ROOM);
    for (int found = 0; found < 2; found++) /* first whether it is, then what of it */
        for (uint64_t at = low; at < high;) {
            uint32_t length = st_padding(s->code + (at - low), (uint32_t)(high - at));
            int ours = !length && is_ours(s->patching, at, 0);
            if (ours) length = s->code[at - low] == 0xe9 ? 5 : 2;
            if (!length) return;
            if (found && !ours) set_free(s, at, length);
            at += length;
        }
}

/* A site that is patched is no jump: its call comes back to what follows it. */
static struct st_instruction decode(const struct surroundings *s, uint64_t low, uint64_t at)
{
    struct st_instruction found = st_instruction(s->code + (at - low));
    if (s->code[at - low] == 0xeb && is_ours(s->patching, at, 1)) found.ends = found.leads = 0;
    return found;
}

/* Where its instructions lead. 0: not all of them are known. */
static int find_targets(struct surroundings *s, const struct function *function)
{
    uint64_t size = function->high - function->low;
    memset(s->targets, 0, sizeof s->targets);
    for (uint64_t at = function->low; at < function->high;) {
        struct st_instruction found = decode(s, function->low, at);
        if (!found.length || found.length > function->high - at) return 0;
        at += found.length;
        uint64_t target = at - function->low + (uint64_t)(int64_t)found.distance;
        if (found.leads && target < size) s->targets[target / 8] |= (uint8_t)(1 << target % 8);
    }
    return 1;
}

static int targeted(const struct surroundings *s, uint64_t from, uint64_t to)
{
    for (; from < to; from++)
        if (s->targets[from / 8] >> from % 8 & 1) return 1;
    return 0;
}

/* Nops from `at` on: where they end. */
static uint64_t padding_end(const struct surroundings *s, const struct function *function, uint64_t at)
{
    uint32_t length;
    while (at < function->high && !targeted(s, at - function->low, at - function->low + 1) &&
           (length = st_padding(s->code + (at - function->low), (uint32_t)(function->high - at))))
        at += length;
    return at;
}

static void look_into(struct surroundings *s, const struct function *function)
{
    uint64_t low = function->low, size = function->high - low;
    if (size > FUNCTION || !reads(s->code, low, size)) return;
    memset(s->code + size, 0, ST_INSTRUCTION_ROOM);
    if (!find_targets(s, function)) return;
    for (uint64_t at = low; at < function->high;) {
        struct st_instruction found = decode(s, low, at);
        at += found.length;
        if (!found.ends) continue;
        uint64_t end = padding_end(s, function, at);
        if (end == at) continue;
        if (end % ALIGNMENT || targeted(s, at - low, end - low)) continue;
        for (uint32_t length; at < end; at += length) {
            length = st_padding(s->code + (at - low), (uint32_t)(end - at));
            set_free(s, at, length);
        }
    }
}

/* The functions around, and what is between them. */
static int look_around(struct surroundings *s, const struct st_patch_object *object, uint64_t after)
{
    struct functions all;
    struct function here, next;
    if (!find_functions(object, &all)) return 0;
    int64_t index = function_with(&all, after - 2);
    if (index < 0) return 0;
    while (index > 0 && function_at(&all, (uint32_t)index, &here) && here.low > s->low) index--;
    for (; function_at(&all, (uint32_t)index, &here) && here.low < s->low + sizeof s->bytes; index++) {
        if (here.low < object->low || here.high > object->high) continue;
        look_into(s, &here);
        if (function_at(&all, (uint32_t)index + 1, &next) && next.low <= object->high) look_between(s, here.high, next.low);
    }
    return 1;
}

/* ---- choosing ------------------------------------------------------------------------------------------------ */

static int is_free(const struct surroundings *s, uint64_t at, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        if (!(s->bytes[at + i] & FREE)) return 0;
    return 1;
}

/* The next place from *at on (an offset) for so many bytes, within reach of a short jump that ends at `from`. */
static int next_place(const struct surroundings *s, uint64_t from, uint32_t size, uint64_t *at)
{
    for (; *at + size <= sizeof s->bytes; ++*at) {
        int64_t distance = (int64_t)(s->low + *at - from);
        if (distance < -REACH_BACK || distance > REACH_ON) continue;
        if ((s->bytes[*at] & BEGINS) && is_free(s, *at, size)) return 1;
    }
    return 0;
}

/* What is left of an instruction that a jump cuts. */
static uint32_t rest(const struct surroundings *s, uint64_t at)
{
    uint32_t length = 0;
    while (at + length < sizeof s->bytes && s->bytes[at + length] == FREE) length++;
    return length;
}

/* Room for a far jump within the site's reach, or for a short one to it. */
int st_patch_place(const struct st_patching *p, const struct st_patch_object *object, uint64_t after, struct st_patch_place *found)
{
    static struct surroundings s __attribute__((section(".bss.rare"))); /* callers hold the lock */
    uint64_t far = 0, hop = 0;
    s.patching = p;
    s.low = after - WINDOW;
    memset(s.bytes, 0, sizeof s.bytes);
    *found = (struct st_patch_place){0};
    if (!look_around(&s, object, after)) return 0;
    if (next_place(&s, after, ST_FAR_JUMP, &far)) {
        found->far = found->jump = s.low + far;
        found->far_rest = rest(&s, far + ST_FAR_JUMP);
        return 1;
    }
    for (; next_place(&s, after, ST_SHORT_JUMP, &hop); hop++) {
        uint8_t kept[ST_SHORT_JUMP] = {s.bytes[hop], s.bytes[hop + 1]};
        memset(s.bytes + hop, 0, sizeof kept);
        far = 0;
        if (next_place(&s, s.low + hop + ST_SHORT_JUMP, ST_FAR_JUMP, &far)) {
            found->jump = s.low + hop;
            found->far = s.low + far;
            found->jump_rest = rest(&s, hop + ST_SHORT_JUMP);
            found->far_rest = rest(&s, far + ST_FAR_JUMP);
            return 1;
        }
        memcpy(s.bytes + hop, kept, sizeof kept);
    }
    return 0;
}
