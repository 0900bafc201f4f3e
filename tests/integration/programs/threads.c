/* Threads that come and go while a timer's signals arrive, with a lock, a condition, thread-local variables and files. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 200, AT_ONCE = 8 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long total, signals;
static __thread long own;

static void on_alarm(int signal)
{
    (void)signal;
    __atomic_add_fetch(&signals, 1, __ATOMIC_RELAXED);
}

static void *work(void *number)
{
    for (own = 0; own < 100; own++) {
        int fd = open("/dev/null", O_RDONLY);
        if (fd < 0 || close(fd)) abort();
    }
    pthread_mutex_lock(&lock);
    total += own * (long)number;
    pthread_mutex_unlock(&lock);
    return (void *)own;
}

int main(void)
{
    pthread_t threads[AT_ONCE];
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 1000}, {0, 1000}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (long n = 0; n < THREADS; n++) {
        void *result = NULL;
        if (n >= AT_ONCE && (pthread_join(threads[n % AT_ONCE], &result) || result != (void *)100)) abort();
        if (pthread_create(&threads[n % AT_ONCE], NULL, work, (void *)n)) abort();
    }
    for (int n = 0; n < AT_ONCE; n++) pthread_join(threads[n], NULL);
    while (!__atomic_load_n(&signals, __ATOMIC_RELAXED)) usleep(100);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    int code = system("exit 7");
    printf("total %ld, child %d\n", total, WEXITSTATUS(code));
    return 0;
}
