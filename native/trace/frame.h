/* The checksum of a trace event's frame, for all who write or read one: no libc, so that the interposer can use it too. */
#ifndef ST_TRACE_FRAME_H
#define ST_TRACE_FRAME_H
#include "../selftrace.h"

typedef uint64_t st_word __attribute__((may_alias)); /* a structure is read as words */

/* The 64-bit words of the frame but its stamp, the checksum itself taken as 0, added up; then the upper half of the sum added
 * to the lower. A flipped bit never goes unseen: it changes the sum by a power of two, and that survives the folding. */
static inline uint32_t st_frame_sum(const struct st_event *event)
{
    const st_word *words = (const st_word *)event;
    uint64_t sum = 0;
    for (uint32_t i = 1; i < event->size / 8; i++) sum += words[i];
    sum -= (uint64_t)event->checksum << 32;
    return (uint32_t)(sum + (sum >> 32));
}
#endif
