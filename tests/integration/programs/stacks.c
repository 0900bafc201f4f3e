/* Calls from places that are known by name: nested functions, threads, signal handlers on both stacks. */
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((noinline)) static void last(void)
{
    syscall(SYS_getppid);
    __asm__("");
}

__attribute__((noinline)) static void nested(int n)
{
    volatile char some[300];
    some[0] = (char)n;
    if (n)
        nested(n - 1);
    else
        last();
    some[1] = 0;
}

static void handler(int signal)
{
    last();
    (void)signal;
    __asm__("");
}

static void *thread(void *unused)
{
    nested(1);
    return unused;
}

int main(int argc, char **argv)
{
    static char other[1 << 16];
    pthread_t one;
    (void)argv;
    if (argc > 1) { /* far more than is captured */
        nested(100);
        return 0;
    }
    nested(2);
    pthread_create(&one, 0, thread, 0);
    pthread_join(one, 0);
    signal(SIGUSR1, handler);
    raise(SIGUSR1);
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    sigaltstack(&stack, 0);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR2, &action, 0);
    raise(SIGUSR2);
    return 0;
}
