/* The monitor's life: read, start, watch, end, report. */
#include "monitor.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void say(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0) return;
    if ((size_t)length > sizeof line - 2) length = sizeof line - 2;
    line[length++] = '\n';
    if (write(STATUS_FD, line, (size_t)length) < 0) return; /* nobody listens any more: watch() notices */
}

/* The tracee must not see, and the monitor must not keep, what the launcher happened to leave open. */
static void close_others(const struct config *config)
{
    unsigned highest = STATUS_FD;
    for (int i = 0; i < config->fd_count; i++)
        if (config->fds[i].source > (int)highest) highest = (unsigned)config->fds[i].source;
    if (config->ring_fd > (int)highest) highest = (unsigned)config->ring_fd;
    close_range(highest + 1, ~0u, 0);
    close(CONFIG_FD);
}

static void release(const struct config *config)
{
    for (int i = 0; i < config->fd_count; i++) close(config->fds[i].source);
    for (int fd = 0; fd < 3; fd++) close(fd); /* the launcher sees the end of the output when the tree's last copy is gone */
}

static void report(const struct outcome *outcome)
{
    int code = WIFEXITED(outcome->status) ? WEXITSTATUS(outcome->status) : -1;
    int signal = WIFSIGNALED(outcome->status) ? WTERMSIG(outcome->status) : 0;
    say("end reason=%s code=%d signal=%d peak=%llu cpu_us=%llu tasks=%llu left=%d", outcome->reason, code, signal,
        (unsigned long long)outcome->peak_memory, (unsigned long long)outcome->cpu_us, (unsigned long long)outcome->peak_tasks,
        outcome->left);
}

/* Whether the launcher has heard how it went, and removes the directory itself; or is gone, which may be why the run ended. */
static int launcher_heard(pid_t launcher)
{
    struct pollfd fds[2] = {{CONTROL_FD, POLLIN, 0}, {(int)syscall(SYS_pidfd_open, launcher, 0), POLLIN, 0}};
    char byte = 0;
    if (getppid() != launcher) return 0;
    for (;;) {
        if (poll(fds, 2, -1) < 0) continue;
        if (!fds[0].revents || read(CONTROL_FD, &byte, 1) != 1) return 0;
        if (byte == HEARD) return 1; /* and not what was asked of the run too late */
    }
}

static int run(const struct config *config)
{
    struct outcome outcome = {.reason = "error"};
    struct tree tree = {0};
    pid_t first = start_tracee(config, &outcome);
    release(config);
    if (first <= 0) {
        say("failed step=%s errno=%d", outcome.step, outcome.error);
        return 1;
    }
    say("started pid=%d", first);
    watch(config, first, &outcome);
    outcome.left = tree_end(&tree);
    add_reaped(&outcome);
    report(&outcome);
    return 0;
}

int main(void)
{
    struct config config;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    read_config(&config);
    close_others(&config);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* whoever leaves its parent stays below us */
    prctl(PR_SET_DUMPABLE, 0);        /* the same user's programs do not trace us */
    int failed = run(&config);
    close(STATUS_FD);
    if (config.directory && !launcher_heard(config.launcher)) remove_directory(config.directory);
    return failed;
}
