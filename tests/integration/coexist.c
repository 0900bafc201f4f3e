/* Programs that do what the interposer does, or that watch others: `coexist NAME`. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int uses_seccomp(void)
{
    struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    struct sock_fprog program = {1, &allow};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    long first = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
    printf("prctl %ld %d\n", first, first ? errno : 0);
    long second = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
    printf("seccomp %ld %d\n", second, second ? errno : 0);
    unsigned action = SECCOMP_RET_TRAP;
    printf("asking %ld\n", syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
    return 0;
}

static volatile sig_atomic_t sys_code, sys_count;

static void on_sys(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    sys_code = info->si_code;
    sys_count++;
}

static int handles_sigsys(void)
{
    struct sigaction action = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
    for (int n = 0; n < 100; n++) {
        raise(SIGSYS);
        close(open("/dev/null", O_RDONLY));
    }
    printf("count %d code %d\n", (int)sys_count, (int)sys_code);
    return 0;
}

static char *lazy;

static void *fill_pages(void *fd)
{
    for (int pages = 0; pages < 2; pages++) {
        struct uffd_msg message;
        static char page[4096] __attribute__((aligned(4096)));
        if (read((int)(long)fd, &message, sizeof message) != sizeof message) return NULL;
        strcpy(page, "/dev/null");
        struct uffdio_copy copy = {.dst = message.arg.pagefault.address & ~4095ull, .src = (unsigned long)page, .len = 4096};
        ioctl((int)(long)fd, UFFDIO_COPY, &copy);
    }
    return fd;
}

/* A page that comes when it is touched, touched first by the program, then by a call's path. */
static int faults_in_userspace(void)
{
    pthread_t thread;
    long fd = syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = {.api = UFFD_API};
    lazy = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register area = {.range = {(unsigned long)lazy, 8192}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (fd < 0 || ioctl((int)fd, UFFDIO_API, &api) || ioctl((int)fd, UFFDIO_REGISTER, &area)) return 1;
    pthread_create(&thread, NULL, fill_pages, (void *)fd);
    printf("own %s, opened %d\n", lazy, open(lazy + 4096, O_RDONLY) >= 0);
    pthread_join(thread, NULL);
    return 0;
}

/* Lets a tracee go on until it ends; says why it stopped, but for the SIGSYS of trapped calls, and for a fault only once:
 * where it comes to our handler first, it is made again to end the process. */
static void follow(pid_t pid)
{
    int status, last = 0;
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        int signal = WSTOPSIG(status);
        if (signal != SIGSYS && signal != last) printf("stopped by %d\n", signal);
        last = signal;
        if (ptrace(PTRACE_CONT, pid, 0, signal == SIGSTOP || signal == SIGTRAP ? 0 : signal)) break;
    }
    printf("ended %d %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void be_traced(int how)
{
    if (ptrace(PTRACE_TRACEME, 0, 0, 0)) _exit(99);
    if (how == 1) raise(SIGSTOP);
    if (how == 2) *(volatile int *)0 = 1;
    if (how == 3) _exit(5);
    execl("/bin/true", "true", NULL);
    _exit(98);
}

static int traces(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int how = 0; how < 4; how++) {
        pid_t pid = fork();
        if (!pid) be_traced(how);
        follow(pid);
    }
    pid_t pid = vfork();
    if (!pid) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        setpgid(0, 0);
        close(open("/dev/null", O_RDONLY));
        execl("/bin/true", "true", NULL);
        _exit(97);
    }
    follow(pid);
    return 0;
}

static int waits(void)
{
    printf("ready %d\n", getpid());
    fflush(stdout);
    for (int n = 0; n < 10000 && access("go-on", F_OK); n++) usleep(50000);
    printf("done\n");
    return 6;
}

int main(int argc, char **argv)
{
    if (argc < 2) return 100;
    if (!strcmp(argv[1], "seccomp")) return uses_seccomp();
    if (!strcmp(argv[1], "sigsys")) return handles_sigsys();
    if (!strcmp(argv[1], "userfaultfd")) return faults_in_userspace();
    if (!strcmp(argv[1], "traces")) return traces();
    if (!strcmp(argv[1], "waits")) return waits();
    return 101;
}
