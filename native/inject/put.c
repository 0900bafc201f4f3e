/* Mapping ring, blob and plan in a stopped process, and putting its threads under dispatch. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../selftrace.h"
#include "inject.h"

#define PAGE 4095ull
#define FRESH (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE)
#define WRITABLE (PROT_READ | PROT_WRITE)

static int64_t map_there(struct st_inject *in, uint64_t at, uint64_t size, uint64_t protection, uint64_t flags, uint64_t fd, uint64_t from)
{
    return st_remote_syscall(in, &in->threads[0], SYS_mmap, at, size, protection, flags, fd, from);
}

/* ---- the ring: a memory file of the process's own, since it might not be allowed to open ours ------------------------- */

static int32_t open_theirs(const struct st_inject *in, int64_t fd, uint64_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", in->pid, (int)fd);
    int32_t ours = open(path, O_RDWR | O_CLOEXEC);
    if (ours < 0) return -errno;
    if (!ftruncate(ours, (off_t)size)) return ours;
    int32_t error = -errno;
    close(ours);
    return error;
}

int32_t st_inject_ring(struct st_inject *in, uint64_t records, uint64_t trace)
{
    static const char name[] = "selftrace-ring";
    st_inject_at("mapping memory for the events");
    int32_t r = st_remote_scratch(in);
    if (!r) r = st_remote_write(in, ST_SCRATCH, name, sizeof name);
    if (r) return r;
    st_remote_requeue(in, &in->threads[0]);
    int64_t fd = st_remote_syscall(in, &in->threads[0], SYS_memfd_create, ST_SCRATCH, MFD_CLOEXEC, 0, 0, 0, 0);
    if (fd < 0) return (int32_t)fd;
    r = open_theirs(in, fd, records + trace);
    int64_t mapped = r < 0 ? r : map_there(in, ST_RING_ADDRESS, records, WRITABLE, MAP_SHARED | MAP_FIXED_NOREPLACE, (uint64_t)fd, 0);
    if (mapped >= 0) mapped = map_there(in, ST_TRACE_ADDRESS, trace, WRITABLE, MAP_SHARED | MAP_FIXED_NOREPLACE, (uint64_t)fd, records);
    st_remote_syscall(in, &in->threads[0], SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0);
    if (mapped >= 0) return r;
    if (r >= 0) close(r);
    return (int32_t)mapped;
}

/* ---- the blob ------------------------------------------------------------------------------------------------------------- */

static int32_t put_bytes(struct st_inject *in, uint64_t at, const void *bytes, uint64_t size, uint64_t room, uint64_t protection)
{
    uint64_t low = at & ~PAGE, high = (at + room + PAGE) & ~PAGE;
    int64_t r = map_there(in, low, high - low, WRITABLE, FRESH, ~0ull, 0);
    if (r >= 0) r = st_remote_write(in, at, bytes, size);
    if (r >= 0 && protection != WRITABLE) r = st_remote_syscall(in, &in->threads[0], SYS_mprotect, low, high - low, protection, 0, 0, 0);
    return r < 0 ? (int32_t)r : 0;
}

static int32_t put_segment(struct st_inject *in, int32_t file, const Elf64_Phdr *p)
{
    uint64_t protection = (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) | (p->p_flags & PF_X ? PROT_EXEC : 0);
    void *bytes = malloc(p->p_filesz + 1);
    if (!bytes) return -ENOMEM;
    int32_t r = pread(file, bytes, p->p_filesz, (off_t)p->p_offset) == (ssize_t)p->p_filesz ? 0 : -ENOEXEC;
    if (!r) r = put_bytes(in, p->p_vaddr, bytes, p->p_filesz, p->p_memsz, protection);
    free(bytes);
    return r;
}

static int32_t put_blob(struct st_inject *in, int32_t file)
{
    uint8_t head[4096];
    const Elf64_Ehdr *elf = (const Elf64_Ehdr *)head;
    if (pread(file, head, sizeof head, 0) != (ssize_t)sizeof head) return -ENOEXEC;
    if (memcmp(elf->e_ident, ELFMAG, SELFMAG) || elf->e_phoff + elf->e_phnum * sizeof(Elf64_Phdr) > sizeof head) return -ENOEXEC;
    const Elf64_Phdr *headers = (const Elf64_Phdr *)(head + elf->e_phoff);
    for (int i = 0; i < elf->e_phnum; i++) {
        int32_t r = headers[i].p_type == PT_LOAD ? put_segment(in, file, &headers[i]) : 0;
        if (r) return r;
    }
    return 0;
}

/* ---- the threads ------------------------------------------------------------------------------------------------------------ */

/* SIGSYS stays out of its mask from here on: the blob knows whether it was in. */
static int32_t join(struct st_inject *in, const struct st_blob *blob, struct remote_thread *thread)
{
    int64_t joined = 0;
    int32_t r = st_remote_function(in, thread, (uint64_t)blob->join, ~0u, thread->mask, &joined);
    if (r || joined < 0) return r ? r : (int32_t)joined;
    thread->mask &= ~(1ull << 30);
    return 0;
}

int32_t st_inject_arm(struct st_inject *in, int32_t file, const void *plan, uint64_t size)
{
    struct st_blob blob;
    struct st_arm arm = {.plan = (const void *)ST_PLAN_ADDRESS, .plan_size = size, .landlock_fd = -1};
    arm.ring = (struct st_ring_header *)ST_RING_ADDRESS;
    st_inject_at("mapping the interposer");
    int32_t r = put_blob(in, file);
    if (!r) r = put_bytes(in, ST_PLAN_ADDRESS, plan, size, size, PROT_READ);
    if (!r) r = st_remote_read(in, &blob, ST_BLOB_BASE, sizeof blob);
    if (!r && (blob.magic != ST_BLOB_MAGIC || blob.abi != ST_ABI)) r = -EPROTO;
    if (!r) r = st_remote_write(in, ST_SCRATCH, &arm, sizeof arm);
    if (r) return r;
    in->syscall_at = blob.gate_call; /* any other instruction may send us the call */
    st_inject_at("taking its signal handlers over");
    int64_t engaged = 0;
    r = st_remote_function(in, &in->threads[0], (uint64_t)blob.engage, ST_SCRATCH, 0, &engaged);
    if (r || engaged < 0) return r ? r : (int32_t)engaged;
    st_inject_at("putting its threads under Syscall User Dispatch");
    for (int32_t i = 0; !r && i < in->count; i++) r = join(in, &blob, &in->threads[i]);
    for (int32_t i = 0; !r && i < in->count; i++) st_remote_requeue(in, &in->threads[i]);
    return r;
}
