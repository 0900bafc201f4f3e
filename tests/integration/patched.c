/* A program whose own `syscall` is patched while it is traced, and that looks for anything it could notice. Prints how many
 * calls it has made that way: its trace must have as many. Linked with sites.c. */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

long stormed(long n, long parent), hits(void), changed(long n), padded(long number, long a, long b, long c), registers_kept(void);
void watch_signals(int on);

static volatile int over;
static pthread_t first;
static long made;

static void *storm(void *unused)
{
    while (!over) pthread_kill(first, SIGPROF);
    return unused;
}

static void need(int yes, const char *what)
{
    if (yes) return;
    printf("wrong: %s\n", what);
    exit(1);
}

static int is_patched(void)
{
    const unsigned char *code = (const unsigned char *)padded;
    for (int i = 0; i < 32; i++)
        if (code[i] == 0xeb) return 1;
    return 0;
}

static void in_a_storm(void)
{
    pthread_t thread;
    long seen = 0;
    watch_signals(1);
    pthread_create(&thread, NULL, storm, NULL);
    for (int i = 0; i < 2000 && seen < 300; i++) {
        need(!stormed(5000, getppid()), "an answer, or where a signal found the thread");
        made += 5000 + 1;
        seen += hits();
    }
    over = 1;
    pthread_join(thread, NULL);
    watch_signals(0);
    need(seen >= 300, "too few signals");
}

static void *work(void *unused)
{
    long parent = getppid();
    need(!changed(3000), "registers");
    for (int i = 0; i < 1000; i++) need(padded(__NR_getppid, 0, 0, 0) == parent, "an answer");
    __atomic_fetch_add(&made, 1 + 3001 + 1000, __ATOMIC_RELAXED);
    return unused;
}

static void in_threads_and_children(void)
{
    pthread_t threads[8];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 8; i++) pthread_create(&threads[i], NULL, work, NULL);
        for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < 20; i++) {
        int status;
        pid_t pid = i % 2 ? fork() : vfork();
        if (!pid) {
            for (int j = 0; j < 50; j++) padded(__NR_getppid, 0, 0, 0);
            _exit(padded(__NR_getppid, 0, 0, 0) == getpid());
        }
        waitpid(pid, &status, 0);
        need(!status, "a child");
        made += 51;
    }
}

/* With SIGSEGV blocked nobody may read what is not there but the kernel. */
static void with_faults_blocked(void)
{
    sigset_t fault, old;
    sigemptyset(&fault);
    sigaddset(&fault, SIGSEGV);
    for (int i = 0; i < 200; i++) need(padded(__NR_access, 1, 0, 0) == -EFAULT, "EFAULT");
    sigprocmask(SIG_BLOCK, &fault, &old);
    for (int i = 0; i < 200; i++) need(padded(__NR_access, 1, 0, 0) == -EFAULT, "EFAULT while blocked");
    sigprocmask(SIG_SETMASK, &old, NULL);
    for (int i = 0; i < 200; i++) need(padded(__NR_access, 1, 0, 0) == -EFAULT, "EFAULT again");
}

/* Descriptors that the run keeps for its execs stay closed for the program, and open for the run. */
static void with_descriptors(void)
{
    for (long fd = 1000; fd < 1005; fd++)
        for (int i = 0; i < 40; i++) {
            need(padded(__NR_close, fd, 0, 0) == -EBADF, "close");
            need(padded(__NR_fcntl, fd, F_GETFD, 0) == -EBADF, "fcntl");
        }
    pid_t pid = fork();
    if (!pid) {
        execlp("true", "true", NULL);
        _exit(1);
    }
    int status;
    waitpid(pid, &status, 0);
    need(!status, "another program");
}

/* A program may have a use for GS: what it has set stays, and its calls are seen. */
static void with_gs(void)
{
    static const long own[2] = {1234, 5678};
    long read;
    need(!syscall(SYS_arch_prctl, ARCH_SET_GS, own), "ARCH_SET_GS");
    for (int i = 0; i < 500; i++) need(padded(__NR_getppid, 0, 0, 0) == getppid(), "an answer");
    made += 1000;
    __asm__("movq %%gs:8, %0" : "=r"(read));
    need(read == 5678, "GS");
    need(!syscall(SYS_arch_prctl, ARCH_SET_GS, 0), "ARCH_SET_GS");
}

/* With no descriptor left nobody can read /proc/self/maps. */
static int without_descriptors(void)
{
    struct rlimit none = {3, 3};
    setrlimit(RLIMIT_NOFILE, &none);
    for (int i = 0; i < 1000; i++) padded(__NR_getppid, 0, 0, 0);
    printf("1000 %d\n", is_patched());
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "full")) return without_descriptors();
    first = pthread_self();
    for (int i = 0; i < 200; i++) padded(__NR_getppid, 0, 0, 0);
    made = 200;
    in_a_storm();
    in_threads_and_children();
    with_faults_blocked();
    with_descriptors();
    with_gs();
    printf("%ld %d\n", made, is_patched());
    return 0;
}
