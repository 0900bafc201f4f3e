/* The probes of INTERPOSER.md as programs of their own: those of probes.c, and here those that start programs, make
 * processes and threads by hand, or change what only a program of its own may change. `program NAME` runs one. */
#include "probes.c"

#include <asm/prctl.h>
#include <linux/futex.h>
#include <linux/rseq.h>
#include <linux/sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/rseq.h>

extern char **environ;
static char self[4096];

/* ---- this program, started by a probe ---------------------------------------------------------------- */

static int role_mask(void)
{
    sigset_t mask;
    struct sigaction action;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    sigaction(SIGUSR1, NULL, &action);
    int status = has(&mask, SIGUSR2) | has(&mask, SIGSYS) << 1 | (action.sa_handler == SIG_IGN) << 2;
    return status | (getenv("KEPT") ? 8 : 0) | (fcntl(50, F_GETFD) >= 0) << 4;
}

/* How many descriptors above the standard ones are open; 255 for many. */
static int role_descriptors(void)
{
    int count = 0;
    for (int fd = 3; fd < 64; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static int role_again(int left)
{
    char number[12];
    snprintf(number, sizeof number, "%d", left - 1);
    if (left) execl(self, self, "role again", number, NULL);
    return 9;
}

static int play(char **argv)
{
    if (!strcmp(argv[1], "role exit")) return atoi(argv[2]);
    if (!strcmp(argv[1], "role mask")) return role_mask();
    if (!strcmp(argv[1], "role descriptors")) return role_descriptors();
    if (!strcmp(argv[1], "role again")) return role_again(atoi(argv[2]));
    return 100;
}

static int status_of(pid_t pid)
{
    int status;
    if (pid < 0 || waitpid(pid, &status, __WALL) != pid) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* ---- exec ------------------------------------------------------------------------------------------------ */

/* A vfork child that forks: the grandchild has the handlers that the child had, and changes its own. */
void program_fork_in_a_vfork(void)
{
    struct sigaction action = {.sa_handler = on_signal}, now;
    sigaction(SIGUSR1, &action, NULL);
    pid_t pid = vfork();
    if (!pid) {
        signal(SIGUSR1, SIG_IGN);
        pid_t below = fork();
        if (!below) {
            sigaction(SIGUSR1, NULL, &now);
            int inherited = now.sa_handler == SIG_IGN;
            pid_t last = vfork();
            if (!last) {
                signal(SIGUSR1, SIG_DFL);
                _exit(4);
            }
            int status = status_of(last);
            sigaction(SIGUSR1, NULL, &now);
            _exit(inherited | (now.sa_handler == SIG_IGN) << 1 | status);
        }
        _exit(status_of(below));
    }
    int status = status_of(pid);
    sigaction(SIGUSR1, NULL, &now);
    SAY("below %d, ours %d\n", status, now.sa_handler == on_signal);
}

static atomic_int stop_threads, wrong_descriptors;

/* Opens and uses descriptors all the time: nobody else may close one of them. */
static void *use_descriptors(void *unused)
{
    while (!stop_threads) {
        int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), again = dup(fd);
        char byte = 1;
        for (int n = 0; n < 20; n++) wrong_descriptors += read(fd, &byte, 1) != 1 || read(again, &byte, 1) != 1;
        wrong_descriptors += close(again) != 0 || close(fd) != 0;
    }
    return unused;
}

void program_vfork_exec(void)
{
    pthread_t threads[2];
    int good = 0, refused = 0;
    stop_threads = 0;
    for (int n = 0; n < 2; n++) pthread_create(&threads[n], NULL, use_descriptors, NULL);
    for (int n = 0; n < 100; n++) {
        char number[12];
        snprintf(number, sizeof number, "%d", n);
        pid_t pid = vfork();
        if (!pid) {
            execl(self, self, "role exit", number, NULL);
            _exit(200);
        }
        good += status_of(pid) == n;
        pid = vfork();
        if (!pid) {
            execl("/does/not/exist", "x", NULL);
            int first = errno;
            execl("/etc/passwd", "x", NULL);
            _exit(first == ENOENT && errno == EACCES ? 50 : 51);
        }
        refused += status_of(pid) == 50;
    }
    stop_threads = 1;
    for (int n = 0; n < 2; n++) pthread_join(threads[n], NULL);
    SAY("good %d refused %d wrong %d\n", good, refused, (int)wrong_descriptors);
}

static void *exec_all_the_time(void *unused)
{
    while (!stop_threads) {
        pid_t pid = vfork();
        if (!pid) {
            execl(self, self, "role exit", "0", NULL);
            _exit(200);
        }
        status_of(pid);
    }
    return unused;
}

/* What one thread opens for its exec is not left in what another thread starts. */
void program_exec_in_two_threads(void)
{
    pthread_t thread;
    int most = 0;
    stop_threads = 0;
    pthread_create(&thread, NULL, exec_all_the_time, NULL);
    for (int n = 0; n < 150; n++) {
        pid_t pid = fork();
        if (!pid) {
            execl(self, self, "role descriptors", NULL);
            _exit(200);
        }
        int count = status_of(pid);
        if (count > most) most = count;
    }
    stop_threads = 1;
    pthread_join(thread, NULL);
    SAY("most %d\n", most);
}

static void *exec_here(void *argument)
{
    execl(self, self, "role exit", (char *)argument, NULL);
    _exit(200);
}

void program_exec_from_a_thread(void)
{
    int good = 0;
    for (int n = 0; n < 40; n++) {
        pid_t pid = fork();
        if (!pid) {
            pthread_t threads[4];
            for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, use_descriptors, NULL);
            pthread_create(&threads[3], NULL, exec_here, "33");
            for (;;) pause();
        }
        good += status_of(pid) == 33;
    }
    SAY("good %d\n", good);
}

/* Several threads exec at once: one wins, and the others do not live to see it. */
void program_execs_at_once(void)
{
    int good = 0;
    for (int n = 0; n < 40; n++) {
        pid_t pid = fork();
        if (!pid) {
            pthread_t threads[4];
            for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, exec_here, "34");
            for (;;) pause();
        }
        good += status_of(pid) == 34;
    }
    SAY("good %d\n", good);
}

