/* A debugger with a mistake: after a call it writes back the registers that the call was made with. The result of a call is
 * expected in rax, where its number was: fork returns 56, which is SYS_clone. */
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void program(void)
{
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    pid_t pid = fork();
    if (!pid) _exit(0);
    waitpid(-1, NULL, 0);
    printf("fork returned %d\n", pid);
    fflush(stdout);
    _exit(7);
}

int main(void)
{
    struct user_regs_struct registers, made_with;
    int status, is_inside = 0;
    pid_t pid = fork();
    if (!pid) program();
    waitpid(pid, &status, 0);
    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
    ptrace(PTRACE_SYSCALL, pid, 0, 0);
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        int signal = WSTOPSIG(status);
        if (signal == (SIGTRAP | 0x80)) {
            ptrace(PTRACE_GETREGS, pid, 0, &registers);
            if (registers.orig_rax == SYS_clone && !is_inside) {
                made_with = registers;
                made_with.rax = registers.orig_rax;
            } else if (registers.orig_rax == SYS_clone) {
                ptrace(PTRACE_SETREGS, pid, 0, &made_with);
            }
            is_inside = !is_inside;
            signal = 0;
        }
        ptrace(PTRACE_SYSCALL, pid, 0, signal);
    }
    return WEXITSTATUS(status);
}
