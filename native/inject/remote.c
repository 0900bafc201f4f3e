/* Calls that a stopped thread makes for us: one instruction of its own at a time, or a function of the blob. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../selftrace.h"
#include "inject.h"

int32_t st_remote_read(const struct st_inject *in, void *to, uint64_t from, uint64_t size)
{
    ssize_t n = pread(in->memory, to, size, (off_t)from);
    return n < 0 ? -errno : (uint64_t)n == size ? 0 : -EFAULT;
}

int32_t st_remote_write(const struct st_inject *in, uint64_t to, const void *from, uint64_t size)
{
    ssize_t n = pwrite(in->memory, from, size, (off_t)to);
    return n < 0 ? -errno : (uint64_t)n == size ? 0 : -EFAULT;
}

static int32_t until_trap(const struct remote_thread *thread, int how)
{
    int32_t status;
    for (;;) {
        if (ptrace(how, thread->tid, 0, 0)) return -errno;
        while (waitpid(thread->tid, &status, __WALL) < 0)
            if (errno != EINTR) return -errno;
        if (!WIFSTOPPED(status)) return -ESRCH;
        if (status >> 16) continue; /* PTRACE_EVENT_STOP: a stop of the whole process is for later */
        return WSTOPSIG(status) == SIGTRAP ? 0 : -EFAULT;
    }
}

/* Runs the thread with these registers until it traps; result: its rax. */
static int32_t call(const struct remote_thread *thread, int how, struct user_regs_struct *regs, int64_t *result)
{
    int32_t r = st_remote_borrow(thread, regs);
    if (!r) r = until_trap(thread, how);
    if (!r && ptrace(PTRACE_GETREGS, thread->tid, 0, regs)) r = -errno;
    if (!r && result) *result = (int64_t)regs->rax;
    if (r != -ESRCH) st_remote_give_back(thread);
    return r;
}

int64_t st_remote_syscall(struct st_inject *in, struct remote_thread *thread, int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                          uint64_t e, uint64_t f)
{
    struct user_regs_struct regs = thread->regs;
    regs.rip = in->syscall_at;
    regs.rax = (uint64_t)nr;
    regs.orig_rax = ~0ull;
    regs.rdi = a;
    regs.rsi = b;
    regs.rdx = c;
    regs.r10 = d;
    regs.r8 = e;
    regs.r9 = f;
    int64_t result = 0;
    int32_t r = call(thread, PTRACE_SINGLESTEP, &regs, &result);
    return r ? r : result;
}

/* The blob's own way: it traps when the function has returned. On the scratch stack: the program's may be too small. */
int32_t st_remote_function(struct st_inject *in, struct remote_thread *thread, uint64_t function, uint64_t a, uint64_t b, int64_t *result)
{
    struct st_blob blob;
    struct user_regs_struct regs = thread->regs;
    int32_t r = st_remote_read(in, &blob, ST_BLOB_BASE, sizeof blob);
    if (r) return r;
    regs.rip = blob.remote_call;
    regs.rax = function;
    regs.rsp = ST_SCRATCH + ST_SCRATCH_SIZE;
    regs.orig_rax = ~0ull;
    regs.eflags &= ~0x500ull; /* neither stepping nor backwards */
    regs.rdi = a;
    regs.rsi = b;
    return call(thread, PTRACE_CONT, &regs, result);
}

/* ---- a place to call from, and one to put things -------------------------------------------------------------------- */

static uint64_t find_in(const struct st_inject *in, uint64_t low, uint64_t high)
{
    uint8_t bytes[4096];
    for (uint64_t at = low; at + sizeof bytes <= high; at += sizeof bytes) {
        if (st_remote_read(in, bytes, at, sizeof bytes)) return 0;
        for (uint32_t i = 0; i + 1 < sizeof bytes; i++)
            if (bytes[i] == 0x0f && bytes[i + 1] == 0x05) return at + i;
    }
    return 0;
}

/* Any bytes 0f 05 in executable memory will do; the kernel's own page has some. */
int32_t st_remote_find_syscall(struct st_inject *in)
{
    char path[40], line[512];
    unsigned long low, high;
    st_inject_at("finding an instruction to make calls with");
    for (int pass = 0; pass < 2 && !in->syscall_at; pass++) {
        snprintf(path, sizeof path, "/proc/%d/maps", in->pid);
        FILE *maps = fopen(path, "re");
        if (!maps) return -errno;
        while (!in->syscall_at && fgets(line, sizeof line, maps)) {
            int kernels = strstr(line, "[vdso]") != NULL;
            if (sscanf(line, "%lx-%lx", &low, &high) != 2 || !strstr(line, "r-xp") || (!pass && !kernels)) continue;
            if (low >= ST_BLOB_BASE && low < ST_REGION_END) continue;
            in->syscall_at = find_in(in, low, high);
        }
        fclose(maps);
    }
    return in->syscall_at ? 0 : -ENOEXEC;
}

int32_t st_remote_scratch(struct st_inject *in)
{
    if (in->scratch) return 0;
    int64_t r = st_remote_syscall(in, &in->threads[0], SYS_mmap, ST_SCRATCH, ST_SCRATCH_SIZE, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ~0ull, 0);
    if (r < 0) return (int32_t)r;
    in->scratch = 1;
    return 0;
}

/* A signal that was kept from it: with all that its handler may ask of it. */
void st_remote_requeue(struct st_inject *in, struct remote_thread *thread)
{
    const uint64_t at = ST_SCRATCH + ST_SCRATCH_SIZE / 4;
    if (!thread->signal || st_remote_scratch(in) || st_remote_write(in, at, &thread->info, sizeof thread->info)) return;
    int64_t r =
        st_remote_syscall(in, thread, SYS_rt_tgsigqueueinfo, (uint64_t)in->pid, (uint64_t)thread->tid, (uint64_t)thread->signal, at, 0, 0);
    if (r >= 0) thread->signal = 0;
}

void st_remote_no_scratch(struct st_inject *in)
{
    if (in->scratch) st_remote_syscall(in, &in->threads[0], SYS_munmap, ST_SCRATCH, ST_SCRATCH_SIZE, 0, 0, 0, 0);
    in->scratch = 0;
}
