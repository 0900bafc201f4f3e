/* Everything of the interposer that is x86-64: the gate and the entry points.
 *
 * The gate is the only place from which the filter lets calls pass. It admits a return PC whose low four bits
 * are 2, so each admitted `syscall` starts at a multiple of 16, and no other bytes 0f 05 may: build_check.py
 * looks. Stubs hold no state but what is in their slot or record, and never touch flags or the stack, because
 * they run as the program. */
#include <asm/unistd.h>
#include "layout.h"
#define NR_POST 0x3ffff001
#define NR_CHILD 0x3ffff002

/* ---- site stubs: stub i returns to where site i was called from ------------------------------- */
    .section .gate.stubs, "ax", @progbits
    .balign 16, 0xcc
    .globl st_stubs
st_stubs:
    .set i, 0
    .rept ST_SITES
    .balign 16, 0xcc
    syscall
    jmp *st_slots+8*i(%rip)
    .set i, i+1
    .endr
    .balign 16, 0xcc

/* ---- the blob's own calls ------------------------------------------------------------------------ */
    .section .gate.calls, "ax", @progbits
    .balign 16
    .globl st_gate_call
st_gate_call:
    syscall
    ret
    .balign 16, 0xcc
    .globl st_sigreturn_trap    /* restorer of our own SIGSYS frames: the frame says all */
st_sigreturn_trap:
    movl $__NR_rt_sigreturn, %eax
    jmp 1f
    .balign 16, 0xcc
1:  syscall
    ud2
    .balign 16, 0xcc
    .globl st_enter_handler     /* a program's handler: its mask is set here, on its own stack, in its last moment */
st_enter_handler:
    syscall
    movl %r13d, %edi
    lea 8+304(%rsp), %rsi
    lea 8(%rsp), %rdx
    xorl %eax, %eax
    jmp *%r12
    .balign 16, 0xcc

/* ---- block stubs ---------------------------------------------------------------------------------- */
    .section .gate.blocks, "ax", @progbits
    .balign 256, 0xcc
    .globl st_block_stubs
st_block_stubs:
    .set j, 0
    .rept ST_BLOCKS
    .balign 256, 0xcc
    syscall                                           /* ST_STUB_EXIT */
    movq st_records+ST_RECORD_BYTES*j+ST_REC_RDI(%rip), %rdi
    movq st_records+ST_RECORD_BYTES*j+ST_REC_RSI(%rip), %rsi
    movq st_records+ST_RECORD_BYTES*j+ST_REC_RDX(%rip), %rdx
    movq st_records+ST_RECORD_BYTES*j+ST_REC_R10(%rip), %r10
    movq st_records+ST_RECORD_BYTES*j+ST_REC_R8(%rip), %r8
    movq st_records+ST_RECORD_BYTES*j+ST_REC_R9(%rip), %r9
    jmp *st_records+ST_RECORD_BYTES*j+ST_REC_RETURN(%rip)
    .balign 64, 0xcc
    syscall                                           /* ST_STUB_POST */
    movq %rax, st_records+ST_RECORD_BYTES*j+ST_REC_RESULT(%rip)
    movl $NR_POST, %eax
    syscall
    syscall                                           /* ST_STUB_TRACE */
    leaq st_records+ST_RECORD_BYTES*j(%rip), %rcx
    jmp st_trace_return
    .balign 32, 0xcc
    syscall                                           /* ST_STUB_CLONE */
    movq %rax, %rcx
    jrcxz 1f
    movq %rax, st_records+ST_RECORD_BYTES*j+ST_REC_CLONE_RESULT(%rip)
    movl $NR_POST, %eax
    syscall
    jmp st_clone_return
1:  movq %rdi, st_records+ST_RECORD_BYTES*j+ST_REC_SAVE0(%rip)    /* the child: its altstack first, before it can be seen */
    movq %rsi, st_records+ST_RECORD_BYTES*j+ST_REC_SAVE1(%rip)
    leaq st_records+ST_RECORD_BYTES*j+ST_REC_ALTSTACK(%rip), %rdi
    movl $0, %esi
    movl $__NR_sigaltstack, %eax
    jmp 2f
    .balign 16, 0xcc
