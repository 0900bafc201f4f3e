/* A traced program's own seccomp filter. It is the program's calls that it is for: those that the interposer makes on its own
 * account would be refused, or end the program, so ours goes before it, in the same filter. */
#include "core.h"

#define SECCOMP_RET_ALLOW 0x7fff0000u
#define BPF_LOAD 0x20    /* BPF_LD | BPF_W | BPF_ABS */
#define BPF_IMMEDIATE 0  /* BPF_LD | BPF_IMM */
#define BPF_AND 0x54     /* BPF_ALU | BPF_AND | BPF_K */
#define BPF_EQUAL 0x15   /* BPF_JMP | BPF_JEQ | BPF_K */
#define BPF_GREATER 0x25 /* BPF_JMP | BPF_JGT | BPF_K */
#define BPF_LEAST 0x35   /* BPF_JMP | BPF_JGE | BPF_K */
#define BPF_RETURN 0x06
#define NUMBER 0 /* offsets in struct seccomp_data */
#define LOW 8
#define HIGH 12
#define MOST 4096

struct instruction {
    uint16_t code;
    uint8_t yes, no;
    uint32_t value;
};
struct program {
    uint16_t count, pad[3];
    const void *instructions;
};

enum { PROLOGUE = 16 };

/* Calls of our own come from the gate's first part, and from two places of each block's stubs. */
static void prologue(struct instruction *at)
{
    uint32_t stubs = (uint32_t)(uint64_t)st_stubs, blocks = (uint32_t)(uint64_t)st_block_stubs;
    const struct instruction own[PROLOGUE] = {
        {BPF_LOAD, 0, 0, HIGH},
        {BPF_EQUAL, 0, 13, (uint32_t)(ST_GATE_LO >> 32)},
        {BPF_LOAD, 0, 0, LOW},
        {BPF_LEAST, 0, 11, (uint32_t)ST_GATE_LO},
        {BPF_GREATER, 10, 0, (uint32_t)ST_GATE_HI},
        {BPF_LEAST, 0, 8, stubs},
        {BPF_LOAD, 0, 0, NUMBER},
        {BPF_EQUAL, 6, 0, ST_NR_POST},
        {BPF_EQUAL, 5, 0, ST_NR_CHILD},
        {BPF_LOAD, 0, 0, LOW},
        {BPF_LEAST, 0, 4, blocks},
        {BPF_AND, 0, 0, 255},
        {BPF_EQUAL, 1, 0, ST_STUB_LEAVE + 2},
        {BPF_EQUAL, 0, 1, ST_STUB_ALTSTACK + 2},
        {BPF_RETURN, 0, 0, SECCOMP_RET_ALLOW},
        {BPF_IMMEDIATE, 0, 0, 0}, /* as the program's own finds it */
    };
    memcpy(at, own, sizeof own);
}

/* theirs: where the program has its struct sock_fprog. Returns the memory that holds the longer one, 0: the kernel is to see
 * theirs, and will say what is wrong with it. */
static uint64_t longer(struct program *program, uint64_t theirs, uint64_t *size)
{
    if (st_copy_in(program, (const void *)theirs, sizeof *program) < 0) return 0;
    if (!program->count || program->count > MOST - PROLOGUE) return 0;
    *size = (uint64_t)(program->count + PROLOGUE) * sizeof(struct instruction);
    int64_t memory = ST_SYS(__NR_mmap, 0, *size, 3 /* PROT_READ | PROT_WRITE */, 0x22 /* MAP_PRIVATE | MAP_ANONYMOUS */, -1, 0);
    if (memory < 0) return 0;
    struct instruction *all = (struct instruction *)memory;
    prologue(all);
    if (st_copy_in(all + PROLOGUE, program->instructions, program->count * sizeof *all) < 0) {
        ST_SYS(__NR_munmap, memory, *size);
        return 0;
    }
    program->count = (uint16_t)(program->count + PROLOGUE);
    program->instructions = all;
    return (uint64_t)memory;
}

/* Whether a call installs a filter that is the program's business: one that is watched and no more. */
int st_sets_filter(const struct st_call *call)
{
    if (st_state.dispatch || !(st_state.plan->flags & ST_PLAN_WATCHED)) return 0;
    if (call->sysno == __NR_prctl) return call->args[0] == 22 /* PR_SET_SECCOMP */ && call->args[1] == 2 /* SECCOMP_MODE_FILTER */;
    return call->sysno == __NR_seccomp && (uint32_t)call->args[0] == 1 /* SECCOMP_SET_MODE_FILTER */;
}

/* prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, …) and seccomp(SECCOMP_SET_MODE_FILTER, …): the filter is the third argument. */
int64_t st_own_filter(const struct st_call *call)
{
    struct program program;
    uint64_t size = 0, memory = longer(&program, call->args[2], &size);
    uint64_t given = memory ? (uint64_t)&program : call->args[2];
    int64_t result = ST_SYS(call->sysno, call->args[0], call->args[1], given, call->args[3], call->args[4]);
    if (memory) ST_SYS(__NR_munmap, memory, size);
    return result;
}
