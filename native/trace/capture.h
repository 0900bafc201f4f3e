/* Reads what a call's arguments point at into the chunks of a frame. Freestanding: the interposer compiles the same source. */
#ifndef ST_CAPTURE_H
#define ST_CAPTURE_H
#include <stdint.h>

#include "../selftrace.h"

/* Runs the operations that are due and writes their chunks to `out`, which is aligned to 8 and has `room` bytes.
 * result: on entry the program's stack pointer (rt_sigreturn's frame lies there), on exit the call's result.
 * when: ST_CAPTURE_ENTRY, or ST_CAPTURE_EXIT, which becomes ST_CAPTURE_FAILED by `result`. string_limit: bytes of a buffer
 * (-s). ST_EVENT_CUT is added to *flags if something did not fit. Returns the bytes written, a multiple of 8. */
uint32_t st_capture_all(const struct st_capture *ops, uint32_t count, const uint64_t args[6], int64_t result, uint32_t when,
                        uint32_t string_limit, uint8_t *out, uint32_t room, uint16_t *flags);

/* What it reads through; by whoever compiles it. None may fail otherwise than by returning 0. */
/* The bytes read, fewer than `size` where the memory ends (at a page's edge). */
uint32_t st_capture_read(uint8_t *to, uint64_t from, uint32_t size);
/* The same up to a NUL, which counts. */
uint32_t st_capture_string(uint8_t *to, uint64_t from, uint32_t most);
/* The length of the link /proc/self/fd/N of the tracee's, no NUL; AT_FDCWD (-100): /proc/self/cwd. */
uint32_t st_capture_link(int32_t fd, uint8_t *to, uint32_t most);
/* The name of a task (0: the one that makes the call), no NUL; 0: there is none of that number. */
uint32_t st_capture_comm(int32_t tid, uint8_t *to, uint32_t most);
#endif