2:  syscall                                           /* ST_STUB_ALTSTACK */
    movq st_records+ST_RECORD_BYTES*j+ST_REC_SAVE0(%rip), %rdi
    movq st_records+ST_RECORD_BYTES*j+ST_REC_SAVE1(%rip), %rsi
    movl $NR_CHILD, %eax
    syscall
    jmp st_child_return
    .balign 64, 0xcc
    syscall                                           /* ST_STUB_LEAVE */
    movq st_records+ST_RECORD_BYTES*j+ST_REC_LEAVE(%rip), %rdi
    movq st_records+ST_RECORD_BYTES*j+ST_REC_LEAVE+8(%rip), %rsi
    movq st_records+ST_RECORD_BYTES*j+ST_REC_LEAVE+16(%rip), %rdx
    movq st_records+ST_RECORD_BYTES*j+ST_REC_LEAVE+24(%rip), %r10
    movq st_records+ST_RECORD_BYTES*j+ST_REC_LEAVE+32(%rip), %rax
    movq st_records+ST_RECORD_BYTES*j+ST_REC_LEAVE+40(%rip), %rcx /* as after any syscall */
    jmp *%rcx
    .set j, j+1
    .endr
    .balign 256, 0xcc

/* ---- entry points -------------------------------------------------------------------------------- */
    .text
    .globl st_entry             /* the ELF entry: the kernel starts every program of a run here (loader.c) */
st_entry:
    movq %rsp, %rdi
    andq $-16, %rsp
    call st_load

    .globl st_jump              /* to a program's first instruction, with registers as after an exec; (sp, entry) */
st_jump:
    movq %rdi, %rsp
    pushq %rsi
    xorl %eax, %eax
    xorl %ebx, %ebx
    xorl %ecx, %ecx
    xorl %edx, %edx
    xorl %esi, %esi
    xorl %edi, %edi
    xorl %ebp, %ebp
    xorl %r8d, %r8d
    xorl %r9d, %r9d
    xorl %r10d, %r10d
    xorl %r11d, %r11d
    xorl %r12d, %r12d
    xorl %r13d, %r13d
    xorl %r14d, %r14d
    xorl %r15d, %r15d
    ret

    .globl st_sys               /* long st_sys(nr, a, b, c, d, e, f): a call of our own, through the gate */
st_sys:
    movq %rdi, %rax
    movq %rsi, %rdi
    movq %rdx, %rsi
    movq %rcx, %rdx
    movq %r8, %r10
    movq %r9, %r8
    movq 8(%rsp), %r9
    jmp st_gate_call

/* The kernel enters here for SIGSYS: seccomp's and user dispatch's are calls, any other is a signal like the rest. */
    .globl st_sigsys_entry
st_sigsys_entry:
    cld
    cmpl $1, 8(%rsi)            /* SYS_SECCOMP */
    je 1f
    cmpl $2, 8(%rsi)            /* SYS_USER_DISPATCH */
    je st_on_sigsys
    jmp st_signal_entry
1:  leaq st_stubs(%rip), %rax   /* from a stub: a filter of the program's own asks for it */
    cmpq %rax, ST_UC_REGS+128(%rdx)
    jb st_on_sigsys
    leaq st_gate_end(%rip), %rax
    cmpq %rax, ST_UC_REGS+128(%rdx)
    jae st_on_sigsys
    movl 24(%rsi), %eax         /* si_syscall: unless it is ours */
    subl $NR_POST, %eax
    cmpl $NR_CHILD-NR_POST, %eax
    jbe st_on_sigsys
    jmp st_signal_entry

