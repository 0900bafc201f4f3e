/* Prints what this process sees of itself; or starts a program in one of the ways there are: identity HOW FILE ARGS. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
extern const char __ehdr_start[] __attribute__((weak));

static void show_file(const char *name, const char *path)
{
    char text[4096];
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof text);
    close(fd);
    printf("%s:", name);
    for (ssize_t i = 0; i < n; i++) putchar(text[i] ? text[i] : '|');
    if (n <= 0 || text[n - 1] != '\n') putchar('\n');
}

/* The start of the environment as /proc has it, against the process's own. */
static int environ_agrees(void)
{
    char text[65536];
    int fd = open("/proc/self/environ", O_RDONLY);
    ssize_t n = read(fd, text, sizeof text), at = 0;
    close(fd);
    for (char **e = environ; *e; e++) {
        if (at >= n || strcmp(text + at, *e)) return 0;
        at += (ssize_t)strlen(*e) + 1;
    }
    return at == n;
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 3; fd < 1000; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* /proc/self/auxv and the vector in memory. */
static int auxv_agrees(void)
{
    uint64_t words[128] = {0};
    int fd = open("/proc/self/auxv", O_RDONLY);
    ssize_t n = read(fd, words, sizeof words);
    close(fd);
    for (ssize_t i = 0; i + 1 < n / 8 && words[i]; i += 2)
        if (words[i] != AT_IGNORE && words[i] != AT_HWCAP /* glibc's own */ && getauxval(words[i]) != words[i + 1]) return 0;
    return n > 64;
}

static int brk_is_behind_data(void)
{
    static char in_bss[64];
    char *now = sbrk(0);
    return now > in_bss && sbrk(8192) == now && memset(now, 1, 8192) == now;
}

static int show(int argc, char **argv)
{
    char link[4096] = "";
    ssize_t n = readlink("/proc/self/exe", link, sizeof link - 1);
    printf("argc %d:", argc);
    for (int i = 0; i < argc; i++) printf(" <%s>", argv[i]);
    printf("\nexe: %s\n", n < 0 ? strerror(errno) : link);
    struct stat by_link, by_name;
    if (n > 0 && link[0] == '/' && !stat(link, &by_name))
        printf("stat: %d\n", !stat("/proc/self/exe", &by_link) && by_link.st_ino == by_name.st_ino);
    show_file("comm", "/proc/self/comm");
    show_file("cmdline", "/proc/self/cmdline");
    const char *execfn = (const char *)getauxval(AT_EXECFN);
    printf("execfn: %s\n", strncmp(execfn, "/dev/fd/", 8) ? execfn : "/dev/fd/N");
    const Elf64_Phdr *headers = (const Elf64_Phdr *)getauxval(AT_PHDR);
    printf("headers: %d %lu %d\n",
           __ehdr_start ? (const char *)headers == __ehdr_start + ((const Elf64_Ehdr *)(const void *)__ehdr_start)->e_phoff : 1,
           getauxval(AT_PHNUM), getauxval(AT_ENTRY) > (uintptr_t)__ehdr_start);
    printf("environment: %d, auxv: %d, secure: %lu, brk: %d, descriptors: %d\n", environ_agrees(), auxv_agrees(), getauxval(AT_SECURE),
           brk_is_behind_data(), open_descriptors());
    return 0;
}

static int say_error(void)
{
    printf("errno %d (%s)\n", errno, strerror(errno));
    return 1;
}

static int report(pid_t child)
{
    int status = 0;
    waitpid(child, &status, 0);
    printf("status %x\n", status);
    return 0;
}

static int from_memory(char **argv)
{
    static char bytes[1 << 20];
    int from = open(argv[0], O_RDONLY), fd = memfd_create("made", MFD_CLOEXEC);
    ssize_t n;
    while ((n = read(from, bytes, sizeof bytes)) > 0)
        if (write(fd, bytes, (size_t)n) != n) return 1;
    close(from);
    fexecve(fd, argv, environ);
    return say_error();
}

static void *exec_from_thread(void *argv)
{
    execv(((char **)argv)[0], argv);
    exit(say_error());
}

static int with_vfork(char **argv)
{
    fflush(stdout);
    pid_t child = vfork();
    if (!child) {
        execv(argv[0], argv);
        _exit(126);
    }
    report(child);
    child = vfork();
    if (!child) _exit(execv("/nonexistent", argv) < 0 ? errno : 0);
    return report(child);
}

/* 100 forks, each an exec of `true`. */
static int children(void)
{
    char *argv[] = {"true", NULL};
    int bad = 0;
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        int status;
        if (!child) {
            execve("/bin/true", argv, environ);
            _exit(126);
        }
        waitpid(child, &status, 0);
        bad += status != 0;
    }
    return printf("100 children, %d bad\n", bad) < 0;
}

static int start(const char *how, char **argv)
{
    pthread_t thread;
    char *none[] = {NULL};
    if (!strcmp(how, "exec")) execv(argv[0], argv);
    if (!strcmp(how, "fexecve")) fexecve(open(argv[0], O_RDONLY | O_CLOEXEC), argv, environ);
    if (!strcmp(how, "memfd")) return from_memory(argv);
    if (!strcmp(how, "execveat")) syscall(SYS_execveat, open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), argv[0] + 2, argv, environ, 0);
    if (!strcmp(how, "empty-argv")) execve(argv[0], none, environ);
    if (!strcmp(how, "vfork")) return with_vfork(argv);
    if (!strcmp(how, "children")) return children();
    if (!strcmp(how, "thread") && !pthread_create(&thread, NULL, exec_from_thread, argv)) pthread_join(thread, NULL);
    return say_error();
}

int main(int argc, char **argv)
{
    static const char *const ways[] = {"exec", "fexecve", "memfd", "execveat", "empty-argv", "thread", "vfork", "children"};
    setvbuf(stdout, NULL, _IOFBF, 65536);
    for (unsigned i = 0; argc > 1 && i < sizeof ways / sizeof *ways; i++) {
        if (strcmp(argv[1], ways[i])) continue;
        int code = start(ways[i], argv + 2);
        fflush(stdout);
        return code;
    }
    return show(argc, argv);
}
