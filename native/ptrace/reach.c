/* What the interposer's rules ask of the process that they are in, asked of another one: its memory, its descriptors, its
 * directories. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../interposer/core.h"

extern __thread int32_t st_reader_task;

int64_t st_copy_in(void *to, const void *from, uint64_t size)
{
    struct iovec here = {to, size}, there = {(void *)from, size};
    return process_vm_readv(st_reader_task, &here, 1, &there, 1, 0) == (ssize_t)size ? 0 : -ST_EFAULT;
}

int64_t st_copy_out(void *to, const void *from, uint64_t size)
{
    struct iovec here = {(void *)from, size}, there = {to, size};
    return process_vm_writev(st_reader_task, &here, 1, &there, 1, 0) == (ssize_t)size ? 0 : -ST_EFAULT;
}

/* Its length; `size`: there is no end so far. */
int64_t st_copy_string(void *to, const void *from, uint64_t size)
{
    uint32_t got = st_capture_string(to, (uint64_t)from, (uint32_t)size);
    if (got && !((const uint8_t *)to)[got - 1]) return got - 1;
    return got == size ? (int64_t)size : -ST_EFAULT;
}

uint8_t *st_put_number(uint8_t *at, int64_t value)
{
    return at + snprintf((char *)at, 21, "%lld", (long long)value);
}

/* A name as the program means it: /proc/self is its own, and so is the root. */
static const char *outside_name(const char *name, char *out, size_t size)
{
    int own = !strncmp(name, "/proc/self", 10) && (name[10] == '/' || !name[10]);
    int length =
        own ? snprintf(out, size, "/proc/%d%s", st_reader_task, name + 10) : snprintf(out, size, "/proc/%d/root%s", st_reader_task, name);
    return length < (int)size ? out : name; /* as long as a name may be: only the kernel's own limit is left to say so */
}

static int64_t said(int64_t result)
{
    return result < 0 ? -errno : result;
}

static int64_t read_link(const char *name, char *to, size_t size)
{
    char path[ST_PATH_MAX];
    return said(readlink(outside_name(name, path, sizeof path), to, size));
}

/* Of a copy of the program's descriptor. */
static int64_t socket_option(int32_t fd, int level, int name, void *value, socklen_t *size)
{
    int process = (int)syscall(SYS_pidfd_open, st_state.pid, 0);
    if (process < 0) return -errno;
    int copy = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
    int64_t result = copy < 0 ? -errno : said(getsockopt(copy, level, name, value, size));
    if (copy >= 0) close(copy);
    close(process);
    return result;
}

int64_t st_sys(int64_t nr, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f)
{
    char path[ST_PATH_MAX];
    int64_t length;
    (void)f;
    switch (nr) {
    case __NR_readlink: return read_link((const char *)a, (char *)b, (size_t)c);
    case __NR_getcwd: length = read_link("/proc/self/cwd", (char *)a, (size_t)b); return length < 0 ? length : length + 1;
    case __NR_getsockopt: return socket_option((int32_t)a, (int)b, (int)c, (void *)d, (socklen_t *)e);
    case __NR_openat: return said(open(outside_name((const char *)b, path, sizeof path), (int)c));
    case __NR_pwrite64:
    case __NR_close:
    case __NR_nanosleep:
    case __NR_clock_gettime: return said(syscall(nr, a, b, c, d));
    default: return -ST_ENOSYS; /* an action that only whoever watches the process would see */
    }
}
