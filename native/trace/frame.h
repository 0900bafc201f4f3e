/* What writer and readers of a frame share. */
#ifndef ST_FRAME_H
#define ST_FRAME_H
#include "../selftrace.h"

/* A whole frame's checksum: of all but its first two words, and of its size. */
static inline uint32_t st_frame_sum(const struct st_event *event)
{
    const uint64_t *words = (const uint64_t *)event;
    uint64_t sum = event->size;
    for (uint32_t i = 2; i < event->size / 8; i++) sum = (sum << 7 | sum >> 57) + words[i];
    return (uint32_t)(sum ^ sum >> 32);
}
#endif
