/* Counts calls as strace -c does: how many, how many failed, how long they took. */
#include <stdlib.h>
#include <string.h>

#include "../module/module.h"
#include "frame.h"

#define SLOTS 65536u /* threads with a call under way; a power of two */
#define FINE 4       /* bits of a duration that are kept besides its highest */

struct begun {
    int32_t tid, sysno;
    uint64_t time;
};
struct st_counts {
    struct st_count *calls[ST_NR_MAX];
    struct begun begun[SLOTS];
};

struct st_counts *st_counts_new(void)
{
    return calloc(1, sizeof(struct st_counts));
}

void st_counts_free(struct st_counts *counts)
{
    for (uint32_t i = 0; counts && i < ST_NR_MAX; i++) free(counts->calls[i]);
    free(counts);
}

const struct st_count *st_counts_of(const struct st_counts *counts, uint32_t sysno)
{
    return sysno < ST_NR_MAX ? counts->calls[sysno] : NULL;
}

/* The slot of a thread; a free one if it has none; NULL: more threads than slots are under way. */
static struct begun *slot_of(struct st_counts *counts, int32_t tid)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct begun *slot = &counts->begun[((uint32_t)tid + i) % SLOTS];
        if (slot->tid == tid || !slot->tid) return slot;
    }
    return NULL;
}

static uint32_t bucket_of(uint64_t ns)
{
    int shift = ns ? 63 - __builtin_clzll(ns) - FINE : 0;
    return shift <= 0 ? (uint32_t)ns : ((uint32_t)shift << FINE) + (uint32_t)(ns >> shift);
}

static void count(struct st_counts *counts, uint32_t sysno, int64_t result, uint64_t ns)
{
    if (sysno >= ST_NR_MAX) return;
    struct st_count *one = counts->calls[sysno];
    if (!one) one = counts->calls[sysno] = calloc(1, sizeof *one);
    if (!one) return;
    if (!one->calls || ns < one->shortest_ns) one->shortest_ns = ns;
    if (ns > one->longest_ns) one->longest_ns = ns;
    one->calls++;
    one->errors += result < 0 && result > -4096;
    one->total_ns += ns;
    one->buckets[bucket_of(ns)]++;
}

static void feed(struct st_counts *counts, const struct st_event *event)
{
    if ((event->kind != ST_EVENT_ENTRY && event->kind != ST_EVENT_EXIT) || (event->flags & ST_EVENT_UNSHOWN)) return;
    struct begun *slot = slot_of(counts, event->tid);
    if (!slot) return;
    if (event->kind == ST_EVENT_ENTRY) {
        *slot = (struct begun){event->tid, event->sysno, event->time};
        return;
    }
    if (slot->tid != event->tid || slot->sysno < 0) return;
    if (!(event->flags & (ST_EVENT_RESTART | ST_EVENT_CANCELLED)))
        count(counts, (uint32_t)slot->sysno, ((const struct st_exit *)event)->result, event->time - slot->time);
    slot->sysno = -1;
}

void st_counts_feed(struct st_counts *counts, const uint8_t *frames, uint64_t size)
{
    while (size >= sizeof(struct st_event)) {
        const struct st_event *event = (const struct st_event *)frames;
        if (event->size < sizeof(struct st_exit) - 8 || event->size > size) return;
        feed(counts, event);
        frames += event->size;
        size -= event->size;
    }
}
