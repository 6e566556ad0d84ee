// A guest of a few hundred bytes, for tests of machines: 64 bits, position-independent, no stack, no interrupts, identity-mapped memory.
// It keeps to old instructions, so that it runs also where KVM emulates them.
//
// Every vCPU starts here with RSI at the parameters (CTinyGuest.h). Each takes the pages of a range whose numbers are its own modulo the
// number of vCPUs, round and round, and writes into each its number, the round and a check word. Before a page it publishes the round and
// how many pages of the round it has done, so whoever stops the guest anywhere knows what each page must hold.
// vCPU 0 also answers bytes on the serial port, drives the balloon's free page hints through a real virtqueue, and asks the random number
// device for bytes when it is told to.

#include "include/CTinyGuest.h"

#define CHECK_FACTOR 0x9E3779B97F4A7C15

// Registers for good: r8 parameters, r9 record, r10 vCPU, r11 round, r12 pages done in it, r13 pages, r14 balloon, r15 seed, rbx page.

    .macro device register, value
    mov     dword ptr [r14 + \register], \value
    .endm

    .macro entropy_device register, value
    mov     dword ptr [rdi + \register], \value
    .endm

    .section .rodata
    .globl aerostat_tiny_guest_start
    .globl aerostat_tiny_guest_end
    .intel_syntax noprefix
    .code64
aerostat_tiny_guest_start:
    mov     r8, rsi
    lea     r9, [rsi + TINY_RECORD]
    mov     eax, 1
    lock xadd dword ptr [r9 + TINY_STARTED], eax
    mov     r10d, eax
    mov     r13, [r8 + TINY_PAGES]
    mov     r14, [r8 + TINY_BALLOON]
    mov     r15, [r8 + TINY_SEED]
    mov     r11d, 1
    test    r10, r10
    jnz     new_round
    test    r14, r14
    jz      find_entropy

    // ---- The balloon: negotiate free page hints and VERSION_1, set up the hint queue (inflate 0, deflate 1, hints 2).
    device  0x70, 0
    device  0x70, 1
    device  0x70, 3
    device  0x24, 0
    device  0x20, 8
    device  0x24, 1
    device  0x20, 1
    device  0x70, 11
    mov     eax, [r14 + 0x70]
    test    eax, 8
    jz      find_entropy
    device  0x30, 2
    device  0x38, TINY_RING_SIZE
    lea     rax, [r8 + TINY_DESCRIPTORS]
    mov     [r14 + 0x80], eax
    device  0x84, 0
    lea     rax, [r8 + TINY_AVAILABLE]
    mov     [r14 + 0x90], eax
    device  0x94, 0
    lea     rax, [r8 + TINY_USED]
    mov     [r14 + 0xA0], eax
    device  0xA4, 0
    device  0x44, 1
    // Chains never change, each is one descriptor: the start command, the blocks, the stop command.
    lea     rdi, [r8 + TINY_DESCRIPTORS]
    lea     rax, [r9 + TINY_START_COMMAND]
    mov     [rdi], rax
    mov     qword ptr [rdi + 8], 4
    mov     rcx, [r8 + TINY_BLOCKS]
    mov     rax, [r8 + TINY_FREE]
    mov     rdx, [r8 + TINY_BLOCK_BYTES]
1:  add     rdi, 16
    test    rcx, rcx
    jz      2f
    mov     [rdi], rax
    mov     [rdi + 8], edx
    mov     dword ptr [rdi + 12], 2
    add     rax, rdx
    dec     rcx
    jmp     1b
2:  lea     rax, [r9 + TINY_STOP_COMMAND]
    mov     [rdi], rax
    mov     qword ptr [rdi + 8], 4
    device  0x70, 15
    // The balloon's interrupt goes to this vCPU, whose controller is on. It stays pending there: interrupts are off. (The vCPUs count
    // themselves as they come, so this one may be any of the machine's.)
    mov     eax, TINY_LOCAL_APIC
    mov     dword ptr [rax + 0xF0], 0x1FF
    mov     ecx, [rax + 0x20]
    mov     eax, TINY_IOAPIC
    mov     dword ptr [rax], 0x10 + 2 * TINY_BALLOON_INTERRUPT
    mov     dword ptr [rax + 0x10], TINY_VECTOR
    mov     dword ptr [rax], 0x11 + 2 * TINY_BALLOON_INTERRUPT
    mov     [rax + 0x10], ecx
    mov     dword ptr [r9 + TINY_HAS_BALLOON], 1

    // ---- The random number device, if there is one: VERSION_1, and its one queue, without interrupts. Its chain is one descriptor.