/* The kernel enters here for every signal that the program handles, all signals blocked.
 * In: rdi signal, rsp the frame (return address st_restorer, ucontext, siginfo). */
    .globl st_signal_entry
st_signal_entry:
    cld
    movl %edi, %r13d
    movq %rsp, %r14
    subq $24, %rsp              /* frame address out, mask out, way out; keeps rsp 16-aligned at the call */
    movq %rsp, %rdx
    movq %r14, %rsi
    call st_deliver             /* handler = st_deliver(sig, frame, out[3]) */
    testq %rax, %rax
    jz 1f
    movq %rax, %r12
    movq %rax, %r15
    cmpq $0, 16(%rsp)
    cmovneq 16(%rsp), %r12      /* st_door_out, which goes to r15 */
    movq (%rsp), %rcx           /* the frame, perhaps moved */
    movq 8(%rsp), %rdx          /* the handler's mask */
    movq %rcx, %rsp
    movq %rdx, -16(%rsp)
    movl $__NR_rt_sigprocmask, %eax
    movl $2, %edi               /* SIG_SETMASK */
    leaq -16(%rsp), %rsi
    xorl %edx, %edx
    movl $8, %r10d
    jmp st_enter_handler
1:  movq 16(%rsp), %rcx
    testq %rcx, %rcx
    jnz 2f
    leaq 8(%r14), %rsp          /* nothing for the program: back as the kernel saved it */
    jmp st_sigreturn_trap
2:  movq (%rsp), %rsp           /* the same out of the blob: st_door_back or st_door_gone */
    addq $8, %rsp
    jmp *%rcx

/* The doors of a process that holds nothing of ours but the blob (remote.c): as those of module/door.S. */
    .globl st_own_entry, st_own_out, st_own_back
st_own_entry:
    cmpl $31, %edi              /* SIGSYS */
    je st_sigsys_entry
    lock incq st_visitors(%rip)
    jmp st_signal_entry
st_own_out:
    lock decq st_visitors(%rip)
    jmp *%r15
st_own_back:
    lock decq st_visitors(%rip)
    jmp st_sigreturn_trap

    .globl st_remote_call       /* rax: a function; its tracer waits for the trap */
st_remote_call:
    call *%rax
    int3

    .globl st_restorer          /* return address of a program's handler; rsp at the ucontext */
st_restorer:
    movq %rsp, %rdi
    movq %rsp, %rbx
    andq $-16, %rsp
    call st_before_sigreturn
    movq %rbx, %rsp
    jmp st_sigreturn_trap

/* Out of our handler. In: rdi the ucontext, rsi the block's leave stub, rdx the mask that the thread had. From popfq on
 * the flags are the program's, from the change of rsp on the stack: nothing may touch either. */
    .globl st_leave
st_leave:
    movq %rdx, %r10
    movq ST_UC_FPSTATE(%rdi), %r11
    testq %r11, %r11            /* none: nothing has touched those registers */
    jz 1f
    movl $-1, %eax
    movl $-1, %edx
    xrstor64 (%r11)
1:  movq %rsi, %r11
    movq %r10, %rsi
    movq ST_UC_REGS(%rdi), %r8
    movq ST_UC_REGS+8(%rdi), %r9
    movq ST_UC_REGS+32(%rdi), %r12
    movq ST_UC_REGS+40(%rdi), %r13
    movq ST_UC_REGS+48(%rdi), %r14
    movq ST_UC_REGS+56(%rdi), %r15
    movq ST_UC_REGS+80(%rdi), %rbp
    movq ST_UC_REGS+88(%rdi), %rbx
    movq ST_UC_REGS+120(%rdi), %rcx
    pushq ST_UC_REGS+136(%rdi)
    popfq
    movq %rcx, %rsp
    movl $__NR_rt_sigprocmask, %eax
    movl $2, %edi               /* SIG_SETMASK */
    movl $0, %edx
    movl $8, %r10d
    jmp *%r11

    .macro SAVE_REGISTERS record
    movq %rsp, ST_REC_SAVED(\record)
    movq %rbx, ST_REC_SAVED+8(\record)
    movq %rbp, ST_REC_SAVED+16(\record)
    movq %r12, ST_REC_SAVED+24(\record)
    movq %r13, ST_REC_SAVED+32(\record)
    movq %r14, ST_REC_SAVED+40(\record)
    movq %r15, ST_REC_SAVED+48(\record)
    .endm
    .macro LOAD_ARGUMENTS record
    movq ST_REC_RDI(\record), %rdi
    movq ST_REC_RSI(\record), %rsi
    movq ST_REC_RDX(\record), %rdx
    movq ST_REC_R10(\record), %r10
    movq ST_REC_R8(\record), %r8
    movq ST_REC_R9(\record), %r9
    .endm

