/* Sites whose calls need not arrive. Under user dispatch: what the blob (interposer/patch.c) and the module (module/patch.c)
 * share. It lies in the module's memory, because a thread may be in an arena while the blob is unmapped. Under the loader
 * the blob is there for good and has its own (interposer/objects.c). */
#ifndef ST_PATCHING_H
#define ST_PATCHING_H
#include <stdint.h>

#include "selftrace.h"

#define ST_PATCH_OBJECTS 1024
#define ST_PATCH_ARENAS 4
#define ST_PATCH_ENTRIES 512 /* of an arena: sites */
#define ST_PATCH_ENTRY 96    /* bytes of code for each; module/patch_entry.S */
#define ST_PATCH_OWN 20      /* where in it the entry's own `syscall` is */
#define ST_PATCH_SAMPLE 1024 /* bytes from an object's first on, by which it is known again */
#define ST_PATCH_NUMBERS 65536
#define ST_PATCH_CODE_BYTES (ST_PATCH_ENTRIES * ST_PATCH_ENTRY)
#define ST_PATCH_ARENA_BYTES (ST_PATCH_CODE_BYTES + ST_PATCH_ENTRIES * sizeof(struct st_patch_entry))
#define ST_PATCH_REACH 0x7ff00000ull /* of a near jump, less an arena and the page of a gap */
#define ST_PATCH_STEP 0x100000ull    /* between two tries for memory near an object */
#define ST_PATCH_TRIES 64
#define ST_PATCH_PATIENCE 8  /* arrivals: to patch a site costs about as much as that many */
#define ST_PATCH_AT_FIRST 64 /* ... as long as no file is known: to find one and make an arena costs as much as that many */

/* A file that is mapped: its executable segment, and its table of functions (.eh_frame_hdr). */
struct st_patch_object {
    uint64_t base, low, high, frames;
    uint64_t sum;
    uint32_t arena; /* one within reach of a jump, or ST_PATCH_ARENAS */
    uint32_t pad;
};

/* A site that is, or was, patched: it jumps to `jump`, in padding, from where a jump leads to the entry's code. */
struct st_patch_entry {
    uint64_t after;     /* the site: the address after its `syscall` */
    uint64_t stub;      /* its stub in the gate, while a blob is mapped */
    uint64_t traced;    /* where a call goes that is recorded: st_shortcut */
    uint64_t jump, far; /* the same, or the first is a short jump to the second */
    uint32_t patched, pad;
};

#define ST_FAR_JUMP 5
#define ST_SHORT_JUMP 2

/* Room for its jumps, and how many bytes behind each were part of an instruction that it cuts. */
struct st_patch_place {
    uint64_t jump, far;
    uint32_t jump_rest, far_rest;
};

struct st_patch_arena {
    uint64_t code;
    struct st_patch_entry *entries;
    uint32_t used, pad;
};

/* What becomes of a call at a patched site. */
enum { ST_ARRIVES, ST_QUIET, ST_RECORDED };

struct st_patching {
    uint8_t ways[ST_PATCH_NUMBERS]; /* by number; read by the entries' code */
    uint32_t lock;
    uint32_t off;      /* nothing is patched, and all arrives, until the blob is mapped anew */
    uint32_t open;     /* 1 + index of the object whose text is writable just now */
    uint32_t patience; /* so often a site's calls arrive before it is patched */
    int32_t refused;   /* the errno that a kernel gave which lets no text be changed */
    uint32_t results[ST_PATCH_RESULTS];
    uint32_t object_count, arena_count;
    struct st_patch_object objects[ST_PATCH_OBJECTS];
    struct st_patch_arena arenas[ST_PATCH_ARENAS];
};

/* ---- making an arena --------------------------------------------------------------------------------------- */

static inline int st_patch_near(uint64_t address, const struct st_patch_object *object)
{
    uint64_t low = address < object->low ? address : object->low, high = address + ST_PATCH_ARENA_BYTES;
    return (high > object->high ? high : object->high) - low < ST_PATCH_REACH;
}

/* A value into an entry's code, before what is at `end` in the code that it was copied from. */
static inline void st_patch_put(uint8_t *code, const uint8_t *from, const uint8_t *end, const void *value, uint32_t size)
{
    const uint8_t *bytes = (const uint8_t *)value;
    for (uint32_t i = 0; i < size; i++) code[(end - from) - size + i] = bytes[i];
}

static inline void st_patch_put_distance(uint8_t *code, const uint8_t *from, const uint8_t *end, const void *to)
{
    int32_t distance = (int32_t)((const uint8_t *)to - (code + (end - from)));
    st_patch_put(code, from, end, &distance, sizeof distance);
}

/* Of an object's first bytes (a buffer of ST_PATCH_SAMPLE) and of its table's head. */
static inline uint64_t st_patch_sum(const uint64_t *sample, const uint64_t head[4])
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < ST_PATCH_SAMPLE / 8; i++) sum = (sum ^ sample[i]) * 0x9e3779b97f4a7c15ull;
    for (uint32_t i = 0; i < 4; i++) sum = (sum ^ head[i]) * 0x9e3779b97f4a7c15ull;
    return sum;
}
#endif