void program_spawn(void)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    sigset_t set;
    char *argv[] = {self, "role mask", NULL}, *kept[] = {"KEPT=1", NULL}, *none[] = {NULL};
    pid_t pid;
    signal(SIGUSR1, SIG_IGN);
    int r = posix_spawn(&pid, self, NULL, NULL, argv, kept);
    SAY("plain %d %d\n", r, status_of(pid));
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_init(&actions);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    posix_spawnattr_setsigdefault(&attributes, &set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGSYS);
    posix_spawnattr_setsigmask(&attributes, &set);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_addopen(&actions, 50, "/dev/null", O_RDONLY, 0);
    r = posix_spawn(&pid, self, &actions, &attributes, argv, none);
    SAY("with everything %d %d\n", r, status_of(pid));
    r = posix_spawn(&pid, "/does/not/exist", &actions, &attributes, argv, none);
    SAY("missing %d\n", r);
    struct sigaction action;
    sigaction(SIGUSR1, NULL, &action);
    SAY("ours ignored %d\n", action.sa_handler == SIG_IGN);
}

void program_system(void)
{
    char line[64] = "";
    SAY("%d %d\n", WEXITSTATUS(system("exit 3")), WEXITSTATUS(system("/does/not/exist 2>/dev/null")));
    FILE *pipe = popen("echo one; echo two >&2 2>/dev/null; exit 4", "r");
    char *read = fgets(line, sizeof line, pipe);
    int status = pclose(pipe);
    SAY("%d %s%d\n", read == line, line, WEXITSTATUS(status));
}

void program_environments(void)
{
    char *kept[] = {"KEPT=1", NULL}, *none[] = {NULL}, *argv[] = {self, "role mask", NULL};
    for (int n = 0; n < 3; n++) {
        pid_t pid = fork();
        if (!pid) {
            execve(self, argv, n == 0 ? kept : n == 1 ? none : NULL);
            _exit(200);
        }
        SAY("environment %d: %d\n", n, status_of(pid));
    }
}

/* A timer that goes on over fifty execs, its signal ignored, then blocked. */
void program_exec_in_a_storm(void)
{
    struct itimerval fast = {{0, 100}, {0, 100}};
    for (int blocked = 0; blocked < 2; blocked++) {
        pid_t pid = fork();
        if (!pid) {
            sigset_t set;
            sigemptyset(&set);
            sigaddset(&set, SIGALRM);
            if (blocked) sigprocmask(SIG_BLOCK, &set, NULL);
            signal(SIGALRM, blocked ? SIG_DFL : SIG_IGN);
            setitimer(ITIMER_REAL, &fast, NULL);
            _exit(role_again(50));
        }
        SAY("%d\n", status_of(pid));
    }
}

