    .section .rodata
    .globl aerostat_tiny_guest_start
    .globl aerostat_tiny_guest_end
aerostat_tiny_guest_start:
    .code64
1:  hlt
    jmp 1b
aerostat_tiny_guest_end:
    .section .note.GNU-stack, "", @progbits
