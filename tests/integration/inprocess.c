/* What Python cannot do by itself: handlers that never return, on stacks of their own, forks past the C library. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int count;
static char stack[65536];

static void leave(int signal)
{
    (void)signal;
    count++;
    siglongjmp(back, 1);
}

/* n times: raise a signal whose handler leaves by siglongjmp, from a stack of its own. */
int jump(int n)
{
    stack_t mine = {.ss_sp = stack, .ss_size = sizeof stack}, before;
    struct sigaction action = {.sa_handler = leave, .sa_flags = SA_ONSTACK}, old;
    sigaltstack(&mine, &before);
    sigaction(SIGUSR2, &action, &old);
    count = 0;
    for (int i = 0; i < n; i++) {
        if (!sigsetjmp(back, 1)) raise(SIGUSR2);
        getppid();
    }
    sigaction(SIGUSR2, &old, NULL);
    sigaltstack(&before, NULL);
    return count;
}

/* The exit status of a child that is made with no C library in between, and tells a signal's handler. */
int raw_fork(void)
{
    int status = -1;
    long pid = syscall(SYS_fork);
    if (!pid) {
        struct sigaction action;
        sigaction(SIGSEGV, NULL, &action);
        _exit((int)((uintptr_t)action.sa_handler >> 4 & 127));
    }
    waitpid((pid_t)pid, &status, 0);
    return WEXITSTATUS(status);
}

struct state {
    uint64_t actions[65][4];
    uint64_t mask;
    stack_t stack;
};

/* The kernel's own view: past the C library. */
void look(struct state *state)
{
    memset(state, 0, sizeof *state);
    for (int i = 1; i < 65; i++) syscall(SYS_rt_sigaction, i, NULL, state->actions[i], 8);
    syscall(SYS_rt_sigprocmask, 0, NULL, &state->mask, 8);
    syscall(SYS_sigaltstack, NULL, &state->stack);
}

uint32_t size_of_state(void)
{
    return sizeof(struct state);
}

/* All registers that a call keeps, in a loop. Returns how many times one was lost. */
int registers(int n)
{
    int wrong = 0;
    for (int i = 0; i < n; i++) {
        uint64_t bad;
        __asm__ volatile("mov $0x1111, %%rbx\n mov $0x2222, %%r12\n mov $0x3333, %%r13\n mov $0x4444, %%r14\n mov $0x5555, %%r15\n"
                         "mov $0x6666, %%rdi\n mov $0x7777, %%rsi\n mov $0x8888, %%rdx\n mov $0x9999, %%r10\n mov $0xaaaa, %%r8\n"
                         "mov $0xbbbb, %%r9\n movq %%rbx, %%xmm7\n stc\n mov $110, %%eax\n syscall\n"
                         "sbb %%rax, %%rax\n not %%rax\n"
                         "xor $0x1111, %%rbx\n or %%rbx, %%rax\n xor $0x2222, %%r12\n or %%r12, %%rax\n"
                         "xor $0x3333, %%r13\n or %%r13, %%rax\n xor $0x4444, %%r14\n or %%r14, %%rax\n"
                         "xor $0x5555, %%r15\n or %%r15, %%rax\n xor $0x6666, %%rdi\n or %%rdi, %%rax\n"
                         "xor $0x7777, %%rsi\n or %%rsi, %%rax\n xor $0x8888, %%rdx\n or %%rdx, %%rax\n"
                         "xor $0x9999, %%r10\n or %%r10, %%rax\n xor $0xaaaa, %%r8\n or %%r8, %%rax\n"
                         "xor $0xbbbb, %%r9\n or %%r9, %%rax\n movq %%xmm7, %%rbx\n xor $0x1111, %%rbx\n or %%rbx, %%rax\n"
                         : "=a"(bad)
                         :
                         : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm7", "memory", "cc");
        wrong += bad != 0;
    }
    return wrong;
}
