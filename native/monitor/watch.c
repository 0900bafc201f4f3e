/* Watching a run until its first process ends, a limit is passed, or the launcher says stop or is gone. */
#include "monitor.h"
#include "selftrace.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 20, TICKS_PER_FILES = 10, TICK_DEAR = 50 /* a look may take 1/50 of the time */ };

static uint64_t clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t now_ms(void)
{
    return clock_us(CLOCK_MONOTONIC) / 1000;
}

static struct st_ring_header *map_ring(int fd)
{
    if (fd < 0) return NULL;
    void *ring = mmap(NULL, sizeof(struct st_ring_header), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return ring == MAP_FAILED ? NULL : ring;
}

/* Reaps what is dead; 1 if the first process is among it. */
static int reap(pid_t first, int *status)
{
    int found = 0, ended;
    for (pid_t pid; (pid = waitpid(-1, &ended, WNOHANG | __WALL)) > 0;)
        if (pid == first) {
            *status = ended;
            found = 1;
        }
    return found;
}

/* The tracees count on from what was counted here; unless they did so meanwhile, for then it is not known what was counted. */
static void tell_tasks(struct st_ring_header *ring, int32_t before, int32_t tasks)
{
    if (!ring) return;
    __atomic_compare_exchange_n(&ring->tasks, &before, tasks, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    __atomic_add_fetch(&ring->looks, 1, __ATOMIC_RELEASE);
}

/* Returns the reason to end, or NULL. */
static const char *look(const struct config *config, struct tree *tree, struct outcome *outcome, struct st_ring_header *ring, int files)
{
    static uint64_t memory_files, disk;
    int32_t before = ring ? __atomic_load_n(&ring->tasks, __ATOMIC_ACQUIRE) : 0;
    tree_find(tree, getpid());
    tree_measure(tree, config->memory);
    tell_tasks(ring, before, (int32_t)tree->tasks);
    if (files) disk = tree_files(tree, config->disk ? config->directory : NULL, &memory_files);
    uint64_t memory = tree->memory + memory_files;
    if (memory > outcome->peak_memory) outcome->peak_memory = memory;
    if (tree->cpu_us > outcome->cpu_us) outcome->cpu_us = tree->cpu_us;
    if (tree->tasks > outcome->peak_tasks) outcome->peak_tasks = tree->tasks;
    if (config->memory && memory > config->memory) return "memory";
    if (config->cpu_ms && tree->cpu_us / 1000 >= config->cpu_ms) return "cpu";
    if (config->tasks && tree->tasks > config->tasks) return "tasks";
    if (config->disk && disk > config->disk) return "disk";
    return NULL;
}

static const char *asked(char byte)
{
    switch (byte) {
    case 'o': return "output";
    case 'v': return "violation";
    default: return "cancelled";
    }
}

/* The reason that a wake-up brings, or NULL. The launcher closes its end only by dying or by leaving the run behind. */
static const char *woken(struct pollfd *fds)
{
    struct signalfd_siginfo info;
    char byte;
    if (fds[0].revents && read(fds[0].fd, &info, sizeof info) > 0 && info.ssi_signo != SIGCHLD) return "cancelled";
    if (fds[1].revents) return read(CONTROL_FD, &byte, 1) == 1 ? asked(byte) : "launcher";
    if (fds[2].revents) return "launcher";
    return NULL;
}

static int signals_fd(void)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGHUP);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    return signalfd(-1, &wanted, SFD_CLOEXEC);
}

/* The end of the first process, in a Result's words: a limit that the kernel enforced is told apart from a signal. */
static const char *how_it_ended(const struct config *config, struct tree *tree, const struct outcome *outcome)
{
    uint64_t memory;
    if (config->disk && tree_files(tree, config->directory, &memory) > config->disk) return "disk";
    if (!WIFSIGNALED(outcome->status)) return "exit";
    int signal = WTERMSIG(outcome->status);
    if (signal == SIGXCPU || (signal == SIGKILL && config->cpu_ms && outcome->cpu_us / 1000 + 50 >= config->cpu_ms)) return "cpu";
    return signal == SIGXFSZ ? "disk" : "signal";
}

/* The next look: a tick from now, later where looking is dear. That it had to wait for the processor makes it not dearer. */
static uint64_t next_look(uint64_t spent_us)
{
    uint64_t pause = spent_us * TICK_DEAR / 1000;
    return now_ms() + (pause > TICK_MS ? pause : TICK_MS);
}

void watch(const struct config *config, pid_t first, struct outcome *outcome)
{
    struct tree tree = {0};
    struct st_ring_header *ring = map_ring(config->ring_fd);
    struct pollfd fds[3] = {
        {signals_fd(), POLLIN, 0}, {CONTROL_FD, POLLIN, 0}, {(int)syscall(SYS_pidfd_open, config->launcher, 0), POLLIN, 0}};
    uint64_t end = config->wall_ms ? now_ms() + config->wall_ms : ~0ull, due = now_ms() + TICK_MS;
    const char *reason = getppid() == config->launcher ? NULL : "launcher";
    for (int ticks = 1; !reason;) {
        uint64_t now = now_ms();
        if (reap(first, &outcome->status)) {
            add_reaped(outcome);
            outcome->reason = how_it_ended(config, &tree, outcome);
            return;
        }
        if (now >= end) {
            reason = "timeout";
        } else if (now >= due) {
            uint64_t before = clock_us(CLOCK_PROCESS_CPUTIME_ID);
            reason = look(config, &tree, outcome, ring, ticks++ % TICKS_PER_FILES == 0);
            due = next_look(clock_us(CLOCK_PROCESS_CPUTIME_ID) - before);
        } else {
            uint64_t until = due < end ? due : end;
            if (poll(fds, 3, (int)(until - now)) > 0) reason = woken(fds);
        }
    }
    outcome->reason = reason;
    kill(first, SIGKILL);
    while (waitpid(first, &outcome->status, __WALL) < 0 && errno == EINTR) continue;
}