find_entropy:
    mov     rdi, [r8 + TINY_ENTROPY]
    test    rdi, rdi
    jz      new_round
    mov     eax, [rdi + 0x08]
    cmp     eax, 4
    jne     new_round
    entropy_device 0x70, 0
    entropy_device 0x70, 1
    entropy_device 0x70, 3
    entropy_device 0x24, 0
    entropy_device 0x20, 0
    entropy_device 0x24, 1
    entropy_device 0x20, 1
    entropy_device 0x70, 11
    mov     eax, [rdi + 0x70]
    test    eax, 8
    jz      new_round
    entropy_device 0x30, 0
    entropy_device 0x38, TINY_ENTROPY_RING_SIZE
    lea     rax, [r8 + TINY_ENTROPY_DESCRIPTORS]
    mov     [rdi + 0x80], eax
    entropy_device 0x84, 0
    lea     rax, [r8 + TINY_ENTROPY_AVAILABLE]
    mov     [rdi + 0x90], eax
    entropy_device 0x94, 0
    lea     rax, [r8 + TINY_ENTROPY_USED]
    mov     [rdi + 0xA0], eax
    entropy_device 0xA4, 0
    entropy_device 0x44, 1
    lea     rax, [r9 + TINY_ENTROPY_BUFFER]
    mov     [r8 + TINY_ENTROPY_DESCRIPTORS], rax
    mov     dword ptr [r8 + TINY_ENTROPY_DESCRIPTORS + 8], TINY_ENTROPY_BUFFER_BYTES
    mov     dword ptr [r8 + TINY_ENTROPY_DESCRIPTORS + 12], 2
    mov     word ptr [r8 + TINY_ENTROPY_AVAILABLE], 1
    entropy_device 0x70, 15
    mov     dword ptr [r9 + TINY_HAS_ENTROPY], 1

    // ---- The pattern.
new_round:
    xor     r12d, r12d
    mov     rbx, r10
next_page:
    cmp     rbx, r13
    jae     end_of_round
    mov     rax, r11
    shl     rax, 32
    or      rax, r12
    mov     [r9 + r10 * 8], rax
    mov     rdi, rbx
    shl     rdi, 12
    add     rdi, [r8 + TINY_PATTERN]
    movabs  rax, CHECK_FACTOR
    imul    rax, r11
    add     rax, rbx
    xor     rax, r15
    mov     [rdi], rbx
    mov     [rdi + 8], r11
    mov     [rdi + 16], rax
    mov     [rdi + 4088], rax
    test    r10, r10
    jnz     page_done
    mov     edx, 0x3FD
    in      al, dx
    test    al, 1
    jnz     serial_byte
serial_done:
    cmp     dword ptr [r9 + TINY_HAS_ENTROPY], 0
    jne     take_entropy
entropy_done:
    cmp     dword ptr [r9 + TINY_HAS_BALLOON], 0
    jne     balloon
page_done:
    add     rbx, [r8 + TINY_VCPUS]
    inc     r12
    jmp     next_page
end_of_round:
    inc     r11
    jmp     new_round

    // ---- The serial port: some bytes are orders, the answer to any other is the byte after it.
serial_byte:
    mov     edx, 0x3F8
    in      al, dx
    cmp     al, 'p'
    je      power_off
    cmp     al, 'r'
    je      reset
    cmp     al, 't'
    je      triple_fault
    cmp     al, 'u'
    je      unknown_instruction
    cmp     al, 's'
    je      stuck
    cmp     al, 'n'
    je      nonsense
    cmp     al, 'e'
    je      ask_for_entropy
    inc     al
serial_answer:
    out     dx, al
    jmp     serial_done

power_off:
    mov     edx, 0x600
    mov     al, (5 << 2) | (1 << 5)
    jmp     serial_answer
reset:
    mov     edx, 0x602
    mov     al, 1
    jmp     serial_answer
triple_fault:
    lidt    [rip + no_handlers]
    ud2
unknown_instruction:
    xrstor  [r9]
    jmp     serial_done
stuck:
    jmp     stuck

    // Random words to random registers of the balloon; every other one small, because small ones mean something.
nonsense:
    mov     ecx, 4096
    mov     rdi, r15
