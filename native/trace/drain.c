/* The reader's end of the event ring. What is in there was written by programs that nobody trusts, and by threads that may
 * have died in the middle of it: every frame is copied, then looked at. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../module/module.h"
#include "frame.h"

#define STALLED_NS 200000000u /* a writer that has not finished after this long is dead */

struct sample {
    uint64_t counter, ns;
};
struct st_drain {
    struct st_ring_header *ring;
    uint64_t position; /* our own count: the one in the ring is for the writers */
    uint64_t stalled_since;
    uint64_t lost;
    struct sample from, to; /* the line by which counters become times */
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Both clocks at one moment: the best of a few tries. */
static struct sample sample(void)
{
    struct sample best = {0, 0};
    uint64_t gap = ~0ull;
    for (int i = 0; i < 4; i++) {
        uint64_t before = __builtin_ia32_rdtsc(), ns = clock_ns(CLOCK_MONOTONIC), after = __builtin_ia32_rdtsc();
        if (after - before >= gap) continue;
        gap = after - before;
        best = (struct sample){before + gap / 2, ns};
    }
    return best;
}

/* Where the thread's id stands in a robust mutex that it holds. */
static uint32_t owner_word(const struct st_ring_header *ring, const pthread_mutex_t *mutex)
{
    uint32_t tid = (uint32_t)syscall(SYS_gettid), word;
    for (uint32_t at = 0; at + 4 <= sizeof *mutex; at += 4) {
        memcpy(&word, (const uint8_t *)mutex + at, 4);
        if ((word & 0x3fffffff) == tid) return (uint32_t)((const uint8_t *)mutex - (const uint8_t *)ring) + at;
    }
    return 0;
}

/* The thread that made the reader is held to be it: the kernel tells the writers when it is gone. */
static int hold_mutex(struct st_ring_header *ring)
{
    pthread_mutex_t *mutex = (pthread_mutex_t *)ring->reader_mutex;
    pthread_mutexattr_t kind;
    _Static_assert(sizeof *mutex <= sizeof ring->reader_mutex, "no room for a mutex");
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    int r = pthread_mutex_init(mutex, &kind);
    if (!r) r = pthread_mutex_lock(mutex);
    pthread_mutexattr_destroy(&kind);
    if (r) return r;
    ring->reader_word = owner_word(ring, mutex);
    return ring->reader_word ? 0 : ENOTSUP;
}

struct st_drain *st_drain_new(void *ring)
{
    struct st_drain *drain = calloc(1, sizeof *drain);
    if (!drain) return NULL;
    drain->ring = ring;
    drain->from = sample();
    int r = hold_mutex(ring);
    if (!r) return drain;
    free(drain);
    errno = r;
    return NULL;
}

struct st_drain *st_drain_local(void *ring)
{
    struct st_drain *drain = calloc(1, sizeof *drain);
    if (!drain) return NULL;
    drain->ring = ring;
    drain->from = sample();
    return drain;
}

void st_drain_forget(struct st_drain *drain)
{
    free(drain);
}

void st_drain_free(struct st_drain *drain)
{
    if (!drain) return;
    pthread_mutex_unlock((pthread_mutex_t *)drain->ring->reader_mutex);
    free(drain);
}

uint64_t st_drain_lost(const struct st_drain *drain)
{
    return drain->lost + __atomic_load_n(&drain->ring->trace_dropped, __ATOMIC_RELAXED);
}

static uint8_t *place(const struct st_drain *drain, uint64_t position)
{
    return (uint8_t *)drain->ring + drain->ring->trace_offset + (position & (drain->ring->trace_size - 1));
}

static uint64_t stamp_at(const struct st_drain *drain, uint64_t position)
{
    return __atomic_load_n((const uint64_t *)place(drain, position), __ATOMIC_ACQUIRE) - position;
}

static uint64_t ns_of(const struct st_drain *drain, uint64_t counter)
{
    if (drain->ring->trace_clock != ST_TIME_COUNTER) return counter;
    double slope = (double)(drain->to.ns - drain->from.ns) / (double)(drain->to.counter - drain->from.counter);
    return drain->from.ns + (uint64_t)(int64_t)((double)(int64_t)(counter - drain->from.counter) * slope);
}

/* Past what nobody will finish: to the next frame that is there, or to the end. */
static void pass_over(struct st_drain *drain, uint64_t end)
{
    uint64_t position = drain->position + 8;
    while (position < end && stamp_at(drain, position) != ST_EVENT_STAMP && stamp_at(drain, position) != ST_EVENT_PAD) position += 8;
    drain->position = position;
    drain->stalled_since = 0;
    drain->lost++;
}

/* A frame at the reader's position, copied to `out`. Its size; 0: it is none. */
static uint32_t take(struct st_drain *drain, uint64_t end, uint8_t *out)
{
    const struct st_event *there = (const struct st_event *)place(drain, drain->position);
    uint32_t size = __atomic_load_n(&there->size, __ATOMIC_RELAXED);
    uint64_t left = drain->ring->trace_size - (drain->position & (drain->ring->trace_size - 1));
    if (size < sizeof *there || size > ST_EVENT_MAX || size % 8 || size > left || size > end - drain->position) return 0;
    memcpy(out, there, size);
    struct st_event *event = (struct st_event *)out;
    if (event->size != size || st_frame_sum(event) != event->checksum) return 0;
    event->time = ns_of(drain, event->time);
    event->stamp = ST_EVENT_STAMP;
    event->checksum = st_frame_sum(event);
    return size;
}

/* Whether the writer of an unfinished frame has had its time. */
static int stalled(struct st_drain *drain)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (!drain->stalled_since) drain->stalled_since = now;
    return now - drain->stalled_since >= STALLED_NS;
}

/* Whole frames, in the order in which they got their room. */
uint64_t st_drain_read(struct st_drain *drain, uint8_t *out, uint64_t room)
{
    struct st_ring_header *ring = drain->ring;
    uint64_t end = __atomic_load_n(&ring->trace_reserved, __ATOMIC_ACQUIRE), used = 0;
    if (end - drain->position > ring->trace_size) return 0; /* nonsense: somebody wrote into the header */
    if (end == drain->position) return 0;
    struct sample now = sample();
    if (drain->to.counter) drain->from = drain->to;
    if (now.counter <= drain->from.counter) now.counter = drain->from.counter + 1;
    drain->to = now;
    while (drain->position < end && room - used >= ST_EVENT_MAX) {
        uint64_t stamp = stamp_at(drain, drain->position);
        if (stamp == ST_EVENT_PAD) {
            drain->position += ring->trace_size - (drain->position & (ring->trace_size - 1));
        } else if (stamp == ST_EVENT_STAMP) {
            uint32_t size = take(drain, end, out + used);
            if (!size) pass_over(drain, end);
            drain->position += size;
            used += size;
            drain->stalled_since = 0;
        } else if (stalled(drain)) {
            pass_over(drain, end);
        } else {
            break;
        }
    }
    __atomic_store_n(&ring->trace_consumed, drain->position, __ATOMIC_RELEASE);
    return used;
}
