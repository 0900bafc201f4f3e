/* What faults do to a call besides answering it: other bytes in memory, fewer bytes to move, bytes that nobody has sent. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "internal.h"

/* By /proc where a plain write is refused: what is read-only for the program is copied for the purpose. */
static uint64_t write_memory(int32_t tid, uint64_t to, const void *bytes, uint64_t size)
{
    char path[64];
    struct iovec here = {(void *)bytes, size}, there = {(void *)to, size};
    ssize_t done = process_vm_writev(tid, &here, 1, &there, 1, 0);
    if (done > 0) return (uint64_t)done;
    snprintf(path, sizeof path, "/proc/%d/mem", tid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    done = pwrite(fd, bytes, size, (off_t)to);
    close(fd);
    return done > 0 ? (uint64_t)done : 0;
}

/* Each poke: an argument's index, a length of 16 bits, and the bytes for where it points. Returns what the event says of it. */
uint32_t st_poke_memory(struct st_ptrace *s, const struct st_task *t, const uint8_t *pokes, uint32_t size)
{
    const uint8_t *at = pokes, *end = pokes + size;
    uint64_t done = 0;
    while (end - at > 3) {
        uint32_t length = at[1] | (uint32_t)at[2] << 8;
        uint64_t written = write_memory(t->tid, t->call.args[at[0]], at + 3, length);
        if (!written) st_task_note(s, t, ST_PTRACE_UNPOKED);
        done += written;
        at += 3 + length;
    }
    return done ? ST_EVENT_POKED : 0;
}

/* The call moves at most so many bytes. */
uint32_t st_shorten_call(const struct st_task *t, const struct st_ptrace_fault *f)
{
    if (t->call.args[f->count] <= f->most) return 0;
    st_poke_argument(t->tid, (uint32_t)f->count, f->most);
    return ST_EVENT_POKED;
}

/* The fault's bytes in the program's buffer, as if they had been read. How many fitted, or -errno. */
int64_t st_give_data(const struct st_task *t, const struct st_ptrace_fault *f)
{
    uint64_t size = f->data_size < t->call.args[f->count] ? f->data_size : t->call.args[f->count];
    struct iovec here = {(void *)f->data, size}, there = {(void *)t->call.args[f->buffer], size};
    return process_vm_writev(t->tid, &here, 1, &there, 1, 0) == (ssize_t)size ? (int64_t)size : -EFAULT;
}
