/* Threads, memory and signals under a sanitizer; the argument names the mistake that it is to find. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int counter;
static long total;

static void *race(void *argument)
{
    for (int n = 0; n < 1000; n++) counter++;
    return argument;
}

static void *add(void *argument)
{
    for (int n = 0; n < 1000; n++) __atomic_fetch_add(&total, 1, __ATOMIC_SEQ_CST);
    return argument;
}

static void together(void *(*body)(void *))
{
    pthread_t threads[4];
    for (int n = 0; n < 4; n++) pthread_create(&threads[n], NULL, body, NULL);
    for (int n = 0; n < 4; n++) pthread_join(threads[n], NULL);
}

/* In a thread of its own: its stack, where the pointer was, is nobody's any more. */
static void *leak(void *argument)
{
    static char *volatile last;
    last = malloc(20);
    return last ? (last = NULL, argument) : NULL;
}

static volatile int caught;

static void on_signal(int signal)
{
    caught = signal;
}

int main(int argc, char **argv)
{
    const char *mistake = argc > 1 ? argv[1] : "none";
    char *memory = malloc(10);
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    together(add);
    memset(memory, 1, 10);
    if (!strcmp(mistake, "overflow")) ((volatile char *)memory)[10] = memory[9];
    if (!strcmp(mistake, "race")) together(race);
    if (!strcmp(mistake, "leak")) together(leak);
    if (!strcmp(mistake, "shift")) total <<= argc + 62;
    pid_t pid = fork();
    if (!pid) _exit(3);
    int status;
    waitpid(pid, &status, 0);
    printf("%ld %d %d\n", total, (int)caught, WEXITSTATUS(status));
    free(memory);
    return 0;
}
