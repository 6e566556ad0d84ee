// An inline function like those of CLinux, and one that C leaves undefined.
#pragma once

static inline int canary_shift(int bits) { return 1 << bits; }