1:  movabs  rax, 6364136223846793005
    imul    rdi, rax
    movabs  rax, 1442695040888963407
    add     rdi, rax
    mov     rdx, rdi
    shr     rdx, 32
    and     edx, 0x1FC
    mov     rax, rdi
    shr     rax, 24
    test    ecx, 1
    jz      2f
    and     eax, 15
2:  mov     [r14 + rdx], eax
    dec     ecx
    jnz     1b
    mov     edx, 0x3F8
    mov     al, '!'
    jmp     serial_answer

    // ---- Random numbers: 'e' puts the buffer into the ring, unless it is there ('1': done; '0': not). An answer is taken when it comes.
ask_for_entropy:
    mov     al, '0'
    cmp     dword ptr [r9 + TINY_HAS_ENTROPY], 0
    je      serial_answer
    movzx   ecx, word ptr [r8 + TINY_ENTROPY_AVAILABLE + 2]
    cmp     cx, [r9 + TINY_ENTROPY_SEEN]
    jne     serial_answer
    mov     esi, ecx
    and     esi, TINY_ENTROPY_RING_SIZE - 1
    mov     word ptr [r8 + rsi * 2 + TINY_ENTROPY_AVAILABLE + 4], 0
    inc     ecx
    mov     [r8 + TINY_ENTROPY_AVAILABLE + 2], cx
    mov     rdi, [r8 + TINY_ENTROPY]
    entropy_device 0x50, 0
    mov     al, '1'
    jmp     serial_answer
take_entropy:
    movzx   ecx, word ptr [r8 + TINY_ENTROPY_USED + 2]
    cmp     ecx, [r9 + TINY_ENTROPY_SEEN]
    je      entropy_done
    mov     [r9 + TINY_ENTROPY_SEEN], ecx
    mov     rax, [r9 + TINY_ENTROPY_BUFFER]
    xor     [r9 + TINY_ENTROPY_MIXED], rax
    inc     dword ptr [r9 + TINY_ENTROPY_ANSWERS]
    jmp     entropy_done

    // ---- Hints: look at the command id; answer a new one with start, blocks and stop at once; hear of stop and done.
balloon:
    mov     eax, [r14 + 0x108]
    cmp     eax, [r9 + TINY_SEEN_ID]
    je      page_done
    cmp     eax, 2
    jb      no_command
    // The buffers hold one answer: not before the device has given back the last one.
    movzx   ecx, word ptr [r8 + TINY_AVAILABLE + 2]
    cmp     cx, [r8 + TINY_USED + 2]
    jne     page_done
    mov     [r9 + TINY_SEEN_ID], eax
    mov     [r9 + TINY_START_COMMAND], eax
    mov     edi, [r8 + TINY_BLOCKS]
    add     edi, 2
    xor     edx, edx
1:  mov     esi, ecx
    and     esi, TINY_RING_SIZE - 1
    mov     [r8 + rsi * 2 + TINY_AVAILABLE + 4], dx
    inc     ecx
    inc     edx
    cmp     edx, edi
    jb      1b
    mov     [r8 + TINY_AVAILABLE + 2], cx
    // Takes some blocks into use again while their hints are on the way, as a driver may.
    mov     edx, [r8 + TINY_REUSED]
2:  test    edx, edx
    jz      3f
    dec     edx
    mov     rdi, [r8 + TINY_BLOCK_BYTES]
    imul    rdi, rdx
    add     rdi, [r8 + TINY_FREE]
    movabs  rsi, CHECK_FACTOR
    imul    rsi, rax
    add     rsi, rdx
    xor     rsi, r15
    mov     [rdi], rdx
    mov     [rdi + 8], rax
    mov     [rdi + 16], rsi
    mov     [rdi + 4088], rsi
    jmp     2b
3:  mov     [r9 + TINY_ANSWERED_ID], eax
    inc     dword ptr [r9 + TINY_ROUNDS]
    mov     dword ptr [r9 + TINY_HOLDS], 1
    device  0x50, 2
    device  0x64, 3
    jmp     page_done
no_command:
    mov     [r9 + TINY_SEEN_ID], eax
    cmp     eax, 1
    jne     page_done
    mov     dword ptr [r9 + TINY_HOLDS], 0
    device  0x64, 3
    jmp     page_done

no_handlers:
    .zero   10
aerostat_tiny_guest_end:
    .att_syntax
    .section .note.GNU-stack, "", @progbits
