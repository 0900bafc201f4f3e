/* One process that makes a call many times, alone or under a classic supervisor in C: user notification or ptrace. Prints
 * nanoseconds a call. `calls plain|notify|ptrace|ptrace-syscall WHAT COUNT`; the supervisor shares the tracee's core when run
 * under `taskset`. WHAT: getppid, open, three or six (a call with so many arguments that fails at once), path:N (a path of N
 * bytes that is not there), or N*getppid in N threads at once. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check(long result, const char *what)
{
    if (result >= 0) return;
    perror(what);
    exit(1);
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void loop(const char *what, long count)
{
    static char path[4096];
    if (!strncmp(what, "path:", 5)) {
        memset(path, 'x', (size_t)atol(what + 5));
        for (size_t at = 0; path[at]; at += 100) path[at] = '/'; /* a name has at most 255 bytes */
        for (long n = 0; n < count; n++) syscall(SYS_access, path, 0);
    } else if (!strcmp(what, "open")) {
        for (long n = 0; n < count; n++) close((int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY, 0));
    } else if (!strcmp(what, "three")) {
        for (long n = 0; n < count; n++) syscall(SYS_lseek, -1, 0, 0);
    } else if (!strcmp(what, "six")) {
        for (long n = 0; n < count; n++) syscall(SYS_mmap, 0, 0, 0, 0, -1, 0);
    } else {
        for (long n = 0; n < count; n++) syscall(SYS_getppid);
    }
}

static long share;

static void *looping(void *unused)
{
    (void)unused;
    loop("getppid", share);
    return NULL;
}

/* All threads together make `count` calls. */
static void loop_in_threads(int threads, long count)
{
    pthread_t all[64];
    share = count / threads;
    for (int i = 0; i < threads; i++)
        if (pthread_create(&all[i], NULL, looping, NULL)) exit(1);
    for (int i = 0; i < threads; i++) pthread_join(all[i], NULL);
}

static double measure(const char *what, long count)
{
    const char *star = strchr(what, '*');
    double start = now_ns();
    if (star)
        loop_in_threads(atoi(what), count);
    else
        loop(what, count);
    return (now_ns() - start) / (double)count;
}

static int filter(int number, uint32_t action, unsigned flags)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = code};
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void send_fd(int socket, int fd)
{
    char byte = 0, control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    check(sendmsg(socket, &message, 0), "sendmsg");
}

static int receive_fd(int socket)
{
    char byte, control[CMSG_SPACE(sizeof(int))];
    int fd;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    check(recvmsg(socket, &message, 0), "recvmsg");
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

static void supervise_notifications(int listener)
{
    struct seccomp_notif request;
    for (;;) {
        memset(&request, 0, sizeof request);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0) {
            if (errno == EINTR) continue;
            return;
        }
        struct seccomp_notif_resp answer = {.id = request.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

static int notify(const char *what, long count, int number)
{
    int pair[2], status;
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
    pid_t child = fork();
    if (!child) {
        int listener = filter(number, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
        check(listener, "seccomp");
        send_fd(pair[1], listener);
        close(listener);
        printf("%.1f\n", measure(what, count));
        fflush(stdout);
        _exit(0);
    }
    int listener = receive_fd(pair[0]);
    pid_t supervisor = fork();
    if (!supervisor) {
        supervise_notifications(listener);
        _exit(0);
    }
    close(listener);
    waitpid(child, &status, 0);
    kill(supervisor, SIGKILL);
    waitpid(supervisor, NULL, 0);
    return WEXITSTATUS(status);
}

static int traced(const char *what, long count, int number, int every)
{
    int status;
    pid_t child = fork();
    if (!child) {
        check(ptrace(PTRACE_TRACEME, 0, 0, 0), "traceme");
        raise(SIGSTOP);
        if (!every) check(filter(number, SECCOMP_RET_TRACE, 0), "seccomp");
        printf("%.1f\n", measure(what, count));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    check(ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), "setoptions");
    while (!WIFEXITED(status)) {
        check(ptrace(every ? PTRACE_SYSCALL : PTRACE_CONT, child, 0, 0), "cont");
        check(waitpid(child, &status, 0), "waitpid");
        if (WIFSIGNALED(status)) return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 4) return fprintf(stderr, "usage: calls plain|notify|ptrace|ptrace-syscall WHAT COUNT\n"), 2;
    const char *how = argv[1], *what = argv[2];
    long count = strtol(argv[3], NULL, 10);
    int number = strstr(what, "getppid") ? SYS_getppid : SYS_openat;
    if (!strcmp(how, "notify")) return notify(what, count, number);
    if (!strcmp(how, "ptrace")) return traced(what, count, number, 0);
    if (!strcmp(how, "ptrace-syscall")) return traced(what, count, number, 1);
    printf("%.1f\n", measure(what, count));
    return 0;
}