/* A handler interrupts execs that fail: each is made again or has its errno, and nothing is left. */
void program_refused_in_a_storm(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct itimerval fast = {{0, 70}, {0, 70}}, off = {{0, 0}, {0, 0}};
    char *bad[] = {(char *)8, NULL};
    int wrong = 0, before = role_descriptors();
    sigset_t mask;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &fast, NULL);
    for (int n = 0; n < 2000; n++) {
        int r = execv(n % 2 ? self : "/etc/passwd", bad);
        wrong += r != -1 || errno != (n % 2 ? EFAULT : EACCES);
    }
    setitimer(ITIMER_REAL, &off, NULL);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    SAY("wrong %d, descriptors %d, blocked %d\n", wrong, role_descriptors() - before, has(&mask, SIGUSR1) + has(&mask, SIGTERM));
}

/* ---- clone ------------------------------------------------------------------------------------------------- */

static long clone3_call(struct clone_args *arguments, size_t size)
{
    return syscall(SYS_clone3, arguments, size);
}

static int default_handler(int signal)
{
    struct sigaction action;
    sigaction(signal, NULL, &action);
    return action.sa_handler == SIG_DFL;
}

void program_clone3(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    signal(SIGUSR2, SIG_IGN);
    int pidfd = -1;
    pid_t named = 0;
    struct clone_args plain = {.exit_signal = SIGCHLD}, clear = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD},
                      described = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID,
                                   .pidfd = (uint64_t)&pidfd,
                                   .parent_tid = (uint64_t)&named,
                                   .exit_signal = SIGCHLD};
    long pid = clone3_call(&plain, sizeof plain);
    if (!pid) _exit(default_handler(SIGUSR1) ? 1 : 2);
    SAY("plain %d\n", status_of((pid_t)pid));
    pid = clone3_call(&clear, sizeof clear);
    if (!pid) {
        int status = default_handler(SIGUSR1) | default_handler(SIGUSR2) << 1;
        sigaction(SIGUSR1, &action, NULL);
        raise(SIGUSR1);
        _exit(status | (seen == SIGUSR1) << 2 | (open("/dev/null", O_RDONLY) >= 0) << 3);
    }
    SAY("cleared %d, ours %d\n", status_of((pid_t)pid), default_handler(SIGUSR1));
    pid = clone3_call(&described, sizeof described);
    if (!pid) _exit(5);
    siginfo_t info = {0};
    int r = waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
    SAY("described %d %d %d %d\n", r, info.si_status, info.si_pid == pid, named == pid);
    close(pidfd);
    long too_small = clone3_call(&plain, 8);
    SAY("bad size %ld %d", too_small, errno);
    SAY(" %ld %d", clone3_call(&plain, 1 << 20), errno);
    SAY(" pointer %ld %d", clone3_call((struct clone_args *)8, sizeof plain), errno);
    struct clone_args both = {.flags = CLONE_CLEAR_SIGHAND | CLONE_SIGHAND | CLONE_VM};
    SAY(" flags %ld %d\n", clone3_call(&both, sizeof both), errno);
}

