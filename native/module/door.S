/* User dispatch: the parts that outlive the blob. Signals come in here as long as a handler of ours is registered, and leave
 * here if the thread has no block that would keep the blob from being unmapped under it. */
#include <asm/unistd.h>
    .text
    .globl st_door_entry, st_door_restorer, st_door_out, st_door_back, st_door_gone
    .hidden st_door_entry, st_door_restorer, st_door_out, st_door_back, st_door_gone
st_door_entry:                  /* a signal handler: (signal, siginfo, ucontext), all signals blocked */
    cmpl $31, %edi              /* SIGSYS ... */
    jne 1f
    cmpl $2, 8(%rsi)            /* ... SYS_USER_DISPATCH: the thread has a block */
    jne 1f
    jmp *st_door_sigsys(%rip)
1:  lock incq st_door_visitors(%rip)
    cmpl $0, st_door_open(%rip)
    je 2f
    jmp *st_door_signal(%rip)
2:  lock decq st_door_visitors(%rip)
    subq $8, %rsp
    call st_door_late
    addq $16, %rsp              /* over the return address, which may be the blob's */
    jmp st_door_restorer

st_door_restorer:
    movl $__NR_rt_sigreturn, %eax
    syscall
    ud2

st_door_out:                    /* to the program's handler in r15, which has its three arguments */
    lock decq st_door_visitors(%rip)
    jmp *%r15

st_door_back:                   /* rsp at a ucontext: back to what was interrupted */
    lock decq st_door_visitors(%rip)
    jmp st_door_restorer

st_door_gone:                   /* the same by a thread that has just quit */
    lock decq st_door_leaving(%rip)
    jmp st_door_restorer
    .section .note.GNU-stack, "", @progbits
