/* A process to be injected into: threads that poll, sleep, fork and block, under a timer's signals, until it is told to stop by a
 * byte on its standard input. Prints what went wrong: calls that failed, waits that were interrupted. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int over;
static volatile long signals, sent;
static long wrong, interrupted, forks;
static int never[2], last[2];
static char stack[65536];

static void on_alarm(int number)
{
    (void)number;
    signals++;
}

static void on_user(int number)
{
    (void)number;
    sent++;
}

static void *polls(void *unused)
{
    struct pollfd wait = {never[0], POLLIN, 0};
    while (!over) {
        int r = poll(&wait, 1, 30);
        if (r < 0 && errno == EINTR)
            interrupted++;
        else if (r)
            wrong++;
    }
    return unused;
}

static void *sleeps(void *unused)
{
    while (!over) {
        struct timespec some = {0, 20000000};
        if (nanosleep(&some, NULL)) interrupted++;
    }
    return unused;
}

static void *forks_on(void *unused)
{
    while (!over) {
        int status;
        pid_t child = fork();
        if (!child) _exit(getppid() > 0 ? 7 : 1);
        if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 7) wrong++;
        forks++;
        usleep(2000);
    }
    return unused;
}

static void *blocks(void *unused)
{
    char byte = 0;
    if (read(last[0], &byte, 1) != 1 || byte != 'x') wrong++;
    return unused;
}

/* Each signal that it sends to itself is handled before the call returns. */
static void *signals_itself(void *unused)
{
    sigset_t open;
    sigemptyset(&open);
    sigaddset(&open, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &open, NULL);
    for (long n = 1; !over; n++) {
        pthread_kill(pthread_self(), SIGUSR1);
        if (sent != n) wrong++;
        usleep(500);
    }
    return unused;
}

int main(void)
{
    void *(*const work[])(void *) = {polls, sleeps, forks_on, blocks, signals_itself};
    const int count = sizeof work / sizeof *work;
    pthread_t threads[sizeof work / sizeof *work];
    struct itimerval often = {{0, 3000}, {0, 3000}}, off = {{0, 0}, {0, 0}};
    struct sigaction alarm_action = {.sa_handler = on_alarm, .sa_flags = SA_ONSTACK | SA_RESTART}, user = {.sa_handler = on_user};
    struct sigaction read_back;
    stack_t ours = {.ss_sp = stack, .ss_size = sizeof stack}, now;
    sigset_t main_only;
    if (pipe(never) || pipe(last)) return 2;
    sigemptyset(&main_only);
    sigaddset(&main_only, SIGALRM);
    sigaddset(&main_only, SIGUSR1);
    sigaction(SIGUSR1, &user, NULL);
    pthread_sigmask(SIG_BLOCK, &main_only, NULL);
    for (int i = 0; i < count; i++) pthread_create(&threads[i], NULL, work[i], NULL);
    sigdelset(&main_only, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &main_only, NULL);
    sigaltstack(&ours, NULL);
    sigaction(SIGALRM, &alarm_action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    puts("ready");
    fflush(stdout);
    struct pollfd told = {0, POLLIN, 0};
    while (poll(&told, 1, 0) < 1) {
        FILE *file = fopen("/proc/self/comm", "re");
        if (!file)
            wrong++;
        else
            fclose(file);
    }
    setitimer(ITIMER_REAL, &off, NULL);
    over = 1;
    if (write(last[1], "x", 1) != 1) wrong++;
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    sigaltstack(NULL, &now);
    sigaction(SIGALRM, NULL, &read_back);
    if (now.ss_sp != stack || read_back.sa_handler != on_alarm || !(read_back.sa_flags & SA_ONSTACK)) wrong++;
    printf("wrong %ld interrupted %ld some %d\n", wrong, interrupted, signals > 3 && forks > 3 && sent > 3);
    return 0;
}
