/* Starting a program that is traced from its execve on. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"

struct plan {
    const char *path;
    char *const *argv, *const *envp;
    struct sock_fprog filter; /* length 0: none */
    int gate, report;         /* it waits for a byte from one (or our end), and writes an errno to the other */
    int other_gate;           /* our end of the gate, which it has not to keep open */
};

static void child(const struct plan *plan)
{
    char go;
    int error = 0;
    close(plan->other_gate);
    signal(SIGPIPE, SIG_DFL); /* Python ignores these two */
    signal(SIGXFSZ, SIG_DFL);
    while (read(plan->gate, &go, 1) < 0 && errno == EINTR) {}
    if (plan->filter.len) error = -st_filter_install(&plan->filter);
    if (!error) execve(plan->path, plan->argv, plan->envp);
    if (!error) error = errno;
    _exit(write(plan->report, &error, sizeof error) == sizeof error ? 1 : 126);
}

/* The child is seized and interrupted before it may go on: it is in our hands from its next instruction. */
static int take(struct st_ptrace *s, int32_t pid, const struct plan *plan, int gate)
{
    long error = st_seize(s, pid, plan->filter.len != 0);
    struct st_task *t = error ? NULL : st_task_new(s, pid);
    if (!t) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, __WALL);
        return error ? (int)error : -ENOMEM;
    }
    s->first = pid;
    s->started = 0;
    t->announced = 1;
    t->filtered = plan->filter.len != 0;
    s->filtered += t->filtered;
    ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    return write(gate, "", 1) == 1 ? 0 : -errno;
}

int32_t st_ptrace_start(struct st_ptrace *s, const char *path, char *const *argv, char *const *envp)
{
    int gate[2], report[2];
    struct plan plan = {.path = path, .argv = argv, .envp = envp};
    if (s->options.flags & ST_PTRACE_FILTER) {
        int made = st_filter_make(s, &plan.filter);
        if (made < 0) return made;
        if (!made) plan.filter = (struct sock_fprog){0};
    }
    if (pipe2(gate, O_CLOEXEC)) return -errno;
    if (pipe2(report, O_CLOEXEC)) {
        close(gate[0]);
        close(gate[1]);
        return -errno;
    }
    plan.gate = gate[0];
    plan.report = report[1];
    plan.other_gate = gate[1];
    pid_t pid = fork();
    if (!pid) child(&plan);
    int error = pid < 0 ? -errno : take(s, pid, &plan, gate[1]);
    free(plan.filter.filter);
    close(gate[0]);
    close(gate[1]);
    close(report[1]);
    s->report = report[0];
    return error ? error : pid;
}

int32_t st_ptrace_start_error(struct st_ptrace *s)
{
    int error = 0;
    if (s->report < 0) return 0;
    fcntl(s->report, F_SETFL, O_NONBLOCK);
    return read(s->report, &error, sizeof error) == sizeof error ? error : 0;
}
