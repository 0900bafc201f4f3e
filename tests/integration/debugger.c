/* A small debugger: its child asks to be traced, forks, and ends; each of them is stopped at its calls. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void child(void)
{
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    pid_t own = fork();
    if (!own) _exit(3);
    waitpid(own, NULL, 0);
    _exit(7);
}

int main(int argc, char **argv)
{
    struct user_regs_struct regs;
    int status, left = 1;
    if (argc > 1) { /* until somebody has attached */
        char name[64];
        snprintf(name, sizeof name, "%s", argv[1]);
        while (access(name, F_OK)) usleep(20000);
    }
    pid_t pid = fork();
    if (!pid) child();
    waitpid(pid, &status, 0);
    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACESYSGOOD);
    ptrace(PTRACE_GETREGS, pid, 0, &regs);
    ptrace(PTRACE_SYSCALL, pid, 0, 0);
    while (left > 0) {
        pid_t who = waitpid(-1, &status, __WALL);
        if (who < 0) break;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            left -= who == pid;
            continue;
        }
        int signal = WSTOPSIG(status);
        int own = signal == SIGTRAP || signal == (SIGTRAP | 0x80) || signal == SIGSTOP;
        ptrace(PTRACE_CONT, who, 0, own ? 0 : signal);
    }
    printf("done\n");
    return 0;
}
