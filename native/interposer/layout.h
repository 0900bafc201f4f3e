/* Numbers shared by the C core and its one assembly file; static asserts in core.h hold them together. */
#ifndef ST_LAYOUT_H
#define ST_LAYOUT_H

#define ST_SITES 4096  /* site stubs, 16 bytes each */
#define ST_BLOCKS 4096 /* per-thread blocks, 256 bytes of stubs and a record each */
#define ST_RECORD_BYTES 384

/* one block's stubs */
#define ST_STUB_EXIT 0 /* run with changed arguments, put the program's back, return to the site */
#define ST_STUB_EXIT_END 64
#define ST_STUB_POST 64      /* run, then trap again: the post-hook */
#define ST_STUB_POST_TRAP 80 /* return PC of that second trap */
#define ST_STUB_TRACE 80     /* run, then to st_trace_return: an event of the result */
#define ST_STUB_TRACE_END 96
#define ST_STUB_CLONE 96 /* the same for a clone whose child has no altstack yet */
#define ST_STUB_CLONE_TRAP 117
#define ST_STUB_ALTSTACK 160   /* the child's sigaltstack */
#define ST_STUB_CHILD_TRAP 183 /* under user dispatch nothing in the gate traps: what follows these jumps to dispatch.c */
#define ST_STUB_LEAVE 192      /* the mask, the last registers, on to where the thread resumes: the way out of our handler */

/* one block's record */
#define ST_REC_RDI 0
#define ST_REC_RSI 8
#define ST_REC_RDX 16
#define ST_REC_R10 24
#define ST_REC_R8 32
#define ST_REC_R9 40
#define ST_REC_RETURN 48
#define ST_REC_RESULT 56
#define ST_REC_LEAVE 64 /* rdi rsi rdx r10 rax rip, for the way out */
#define ST_REC_SAVE0 64 /* the same place: a clone's child has not been in a handler yet */
#define ST_REC_SAVE1 72
#define ST_REC_ALTSTACK 112 /* a stack_t: the block's own signal stack */
#define ST_REC_SYSNO 152
#define ST_REC_CLONE_RESULT 224
#define ST_REC_SAVED 256 /* rsp rbx rbp r12 r13 r14 r15 eflags of a thread that writes the event of its result */
#define ST_REC_CLAIMED 320
#define ST_REC_EVENT 328
#define ST_REC_PARENT 336
#define ST_REC_POST 344
#define ST_REC_ENTRY 352
#define ST_REC_ENTERED 360
#define ST_REC_DUE 368

#define ST_ENTERING 4 /* of enum st_event_state */

/* ucontext and frame */
#define ST_UC_STACK 16
#define ST_UC_REGS 40
#define ST_UC_FPSTATE 224
#define ST_UC_SIGMASK 296

/* struct st_tramp: registers in the order of the kernel's sigcontext */
#define ST_TRAMP_XSAVE_MASK 0
#define ST_TRAMP_XSAVE 8
#define ST_TRAMP_REGS 16
#define ST_TRAMP_R8 (ST_TRAMP_REGS + 0)
#define ST_TRAMP_R9 (ST_TRAMP_REGS + 8)
#define ST_TRAMP_R10 (ST_TRAMP_REGS + 16)
#define ST_TRAMP_R12 (ST_TRAMP_REGS + 32)
#define ST_TRAMP_R13 (ST_TRAMP_REGS + 40)
#define ST_TRAMP_R14 (ST_TRAMP_REGS + 48)
#define ST_TRAMP_R15 (ST_TRAMP_REGS + 56)
#define ST_TRAMP_RDI (ST_TRAMP_REGS + 64)
#define ST_TRAMP_RSI (ST_TRAMP_REGS + 72)
#define ST_TRAMP_RBP (ST_TRAMP_REGS + 80)
#define ST_TRAMP_RBX (ST_TRAMP_REGS + 88)
#define ST_TRAMP_RDX (ST_TRAMP_REGS + 96)
#define ST_TRAMP_RAX (ST_TRAMP_REGS + 104)
#define ST_TRAMP_RSP (ST_TRAMP_REGS + 120)
#define ST_TRAMP_RIP (ST_TRAMP_REGS + 128)
#define ST_TRAMP_EFLAGS (ST_TRAMP_REGS + 136)

#endif
