/* What the reader needs to unwind a stack, and the vDSO's disappearance: memory of a program that is stopped. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "internal.h"

void st_frame_mapped(struct st_ptrace *s, struct st_task *t, const uint64_t args[6], const char *path);

/* Registers in the order of struct st_regs, then what lies above the stack pointer. Returns the bytes written. */
uint32_t st_put_stack(int32_t tid, uint8_t *out, uint32_t room, uint16_t *flags)
{
    struct user_regs_struct r;
    uint32_t used = (uint32_t)sizeof(struct st_chunk) + 8 * ST_STACK_REGISTERS;
    if (room < used + sizeof(struct st_chunk) + 64 || ptrace(PTRACE_GETREGS, tid, 0, &r)) {
        *flags |= ST_EVENT_CUT;
        return 0;
    }
    const uint64_t ordered[ST_STACK_REGISTERS] = {r.r8,  r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi,
                                                  r.rsi, r.rbp, r.rbx, r.rdx, r.rax, r.rcx, r.rsp, r.rip};
    struct st_chunk *chunk = (struct st_chunk *)out;
    *chunk = (struct st_chunk){r.rsp, sizeof ordered, ST_CHUNK_REGISTERS};
    memcpy(chunk + 1, ordered, sizeof ordered);
    chunk = (struct st_chunk *)(out + used);
    uint32_t most = (room - used - (uint32_t)sizeof *chunk) & ~7u;
    if (most > ST_STACK_MOST) most = ST_STACK_MOST;
    struct iovec here = {chunk + 1, most}, there = {(void *)r.rsp, most};
    ssize_t got = process_vm_readv(tid, &here, 1, &there, 1, 0);
    uint32_t size = got < 0 ? 0 : (uint32_t)got & ~7u;
    *chunk = (struct st_chunk){r.rsp, size, ST_CHUNK_STACK};
    return used + (uint32_t)sizeof *chunk + size;
}

/* Which file lies where in a process that runs already, or has just been given another program. What does not fit into this
 * batch is left out: the stacks of so many files end early. */
void st_frame_mappings(struct st_ptrace *s, struct st_task *t)
{
    char name[64], line[4096 + 128], rights[8], path[4096];
    if (!(s->options.flags & ST_PTRACE_STACK) || s->muted) return;
    snprintf(name, sizeof name, "/proc/%d/maps", t->pid);
    FILE *maps = fopen(name, "re");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long low, high, offset;
        if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %4095[^\n]", &low, &high, rights, &offset, path) != 5 || *path != '/') continue;
        if (s->room - s->used < 4 * ST_EVENT_MAX) break;
        uint64_t protection = (uint64_t)(rights[0] == 'r') | (uint64_t)(rights[1] == 'w') << 1 | (uint64_t)(rights[2] == 'x') << 2;
        const uint64_t args[6] = {low, high - low, protection, 2 /* MAP_PRIVATE */, 0, offset};
        st_frame_mapped(s, t, args, path);
    }
    if (maps) fclose(maps);
}

/* A word of the stack; 0 where there is none. */
static uint64_t peek(int32_t tid, uint64_t at)
{
    uint64_t word = 0;
    struct iovec here = {&word, sizeof word}, there = {(void *)at, sizeof word};
    return process_vm_readv(tid, &here, 1, &there, 1, 0) == sizeof word ? word : 0;
}

/* A program that has just been started finds no AT_SYSINFO_EHDR behind its environment. */
void st_hide_vdso(int32_t tid)
{
    struct user_regs_struct r;
    if (ptrace(PTRACE_GETREGS, tid, 0, &r)) return;
    uint64_t at = r.rsp + 8 * (peek(tid, r.rsp) + 2); /* argc, argv, NULL */
    while (peek(tid, at)) at += 8;
    for (at += 8; peek(tid, at) != AT_NULL; at += 16)
        if (peek(tid, at) == AT_SYSINFO_EHDR) ptrace(PTRACE_POKEDATA, tid, at, AT_IGNORE);
}
