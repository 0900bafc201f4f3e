/* What the debugger's tests debug: each word of the command line does one thing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

char needle[] = "needle in a haystack";
char *to_needle = needle;
static volatile int *volatile nowhere = (volatile int *)0x10;
static volatile int handled, rounds;

__attribute__((noinline)) int leaf(int depth)
{
    int twice = depth * 2;
    return twice + 1;
}

__attribute__((noinline)) int recurse(int depth)
{
    if (depth == 0) return leaf(20);
    return recurse(depth - 1) + 1;
}

static int sum(void)
{
    int total = 0;
    for (int i = 0; i < 4; i++) {
        total += recurse(i);
    }
    printf("sum %d\n", total);
    return 3;
}

__attribute__((noinline)) void work(int i)
{
    __atomic_add_fetch(&rounds, i >= 0, __ATOMIC_RELAXED);
}

static void *worker(void *count)
{
    for (int i = 0; i < (int)(long)count; i++) work(i);
    return NULL;
}

static int threads(int count)
{
    pthread_t made[6];
    for (int i = 0; i < 6; i++) pthread_create(&made[i], NULL, worker, (void *)(long)count);
    for (int i = 0; i < 6; i++) pthread_join(made[i], NULL);
    printf("rounds %d\n", rounds);
    return 0;
}

__attribute__((noinline)) void in_handler(int number)
{
    handled += number;
}

static void on_signal(int number)
{
    in_handler(number);
}

static int signals(void)
{
    signal(SIGUSR1, on_signal);
    for (int i = 0; i < 3; i++) raise(SIGUSR1);
    printf("handled %d\n", handled / SIGUSR1);
    return 0;
}

static int children(char *self)
{
    int status[3];
    pid_t pid = fork();
    if (!pid) {
        work(1);
        _exit(rounds + 4);
    }
    waitpid(pid, &status[0], 0);
    work(1);
    pid = vfork();
    if (!pid) {
        execl(self, self, "sum", NULL);
        _exit(9);
    }
    waitpid(pid, &status[1], 0);
    work(1);
    status[2] = system("exit 6");
    work(1);
    for (int i = 0; i < 3; i++) printf("%d ", WIFEXITED(status[i]) ? WEXITSTATUS(status[i]) : -WTERMSIG(status[i]));
    printf("rounds %d\n", rounds);
    return 0;
}

static int parent_waits(void)
{
    char text[64] = "", path[40];
    snprintf(path, sizeof path, "/proc/%d/wchan", getppid());
    FILE *file = fopen(path, "r");
    if (file && !fgets(text, sizeof text, file)) text[0] = 0;
    if (file) fclose(file);
    return strstr(text, "do_wait") != NULL;
}

/* For a child that ends when it is waited for, not before. */
static int waits(void)
{
    pid_t pid = fork();
    if (!pid) {
        while (!parent_waits()) usleep(1000);
        _exit(5);
    }
    return waitpid(pid, NULL, 0) != pid;
}

static void *executes(void *self)
{
    execl(self, (char *)self, "sum", NULL);
    return NULL;
}

static int state_of_main(void)
{
    char text[512], path[40];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid());
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) fclose(file);
    text[n] = 0;
    char *name = strrchr(text, ')');
    return name ? name[2] : 0;
}

static void *alone(void *unused)
{
    while (state_of_main() != 'Z') usleep(1000);
    printf("ready\n");
    while (getchar() != EOF) work(1);
    printf("rounds %d\n", rounds);
    exit(4);
    return unused;
}

static int thread(void *(*what)(void *), void *self, int joins)
{
    pthread_t made;
    pthread_create(&made, NULL, what, self);
    if (joins) pthread_join(made, NULL);
    pthread_exit(NULL);
}

static int plugin(const char *path)
{
    void *object = dlopen(path, RTLD_NOW);
    int (*call)(int) = object ? (int (*)(int))dlsym(object, "plugged") : NULL;
    if (!call) return 1;
    printf("plugged %d\n", call(4));
    return 0;
}

static void *beside(void *unused)
{
    for (;;) {
        work(1);
        usleep(1000);
    }
    return unused;
}

/* Answers each line, with five threads beside; ends with the input. */
static int serve(void)
{
    pthread_t made;
    char line[100];
    for (int i = 0; i < 5; i++) pthread_create(&made, NULL, beside, NULL);
    signal(SIGUSR1, on_signal);
    printf("ready\n");
    while (fgets(line, sizeof line, stdin)) printf("%d %s", handled / SIGUSR1, line);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "sum";
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(what, "sum")) return sum();
    if (!strcmp(what, "threads")) return threads(100);
    if (!strcmp(what, "signals")) return signals();
    if (!strcmp(what, "children")) return children(argv[0]);
    if (!strcmp(what, "waits")) return waits();
    if (!strcmp(what, "exec")) return execl(argv[0], argv[0], "sum", NULL);
    if (!strcmp(what, "execs")) return execl(argv[2], argv[2], NULL);
    if (!strcmp(what, "thread-exec")) return thread(executes, argv[0], 1);
    if (!strcmp(what, "alone")) return thread(alone, NULL, 0);
    if (!strcmp(what, "plugin")) return plugin(argv[2]);
    if (!strcmp(what, "serve")) return serve();
    if (!strcmp(what, "pid")) return printf("pid %d user %d\n", getppid() > 0 ? getpid() : 0, (int)getuid()) < 0;
    if (!strcmp(what, "crash")) return *nowhere;
    return 2;
}
