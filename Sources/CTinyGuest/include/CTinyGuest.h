#pragma once

// What the tiny guest (TinyGuest.S) and its host agree on. All fields are little-endian.

// Parameters, written by the host: offsets from where RSI points, a page's beginning; 64 bits each.
#define TINY_PATTERN 0       // address of the pattern's pages
#define TINY_PAGES 8         // how many
#define TINY_SEED 16
#define TINY_VCPUS 24
#define TINY_BALLOON 32      // address of the balloon's registers; 0: there is none
#define TINY_FREE 40         // address of memory that is free, in blocks
#define TINY_BLOCKS 48       // how many, TINY_RING_SIZE - 2 at most
#define TINY_BLOCK_BYTES 56
#define TINY_REUSED 64       // blocks taken into use again after each answer
#define TINY_ENTROPY 72      // address of the random number device's registers; 0: it is not looked for

// Record, written by the guest: offsets from RSI + TINY_RECORD. First one 64-bit word for each vCPU, round << 32 | pages done in it;
// then 32 bits each.
#define TINY_RECORD 0x1000
#define TINY_STARTED 512       // vCPUs that have begun
#define TINY_HAS_BALLOON 516
#define TINY_SEEN_ID 520       // the last command id, STOP or DONE that it read
#define TINY_ANSWERED_ID 524   // the last command whose answer is complete
#define TINY_ROUNDS 528        // how many it answered
#define TINY_HOLDS 532         // 1 between an answer and DONE
#define TINY_START_COMMAND 536 // the buffers of the two commands
#define TINY_STOP_COMMAND 540
#define TINY_HAS_ENTROPY 544
#define TINY_ENTROPY_SEEN 548    // the used index up to which answers were taken
#define TINY_ENTROPY_ANSWERS 552 // how many were taken
#define TINY_ENTROPY_MIXED 560   // 64 bits: the first words of all answers, exclusive or
#define TINY_ENTROPY_BUFFER 576
#define TINY_ENTROPY_BUFFER_BYTES 64

// The hint queue, offsets from RSI.
#define TINY_RING_SIZE 256
#define TINY_DESCRIPTORS 0x2000
#define TINY_AVAILABLE 0x3000
#define TINY_USED 0x4000

// The queue of the random number device, offsets from RSI.
#define TINY_ENTROPY_RING_SIZE 8
#define TINY_ENTROPY_DESCRIPTORS 0x3800
#define TINY_ENTROPY_AVAILABLE 0x3900
#define TINY_ENTROPY_USED 0x3A00

// Interrupt controllers, and the balloon's interrupt: its line at the one, its vector at the other.
#define TINY_IOAPIC 0xFEC00000
#define TINY_LOCAL_APIC 0xFEE00000
#define TINY_BALLOON_INTERRUPT 5
#define TINY_VECTOR 0x50

// Bytes from RSI on that are not the pattern's.
#define TINY_BYTES 0x5000

#ifndef __ASSEMBLER__
#include <stdint.h>

/// The machine code: position-independent, 64-bit.
extern const uint8_t aerostat_tiny_guest_start[];
extern const uint8_t aerostat_tiny_guest_end[];

static inline const uint8_t *aerostat_tiny_guest_start_address(void) { return aerostat_tiny_guest_start; }
static inline uint64_t aerostat_tiny_guest_byte_count(void) {
    return (uint64_t)(aerostat_tiny_guest_end - aerostat_tiny_guest_start);
}
#endif
