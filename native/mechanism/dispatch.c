/* Syscall User Dispatch for a program that does not know of it: `selftrace compare` puts this object into every dynamic program
 * by LD_PRELOAD. Each puts itself, its threads and its forks' children under dispatch, and passes every call on. Not seen: what
 * the dynamic linker does before, a vfork's child until its exec, and programs that are static or lose LD_PRELOAD.
 *
 * SELFTRACE_DISPATCH=INTERPOSER:PLAN:RING names three files; the ring is shared by all, and counts calls. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../preload/preload.h"

#define TRACE_BYTES 4096ull /* of events there are none */
#define RING_BYTES (ST_RING_OFFSET + (uint64_t)ST_RING_SLOTS * ST_RECORD_SIZE)

static char files[3][4096]; /* interposer, plan, ring */
static const void *plan;

/* Nobody reads stacks here. */
uint32_t st_python_stack(uint8_t *text, uint32_t size, uint32_t *foreign)
{
    (void)text;
    (void)size;
    (void)foreign;
    return 0;
}

void st_hook(struct st_call *call)
{
    (void)call;
}

static _Noreturn void failed(const char *what)
{
    dprintf(2, "selftrace: dispatch: %s: %m\n", what);
    _exit(126);
}

static int opened(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) failed(path);
    return fd;
}

/* The ring that was just made is this process's own: the shared one in its place. */
static void share_ring(void)
{
    int fd = opened(files[2], O_RDWR);
    void *at = mmap((void *)ST_RING_ADDRESS, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    if (at == MAP_FAILED) failed(files[2]);
    close(fd);
}

static void go_under(void)
{
    int fd = opened(files[0], O_RDONLY);
    st_dispatch_patience(ST_PATCH_NEVER); /* every call is to arrive: that is what is compared */
    int32_t r = st_dispatch_engage(fd, plan, TRACE_BYTES);
    close(fd);
    errno = -r;
    if (r < 0) failed("mapping the interposer");
    share_ring();
    st_watch(0); /* until the thread's mask is its own again */
    r = st_dispatch_join(1);
    errno = -r;
    if (r < 0) failed("Syscall User Dispatch");
    st_watch(1);
}

static void read_plan(void)
{
    struct stat status;
    int fd = opened(files[1], O_RDONLY);
    if (fstat(fd, &status)) failed(files[1]);
    plan = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (plan == MAP_FAILED) failed(files[1]);
    close(fd);
}

__attribute__((constructor)) static void begin(int argc, char **argv, char **envp)
{
    (void)argc;
    (void)argv;
    const char *given = st_variable(envp, "SELFTRACE_DISPATCH");
    if (!given || sscanf(given, "%4095[^:]:%4095[^:]:%4095[^:]", files[0], files[1], files[2]) != 3) return;
    read_plan();
    go_under();
    pthread_atfork(NULL, NULL, go_under); /* after the one of st_dispatch_engage, by which a child is free of the parent's */
}
