/* Taking the interposer out of a process that it was put into. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../selftrace.h"
#include "inject.h"

#define TRIES 600
#define PAUSE_US 100 /* the first; a busy machine needs more to let a thread run at all */
#define LONGEST_US 12800

static void where_is(const struct remote_thread *thread, struct st_standing *where)
{
    const struct user_regs_struct *r = &thread->regs;
    *where = (struct st_standing){
        .regs = {r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15, r->rdi, r->rsi, r->rbp, r->rbx, r->rdx, r->rax, r->rcx,
                 r->rsp, r->rip, r->eflags},
        .call = (int64_t)r->orig_rax,
        .mask = thread->mask,
    };
}

static void stands(struct remote_thread *thread, const struct st_standing *where)
{
    const uint64_t *at = where->regs;
    struct user_regs_struct *r = &thread->regs;
    r->r8 = at[0];
    r->r9 = at[1];
    r->r10 = at[2];
    r->r11 = at[3];
    r->r12 = at[4];
    r->r13 = at[5];
    r->r14 = at[6];
    r->r15 = at[7];
    r->rdi = at[8];
    r->rsi = at[9];
    r->rbp = at[10];
    r->rbx = at[11];
    r->rdx = at[12];
    r->rax = at[13];
    r->rcx = at[14];
    r->rsp = at[15];
    r->rip = at[16];
    r->eflags = at[17];
    r->orig_rax = (uint64_t)where->call;
    thread->mask = where->mask;
}

/* 1: it is gone; 0: it is in the middle of the blob's code. */
static int32_t depart(struct st_inject *in, const struct st_blob *blob, struct remote_thread *thread)
{
    struct st_standing where;
    int64_t said = 0;
    where_is(thread, &where);
    int32_t r = st_remote_write(in, ST_SCRATCH, &where, sizeof where);
    if (!r) r = st_remote_function(in, thread, (uint64_t)blob->depart, ST_SCRATCH, 0, &said);
    if (!r) r = st_remote_read(in, &where, ST_SCRATCH, sizeof where);
    if (r) return r;
    stands(thread, &where);
    st_remote_give_back(thread);
    if (!said) st_remote_requeue(in, thread);
    return !said;
}

static void say_who_stays(const struct st_inject *in)
{
    static char text[160];
    for (int32_t i = 0; i < in->count; i++) {
        const struct remote_thread *thread = &in->threads[i];
        if (!thread->kept) continue;
        snprintf(text, sizeof text, "taking its threads off Syscall User Dispatch: %d of %d stays at %#llx, in call %lld", thread->tid,
                 in->count, thread->regs.rip, (long long)thread->regs.orig_rax);
        st_inject_at(text);
    }
}

/* Those that cannot go yet are let run on until they can. */
static int32_t all_depart(struct st_inject *in, const struct st_blob *blob)
{
    for (int32_t i = 0; i < in->count; i++) in->threads[i].kept = 1;
    int64_t pause = PAUSE_US;
    for (int tries = 0; tries < TRIES; tries++) {
        int32_t left = 0;
        for (int32_t i = 0; i < in->count; i++) {
            if (!in->threads[i].kept) continue;
            int32_t r = depart(in, blob, &in->threads[i]);
            if (r < 0) return r;
            in->threads[i].kept = !r;
            left += !r;
        }
        if (!left) return 0;
        int32_t r = st_remote_run_on(in, pause);
        if (r) return r;
        if (pause < LONGEST_US) pause *= 2;
    }
    say_who_stays(in);
    return -EBUSY;
}

static int32_t unmap(struct st_inject *in)
{
    uint64_t low = ST_BLOB_BASE, length = ST_REGION_END - ST_BLOB_BASE;
    int64_t r = st_remote_syscall(in, &in->threads[0], SYS_munmap, low, length, 0, 0, 0, 0);
    in->scratch = 0;
    return r < 0 ? (int32_t)r : 0;
}

int32_t st_inject_take_out(struct st_inject *in)
{
    struct st_blob blob;
    st_inject_at("finding the interposer");
    int32_t r = st_remote_read(in, &blob, ST_BLOB_BASE, sizeof blob);
    if (r || blob.magic != ST_BLOB_MAGIC) return -ENOENT;
    if (blob.abi != ST_ABI) return -EPROTO;
    uint64_t own = in->syscall_at;
    in->syscall_at = blob.gate_call; /* any other instruction may send us the call */
    st_inject_at("mapping memory to work with");
    r = st_remote_scratch(in);
    st_inject_at("taking its threads off Syscall User Dispatch");
    if (!r) r = all_depart(in, &blob);
    if (r) return r;
    st_inject_at("giving its signal handlers back");
    r = st_remote_function(in, &in->threads[0], (uint64_t)blob.release, 0, 0, NULL);
    in->syscall_at = own;
    st_inject_at("unmapping the interposer");
    return r ? r : unmap(in);
}