/* A child on a stack and with a %fs of its own, made with instructions: (flags, stack, tls, child_tid) → pid. */
static long raw_clone(uint64_t flags, void *stack, void *tls, int *child_tid, int (*body)(void))
{
    uint64_t *top = (uint64_t *)stack - 2;
    top[0] = (uint64_t)body;
    register int *r10 __asm__("r10") = child_tid;
    register void *r8 __asm__("r8") = tls;
    long result;
    __asm__ volatile("syscall\n"
                     "testq %%rax, %%rax\n"
                     "jnz 1f\n"
                     "xorl %%ebp, %%ebp\n"
                     "popq %%rax\n"
                     "call *%%rax\n"
                     "movl %%eax, %%edi\n"
                     "movl $60, %%eax\n"
                     "syscall\n"
                     "1:\n"
                     : "=a"(result)
                     : "a"(SYS_clone), "D"(flags), "S"(top), "d"(child_tid), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

static long raw(long number, long a, long b, long c, long d)
{
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return number;
}

static volatile uint64_t own_area[64];
static volatile uint64_t seen_area;

static int look_at_own_area(void)
{
    uint64_t word;
    for (int n = 0; n < 100; n++) {
        long fd = raw(SYS_openat, AT_FDCWD, (long)"/dev/null", 0, 0);
        if (fd >= 0) raw(SYS_close, fd, 0, 0, 0);
    }
    __asm__ volatile("movq %%fs:8, %0" : "=r"(word));
    seen_area = word;
    return 21;
}

static int change_handler(void)
{
    struct {
        void (*handler)(int);
        unsigned long flags;
        void *restorer;
        unsigned long mask;
    } ignore = {SIG_IGN, 0, NULL, 0};
    return raw(SYS_rt_sigaction, SIGUSR1, (long)&ignore, 0, 8) ? 1 : 22;
}

void program_raw_clone(void)
{
    static char stack[65536] __attribute__((aligned(64)));
    static int tid;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    own_area[0] = (uint64_t)own_area;
    own_area[1] = 0x1234567;
    pid_t pid = (pid_t)raw_clone(CLONE_VM | CLONE_SETTLS | SIGCHLD, stack + sizeof stack, (void *)own_area, &tid, look_at_own_area);
    int status = status_of(pid);
    SAY("own area %d %llx\n", status, (unsigned long long)seen_area);
    tid = -1;
    seen_area = 0;
    uint64_t thread =
        CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_CHILD_CLEARTID;
    long made = raw_clone(thread, stack + sizeof stack, (void *)own_area, &tid, look_at_own_area);
    while (*(volatile int *)&tid) syscall(SYS_futex, &tid, FUTEX_WAIT, -1, NULL, NULL, 0);
    SAY("thread %d %llx cleared %d\n", made > 0, (unsigned long long)seen_area, tid);
    pid = (pid_t)raw_clone(CLONE_VM | SIGCHLD, stack + sizeof stack, NULL, &tid, change_handler);
    status = status_of(pid);
    SAY("handlers of its own %d, ours %d\n", status, !default_handler(SIGUSR1));
    pid = (pid_t)raw_clone(CLONE_VM | CLONE_SIGHAND | SIGCHLD, stack + sizeof stack, NULL, &tid, change_handler);
    status = status_of(pid);
    sigaction(SIGUSR1, NULL, &action);
    SAY("shared handlers %d, ours %d\n", status, action.sa_handler == SIG_IGN);
}

/* ---- threads --------------------------------------------------------------------------------------------- */

static pthread_barrier_t all_here;

static void *meet(void *argument)
{
    close(open("/dev/null", O_RDONLY));
    pthread_barrier_wait(&all_here);
    close(open("/dev/null", O_RDONLY));
    return argument;
}

void program_thousands_of_threads(void)
{
    enum { AT_ONCE = 1500, AFTER = 3000 };
    static pthread_t threads[AT_ONCE];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_barrier_init(&all_here, NULL, AT_ONCE + 1);
    int made = 0, joined = 0;
    for (int n = 0; n < AT_ONCE; n++) made += !pthread_create(&threads[n], &small, meet, NULL);
    if (made == AT_ONCE) pthread_barrier_wait(&all_here);
    for (int n = 0; n < made; n++) joined += !pthread_join(threads[n], NULL);
    SAY("at once %d %d\n", made, joined);
    for (int n = joined = 0; n < AFTER; n++) {
        pthread_t one;
        joined += !pthread_create(&one, &small, thread_body, NULL) && !pthread_join(one, NULL);
    }
    SAY("after %d\n", joined);
}

static pthread_mutex_t *robust;

static void *die_with_it(void *argument)
{
    pthread_mutex_lock(robust);
    return argument;
}

void program_robust(void)
{
    pthread_mutexattr_t attributes;
    pthread_t thread;
    robust = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(robust, &attributes);
    pthread_create(&thread, NULL, die_with_it, NULL);
    pthread_join(thread, NULL);
    int first = pthread_mutex_lock(robust);
    pthread_mutex_consistent(robust);
    pthread_mutex_unlock(robust);
    pid_t pid = fork();
    if (!pid) {
        pthread_mutex_lock(robust);
        execl(self, self, "role exit", "0", NULL);
        _exit(200);
    }
    status_of(pid);
    SAY("thread %d, process that execs %d\n", first == EOWNERDEAD, pthread_mutex_lock(robust) == EOWNERDEAD);
}

static void *look_at_rseq(void *argument)
{
    const struct rseq *area = (const struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
    int wrong = 0;
    for (int n = 0; n < 1000; n++) {
        close(open("/dev/null", O_RDONLY));
        wrong += (int)area->cpu_id < 0;
    }
    *(int *)argument = __rseq_size && !wrong;
    return NULL;
}

void program_rseq(void)
{
    pthread_t thread;
    int here, there;
    look_at_rseq(&here);
    pthread_create(&thread, NULL, look_at_rseq, &there);
    pthread_join(thread, NULL);
    SAY("registered %d %d\n", here, there);
}

static void *work_elsewhere(void *argument)
{
    char path[4096];
    int r = unshare(CLONE_FS);
    if (chdir("/usr")) return NULL;
    *(int *)argument = r == 0 && getcwd(path, sizeof path) && !strcmp(path, "/usr");
    return NULL;
}

void program_unshared_directory(void)
{
    char before[4096], after[4096];
    pthread_t thread;
    int there = 0;
    if (!getcwd(before, sizeof before)) return;
    pthread_create(&thread, NULL, work_elsewhere, &there);
    pthread_join(thread, NULL);
    SAY("there %d, here %d\n", there, getcwd(after, sizeof after) && !strcmp(before, after));
}

/* ---- registers --------------------------------------------------------------------------------------------- */

static uint64_t gs_area[4] = {0xabcdef, 2, 3, 4};

void program_gs(void)
{
    uint64_t word = 0, base = 0;
    int wrong = 0;
    SAY("set %ld\n", syscall(SYS_arch_prctl, ARCH_SET_GS, gs_area));
    signal(SIGUSR1, on_signal);
    for (int n = 0; n < 200; n++) {
        close(open("/dev/null", O_RDONLY));
        if (n % 10 == 0) raise(SIGUSR1);
        __asm__ volatile("movq %%gs:0, %0" : "=r"(word));
        wrong += word != gs_area[0];
    }
    pid_t pid = fork();
    if (!pid) {
        __asm__ volatile("movq %%gs:0, %0" : "=r"(word));
        _exit(word == gs_area[0] ? 3 : 4);
    }
    int status = status_of(pid);
    SAY("wrong %d, child %d, base %ld %d\n", wrong, status, syscall(SYS_arch_prctl, ARCH_GET_GS, &base), base == (uint64_t)gs_area);
}

__attribute__((target("avx512f,avx512bw"))) static int wide_registers(void)
{
    uint64_t in[16], out[16], mask = 0x5a5a, mask_after;
    for (int n = 0; n < 16; n++) in[n] = 0x1111111111111111ull * (uint64_t)n;
    __asm__ volatile("vmovdqu64 (%1), %%zmm17\n vmovdqu64 64(%1), %%zmm31\n kmovq %3, %%k3\n"
                     "movl $257, %%eax\n movq $-100, %%rdi\n movq %4, %%rsi\n xorl %%edx, %%edx\n syscall\n"
                     "movl %%eax, %%edi\n movl $3, %%eax\n syscall\n"
                     "vmovdqu64 %%zmm17, (%2)\n vmovdqu64 %%zmm31, 64(%2)\n kmovq %%k3, %0\n"
                     : "=&r"(mask_after)
                     : "r"(in), "r"(out), "r"(mask), "r"("/dev/null")
                     : "rax", "rcx", "rdx", "rdi", "rsi", "r11", "xmm17", "xmm31", "k3", "memory");
    return !memcmp(in, out, sizeof in) && mask == mask_after;
}

void program_wide_registers(void)
{
    SAY("same %d\n", !__builtin_cpu_supports("avx512bw") || wide_registers());
}

/* ---- signal stacks ----------------------------------------------------------------------------------------- */

static char area[1 << 16] __attribute__((aligned(4096)));

/* How a child ends whose signal stack has this many bytes. */
static int on_stack_of(size_t size)
{
    pid_t pid = fork();
    if (!pid) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        stack_t stack = {.ss_sp = area + 8192, .ss_size = size};
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
        if (sigaltstack(&stack, NULL)) _exit(60 + (errno == ENOMEM));
        sigaction(SIGUSR1, &action, NULL);
        raise(SIGUSR1);
        for (size_t n = 0; n < 8192; n++)
            if (area[n]) _exit(70); /* written below it */
        _exit(seen == SIGUSR1 ? 71 : 72);
    }
    return status_of(pid);
}

/* The same for a signal stack that nested handlers fill; with a handler for the SIGSEGV that follows, or without. */
static void fill(int signal)
{
    raise(signal);
}

static void caught_it(int signal)
{
    _exit(signal == SIGSEGV ? 80 : 81);
}

static int filled(int caught)
{
    pid_t pid = fork();
    if (!pid) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        stack_t stack = {.ss_sp = area + 8192, .ss_size = 32768};
        struct sigaction action = {.sa_handler = fill, .sa_flags = SA_ONSTACK | SA_NODEFER}, last = {.sa_handler = caught_it};
        sigaltstack(&stack, NULL);
        sigaction(SIGUSR1, &action, NULL);
        if (caught) sigaction(SIGSEGV, &last, NULL);
        raise(SIGUSR1);
        _exit(82);
    }
    return status_of(pid);
}

void program_small_stacks(void)
{
    SAY("0: %d, 2047: %d, 2048: %d, 32768: %d\n", on_stack_of(0), on_stack_of(2047), on_stack_of(2048), on_stack_of(32768));
    SAY("filled: %d, with a handler %d\n", filled(0), filled(1));
}

static volatile int depth, deepest_on, call_results;

static void nested(int signal, siginfo_t *info, void *context)
{
    char here;
    (void)info, (void)context;
    if (&here >= area && &here < area + sizeof area) deepest_on++;
    stack_t now, other = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(NULL, &now);
    call_results += now.ss_flags == SS_ONSTACK && sigaltstack(&other, NULL) == -1 && errno == EPERM;
    close(open("/dev/null", O_RDONLY));
    if (++depth < 3) raise(signal);
}

static void jump_off(int signal)
{
    siglongjmp(back_here, signal);
}

void program_nested_on_a_stack(void)
{
    stack_t stack = {.ss_sp = area, .ss_size = sizeof area}, now;
    struct sigaction action = {.sa_sigaction = nested, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    SAY("depth %d on it %d refused %d\n", (int)depth, (int)deepest_on, (int)call_results);
    struct sigaction away = {.sa_handler = jump_off, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR2, &away, NULL);
    int jumped = 0;
    for (int n = 0; n < 200; n++) {
        if (sigsetjmp(back_here, 1)) {
            jumped++;
            continue;
        }
        raise(SIGUSR2);
    }
    sigaltstack(NULL, &now);
    SAY("jumped %d flags %d\n", jumped, now.ss_flags);
}

static volatile int disarmed;

static void look_disarmed(int signal)
{
    stack_t now;
    sigaltstack(NULL, &now);
    disarmed = now.ss_flags;
    seen = signal;
}

void program_autodisarm(void)
{
    stack_t stack = {.ss_sp = area, .ss_size = sizeof area, .ss_flags = (int)(1u << 31)}, now;
    struct sigaction action = {.sa_handler = look_disarmed, .sa_flags = SA_ONSTACK};
    SAY("set %d\n", sigaltstack(&stack, NULL));
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    sigaltstack(NULL, &now);
    SAY("inside %d, afterwards %x %d\n", (int)disarmed, (unsigned)now.ss_flags, now.ss_sp == area);
}

/* A stack overflow, caught on a stack of its own and left by a jump. */
static int deeper(volatile char *above)
{
    volatile char here[4096];
    here[0] = above ? above[0] : 0;
    return deeper(here) + here[0];
}

void program_overflow(void)
{
    stack_t stack = {.ss_sp = area, .ss_size = sizeof area};
    struct sigaction action = {.sa_handler = jump_off, .sa_flags = SA_ONSTACK};
    struct rlimit small = {1 << 20, RLIM_INFINITY};
    getrlimit(RLIMIT_STACK, &small);
    small.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_STACK, &small);
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    int caught = 0;
    for (int n = 0; n < 3; n++) {
        if (sigsetjmp(back_here, 1))
            caught++;
        else
            deeper(NULL);
    }
    SAY("caught %d\n", caught);
}

/* ---- */

static const struct {
    const char *name;
    void (*run)(void);
} table[] = {
#include "programs.inc"
};

int main(int argc, char **argv)
{
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (argc < 2 || length < 0) return 101;
    if (!strncmp(argv[1], "role ", 5)) return play(argv);
    for (size_t n = 0; n < sizeof table / sizeof *table; n++)
        if (!strcmp(argv[1], table[n].name)) {
            table[n].run();
            return 0;
        }
    return 102;
}
