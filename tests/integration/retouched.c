/* A program that does to its own text what few do, after a site in it was patched, or before. The argument says what: see main.
 * Linked with sites.c. Ends with 0 where all went as it would untraced. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define PAGE 4096ul

long padded(long number, long a, long b, long c), hopping(long number);

__attribute__((noinline, aligned(4096))) int page_of_its_own(void)
{
    return 1;
}

static volatile uint8_t *loop;
static volatile int hits, steps;

static void end_loop(int signal)
{
    (void)signal;
    if (++hits == 20) loop[0] = 0xc3; /* ret */
}

static void step(int signal)
{
    (void)signal;
    if (++steps > 20000) _exit(3);
}

/* Some of the text is the program's to write, and stays so when a site beside it would be patched. */
static int writes(int patched_before)
{
    volatile uint8_t *own = (volatile uint8_t *)page_of_its_own;
    for (int i = 0; patched_before && i < 200; i++) padded(__NR_getppid, 0, 0, 0);
    if (mprotect((void *)own, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC)) return 1;
    for (int i = 0; i < 200; i++) {
        own[100] = (uint8_t)i;
        hopping(__NR_getppid);
        padded(__NR_getppid, 0, 0, 0);
    }
    return 0;
}

/* A thread that steps through its own code gets past a patched site. */
static int steps_through(void)
{
    long parent = 0, wrong = 0;
    signal(SIGTRAP, step);
    for (int i = 0; i < 200; i++) parent = padded(__NR_getppid, 0, 0, 0);
    __asm__ volatile("pushfq\n orq $0x100, (%%rsp)\n popfq" ::: "cc", "memory");
    for (int i = 0; i < 20; i++) wrong += padded(__NR_getppid, 0, 0, 0) != parent;
    __asm__ volatile("pushfq\n andq $~0x100, (%%rsp)\n popfq" ::: "cc", "memory");
    return wrong || steps < 100;
}

/* A library is gone; where a jump of ours was there is other code, and a signal finds the thread in it. */
static int runs_elsewhere(const char *library)
{
    struct itimerval often = {{0, 1000}, {0, 1000}};
    void *handle = dlopen(library, RTLD_NOW);
    long (*site)(long, long, long, long) = (long (*)(long, long, long, long))dlsym(handle, "padded");
    uint8_t *code = (uint8_t *)site, *page = (uint8_t *)((uintptr_t)code & ~(PAGE - 1));
    for (int i = 0; i < 200; i++) site(__NR_getppid, 0, 0, 0);
    int at = 0;
    while (at < 32 && code[at] != 0xeb) at++;
    if (at == 32) return 4;
    uint8_t *jump = code + at + 2 + (int8_t)code[at + 1];
    dlclose(handle);
    if (mmap(page, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != page) return 1;
    memset(page, 0xcc, 2 * PAGE);
    loop = jump;
    loop[0] = 0xeb; /* jmp to itself */
    loop[1] = 0xfe;
    signal(SIGALRM, end_loop);
    setitimer(ITIMER_REAL, &often, NULL);
    ((void (*)(void))jump)();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 2) return runs_elsewhere(argv[2]);
    switch (atoi(argv[1])) {
    case 1: return writes(0);
    case 2: return writes(1);
    default: return steps_through();
    }
}