/* A traced call from a patched site (module/patch_entry.S): rcx the block's record, r11 the site's st_patch_entry, all else
 * the program's. Its event is written on the block's stack, where no frame lies now. */
    .globl st_shortcut, st_shortcut_saved, st_shortcut_flags, st_shortcut_end
st_shortcut:
    SAVE_REGISTERS %rcx
    movq %rdi, ST_REC_RDI(%rcx)
    movq %rsi, ST_REC_RSI(%rcx)
    movq %rdx, ST_REC_RDX(%rcx)
    movq %r10, ST_REC_R10(%rcx)
    movq %r8, ST_REC_R8(%rcx)
    movq %r9, ST_REC_R9(%rcx)
    movl %eax, ST_REC_SYSNO(%rcx)
    movq %r11, ST_REC_ENTRY(%rcx)
    movq $0, ST_REC_ENTERED(%rcx)
    movq $0, ST_REC_CLAIMED(%rcx)
    movl $ST_ENTERING, ST_REC_EVENT(%rcx)
st_shortcut_saved:              /* all but the flags, which nothing has changed yet */
    movq ST_REC_ALTSTACK(%rcx), %rbx
    leaq 0xf000(%rbx), %rsp
    pushfq
    popq ST_REC_SAVED+56(%rcx)
st_shortcut_flags:
    cld
    movq %rcx, %rbx
    movq %rcx, %rdi
    call st_shortcut_enter
    movq %rax, %r11
    movl ST_REC_DUE(%rbx), %ecx
    movl %ecx, ST_REC_EVENT(%rbx)
    pushq ST_REC_SAVED+56(%rbx)
    popfq
    movq %rbx, %rcx
    LOAD_ARGUMENTS %rcx
    movslq ST_REC_SYSNO(%rcx), %rax
    movq ST_REC_SAVED+8(%rcx), %rbx
    movq ST_REC_SAVED(%rcx), %rsp
    jmp *%r11
st_shortcut_end:

    .globl st_set_gs            /* (base), unless the program has set it to something of its own */
st_set_gs:
    rdgsbase %rax
    testq %rax, %rax
    jz 1f
    shrq $32, %rax
    cmpl $0x7e90, %eax          /* ST_BLOB_BASE >> 32 */
    jne 2f
1:  wrgsbase %rdi
2:  ret

/* The code of an arena's entry under the loader (objects.c), copied once for each; as in module/patch_entry.S, but that a
 * thread is known by its GS, which programs have no use for: one that does is in no record of ours, and its calls arrive. */
    .section .rodata
    .balign 32
    .globl st_patch_entry, st_patch_entry_after, st_patch_entry_ways, st_patch_entry_self, st_patch_entry_traced
st_patch_entry:
    .byte 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 /* nop, 11 bytes: up to ST_PATCH_OWN */
    movl %eax, %ecx
    bswapl %ecx
    movzwl %cx, %ecx            /* the upper half of the number: 0 for any that exists */
    jrcxz 2f
1:  syscall                     /* ST_PATCH_OWN: arrives */
    jmpq *0x7fffffff(%rip)      /* st_patch_entry.after */
