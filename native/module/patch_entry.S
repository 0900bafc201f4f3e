/* The code of an arena's entry, copied once for each (patch.c fills in what differs). A site of the program has jumped here
 * instead of its `syscall`: flags and all registers but rcx and r11, which a call takes anyway, stay the program's, and the
 * stack is not touched. */
    .section .rodata
    .balign 64
    .globl st_patch_entry, st_patch_entry_own, st_patch_entry_after, st_patch_entry_ways, st_patch_entry_stub, st_patch_entry_self
    .globl st_patch_entry_record, st_patch_entry_traced, st_patch_entry_end
    .hidden st_patch_entry, st_patch_entry_own, st_patch_entry_after, st_patch_entry_ways, st_patch_entry_stub, st_patch_entry_self
    .hidden st_patch_entry_record, st_patch_entry_traced, st_patch_entry_end
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
st_patch_entry_ways:            /* ... st_patching.ways ends here */
    movzbl (%r11,%rcx), %ecx
    jrcxz 1b                    /* ST_ARRIVES */
    leal -1(%rcx), %ecx
    jrcxz 3f                    /* ST_QUIET */
    movq %fs:0x7fffffff, %rcx
st_patch_entry_record:          /* ... the offset of the thread's st_own.record ends here */
    jrcxz 1b
    leaq 0x7fffffff(%rip), %r11
st_patch_entry_self:            /* ... the distance to its st_patch_entry ends here */
    jmpq *0x7fffffff(%rip)      /* st_patch_entry.traced */
st_patch_entry_traced:
3:  jmpq *0x7fffffff(%rip)      /* st_patch_entry.stub */
st_patch_entry_stub:
    .balign 32, 0xcc
st_patch_entry_end:
    .section .note.GNU-stack, "", @progbits
