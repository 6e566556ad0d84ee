#pragma once

#include <stdint.h>

/// The tiny guest's machine code (TinyGuest.S): position-independent, 64-bit.
extern const uint8_t aerostat_tiny_guest_start[];
extern const uint8_t aerostat_tiny_guest_end[];
