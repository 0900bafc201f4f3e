/* A plain ptrace loop: the same frames from outside the process. */
#ifndef ST_OUTSIDE_H
#define ST_OUTSIDE_H
#include "lines.h"
/* cffi: begin */
struct st_outside_options {
    const struct st_capture *ops;
    struct st_span spans[ST_TRACE_CALLS]; /* the operations of each call */
    uint64_t trace[ST_TRACE_BITS];        /* calls that are looked at */
    uint32_t string_limit;
    int32_t follow; /* new tasks too */
    int32_t output; /* where text goes; -1: flush is called instead */
    int32_t notes;  /* where "Process N attached" goes; -1: nowhere */
    void (*flush)(struct st_lines *lines);
};
/* Starts a program and traces it to its end; with pid, what is attached to instead, until it ends or a byte can be read from
 * `stop` (-1: none). Returns its wait status, or -errno: of the start too. */
int64_t st_outside_run(const struct st_outside_options *options, struct st_lines *lines, const char *path, char *const *argv,
                       char *const *envp);
int64_t st_outside_attach(const struct st_outside_options *options, struct st_lines *lines, const int32_t *pids, uint32_t count);
/* After it, the loop detaches from everything and returns 0. Async-signal-safe. */
void st_outside_stop(void);
/* cffi: end */
#endif
