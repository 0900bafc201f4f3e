/* The line writer: frames in, strace's lines out. */
#ifndef ST_LINES_H
#define ST_LINES_H
#include <stdint.h>

#include "../selftrace.h"
#include "stacks.h"
/* cffi: begin */
#define ST_TRACE_CALLS 512
#define ST_TRACE_BITS 8 /* ST_TRACE_CALLS / 64 */
enum st_hex { ST_HEX_NONE, ST_HEX_CHARS, ST_HEX_STRINGS, ST_HEX_ALL };
enum st_names { ST_NAMES_ABBREV, ST_NAMES_RAW, ST_NAMES_VERBOSE };
enum st_clock { ST_CLOCK_NONE, ST_CLOCK_TIME, ST_CLOCK_UNIX };
enum st_prefix { ST_PREFIX_NONE, ST_PREFIX_MANY, ST_PREFIX_ALWAYS }; /* [pid N] where there are several; "N " */
#define ST_DECODE_PATH 1
#define ST_DECODE_SOCKET 2
#define ST_DECODE_DEVICE 4
#define ST_DECODE_PIDFD 8
#define ST_DECODE_SIGNALFD 16
#define ST_DECODE_EVENTFD 32
#define ST_QUIET_ATTACH 1
#define ST_QUIET_EXIT 2
#define ST_QUIET_SUPERSEDED 4
#define ST_QUIET_PERSONALITY 8
#define ST_QUIET_RESUMED 16
#define ST_STATUS_SUCCESSFUL 1
#define ST_STATUS_FAILED 2
#define ST_STATUS_UNFINISHED 4
#define ST_STATUS_UNAVAILABLE 8
#define ST_STATUS_DETACHED 16
#define ST_STATUS_ALL 31
struct st_lines_options {
    uint32_t string_limit, column;
    uint8_t hex_strings, names;          /* st_hex, st_names */
    uint8_t absolute, absolute_digits;   /* st_clock; digits 0, 3, 6, 9 */
    uint8_t relative, relative_digits;   /* -r */
    uint8_t times, times_digits;         /* -T */
    uint8_t prefix, split;               /* st_prefix; split: one text for each tid (-ff) */
    uint8_t numbers, addresses, comm;    /* -n, -i, -Y */
    uint8_t arg_names;                   /* -N: by selftrace/calls' table */
    uint8_t quiet, status, decode, stap; /* ST_QUIET_*, ST_STATUS_*, ST_DECODE_*; --style=stap */
    uint64_t trace[ST_TRACE_BITS], abbrev[ST_TRACE_BITS], verbose[ST_TRACE_BITS], raw[ST_TRACE_BITS]; /* bit: sysno */
    const int32_t *read_fds, *write_fds; /* -e read=, write=; -1: all; they live as long as the writer */
    uint32_t read_count, write_count;
    uint8_t read_others, write_others; /* all but those */
    uint64_t signals[2];               /* bit: signal number */
    uint64_t start_ns;                 /* CLOCK_REALTIME - CLOCK_MONOTONIC, until a frame ST_EVENT_CLOCK says it */
    const char *const *paths;          /* -P: only calls about one of these; they live as long as the writer */
    uint32_t path_count;
    /* What the reader knows: each writes at most `size` bytes and returns how many; NULL: not asked. */
    uint32_t (*comm_of)(int32_t tid, char *to, uint32_t size);
    uint32_t stack_frames;    /* at most that many; 0: as many as there are */
    struct st_stacks *stacks; /* stacks are shown: NULL: the Python ones that the frames have, if any; it lives as long as the writer */
    /* What stands in <> for a link "socket:[N]", "anon_inode:[pidfd]", "anon_inode:[signalfd]", "anon_inode:[eventfd]": TCP:[...],
     * UNIX-STREAM:[...], pid:N, ... */
    uint32_t (*detail_of)(int32_t pid, int32_t fd, const char *link, char *to, uint32_t size);
};
struct st_lines;

/* Options with strace's defaults: everything is traced and shown. */
void st_lines_defaults(struct st_lines_options *options);
struct st_lines *st_lines_new(const struct st_lines_options *options);
void st_lines_free(struct st_lines *lines);
/* Takes whole frames, which may be damaged: what makes no sense is passed over. Returns the bytes that were used. */
uint64_t st_lines_feed(struct st_lines *lines, const uint8_t *frames, uint64_t size);
/* The text so far, to be taken with st_lines_taken; a line may be unfinished, as with strace. With `split` the next tid that
 * has any; NULL: none has. */
const uint8_t *st_lines_text(struct st_lines *lines, int32_t *tid, uint64_t *size);
void st_lines_taken(struct st_lines *lines, int32_t tid);
/* The run is over: ends a line that was not finished. detached: says so. */
void st_lines_finish(struct st_lines *lines, int32_t detached);
/* A line of the reader's own, at the beginning of a line: "strace: Process 7 attached". */
void st_lines_note(struct st_lines *lines, int32_t tid, const char *text);
/* One call's two halves as text, for reports: both NUL-terminated in static storage. */
const char *st_call_name(int32_t sysno);
/* cffi: end */
#endif
