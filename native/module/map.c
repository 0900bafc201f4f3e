/* Maps the blob, the plan and the ring, and arms the interposer. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "module.h"

int64_t st_syscall(int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    int64_t result = syscall(nr, a, b, c, d, e, f);
    return result == -1 && errno ? -errno : result;
}

static const struct st_blob *mapped;
static int ring_mapped;

const struct st_blob *st_blob_mapped(void)
{
    return mapped;
}

void st_blob_unmapped(void)
{
    mapped = NULL;
}

static int32_t map_segment(int fd, const Elf64_Phdr *p)
{
    uint64_t low = p->p_vaddr & ~4095ull, file_end = (p->p_vaddr + p->p_filesz + 4095) & ~4095ull;
    uint64_t end = (p->p_vaddr + p->p_memsz + 4095) & ~4095ull;
    int protection = (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) | (p->p_flags & PF_X ? PROT_EXEC : 0);
    int flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE;
    if (p->p_filesz && mmap((void *)low, file_end - low, protection, flags, fd, (off_t)(p->p_offset & ~4095ull)) == MAP_FAILED)
        return -errno;
    if (p->p_filesz && (p->p_flags & PF_W)) memset((void *)(p->p_vaddr + p->p_filesz), 0, file_end - p->p_vaddr - p->p_filesz);
    if (!p->p_filesz) file_end = low;
    if (end > file_end && mmap((void *)file_end, end - file_end, protection, flags | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) return -errno;
    return 0;
}

int32_t st_map_blob(int32_t fd)
{
    unsigned char head[4096];
    if (mapped) return 0;
    if (pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head) return -ENOEXEC;
    const Elf64_Ehdr *elf = (const Elf64_Ehdr *)head;
    if (memcmp(elf->e_ident, ELFMAG, SELFMAG) || elf->e_phoff + elf->e_phnum * sizeof(Elf64_Phdr) > sizeof head) return -ENOEXEC;
    const Elf64_Phdr *headers = (const Elf64_Phdr *)(head + elf->e_phoff);
    for (int i = 0; i < elf->e_phnum; i++) {
        int32_t r = headers[i].p_type == PT_LOAD ? map_segment(fd, &headers[i]) : 0;
        if (r) return r;
    }
    const struct st_blob *blob = (const struct st_blob *)ST_BLOB_BASE;
    if (blob->magic != ST_BLOB_MAGIC) return -ENOEXEC;
    if (blob->abi != ST_ABI) return -EPROTO;
    mapped = blob;
    return 0;
}

/* In a process that the loader has armed, or another object of ours. */
int32_t st_adopt(void)
{
    const struct st_blob *blob = (const struct st_blob *)ST_BLOB_BASE;
    if (blob->magic != ST_BLOB_MAGIC) return -ENOEXEC;
    if (blob->abi != ST_ABI) return -EPROTO;
    mapped = blob;
    ring_mapped = 1;
    return 0;
}

/* ld.so's text, for which Python is never asked: the mapping that AT_BASE names. */
static void find_ldso(struct st_arm *arm)
{
    unsigned long base = getauxval(AT_BASE);
    const Elf64_Ehdr *elf = (const Elf64_Ehdr *)base;
    if (!base) return;
    const Elf64_Phdr *headers = (const Elf64_Phdr *)(base + elf->e_phoff);
    for (int i = 0; i < elf->e_phnum; i++) {
        if (headers[i].p_type != PT_LOAD || !(headers[i].p_flags & PF_X)) continue;
        arm->ldso_low = base + headers[i].p_vaddr;
        arm->ldso_high = arm->ldso_low + headers[i].p_memsz;
    }
}

static void *map_whole(int fd, int protection, int flags, uint64_t at, uint64_t *size)
{
    struct stat st;
    if (fstat(fd, &st)) return MAP_FAILED;
    *size = (uint64_t)st.st_size;
    return mmap((void *)at, *size, protection, flags | MAP_FIXED_NOREPLACE, fd, 0);
}

static void *map_ring(int fd, uint64_t at, uint64_t size, uint64_t offset)
{
    return mmap((void *)at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, (off_t)offset);
}

int32_t st_arm_interposer(int32_t plan_fd, int32_t ring_fd, int32_t landlock_fd, int32_t with_hook)
{
    struct st_arm arm = {.landlock_fd = landlock_fd, .stack = st_python_stack, .hook = with_hook ? st_hook : NULL};
    if (!mapped) return -ENXIO;
    arm.plan = map_whole(plan_fd, PROT_READ, MAP_PRIVATE, ST_PLAN_ADDRESS, &arm.plan_size);
    if (arm.plan == MAP_FAILED) return -errno;
    if (ring_fd >= 0) {
        arm.ring = map_ring(ring_fd, ST_RING_ADDRESS, ST_RING_OFFSET + (uint64_t)ST_RING_SLOTS * ST_RECORD_SIZE, 0);
        if (arm.ring == MAP_FAILED) return -errno;
        ring_mapped = 1;
        if (arm.ring->magic != ST_RING_MAGIC || arm.ring->abi != ST_ABI) return -EPROTO;
        const struct st_ring_header *ring = arm.ring;
        if (ring->trace_size && map_ring(ring_fd, ST_TRACE_ADDRESS, ring->trace_size, ring->trace_offset) == MAP_FAILED) return -errno;
    }
    find_ldso(&arm);
    if (plan_fd < ST_KEPT_BLOB) close(plan_fd);
    if (ring_fd >= 0 && ring_fd < ST_KEPT_BLOB) close(ring_fd);
    return (int32_t)mapped->arm(&arm);
}

void st_ready(void)
{
    struct st_ring_header *ring = (struct st_ring_header *)ST_RING_ADDRESS;
    if (ring_mapped) ring->armed = 2;
}

int32_t st_read_memory(void *to, uint64_t from, uint64_t size)
{
    return (int32_t)mapped->copy_in(to, (const void *)from, size);
}

int64_t st_make_content(const void *bytes, uint64_t size)
{
    return mapped->content(bytes, size);
}

void st_report_text(struct st_call *call, uint32_t kind, uint32_t row, int64_t result, const uint8_t *note, uint32_t length)
{
    mapped->report(call, kind, row, result, note, length);
}
