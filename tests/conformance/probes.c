/* The probes of INTERPOSER.md that need no exec, no static program and nobody else's. */
#include "probe.h"

static int has(const sigset_t *set, int signal)
{
    return sigismember(set, signal) == 1;
}

void probe_masks(void)
{
    sigset_t all, old, back;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old);
    sigprocmask(SIG_SETMASK, NULL, &back);
    SAY("before %d, blocked %d\n", has(&old, SIGSYS), has(&back, SIGSYS));
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGSYS);
    sigprocmask(SIG_UNBLOCK, &one, &back);
    SAY("then %d", has(&back, SIGSYS));
    sigprocmask(SIG_BLOCK, &one, &back);
    SAY(" %d", has(&back, SIGSYS));
    sigprocmask(SIG_SETMASK, &old, &back);
    SAY(" %d\n", has(&back, SIGSYS));
    errno = 0;
    SAY("bad how %d %d, bad size %ld %d\n", sigprocmask(77, &all, NULL), errno, syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, 4),
        errno);
    SAY("bad pointer %ld %d\n", syscall(SYS_rt_sigprocmask, SIG_BLOCK, (void *)8, NULL, NSIGSET), errno);
}

static volatile sig_atomic_t seen, seen_sys, mask_sys;

static void on_signal(int signal)
{
    seen = signal;
    open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_masked(int signal, siginfo_t *info, void *context)
{
    (void)info;
    seen = signal;
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    seen_sys = has(&now, SIGSYS);
    mask_sys = has(&((ucontext_t *)context)->uc_sigmask, SIGSYS);
}

void probe_handler_masks(void)
{
    struct sigaction action = {.sa_sigaction = on_masked, .sa_flags = SA_SIGINFO}, old;
    sigfillset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR1, NULL, &old);
    SAY("sa_mask has SIGSYS %d, flags %x, same handler %d\n", has(&old.sa_mask, SIGSYS), old.sa_flags & ~0x04000000,
        old.sa_sigaction == on_masked);
    raise(SIGUSR1);
    SAY("in the handler %d, in its frame %d\n", (int)seen_sys, (int)mask_sys);
    sigset_t one, back;
    sigemptyset(&one);
    sigaddset(&one, SIGSYS);
    sigprocmask(SIG_BLOCK, &one, NULL);
    raise(SIGUSR1);
    sigprocmask(SIG_SETMASK, NULL, &back);
    SAY("blocked: in its frame %d, afterwards %d\n", (int)mask_sys, has(&back, SIGSYS));
    sigprocmask(SIG_UNBLOCK, &one, NULL);
}

void probe_actions(void)
{
    struct sigaction action = {.sa_handler = on_signal}, old;
    SAY("SIGSYS before %d\n", sigaction(SIGSYS, &action, &old));
    SAY("default %d\n", old.sa_handler == SIG_DFL);
    sigaction(SIGSYS, NULL, &old);
    SAY("reads back %d\n", old.sa_handler == on_signal);
    kill(getpid(), SIGSYS);
    SAY("sent: seen %d\n", (int)seen);
    action.sa_handler = SIG_IGN;
    sigaction(SIGSYS, &action, NULL);
    seen = 0;
    kill(getpid(), SIGSYS);
    SAY("ignored: seen %d\n", (int)seen);
    SAY("SIGKILL %d %d, signal 0 %d %d, signal 65 %d %d\n", sigaction(SIGKILL, &action, NULL), errno, sigaction(0, &action, NULL), errno,
        sigaction(65, &action, NULL), errno);
    signal(SIGSYS, SIG_DFL);
}

void probe_waiting(void)
{
    sigset_t set, old;
    struct timespec soon = {0, 20000000}, none = {0, 0};
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &old);
    kill(getpid(), SIGUSR2);
    kill(getpid(), SIGSYS);
    sigset_t pending;
    sigpending(&pending);
    SAY("pending %d %d\n", has(&pending, SIGUSR2), has(&pending, SIGSYS));
    int first = sigtimedwait(&set, &info, &soon), second = sigtimedwait(&set, &info, &soon);
    SAY("waited for %d, sum %d\n", first == SIGSYS || second == SIGSYS, first + second);
    SAY("nothing left %d %d\n", sigtimedwait(&set, &info, &none), errno);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    kill(getpid(), SIGUSR2);
    struct signalfd_siginfo got;
    SAY("signalfd %d, read %zd\n", fd >= 0, read(fd, &got, sizeof got));
    close(fd);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

