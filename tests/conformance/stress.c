/* Eight threads for a number of seconds, longer on a slow machine: calls, signals, forks, vforks with exec, threads that come
 * and go, a timer over it all. Prints what was done; every figure must be right, and what the interposer counted must agree. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8, CALLS = 20000 };
extern char **environ;
static char self[4096];
static atomic_long getppids, sent, received, forked, execed, reaped, threads, alarms, wrong;
static atomic_int over;
static __thread volatile long mine; /* realtime signals that this thread has got */
static pid_t parent;

static void expect(int good, const char *what)
{
    if (good) return;
    if (wrong++ < 10) fprintf(stderr, "wrong: %s, errno %d\n", what, errno);
}

static void on_realtime(int signal, siginfo_t *info, void *context)
{
    int kept = errno;
    (void)signal, (void)context;
    mine++;
    received++;
    expect(info->si_code == SI_QUEUE && info->si_pid == getpid(), "siginfo");
    getppids++;
    expect(getppid() == parent, "getppid in a handler");
    errno = kept;
}

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static void make_calls(void)
{
    for (int n = 0; n < 40; n++) {
        getppids++;
        expect(getppid() == parent, "getppid");
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        expect(fd >= 0 && close(fd) == 0, "open and close");
        errno = 0;
        expect(open("/does/not/exist", O_RDONLY) == -1 && errno == ENOENT, "errno");
    }
}

static void send_signals(void)
{
    long before = mine;
    for (int n = 0; n < 5; n++) {
        sent++;
        expect(pthread_sigqueue(pthread_self(), SIGRTMIN + n, (union sigval){.sival_int = n}) == 0, "sigqueue");
    }
    expect(mine == before + 5, "a signal to oneself comes before the call returns");
}

static void reap(pid_t pid, int status)
{
    int got = 0;
    pid_t r;
    do r = waitpid(pid, &got, 0);
    while (r < 0 && errno == EINTR);
    expect(r == pid && WIFEXITED(got) && WEXITSTATUS(got) == status, "a child's status");
    reaped += r == pid;
}

static void make_processes(int n)
{
    char number[12];
    volatile int status = n % 100;
    forked++;
    pid_t pid = fork();
    if (!pid) _exit(status);
    if (pid < 0)
        expect(0, "fork");
    else
        reap(pid, status);
    forked++;
    execed++;
    snprintf(number, sizeof number, "%d", status);
    pid = vfork();
    if (!pid) {
        execl(self, self, "exit", number, NULL);
        _exit(200);
    }
    if (pid < 0)
        expect(0, "vfork");
    else
        reap(pid, status);
    char *argv[] = {self, "exit", number, NULL};
    forked++;
    execed++;
    expect(posix_spawn(&pid, self, NULL, NULL, argv, environ) == 0, "posix_spawn");
    reap(pid, status);
}

static void *short_life(void *argument)
{
    make_calls();
    return argument;
}

static void make_thread(void)
{
    pthread_t thread;
    void *result = NULL;
    expect(pthread_create(&thread, NULL, short_life, self) == 0 && pthread_join(thread, &result) == 0 && result == self, "a thread");
    threads++;
}

static void *work(void *argument)
{
    for (int n = (int)(long)argument; !over; n++) {
        make_calls();
        send_signals();
        make_thread();
        make_processes(n);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t workers[THREADS];
    if (argc > 2 && !strcmp(argv[1], "exit")) return atoi(argv[2]);
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (argc < 2 || length < 0) return 100;
    parent = getppid();
    struct sigaction realtime = {.sa_sigaction = on_realtime, .sa_flags = SA_SIGINFO | SA_RESTART},
                     alarm = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    for (int n = 0; n < 5; n++) sigaction(SIGRTMIN + n, &realtime, NULL);
    sigaction(SIGALRM, &alarm, NULL);
    struct itimerval fast = {{0, 2000}, {0, 2000}}, off = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &fast, NULL);
    for (long n = 0; n < THREADS; n++) pthread_create(&workers[n], NULL, work, (void *)n);
    struct timespec end, left;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += atoi(argv[1]);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, &left) == EINTR) {}
    while (getppids < CALLS) usleep(10000);
    over = 1;
    for (int n = 0; n < THREADS; n++) pthread_join(workers[n], NULL);
    setitimer(ITIMER_REAL, &off, NULL);
    printf("{\"getppid\": %ld, \"sent\": %ld, \"received\": %ld, \"forked\": %ld, \"reaped\": %ld, \"execed\": %ld, \"threads\": %ld, "
           "\"alarms\": %ld, \"wrong\": %ld}\n",
           getppids, sent, received, forked, reaped, execed, threads, alarms, wrong);
    return wrong != 0;
}
