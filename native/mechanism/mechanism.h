/* What `selftrace compare` starts programs through: each mechanism in its plainest form, in C. */
#ifndef ST_MECHANISM_H
#define ST_MECHANISM_H

/* All take the program's path and its argv, run it in the caller's place or below it, and end as it ends. */

/* Writes "nanoseconds microseconds\n" to the file: the program's own time from fork to end, and its processor time. */
int mechanism_timed(const char *file, const char *path, char **argv);
/* A seccomp filter that looks at the call's number and allows it. Returns only if the program cannot be started. */
int mechanism_floor(const char *path, char **argv);
/* Every call of the program and its children is asked of a supervisor, which lets it continue. */
int mechanism_notify(const char *path, char **argv);

/* Installs a filter that answers every call with `action`; the descriptor that the flags ask for, or 0. Ends the process
 * where the kernel refuses. */
int mechanism_filter(unsigned action, unsigned flags);
/* Replaces the process; says why where that fails, and returns the shell's status for it. */
int mechanism_exec(const char *path, char **argv);
/* Ends this process as another has ended. */
int mechanism_end_as(int status);

#endif