void probe_poll_masks(void)
{
    struct timespec none = {0, 1000000};
    sigset_t all;
    sigfillset(&all);
    struct pollfd fd = {.fd = -1};
    SAY("ppoll %d\n", ppoll(&fd, 1, &none, &all));
    SAY("pselect %d\n", pselect(0, NULL, NULL, NULL, &none, &all));
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event;
    SAY("epoll_pwait %d\n", epoll_pwait(ep, &event, 1, 1, &all));
    SAY("bad size %ld %d\n", syscall(SYS_ppoll, &fd, 1, &none, &all, 4), errno);
    close(ep);
}

void probe_suspend(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t set, old, wait;
    sigaction(SIGUSR1, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    seen = 0;
    kill(getpid(), SIGUSR1);
    sigfillset(&wait);
    sigdelset(&wait, SIGUSR1);
    SAY("suspend %d %d", sigsuspend(&wait), errno);
    SAY(" seen %d\n", (int)seen);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static char alternate[65536] __attribute__((aligned(64)));
static volatile sig_atomic_t on_alternate;

static void on_stack(int signal, siginfo_t *info, void *context)
{
    char here;
    (void)info;
    (void)context;
    seen = signal;
    on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
    close(open("/dev/null", O_RDONLY));
}

void probe_altstack(void)
{
    stack_t mine = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;
    sigaltstack(NULL, &old);
    SAY("before flags %d\n", old.ss_flags);
    SAY("set %d\n", sigaltstack(&mine, NULL));
    sigaltstack(NULL, &old);
    SAY("reads back %d %zu %d\n", old.ss_sp == alternate, old.ss_size, old.ss_flags);
    struct sigaction action = {.sa_sigaction = on_stack, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    SAY("on it %d\n", (int)on_alternate);
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    SAY("not on it %d\n", (int)on_alternate);
    stack_t small = {.ss_sp = alternate, .ss_size = 100};
    SAY("too small %d %d\n", sigaltstack(&small, NULL), errno);
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
    sigaltstack(NULL, &old);
    SAY("off %d\n", old.ss_flags);
}

static sigjmp_buf back_here;

static void jump(int signal)
{
    siglongjmp(back_here, signal);
}

void probe_longjmp(void)
{
    struct sigaction action = {.sa_handler = jump};
    sigaction(SIGUSR1, &action, NULL);
    int count = 0;
    for (int n = 0; n < 2000; n++) {
        if (sigsetjmp(back_here, 1)) {
            count++;
            continue;
        }
        close(open("/dev/null", O_RDONLY));
        raise(SIGUSR1);
    }
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    SAY("jumped %d, blocked %d\n", count, has(&now, SIGUSR1));
}

/* Signals that have been handled, where a child can see it. */
static volatile int *handled;

static void on_counted(int signal)
{
    int kept = errno;
    seen = signal;
    close(open("/dev/null", O_RDONLY | O_CLOEXEC));
    ++*handled;
    errno = kept;
}

static void count_alarms(int flags)
{
    struct sigaction action = {.sa_handler = on_counted, .sa_flags = flags};
    struct itimerval often = {{0, 10000}, {0, 10000}};
    if (!handled) handled = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *handled = 0;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

static void no_more_alarms(void)
{
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
}

/* The byte comes when the call was interrupted, however long that takes: after many signals, or, where it does not go on by
 * itself, after it was told so. */
static void interrupted_read(int flags)
{
    int ends[2];
    char byte;
    if (pipe(ends)) return;
    count_alarms(flags);
    pid_t child = fork();
    if (!child) {
        while (*handled < (flags & SA_RESTART ? 10 : 1000000)) usleep(1000);
        if (write(ends[1], "x", 1) != 1) _exit(1);
        _exit(0);
    }
    ssize_t n = read(ends[0], &byte, 1);
    SAY("read %zd %d\n", n, n < 0 ? errno : 0);
    no_more_alarms();
    if (!(flags & SA_RESTART)) *handled = 1000000;
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(ends[1]);
}

void probe_restart(void)
{
    interrupted_read(SA_RESTART);
    interrupted_read(0);
    struct timespec rest, long_time = {1000, 0};
    count_alarms(0);
    int r = nanosleep(&long_time, &rest);
    SAY("nanosleep %d %d rest %d\n", r, errno, rest.tv_sec > 0 && rest.tv_sec < 1000);
    no_more_alarms();
}

/* open of a FIFO blocks in a call whose path the interposer has copied. */
void probe_restart_of_changed_call(void)
{
    if (mkfifo("probe.fifo", 0600)) {
        SAY("no FIFO: %d\n", errno);
        exit(1);
    }
    seen = 0;
    count_alarms(SA_RESTART);
    pid_t child = fork();
    if (!child) {
        while (*handled < 10) usleep(1000);
        close(open("probe.fifo", O_WRONLY));
        _exit(0);
    }
    int fd = open("probe.fifo", O_RDONLY);
    no_more_alarms();
    SAY("opened %d after signals %d\n", fd >= 0, seen == SIGALRM && *handled >= 10);
    waitpid(child, NULL, 0);
    unlink("probe.fifo");
}

void probe_storm(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct itimerval fast = {{0, 500}, {0, 500}}, off = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &fast, NULL);
    int wrong = 0;
    for (int n = 0; n < 20000; n++) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd < 0 && errno != EMFILE) wrong++;
        if (fd >= 0) close(fd);
        if (getppid() <= 0) wrong++;
        if (n % 100 == 0) close_range(3, ~0u, 0);
    }
    setitimer(ITIMER_REAL, &off, NULL);
    SAY("wrong %d\n", wrong);
}

/* All registers but rax, rcx and r11, the flags and the red zone, around a trapped call and a passed one. */
static long raw_call(long number, const char *path, uint64_t out[10])
{
    long result;
    __asm__ volatile("movq %[n], %%rax\n"
                     "movq %[p], %%rsi\n"
                     "movq $-100, %%rdi\n"
                     "movq $0, %%rdx\n"
                     "movq $0x1010, %%r10\n"
                     "movq $0x8080, %%r8\n"
                     "movq $0x9090, %%r9\n"
                     "movq $0x1212, %%r12\n"
                     "movq $0x1313, %%r13\n"
                     "movq $0x1414, %%r14\n"
                     "movq $0x1515, %%r15\n"
                     "movq $0x7777, -64(%%rsp)\n"
                     "movq $0x7878, -128(%%rsp)\n"
                     "std\n"
                     "stc\n"
                     "syscall\n"
                     "pushfq\n"
                     "popq %%rcx\n"
                     "cld\n"
                     "movq %[o], %%r11\n"
                     "movq %%rdi, 0(%%r11)\n"
                     "movq %%rdx, 8(%%r11)\n"
                     "movq %%r10, 16(%%r11)\n"
                     "movq %%r8, 24(%%r11)\n"
                     "movq %%r9, 32(%%r11)\n"
                     "movq %%r12, 40(%%r11)\n"
                     "movq %%r15, 48(%%r11)\n"
                     "movq -64(%%rsp), %%rdx\n"
                     "movq %%rdx, 56(%%r11)\n"
                     "movq -128(%%rsp), %%rdx\n"
                     "movq %%rdx, 64(%%r11)\n"
                     "andq $0x401, %%rcx\n"
                     "movq %%rcx, 72(%%r11)\n"
                     : "=&a"(result)
                     : [n] "m"(number), [p] "m"(path), [o] "m"(out)
                     : "rcx", "rdx", "rdi", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
    return result;
}

void probe_registers(void)
{
    const char *paths[] = {"/dev/null", "/does/not/exist"};
    for (int which = 0; which < 2; which++) {
        uint64_t out[10];
        long result = raw_call(SYS_openat, paths[which], out);
        SAY("%s:", result >= 0 ? "opened" : "not opened");
        for (int n = 0; n < 10; n++)
            if (n != 7) SAY(" %llx", (unsigned long long)out[n]);
        SAY("\n");
        if (result >= 0) close((int)result);
    }
}

void probe_vectors(void)
{
    double values[16], after[16];
    for (int n = 0; n < 16; n++) values[n] = 1.0 / (n + 3);
    __asm__ volatile("movupd 0(%0), %%xmm0\n movupd 16(%0), %%xmm6\n movupd 32(%0), %%xmm15\n"
                     "movl $39, %%eax\n syscall\n"
                     "movl $257, %%eax\n movq $-100, %%rdi\n movq %2, %%rsi\n xorl %%edx, %%edx\n syscall\n"
                     "movl %%eax, %%edi\n movl $3, %%eax\n syscall\n"
                     "movupd %%xmm0, 0(%1)\n movupd %%xmm6, 16(%1)\n movupd %%xmm15, 32(%1)\n"
                     :
                     : "r"(values), "r"(after), "r"("/dev/null")
                     : "rax", "rcx", "rdx", "rdi", "rsi", "r11", "xmm0", "xmm6", "xmm15", "memory");
    SAY("same %d\n", !memcmp(values, after, 48));
}

/* A signal that comes while a call is on its way into or out of the interposer: the program sees its own code, its own
 * registers and its own vectors. */
static volatile uint64_t storm_signals, storm_inside;

static void look_around(int signal, siginfo_t *info, void *context)
{
    uint64_t rip = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    (void)signal, (void)info;
    storm_signals++;
    if (rip >= 0x7e9000000000 && rip < 0x7e9040000000) storm_inside++;
}

/* Every 50 us, less often where a signal itself takes long: the program gets on in between, whoever stops it for each. */
static struct itimerval storm(void)
{
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int n = 0; n < 100; n++) raise(SIGALRM);
    clock_gettime(CLOCK_MONOTONIC, &to);
    long each = ((to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000) / 100;
    long often = each * 4 < 50 ? 50 : each * 4 < 500000 ? each * 4 : 500000;
    return (struct itimerval){{0, often}, {0, often}};
}

void probe_registers_in_a_storm(void)
{
    struct sigaction action = {.sa_sigaction = look_around, .sa_flags = SA_RESTART | SA_SIGINFO};
    struct itimerval off = {{0, 0}, {0, 0}};
    const char *paths[] = {"/dev/null", "/does/not/exist"}; /* one passes, one does not where there is a policy */
    uint64_t first[2][10], now[10], lanes[4] = {1, 2, 3, 4}, seen[4];
    int wrong = 0;
    for (int which = 0; which < 2; which++) close((int)raw_call(SYS_openat, paths[which], first[which]));
    sigaction(SIGALRM, &action, NULL);
    struct itimerval fast = storm();
    storm_signals = 0;
    setitimer(ITIMER_REAL, &fast, NULL);
    for (int n = 0; n < 100000 || storm_signals <= 100; n++) {
        long result = -1;
        int fd = (int)raw_call(SYS_openat, paths[n % 2], now);
        wrong += (fd < 0) != n % 2 || memcmp(first[n % 2], now, sizeof now) != 0;
        close(fd);
        __asm__ volatile("vmovdqu %[l], %%ymm9\n movl $110, %%eax\n syscall\n vmovdqu %%ymm9, %[s]\n"
                         : [s] "=m"(seen), "=&a"(result)
                         : [l] "m"(lanes)
                         : "rcx", "r11", "ymm9", "memory");
        wrong += memcmp(lanes, seen, sizeof seen) != 0;
    }
    setitimer(ITIMER_REAL, &off, NULL);
    SAY("wrong %d inside %d signals %d\n", wrong, (int)storm_inside, storm_signals > 100);
}

void probe_odd_numbers(void)
{
    long numbers[] = {-1, 1000, 0x3fffffff};
    for (int n = 0; n < 3; n++) {
        errno = 0;
        long result = syscall(numbers[n]);
        SAY("%ld %d\n", result, errno);
    }
}

void probe_pointers(void)
{
    SAY("null %d %d\n", open(NULL, O_RDONLY), errno);
    SAY("bad %d %d\n", open((char *)12345, O_RDONLY), errno);
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page + 4096, 4096, PROT_NONE);
    memset(page, 'x', 4096);
    SAY("runs into a hole %d %d\n", open(page, O_RDONLY), errno);
    strcpy(page + 4096 - 10, "/dev/null");
    int fd = open(page + 4096 - 10, O_RDONLY);
    SAY("ends before it %d\n", fd >= 0);
    close(fd);
    munmap(page, 8192);
    static char longest[5000];
    memset(longest, 'y', 4999);
    SAY("too long %d %d\n", open(longest, O_RDONLY), errno);
    SAY("empty %d %d\n", open("", O_RDONLY), errno);
}

void probe_jit(void)
{
    unsigned char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char code[] = {0xb8, 0x27, 0, 0, 0, 0x0f, 0x05, 0xc3}; /* getpid */
    memcpy(page, code, sizeof code);
    SAY("own page %d\n", ((int (*)(void))page)() == getpid());
    memcpy(page + 4096 - 6, code, sizeof code); /* the instruction lies on both pages */
    SAY("on two pages %d\n", ((int (*)(void))(page + 4096 - 6))() == getpid());
    page[1] = 0x6e; /* getppid: still writable */
    SAY("rewritten %d\n", ((int (*)(void))page)() == getppid());
    munmap(page, 8192);
}

static void *thread_body(void *argument)
{
    for (int n = 0; n < 50; n++) close(open("/dev/null", O_RDONLY));
    return argument;
}

void probe_threads(void)
{
    long sum = 0;
    for (int round = 0; round < 25; round++) {
        pthread_t threads[8];
        for (long n = 0; n < 8; n++)
            if (pthread_create(&threads[n], NULL, thread_body, (void *)n)) return;
        for (int n = 0; n < 8; n++) {
            void *result;
            pthread_join(threads[n], &result);
            sum += (long)result;
        }
    }
    SAY("sum %ld\n", sum);
}

void probe_forks(void)
{
    int good = 0;
    for (int n = 0; n < 100; n++) {
        int status;
        pid_t pid = fork();
        if (!pid) _exit(open("/dev/null", O_RDONLY) >= 0 ? n % 100 : 101);
        if (waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == n % 100) good++;
    }
    SAY("forked %d\n", good);
}

void probe_vforks(void)
{
    struct sigaction action = {.sa_handler = on_signal}, now;
    sigaction(SIGUSR1, &action, NULL);
    int good = 0;
    for (int n = 0; n < 1000; n++) {
        int status;
        pid_t pid = vfork();
        if (!pid) {
            signal(SIGUSR1, SIG_IGN); /* the child's own: the parent keeps its handler */
            _exit(5);
        }
        sigaction(SIGUSR1, NULL, &now);
        if (waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 5 && now.sa_handler == on_signal) good++;
    }
    SAY("vforked %d\n", good);
}

static int clone_body(void *argument)
{
    *(volatile int *)argument = 42;
    return close(open("/dev/null", O_RDONLY)) ? 1 : 7;
}

void probe_clones(void)
{
    static char stack[65536] __attribute__((aligned(16)));
    static volatile int word;
    int status, flags[] = {SIGCHLD, CLONE_VM | SIGCHLD, CLONE_VM | CLONE_FILES | SIGCHLD, CLONE_VM | CLONE_VFORK | SIGCHLD};
    for (int n = 0; n < 4; n++) {
        word = 0;
        pid_t pid = clone(clone_body, stack + sizeof stack, flags[n], (void *)&word);
        int waited = waitpid(pid, &status, __WALL) == pid;
        SAY("clone %x: %d exit %d word %d\n", flags[n], waited, WEXITSTATUS(status), word);
    }
}

void probe_identity(void)
{
    char link[256];
    ssize_t n = readlink("/proc/self/exe", link, sizeof link - 1);
    SAY("exe %d, ppid %d, session %d\n", n > 0, getppid() > 0, getsid(0) == getpid());
    SAY("affinity %d\n", sched_getcpu() >= 0);
}
