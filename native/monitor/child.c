/* Starting the tracee, in the order of POLICY.md: descriptors and directory, rlimits, groups and uid, capabilities,
 * dumpable, the parent's death signal (which the uid change clears), no_new_privs. Landlock and the filter follow in the
 * tracee itself. */
#include "monitor.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int failure_fd;

static void check(int64_t result, const char *step)
{
    if (result >= 0) return;
    char message[64] = {0};
    memcpy(message, &errno, sizeof errno);
    strncpy(message + sizeof errno, step, sizeof message - sizeof errno - 1);
    if (write(failure_fd, message, sizeof message) < 0) _exit(126);
    _exit(126);
}

/* The kept descriptors lie at 1000: a lower soft limit is lifted for a moment. */
static struct rlimit make_room(const struct config *config)
{
    struct rlimit limit = {0, 0}, wide;
    rlim_t needed = 0;
    for (int i = 0; i < config->fd_count; i++)
        if ((rlim_t)config->fds[i].target + 2 > needed) needed = (rlim_t)config->fds[i].target + 2;
    getrlimit(RLIMIT_NOFILE, &limit);
    wide = limit;
    if (limit.rlim_cur < needed) {
        wide.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &wide);
    }
    return limit;
}

/* Sources and targets are different numbers, so no order can overwrite one. */
static void place_descriptors(const struct config *config)
{
    int highest = 2;
    for (int i = 0; i < config->fd_count; i++) {
        check(dup2(config->fds[i].source, config->fds[i].target), "descriptors");
        if (config->fds[i].target > highest) highest = config->fds[i].target;
    }
    failure_fd = fcntl(failure_fd, F_DUPFD_CLOEXEC, highest + 1);
    check(failure_fd, "descriptors");
    for (int from = 3; from <= highest;) { /* what lies between the targets */
        int next = highest + 1;
        for (int i = 0; i < config->fd_count; i++)
            if (config->fds[i].target >= from && config->fds[i].target < next) next = config->fds[i].target;
        if (next > from) close_range((unsigned)from, (unsigned)next - 1, 0);
        from = next + 1;
    }
    close_range((unsigned)failure_fd + 1, ~0u, 0);
    for (int fd = highest + 1; fd < failure_fd; fd++) close(fd);
}

static int64_t capset(uint64_t inheritable, uint64_t rest)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    for (int i = 0; i < 2; i++) {
        uint32_t kept = (uint32_t)(rest >> (32 * i));
        data[i] = (struct __user_cap_data_struct){kept, kept, (uint32_t)(inheritable >> (32 * i))};
    }
    return syscall(SYS_capset, &header, data);
}

static void drop_identity(const struct config *config)
{
    uid_t id = (uid_t)config->uid;
    /* Before the uid goes, and with it the right to. EPERM: root without CAP_SETPCAP has nothing worth dropping from. */
    for (int capability = 0; capability < 64; capability++)
        if (!(config->capabilities >> capability & 1) && prctl(PR_CAPBSET_DROP, capability) < 0 && errno) break;
    check(prctl(PR_SET_KEEPCAPS, 1), "keepcaps");
    check(setgroups(0, NULL), "setgroups");
    check(setresgid(id, id, id), "setgid");
    check(setresuid(id, id, id), "setuid");
    check(capset(config->capabilities, config->capabilities), "capabilities");
    for (int capability = 0; capability < 64; capability++)
        if (config->capabilities >> capability & 1)
            check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), "ambient capability");
    check(prctl(PR_SET_DUMPABLE, 1), "dumpable"); /* the uid change cleared it, and /proc/self with it */
}

/* The program is executed under all that holds it: only execve has to pass. */
static void be_guarded(const struct st_guard *guard)
{
    const char *step;
    errno = st_guard(guard, &step);
    check(errno ? -1 : 0, step);
}

static _Noreturn void child(const struct config *config, pid_t monitor)
{
    sigset_t none;
    sigemptyset(&none);
    for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    struct rlimit open_files = make_room(config);
    place_descriptors(config);
    setrlimit(RLIMIT_NOFILE, &open_files);
    umask(077);
    check(chdir(config->cwd ? config->cwd : "/"), "chdir");
    if (config->uid < 0) prctl(PR_SET_DUMPABLE, 1);
    for (int i = 0; i < config->limit_count; i++)
        check(prlimit(0, (enum __rlimit_resource)config->limits[i].resource, &config->limits[i].limit, NULL), "setrlimit");
    if (config->uid >= 0) drop_identity(config);
    check(prctl(PR_SET_PDEATHSIG, SIGKILL), "pdeathsig");
    if (getppid() != monitor) _exit(126);
    if (config->no_new_privs) check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    if (config->guard.gate >= 0) be_guarded(&config->guard);
    execve(config->program, config->argv, config->env);
    check(-1, "execve");
    _exit(126);
}

pid_t start_tracee(const struct config *config, struct outcome *outcome)
{
    static char message[64];
    int ends[2];
    pid_t monitor = getpid();
    outcome->step = "pipe";
    if (pipe2(ends, O_CLOEXEC) < 0) {
        outcome->error = errno;
        return 0;
    }
    pid_t pid = fork();
    if (!pid) {
        failure_fd = ends[1];
        child(config, monitor);
    }
    outcome->step = "fork";
    outcome->error = errno;
    close(ends[1]);
    ssize_t length = pid > 0 ? read(ends[0], message, sizeof message) : 0;
    close(ends[0]);
    if (pid < 0) return 0;
    if (!length) return pid;
    memcpy(&outcome->error, message, sizeof outcome->error);
    outcome->step = message + sizeof outcome->error;
    waitpid(pid, NULL, 0);
    return 0;
}