st_patch_entry_after:
2:  movzwl %ax, %ecx
    movabsq $0x7fffffffffffffff, %r11
st_patch_entry_ways:
    movzbl (%r11,%rcx), %ecx
    jrcxz 1b                    /* ST_ARRIVES */
    rdgsbase %r11
    movq %r11, %rcx
    bswapq %rcx                 /* without touching flags: is the upper half that of our records? */
    leal 0x6f820000(%rcx), %ecx
    jrcxz 3f
    jmp 1b
3:  movq %r11, %rcx
    leaq 0x7fffffff(%rip), %r11
st_patch_entry_self:
    jmpq *0x7fffffff(%rip)      /* st_patch_entry.traced */
st_patch_entry_traced:
    .balign 32, 0xcc
    .text

/* A traced call has run: rax its result, rcx the block's record, r11 the flags, all else the program's. The event is written
 * on the block's stack, where no frame lies now. A signal finds everything in the record (signals.c, event_under_way). */
    .globl st_trace_return, st_trace_saved, st_trace_return_end
st_trace_return:
    movq %rax, ST_REC_RESULT(%rcx)
    SAVE_REGISTERS %rcx
    movq %r11, ST_REC_SAVED+56(%rcx)
st_trace_saved:
    movq ST_REC_ALTSTACK(%rcx), %rbx
    addq $0xf000, %rbx
    movq %rbx, %rsp             /* at once: a signal may come at any instruction, and its frame goes below */
    movq %rcx, %rbx
    movq %rcx, %rdi
    cld
    cmpl $0, ST_REC_POST(%rcx)
    jne 1f
    call st_trace_after
    pushq ST_REC_SAVED+56(%rbx)
    popfq
    movq %rbx, %rcx
    LOAD_ARGUMENTS %rcx
    movq ST_REC_SAVED+56(%rcx), %r11
    movq ST_REC_RESULT(%rcx), %rax
    movq ST_REC_SAVED+8(%rcx), %rbx
    movq ST_REC_SAVED(%rcx), %rsp
    jmp *ST_REC_RETURN(%rcx)
1:  movq %rcx, %rsi
    call st_post_jump
st_trace_return_end:

/* User dispatch: parent and child of a clone, come back through the child's stub with all signals blocked. rcx is where in
 * the stub. Each saves its registers in its own block's record, and goes on there. */
    .macro SAVE_IN record
    SAVE_REGISTERS \record
    movq %r11, ST_REC_SAVED+56(\record)
    .endm
    .macro RECORD_OF_STUB
    leaq st_block_stubs(%rip), %rax
    subq %rax, %rcx
    shrq $8, %rcx
    imulq $ST_RECORD_BYTES, %rcx, %rcx
    leaq st_records(%rip), %rax
    addq %rax, %rcx
    .endm
    .globl st_clone_return, st_child_return
st_clone_return:
    RECORD_OF_STUB
    movq ST_REC_PARENT(%rcx), %rax
    SAVE_IN %rax
    movq ST_REC_ALTSTACK(%rax), %rbx
    addq $0xf000, %rbx
    movq %rbx, %rsp
    cld
    movq %rax, %rdi
    movq %rcx, %rsi
    call st_post_jump
st_child_return:
    RECORD_OF_STUB
    SAVE_IN %rcx
    movq ST_REC_ALTSTACK(%rcx), %rbx
    addq $0xf000, %rbx
    movq %rbx, %rsp             /* at once: a signal may come at any instruction, and its frame goes below */
    cld
    movq %rcx, %rdi
    call st_child_jump

/* Takes room in the ring: (word, old, new, said, old | 1). A signal at st_claimed finds by the flags whether it is ours, and
 * says so for us. 0: somebody else was faster. */
    .globl st_claim, st_claimed, st_claim_end
st_claim:
    movq %rsi, %rax
    lock cmpxchgq %rdx, (%rdi)
st_claimed:
    jne 1f
    movq %r8, (%rcx)
