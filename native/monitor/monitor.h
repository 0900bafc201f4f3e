/* The monitor: the parent of a run. It starts the tracee with its limits and identity, watches the tree, ends all of it
 * and tells the launcher how it went. It is a process of its own so that the launcher need not be a parent with signal
 * handlers, a subreaper or a waiter.
 *
 * Descriptors: 0 1 2 the tracee's; 3 the configuration (memory file, NUL-separated key=value); 4 control (from the
 * launcher: one byte, a reason to end; at the end HEARD); 5 status (to the launcher: lines); from 10 on what the
 * configuration names. */
#ifndef MONITOR_H
#define MONITOR_H
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "guard.h"

enum { CONFIG_FD = 3, CONTROL_FD = 4, STATUS_FD = 5 };

#define HEARD 'd'

#define MAX_FDS 16
#define MAX_LIMITS 16

struct config {
    char **argv, **env;
    struct {
        int target, source;
    } fds[MAX_FDS];
    int fd_count;
    struct {
        int resource;
        struct rlimit limit;
    } limits[MAX_LIMITS];
    int limit_count;
    const char *program;   /* what is executed */
    const char *cwd;       /* working directory of the tracee */
    const char *directory; /* the private directory: measured, and removed if the launcher is gone */
    int64_t uid;           /* -1: kept */
    uint64_t capabilities; /* kept as ambient where the identity is dropped */
    int no_new_privs;
    struct st_guard guard; /* numbers of the tracee's; gate -1: nobody supervises it */
    pid_t launcher;
    int ring_fd;                                   /* -1: none; the shared ring, for the count of tasks */
    uint64_t wall_ms, cpu_ms, memory, tasks, disk; /* 0: no limit */
};

/* How a run ended, in the Result's words. */
struct outcome {
    const char *reason; /* exit signal timeout cpu memory tasks output disk cancelled launcher error */
    int status;         /* of the first process, as wait(2) gives it */
    uint64_t peak_memory, cpu_us, peak_tasks;
    const char *step; /* start failed: what, with which errno */
    int error;
    int left; /* processes that could not be ended */
};

/* What one look at the tree found. */
struct tree {
    pid_t *pids;
    int count, room;
    uint64_t tasks, memory, cpu_us, disk;
};

void read_config(struct config *config);                                               /* config.c; exits with a line on the status pipe */
pid_t start_tracee(const struct config *config, struct outcome *outcome);              /* child.c; 0 if it could not start */
void tree_find(struct tree *tree, pid_t root);                                         /* tree.c: the descendants of root */
int tree_end(struct tree *tree);                                                       /* ends them all; the number left */
void tree_measure(struct tree *tree, uint64_t memory_limit);                           /* usage.c: tasks, memory, processor time */
uint64_t tree_files(const struct tree *tree, const char *directory, uint64_t *memory); /* usage.c: bytes on disk; memory files */
void add_reaped(struct outcome *outcome);                                              /* usage.c: what the dead children used */
void remove_directory(const char *path);                                               /* usage.c */
void watch(const struct config *config, pid_t first, struct outcome *outcome);         /* watch.c */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));               /* main.c: a line to the launcher */
#endif
