/* The code of an arena's entry, copied once for each (patch.c fills in what differs). A site of the program has jumped here
 * instead of its `syscall`: flags and all registers but rcx and r11, which a call takes anyway, stay the program's, and the
 * stack is not touched. */
    .section .rodata
    .balign 64
    .globl st_patch_entry, st_patch_entry_own, st_patch_entry_after, st_patch_entry_quiet, st_patch_entry_stub, st_patch_entry_end
    .hidden st_patch_entry, st_patch_entry_own, st_patch_entry_after, st_patch_entry_quiet, st_patch_entry_stub, st_patch_entry_end
st_patch_entry:
    movzbl %fs:0x7fffffff, %ecx /* the thread's selector */
st_patch_entry_own:             /* ... its offset ends here */
    jrcxz 1f                    /* not under dispatch */
    movl %eax, %ecx
    bswapl %ecx
    movzwl %cx, %ecx            /* the upper half of the number: 0 for any that exists */
    jrcxz 2f
1:  syscall                     /* arrives, if the thread is under dispatch */
    jmpq *0x7fffffff(%rip)      /* st_patch_entry.after */
st_patch_entry_after:
2:  movzwl %ax, %ecx
    movabsq $0x7fffffffffffffff, %r11
st_patch_entry_quiet:           /* ... st_patching.quiet ends here */
    movzbl (%r11,%rcx), %ecx
    jrcxz 1b
    jmpq *0x7fffffff(%rip)      /* st_patch_entry.stub */
st_patch_entry_stub:
    .balign 64, 0xcc
st_patch_entry_end:
    .section .note.GNU-stack, "", @progbits
