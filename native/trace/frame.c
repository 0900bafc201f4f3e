/* Reading a capture: what Python would be slow at. */
#include "frame.h"
#include "../module/module.h"
#include <stddef.h>

_Static_assert(offsetof(struct st_event, checksum) == 12, "the upper half of the frame's second word");

uint32_t st_event_sum(const struct st_event *event)
{
    return st_frame_sum(event);
}

static uint32_t least(uint16_t kind)
{
    return kind == ST_EVENT_ENTRY ? sizeof(struct st_entry) : kind == ST_EVENT_EXIT ? sizeof(struct st_exit) : sizeof(struct st_event);
}

uint64_t st_frames_whole(const uint8_t *bytes, uint64_t size, uint32_t *offsets, uint32_t *count, int32_t *corrupt)
{
    uint64_t at = 0;
    uint32_t room = *count;
    *count = 0;
    *corrupt = 0;
    while (*count < room && size - at >= 16) {
        const struct st_event *event = (const struct st_event *)(bytes + at);
        if (event->stamp != ST_EVENT_STAMP || event->size % 8 || event->size > ST_EVENT_MAX || event->size < sizeof *event) {
            *corrupt = 1;
            break;
        }
        if (size - at < event->size) break;
        if (event->size < least(event->kind) || st_frame_sum(event) != event->checksum) {
            *corrupt = 1;
            break;
        }
        offsets[(*count)++] = (uint32_t)at;
        at += event->size;
    }
    return at;
}
