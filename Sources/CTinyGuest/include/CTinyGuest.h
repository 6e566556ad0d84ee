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

// The hint queue, offsets from RSI.
#define TINY_RING_SIZE 256
#define TINY_DESCRIPTORS 0x2000
#define TINY_AVAILABLE 0x3000
#define TINY_USED 0x4000

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
