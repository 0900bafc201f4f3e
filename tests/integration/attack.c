/* A program gone bad: tries what its arguments say, and prints for each "WHAT ok" or "WHAT" and the error.
 * Linked statically, so that a policy needs to grant nothing but this file itself. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int opened(const char *path, int flags)
{
    char byte;
    int fd = open(path, flags | O_CLOEXEC, 0666), result = fd < 0 ? -1 : 0;
    if (fd >= 0 && (flags & O_ACCMODE) == O_RDONLY) result = read(fd, &byte, 1) < 0 ? -1 : 0;
    if (fd >= 0) close(fd);
    return result;
}

static int listed(const char *path)
{
    char entries[1024];
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long result = fd < 0 ? -1 : syscall(SYS_getdents64, fd, entries, sizeof entries);
    if (fd >= 0) close(fd);
    return result < 0 ? -1 : 0;
}

static int met(const char *port, int type, int binds)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, type, 0);
    if (fd < 0) return -1;
    int result = binds ? bind(fd, (struct sockaddr *)&there, sizeof there) : connect(fd, (struct sockaddr *)&there, sizeof there);
    close(fd);
    return result;
}

static int moved(const char *path)
{
    char other[4096];
    snprintf(other, sizeof other, "%s.moved", path);
    return rename(path, other);
}

static int run(const char *path)
{
    char *const words[] = {(char *)path, NULL}, *const env[] = {NULL};
    return execve(path, words, env);
}

static int reads(const char *path)
{
    return opened(path, O_RDONLY);
}
static int writes(const char *path)
{
    return opened(path, O_WRONLY);
}
static int appends(const char *path)
{
    return opened(path, O_WRONLY | O_APPEND);
}
static int creates(const char *path)
{
    return opened(path, O_WRONLY | O_CREAT | O_EXCL);
}
static int cuts(const char *path)
{
    return truncate(path, 0);
}
static int makes(const char *path)
{
    return mkdir(path, 0777);
}
static int links(const char *path)
{
    return symlink("/etc/passwd", path);
}
static int connects(const char *port)
{
    return met(port, SOCK_STREAM, 0);
}
static int sends(const char *port)
{
    return met(port, SOCK_DGRAM, 0);
}
static int binds(const char *port)
{
    return met(port, SOCK_STREAM, 1);
}

static const struct {
    const char *kind;
    int (*act)(const char *what);
} ATTEMPTS[] = {
    {"read", reads},    {"write", writes},     {"append", appends}, {"create", creates}, {"list", listed},
    {"truncate", cuts}, {"mkdir", makes},      {"rmdir", rmdir},    {"symlink", links},  {"rename", moved},
    {"unlink", unlink}, {"connect", connects}, {"udp", sends},      {"bind", binds},     {"run", run},
};

static int attempt(const char *kind, size_t length, const char *what)
{
    for (size_t n = 0; n < sizeof ATTEMPTS / sizeof *ATTEMPTS; n++)
        if (strlen(ATTEMPTS[n].kind) == length && memcmp(ATTEMPTS[n].kind, kind, length) == 0) return ATTEMPTS[n].act(what);
    return errno = EINVAL, -1;
}

int main(int argc, char **argv)
{
    for (int n = 1; n < argc; n++) {
        const char *what = strchr(argv[n], '=');
        if (!what) return 2;
        int result = attempt(argv[n], (size_t)(what - argv[n]), what + 1);
        printf("%s %s\n", argv[n], result < 0 ? strerror(errno) : "ok");
        fflush(stdout);
    }
    return 0;
}
