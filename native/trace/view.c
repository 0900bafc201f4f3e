/* What of the program's memory a frame's chunks hold. */
#include <string.h>

#include "text.h"

struct walk {
    const uint8_t *at, *end;
    struct st_chunk head;
};

/* The next whole chunk's bytes; NULL: no more. Frames may be damaged. */
static const uint8_t *next(struct walk *w)
{
    if ((uint64_t)(w->end - w->at) < sizeof w->head) return NULL;
    memcpy(&w->head, w->at, sizeof w->head);
    const uint8_t *data = w->at + sizeof w->head;
    uint64_t padded = ((uint64_t)w->head.size + 7) & ~7ull;
    if (padded > (uint64_t)(w->end - data)) return NULL;
    w->at = data + padded;
    return data;
}

static struct walk walk_begin(const struct st_chunks *c)
{
    return (struct walk){.at = c->at, .end = c->at + c->size};
}

const uint8_t *st_see_some(const struct st_decoder *d, uint64_t address, uint64_t *size)
{
    const uint8_t *best = NULL, *data;
    uint64_t wanted = *size, most = 0;
    for (int i = d->exiting ? 0 : 1; i < 2; i++) {
        struct walk w = walk_begin(&d->chunks[i]);
        while ((data = next(&w))) {
            if (w.head.kind != ST_CHUNK_MEMORY || address < w.head.address || address - w.head.address >= w.head.size) continue;
            uint64_t skipped = address - w.head.address, got = w.head.size - skipped;
            if (got > most) {
                most = got;
                best = data + skipped;
            }
            if (most >= wanted) break;
        }
        if (most >= wanted) break;
    }
    *size = most < wanted ? most : wanted;
    return best;
}

const uint8_t *st_see(const struct st_decoder *d, uint64_t address, uint64_t size)
{
    uint64_t got = size;
    const uint8_t *at = st_see_some(d, address, &got);
    return at && got == size ? at : NULL;
}

const uint8_t *st_see_link(const struct st_decoder *d, int32_t fd, uint32_t *size)
{
    const uint8_t *data;
    for (int i = d->exiting ? 0 : 1; i < 2; i++) {
        struct walk w = walk_begin(&d->chunks[i]);
        while ((data = next(&w)))
            if (w.head.kind == ST_CHUNK_FD && (int32_t)w.head.address == fd) {
                *size = w.head.size;
                return data;
            }
    }
    return NULL;
}

const uint8_t *st_see_name(const struct st_decoder *d, int32_t tid, uint32_t *size)
{
    const uint8_t *data;
    struct walk w = walk_begin(&d->chunks[d->exiting ? 0 : 1]); /* a task may be gone by the exit */
    while ((data = next(&w)))
        if (w.head.kind == ST_CHUNK_COMM && (int32_t)w.head.address == tid) {
            *size = w.head.size;
            return data;
        }
    return NULL;
}

const uint8_t *st_see_first(const struct st_decoder *d, uint64_t *address, uint32_t *size)
{
    const uint8_t *data;
    struct walk w = walk_begin(&d->chunks[d->exiting ? 0 : 1]);
    while ((data = next(&w)))
        if (w.head.kind == ST_CHUNK_MEMORY) {
            *address = w.head.address;
            *size = w.head.size;
            return data;
        }
    return NULL;
}

uint64_t st_load(const uint8_t *at, unsigned size)
{
    switch (size) {
    case 1: return *at;
    case 2: return st_load16(at);
    case 4: return st_load32(at);
    case 0x81: return (uint64_t)(int64_t)(int8_t)*at;
    case 0x82: return (uint64_t)(int64_t)(int16_t)st_load16(at);
    case 0x84: return (uint64_t)(int64_t)(int32_t)st_load32(at);
    default: return st_load64(at);
    }
}
