/* `_mechanism timed FILE PATH ARGV…`, `_mechanism floor PATH ARGV…`, `_mechanism notify PATH ARGV…`. */
#include "mechanism.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int mechanism_exec(const char *path, char **argv)
{
    execv(path, argv);
    int error = errno;
    fprintf(stderr, "selftrace: %s: %s\n", path, strerror(error));
    return error == ENOENT ? 127 : 126;
}

int mechanism_end_as(int status)
{
    if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none); /* the program has left its own */
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    return 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "timed") && argc > 4) return mechanism_timed(argv[2], argv[3], argv + 4);
    if (!strcmp(what, "floor") && argc > 3) return mechanism_floor(argv[2], argv + 3);
    if (!strcmp(what, "notify") && argc > 3) return mechanism_notify(argv[2], argv + 3);
    fprintf(stderr, "usage: %s timed FILE PATH ARGV… | floor PATH ARGV… | notify PATH ARGV…\n", argv[0]);
    return 125;
}
