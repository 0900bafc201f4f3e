/* The seccomp filter of programs that we start: calls that nobody asked for do not stop. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

static int stops(const struct st_ptrace *s, int32_t sysno)
{
    return !st_call_name(sysno) || st_has(s->options.trace, sysno) || st_has(s->options.stops, sysno) || s->faults[sysno].count;
}

/* Two instructions for each call that stops; what the kernel can tell from the number alone it does not even ask the filter
 * (its bitmap of calls that are always allowed). Returns 1, 0 where every call stops anyway, or -ENOMEM. */
int st_filter_make(const struct st_ptrace *s, struct sock_fprog *program)
{
    struct sock_filter *code = calloc(2 * ST_TRACE_CALLS + 8, sizeof *code);
    uint16_t n = 0;
    int passed = 0;
    if (!code) return -ENOMEM;
    /* Programs of another architecture are not shown. */
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, ST_TRACE_CALLS, 0, 1);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    for (int32_t sysno = 0; sysno < ST_TRACE_CALLS; sysno++) {
        if (!stops(s, sysno)) {
            passed = 1;
            continue;
        }
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)sysno, 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    *program = (struct sock_fprog){n, code};
    if (!passed) free(code);
    return passed;
}

/* In the program's process, before its execve. Without privilege only programs that can gain none may be filtered. 0 or -errno. */
int st_filter_install(const struct sock_fprog *program)
{
    if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program)) return 0;
    if (errno != EACCES || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -errno;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) ? -errno : 0;
}