st_claim_end:
    movl $1, %eax
    ret
1:  xorl %eax, %eax
    ret

/* sigaltstack from the altstack itself, which the kernel refuses: (stack, another stack's top). */
    .globl st_set_altstack
st_set_altstack:
    pushq %rbx
    movq %rsp, %rbx
    movq %rsi, %rsp
    xorl %esi, %esi
    movl $__NR_sigaltstack, %eax
    call st_gate_call
    movq %rbx, %rsp
    popq %rbx
    ret

/* Python on the program's stack. In: rdi = struct st_tramp *, rsp 64-aligned with the XSAVE area at tramp->xsave. */
    .globl st_python_tramp
st_python_tramp:
    cld
    movq %rdi, %rbx
    movq ST_TRAMP_XSAVE(%rbx), %r12
    movl ST_TRAMP_XSAVE_MASK(%rbx), %eax
    movl ST_TRAMP_XSAVE_MASK+4(%rbx), %edx
    xsavec (%r12)
    call st_python_entry
    movl ST_TRAMP_XSAVE_MASK(%rbx), %eax
    movl ST_TRAMP_XSAVE_MASK+4(%rbx), %edx
    xrstor (%r12)
    pushq ST_TRAMP_EFLAGS(%rbx)
    popfq
    movq %rbx, %rcx
    movq ST_TRAMP_R8(%rcx), %r8
    movq ST_TRAMP_R9(%rcx), %r9
    movq ST_TRAMP_R10(%rcx), %r10
    movq ST_TRAMP_R12(%rcx), %r12
    movq ST_TRAMP_R13(%rcx), %r13
    movq ST_TRAMP_R14(%rcx), %r14
    movq ST_TRAMP_R15(%rcx), %r15
    movq ST_TRAMP_RDI(%rcx), %rdi
    movq ST_TRAMP_RSI(%rcx), %rsi
    movq ST_TRAMP_RBP(%rcx), %rbp
    movq ST_TRAMP_RBX(%rcx), %rbx
    movq ST_TRAMP_RDX(%rcx), %rdx
    movq ST_TRAMP_RAX(%rcx), %rax
    movq ST_TRAMP_RIP(%rcx), %r11
    movq ST_TRAMP_RSP(%rcx), %rsp
    jmp *%r11

/* ---- guarded reads of the program's memory -------------------------------------------------------
 * A fault between st_user_begin and st_user_end continues at st_user_fault (signals.c): leaves only, no stack. */
    .globl st_user_begin, st_user_end, st_user_fault, st_copy_in, st_copy_string, st_copy_some, st_some_fault, st_touch
st_user_begin:
st_copy_in:                     /* 0 or -EFAULT; (to, from, size) */
    movq %rdx, %rcx
    rep movsb
    xorl %eax, %eax
    ret
st_copy_string:                 /* length without NUL, size if there is none within size, -EFAULT; (to, from, size) */
    xorl %eax, %eax
1:  cmpq %rdx, %rax
    jae 2f
    movb (%rsi,%rax), %cl
    movb %cl, (%rdi,%rax)
    testb %cl, %cl
    jz 2f
    incq %rax
    jmp 1b
2:  ret
st_touch:                       /* 0 if each page of [from, to) can be read, else -EFAULT; downwards, as stacks grow */
    cmpq %rdi, %rsi
    jbe 2f
1:  subq $4096, %rsi
    movb (%rsi), %al
    cmpq %rdi, %rsi
    ja 1b
2:  xorl %eax, %eax
    ret
st_copy_some:                   /* bytes copied, fewer than size if the rest cannot be read; (to, from, size); last in here */
    movq %rdx, %rcx
    rep movsb
    movq %rdx, %rax
    ret
st_user_end:
st_user_fault:
    movq $-14, %rax
    ret
st_some_fault:
    movq %rdx, %rax
    subq %rcx, %rax
    ret
    .section .note.GNU-stack, "", @progbits
