/* A process comes under a supervisor: it says who it is, waits until it is held, and takes the outer limits on itself. In the
 * monitor's child, and in a Python that is about to run a script. */
#ifndef ST_GUARD_H
#define ST_GUARD_H
#include <stdint.h>

struct st_guard {
    int32_t gate, filter; /* a socket to the supervisor; a file of BPF instructions */
    int32_t ruleset;      /* Landlock's; -1: none */
    uint64_t own_proc;    /* its rights on /proc/self; 0: none */
};

/* Closes the descriptors. From its return on, calls are judged. 0, or an errno and what failed. */
int st_guard(const struct st_guard *guard, const char **step);
/* The process's own /proc directory, which only itself can name. 0 or an errno. */
int st_grant_own_proc(int ruleset, uint64_t access);
#endif
