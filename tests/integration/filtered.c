/* A program with a seccomp filter of its own: strict, one that refuses, one that traps, one that kills. What it prints must not
 * depend on who traces it. `filtered PROGRAM ARGUMENTS`: the filter, then that program. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define ON(number, answer) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, answer)
#define LOAD BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ELSE(answer) BPF_STMT(BPF_RET | BPF_K, answer)

static volatile int traps, known;

static void trapped(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)number;
    traps++;
    known +=
        info->si_syscall == SYS_getppid && info->si_errno == 77 && info->si_code == 1 && info->si_call_addr == (void *)registers[REG_RIP];
    registers[REG_RAX] = 4711;
}

static void *thread(void *unused)
{
    return (void *)syscall(SYS_getppid + 0 * (unused != NULL));
}

static int child(long number)
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        syscall(number, 0);
        _exit(3);
    }
    waitpid(pid, &status, 0);
    return status;
}

/* Only what this program needs is let through: whatever else is called in it ends it. */
static int strict(int by_prctl)
{
    static const int allowed[] = {SYS_write,      SYS_exit_group, SYS_exit,  SYS_rt_sigreturn, SYS_rt_sigaction, SYS_rt_sigprocmask,
                                  SYS_newfstatat, SYS_brk,        SYS_mmap,  SYS_munmap,       SYS_mprotect,     SYS_madvise,
                                  SYS_getrandom,  SYS_futex,      SYS_clone, SYS_clone3,       SYS_rseq,         SYS_set_robust_list,
                                  SYS_wait4,      SYS_prlimit64,  SYS_getpid};
    struct sock_filter filter[64] = {LOAD, ON(SYS_getppid, SECCOMP_RET_TRAP | 77), ON(SYS_getuid, SECCOMP_RET_ERRNO | ENOTTY)};
    unsigned short count = 5;
    for (unsigned i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        const struct sock_filter one[] = {ON((unsigned)allowed[i], SECCOMP_RET_ALLOW)};
        filter[count++] = one[0];
        filter[count++] = one[1];
    }
    filter[count++] = (struct sock_filter)ELSE(SECCOMP_RET_KILL_PROCESS);
    struct sock_fprog program = {count, filter};
    return (int)(by_prctl ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)
                          : syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

static int lenient(char **command)
{
    struct sock_filter filter[] = {LOAD, ON(SYS_getuid, SECCOMP_RET_ERRNO | EIO), ON(SYS_sigaltstack, SECCOMP_RET_KILL_PROCESS),
                                   ON(SYS_gettid, SECCOMP_RET_KILL_PROCESS), ELSE(SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 1;
    execvp(command[0], command);
    return 2;
}

int main(int count, char **words)
{
    struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
    pthread_t other;
    void *result = NULL;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 1;
    if (count > 2) return lenient(words + 1);
    sigaction(SIGSYS, &action, NULL);
    printf("filter %d\n", strict(count > 1));
    printf("trapped %ld ", syscall(SYS_getppid));
    printf("%d %d\n", traps, known);
    long refused = syscall(SYS_getuid);
    printf("refused %ld %d\n", refused, errno);
    pthread_create(&other, NULL, thread, NULL);
    pthread_join(other, &result);
    printf("thread %ld %d %d\n", (long)result, traps, known);
    printf("killed %#x\n", child(SYS_gettid));
    return 0;
}
