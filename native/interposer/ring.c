/* Reports to the launcher: a shared ring with many writers. A full ring drops and counts; nobody waits. */
#include "core.h"

static struct st_ring_record *reserve(struct st_ring_header *ring, uint64_t *number)
{
    uint64_t n = __atomic_load_n(&ring->reserved, __ATOMIC_RELAXED);
    uint32_t waits = st_state.plan->flags & ST_PLAN_AUDIT ? 100 : 0; /* who only looks wants to see all: waits for the reader */
    do {
        while (n - __atomic_load_n(&ring->consumed, __ATOMIC_ACQUIRE) >= ST_RING_SLOTS && waits) {
            int64_t millisecond[2] = {0, 1000000};
            ST_SYS(__NR_nanosleep, millisecond, 0);
            n = __atomic_load_n(&ring->reserved, __ATOMIC_RELAXED);
            waits--;
        }
        if (n - __atomic_load_n(&ring->consumed, __ATOMIC_ACQUIRE) >= ST_RING_SLOTS) {
            __atomic_fetch_add(&ring->dropped, 1, __ATOMIC_RELAXED);
            return NULL;
        }
    } while (!__atomic_compare_exchange_n(&ring->reserved, &n, n + 1, 1, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    *number = n;
    return (struct st_ring_record *)((uint8_t *)ring + ST_RING_OFFSET) + n % ST_RING_SLOTS;
}

static uint16_t put_text(struct st_ring_record *record, uint32_t *used, const uint8_t *text, uint32_t length)
{
    uint32_t room = ST_RECORD_TEXT - *used;
    if (length > room) {
        length = room;
        record->flags |= ST_FLAG_TRUNCATED;
    }
    memcpy(record->text + *used, text, length);
    *used += length;
    return (uint16_t)length;
}

static uint32_t checksum(const struct st_ring_record *record)
{
    const uint32_t *words = (const uint32_t *)record;
    uint32_t sum = 0;
    for (uint32_t i = 2; i < ST_RECORD_SIZE / 4; i++)
        if (i != offsetof(struct st_ring_record, checksum) / 4) sum += words[i];
    return sum;
}

/* The path as it was given. A refused one as it was resolved, where only a descriptor or the directory says what it is
 * relative to. */
static uint16_t put_path(struct st_ring_record *record, uint32_t *used, const struct st_call *call, int which)
{
    int relative = call->path_length[which] <= 0 || call->path[which][0] != '/';
    if (relative && record->kind != ST_RECORD_USE && call->resolved_length[which] > 0)
        return put_text(record, used, call->resolved[which], (uint32_t)call->resolved_length[which]);
    if (call->path_length[which] <= 0) return 0;
    return put_text(record, used, call->path[which], (uint32_t)call->path_length[which]);
}

void st_report(struct st_call *call, uint32_t kind, uint32_t row, int64_t result, const uint8_t *note, uint32_t length)
{
    struct st_ring_header *ring = st_state.ring;
    uint64_t number;
    uint32_t used = 0, foreign = 0;
    struct st_ring_record *record = ring ? reserve(ring, &number) : NULL;
    if (!record) return;
    memset((uint8_t *)record + 8, 0, offsetof(struct st_ring_record, text) - 8);
    int64_t now[2] = {0, 0};
    ST_SYS(__NR_clock_gettime, 1 /* CLOCK_MONOTONIC */, now);
    record->time_ns = (uint64_t)now[0] * 1000000000ull + (uint64_t)now[1];
    record->kind = kind;
    record->pid = st_state.pid;
    record->tid = call->tid;
    record->sysno = call->sysno;
    record->row = row;
    record->result = (int32_t)result;
    if (st_state.plan->flags & ST_PLAN_AUDIT) record->flags |= ST_FLAG_AUDIT;
    memcpy(record->args, call->args, sizeof record->args);
    if (call->address_length > 0) {
        record->address_length = (uint16_t)(call->address_length > 112 ? 112 : call->address_length);
        memcpy(record->address, call->address, record->address_length);
    }
    record->path_length = put_path(record, &used, call, 0);
    record->path2_length = put_path(record, &used, call, 1);
    if (st_state.stack && kind != ST_RECORD_USE && used < ST_RECORD_TEXT) {
        uint32_t n = st_state.stack(record->text + used, ST_RECORD_TEXT - used, &foreign);
        record->stack_length = (uint16_t)n;
        used += n;
        if (foreign) record->flags |= ST_FLAG_FOREIGN;
    }
    if (note) record->note_length = put_text(record, &used, note, length);
    memset(record->text + used, 0, ST_RECORD_TEXT - used);
    record->checksum = checksum(record);
    __atomic_store_n(&record->commit, number + 1, __ATOMIC_RELEASE);
}

static uint64_t hash_more(uint64_t hash, const void *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3ull;
    return hash;
}

/* Whether nobody in the run has said this yet: a table of hashes remembers. Where it is full, it is taken for said; under
 * audit, for new, and remembered instead of another: calls on one path mostly follow each other. */
static int first_time(struct st_ring_header *ring, uint64_t hash)
{
    hash |= 1;
    for (uint32_t probe = 0; probe < 8; probe++) {
        uint64_t *slot = &ring->seen[((hash >> 20) + probe) % 2048], held = __atomic_load_n(slot, __ATOMIC_RELAXED);
        if (!held && __atomic_compare_exchange_n(slot, &held, hash, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return 1;
        if (held == hash) return 0;
    }
    if (!(st_state.plan->flags & ST_PLAN_AUDIT)) return 0;
    __atomic_store_n(&ring->seen[((hash >> 20) + (hash >> 8) % 8) % 2048], hash, __ATOMIC_RELAXED);
    return 1;
}

#define HASH_START 0xcbf29ce484222325ull

/* The first use of a path or an address is reported, later ones are not. The note is the path as it was resolved. */
void st_used(struct st_call *call, uint32_t row, const void *key, uint32_t length)
{
    struct st_ring_header *ring = st_state.ring;
    if (!ring || !first_time(ring, hash_more(HASH_START ^ call->grants[0], key, length))) return;
    st_report(call, ST_RECORD_USE, row, (int64_t)call->grants[0], call->address_length > 0 ? NULL : key, length);
}

/* A sentence of our own about a call's path, once for each path. */
void st_report_once(struct st_call *call, const uint8_t *text, uint32_t length)
{
    struct st_ring_header *ring = st_state.ring;
    uint32_t path_length = call->path_length[0] > 0 ? (uint32_t)call->path_length[0] : 0;
    if (!ring || !first_time(ring, hash_more(hash_more(HASH_START, text, length), call->path[0], path_length))) return;
    st_report(call, ST_RECORD_NOTE, 0, 0, text, length);
}
