/* The readers of capture.c, for another process's memory. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../trace/capture.h"

extern __thread int32_t st_reader_task;
__thread int32_t st_reader_task; /* the task; each supervisor has a thread of its own */

uint32_t st_capture_read(uint8_t *to, uint64_t from, uint32_t size)
{
    struct iovec local = {to, size}, remote[2];
    uint64_t first = 4096 - (from & 4095);
    remote[0] = (struct iovec){(void *)from, size};
    ssize_t got = process_vm_readv(st_reader_task, &local, 1, remote, 1, 0);
    if (got == (ssize_t)size) return size;
    /* The kernel stops at an unreadable page, but only between vectors. */
    uint32_t done = 0;
    while (done < size) {
        uint32_t step = first < size - done ? (uint32_t)first : size - done;
        local = (struct iovec){to + done, step};
        remote[0] = (struct iovec){(void *)(from + done), step};
        got = process_vm_readv(st_reader_task, &local, 1, remote, 1, 0);
        if (got <= 0) break;
        done += (uint32_t)got;
        first = 4096;
    }
    return done;
}

uint32_t st_capture_string(uint8_t *to, uint64_t from, uint32_t most)
{
    uint32_t done = 0;
    while (done < most) {
        uint32_t step = 256 - (uint32_t)((from + done) & 255);
        if (step > most - done) step = most - done;
        uint32_t got = st_capture_read(to + done, from + done, step);
        const uint8_t *end = memchr(to + done, 0, got);
        if (end) return (uint32_t)(end + 1 - to);
        done += got;
        if (got < step) break;
    }
    return done;
}

uint32_t st_capture_comm(int32_t tid, uint8_t *to, uint32_t most)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", tid ? tid : st_reader_task);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, to, most);
    close(fd);
    return n > 0 ? (uint32_t)n - (to[n - 1] == '\n') : 0;
}

uint32_t st_capture_link(int32_t fd, uint8_t *to, uint32_t most)
{
    char path[64];
    if (fd == AT_FDCWD)
        snprintf(path, sizeof path, "/proc/%d/cwd", st_reader_task);
    else
        snprintf(path, sizeof path, "/proc/%d/fd/%d", st_reader_task, fd);
    ssize_t n = readlink(path, (char *)to, most);
    return n > 0 ? (uint32_t)n : 0;
}
