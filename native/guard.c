#define _GNU_SOURCE
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "selftrace.h"

/* It answers once we are in its hands, and not at all if it cannot. */
static int be_taken(int gate)
{
    int32_t pid = (int32_t)getpid();
    char held;
    ssize_t got;
    if (write(gate, &pid, sizeof pid) != sizeof pid) return errno;
    do got = read(gate, &held, 1);
    while (got < 0 && errno == EINTR);
    return got == 1 ? 0 : got < 0 ? errno : EPERM;
}

/* The process's own /proc directory: nobody could name it before it was there. */
int st_grant_own_proc(int ruleset, uint64_t access)
{
    struct {
        uint64_t access;
        int32_t fd;
    } __attribute__((packed)) rule = {access, open("/proc/self", O_PATH | O_CLOEXEC)}; /* struct landlock_path_beneath_attr */
    if (rule.fd < 0) return errno;
    int error = syscall(SYS_landlock_add_rule, ruleset, 1 /* PATH_BENEATH */, &rule, 0) ? errno : 0;
    close(rule.fd);
    return error;
}

static int restrict_files(const struct st_guard *guard)
{
    int error = guard->own_proc ? st_grant_own_proc(guard->ruleset, guard->own_proc) : 0;
    if (!error && syscall(SYS_landlock_restrict_self, guard->ruleset, 0)) error = errno;
    close(guard->ruleset);
    return error;
}

static int map_filter(int fd, struct sock_fprog *program)
{
    struct stat status;
    if (fstat(fd, &status)) return errno;
    void *code = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (code == MAP_FAILED) return errno;
    *program = (struct sock_fprog){(unsigned short)((size_t)status.st_size / sizeof(struct sock_filter)), code};
    return 0;
}

int st_guard(const struct st_guard *guard, const char **step)
{
    struct sock_fprog program = {0};
    *step = "supervisor";
    int error = be_taken(guard->gate);
    if (error) return error;
    close(guard->gate);
    *step = "no_new_privs"; /* the kernel asks for it, of root too where the identity is kept */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return errno;
    *step = "landlock";
    if (guard->ruleset >= 0 && (error = restrict_files(guard))) return error;
    *step = "filter";
    if ((error = map_filter(guard->filter, &program))) return error;
    close(guard->filter);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) return errno;
    return syscall(ST_NR_POST) ? errno : 0; /* a number that only the supervisor answers */
}
