/* The stopwatch. It runs inside the mechanism that is measured, so that a tracer's own start is no part of the program's time. */
#include "mechanism.h"
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t us(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

int mechanism_timed(const char *file, const char *path, char **argv)
{
    int status;
    struct rusage used;
    uint64_t start = now_ns();
    pid_t pid = vfork();
    if (!pid) _exit(mechanism_exec(path, argv));
    signal(SIGINT, SIG_IGN); /* what a terminal sends is the program's business */
    signal(SIGQUIT, SIG_IGN);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return 125;
    uint64_t elapsed = now_ns() - start;
    getrusage(RUSAGE_CHILDREN, &used);
    FILE *out = fopen(file, "we");
    if (out) {
        fprintf(out, "%llu %llu\n", (unsigned long long)elapsed, (unsigned long long)(us(used.ru_utime) + us(used.ru_stime)));
        fclose(out);
    }
    return mechanism_end_as(status);
}
