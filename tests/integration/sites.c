/* Functions with one `syscall` each, whose surroundings are known, and what looks at registers and at where a signal came. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define FUNCTION(name, body)                                                                                                               \
    __asm__(".text\n .globl " #name "\n .type " #name ", @function\n .p2align 6\n" #name ":\n .cfi_startproc\n" body                       \
            "\n .cfi_endproc\n .size " #name ", .-" #name "\n .p2align 6\n")

long padded(long number, long a, long b, long c);
long two_lines(long number);
long no_padding(long number);
long no_function(long number);
long hopping(long number);
long flags(long number);
long red_zone(long value);
long registers_kept(void);
long forever(volatile long *stop);
__attribute__((visibility("hidden"))) long repeated(long n, long parent);
extern const char forever_end[], repeated_end[];

FUNCTION(padded, "mov %rdi, %rax\n mov %rsi, %rdi\n mov %rdx, %rsi\n mov %rcx, %rdx\n syscall\n ret");
FUNCTION(two_lines, "mov %rdi, %rax\n jmp 1f\n .p2align 6\n .skip 63, 0x90\n 1: syscall\n ret");
/* The nops are executed: nothing comes before them that would keep anybody out. */
FUNCTION(no_padding, "mov %rdi, %rax\n .skip 128, 0x90\n syscall\n .skip 128, 0x90\n ret\n .skip 59, 0x90\n nop");
/* Room for a short jump only; for the far one it is further away. */
FUNCTION(hopping, "mov %rdi, %rax\n jmp 1f\n .p2align 6\n .skip 24, 0x90\n 1: .skip 100, 0xf8\n jmp 2f\n .byte 0x66, 0x90\n"
                  " 2: .skip 100, 0xf8\n syscall\n .skip 200, 0xf8\n ret");
FUNCTION(flags, "mov %rdi, %rax\n stc\n syscall\n sbb %rax, %rax\n ret");
FUNCTION(red_zone, "mov %rdi, -8(%rsp)\n mov %rdi, -64(%rsp)\n mov %rdi, -128(%rsp)\n mov $110, %eax\n syscall\n"
                   " xor -8(%rsp), %rdi\n mov %rdi, %rax\n mov -64(%rsp), %rdi\n xor -128(%rsp), %rdi\n or %rdi, %rax\n ret");
FUNCTION(
    registers_kept,
    "push %rbx\n .cfi_adjust_cfa_offset 8\n push %rbp\n .cfi_adjust_cfa_offset 8\n push %r12\n .cfi_adjust_cfa_offset 8\n push %r15\n"
    " .cfi_adjust_cfa_offset 8\n mov $1, %ebx\n mov $2, %ebp\n mov $3, %r12d\n mov $4, %r15d\n mov $5, %edi\n mov $6, %esi\n mov $7, %edx\n"
    " mov $8, %r10d\n mov $9, %r8d\n mov $10, %r9d\n movq %rbx, %xmm9\n mov $110, %eax\n syscall\n movq %xmm9, %rax\n shl $1, %rax\n add "
    "%rbx, %rax\n shl $1, %rax\n"
    " add %rbp, %rax\n shl $1, %rax\n add %r12, %rax\n shl $1, %rax\n add %r15, %rax\n shl $1, %rax\n add %rdi, %rax\n shl $1, %rax\n"
    " add %rsi, %rax\n shl $1, %rax\n add %rdx, %rax\n shl $1, %rax\n add %r10, %rax\n shl $1, %rax\n add %r8, %rax\n shl $1, %rax\n"
    " add %r9, %rax\n pop %r15\n .cfi_adjust_cfa_offset -8\n pop %r12\n .cfi_adjust_cfa_offset -8\n pop %rbp\n .cfi_adjust_cfa_offset -8\n"
    " pop %rbx\n .cfi_adjust_cfa_offset -8\n ret");
FUNCTION(
    forever,
    "1: mov $110, %eax\n syscall\n incq begun(%rip)\n cmpq $0, (%rdi)\n je 1b\n mov $0, %eax\n ret\n .globl forever_end\n forever_end:");
/* How many of its calls answered otherwise. */
FUNCTION(repeated,
         "xor %edx, %edx\n 1: mov $110, %eax\n syscall\n incq begun(%rip)\n cmp %rax, %rsi\n setne %al\n movzbl %al, %eax\n"
         " add %rax, %rdx\n dec %rdi\n jnz 1b\n movq $0, begun(%rip)\n mov %rdx, %rax\n ret\n .globl repeated_end\n repeated_end:");
__asm__(
    ".text\n .globl no_function\n .type no_function, @function\n .p2align 6\n no_function: mov %rdi, %rax\n syscall\n ret\n .p2align 6\n");

static volatile long stop;
static volatile long inside, outside;
static pthread_t looping;                                  /* the process's other threads get signals too, where they use the processor */
__attribute__((visibility("hidden"))) volatile long begun; /* how often the loop has made its call */

static void look_where(int signal, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    (void)signal;
    (void)info;
    if (!begun || stop || pthread_self() != looping) return; /* on the way there, or back */
    if ((at >= (uintptr_t)forever && at < (uintptr_t)forever_end) || (at >= (uintptr_t)repeated && at < (uintptr_t)repeated_end))
        inside++;
    else
        outside++;
    if (inside + outside == 200) stop = 1;
}

void watch_signals(int on)
{
    static struct sigaction before;
    struct sigaction action = {.sa_sigaction = look_where, .sa_flags = SA_SIGINFO | SA_RESTART};
    if (on)
        sigaction(SIGPROF, &action, &before);
    else
        sigaction(SIGPROF, &before, NULL);
}

/* n calls; how many answered wrongly, or -1 if a signal found the thread anywhere but in the loop. */
long stormed(long n, long parent)
{
    looping = pthread_self();
    stop = inside = outside = begun = 0;
    long wrong = repeated(n, parent);
    return outside ? -1 : wrong;
}

long hits(void)
{
    return inside;
}

/* n times; how often a register was another afterwards. */
long changed(long n)
{
    long first = registers_kept(), wrong = 0;
    while (n--) wrong += registers_kept() != first;
    return wrong;
}

/* Calls in a loop until enough signals came; how many found the thread anywhere but in the loop. */
long interrupted(void)
{
    struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    looping = pthread_self();
    stop = inside = outside = begun = 0;
    setitimer(ITIMER_PROF, &often, NULL);
    while (!stop) forever(&stop);
    setitimer(ITIMER_PROF, &never, NULL);
    return outside;
}

/* The same bytes as `padded`, where no file is. */
void *made(void)
{
    static const unsigned char code[] = {0x48, 0x89, 0xf8, 0x0f, 0x05, 0xc3, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0};
    unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, code, sizeof code);
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
    return page;
}
