#pragma once

#include <stddef.h>
#include <stdint.h>

// On x86-64 the library chooses by the processor: AVX2 or AVX-512 where it has them, at twice the speed of the plain function.
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

static inline uint64_t aerostat_xxh3(const void *bytes, size_t count) { return XXH3_64bits(bytes, count); }
