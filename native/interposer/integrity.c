/* Gate 1: what would take the interposer apart is refused, whatever the policy says. Against mistakes; machine code in
 * the process can always call the gate, and then only harms itself: the kernel's floor stands. */
#include "core.h"

#define REGION_LOW ST_BLOB_BASE
#define REGION_HIGH ST_REGION_HIGH
#define MAP_FIXED 0x10
#define PR_SECCOMP 22
#define PR_SET_MM 35
#define PR_SYSCALL_USER_DISPATCH 59

static int touches(uint64_t address, uint64_t length)
{
    return address < REGION_HIGH && (address + length > REGION_LOW || address + length < address);
}

/* Whether a descriptor is one that the run keeps for its execs: the program finds it closed. */
int st_kept(uint64_t fd)
{
    return (st_state.plan->flags & ST_PLAN_HOSTS) && (uint32_t)fd - ST_KEPT_BLOB < ST_KEPT_COUNT;
}

/* Returns 0 or the errno that refuses. */
int st_integrity(const struct st_call *call)
{
    const uint64_t *args = call->args;
    switch (call->sysno) {
    case __NR_munmap:
    case __NR_mprotect:
    case __NR_pkey_mprotect:
    case __NR_madvise:
    case __NR_remap_file_pages: return touches(args[0], args[1]) ? ST_EPERM : 0;
    case __NR_mmap: return (args[3] & MAP_FIXED) && touches(args[0], args[1]) ? ST_EPERM : 0;
    case __NR_mremap: return touches(args[0], args[1]) || ((args[3] & 2) && touches(args[4], args[2])) ? ST_EPERM : 0;
    case __NR_prctl:
        if (st_sets_filter(call)) return 0;
        if (st_state.dispatch) return args[0] == PR_SYSCALL_USER_DISPATCH ? ST_EPERM : 0;
        return args[0] == PR_SECCOMP || args[0] == PR_SYSCALL_USER_DISPATCH || args[0] == PR_SET_MM ? ST_EPERM : 0;
    case __NR_seccomp:
        if (st_state.dispatch || st_sets_filter(call)) return 0; /* the program's to use: it cannot take anything from us */
        return (uint32_t)args[0] < 2 ? ST_EPERM : 0;
    case __NR_dup2:
    case __NR_dup3: return st_kept(args[0]) || st_kept(args[1]) ? ST_EBADF : 0;
    case __NR_close:
    case __NR_fstat:
    case __NR_newfstatat:
    case __NR_fcntl:
    case __NR_dup: return st_kept(args[0]) ? ST_EBADF : 0;
    default: return 0;
    }
}

/* Whether a refusal is worth no report: a program that tries descriptors it never opened, as many do before an exec, finds
 * the run's closed. */
int st_unnoticed(const struct st_call *call, int error)
{
    int makes_one = (call->sysno == __NR_dup2 || call->sysno == __NR_dup3) && st_kept(call->args[1]);
    return error == ST_EBADF && !makes_one;
}
