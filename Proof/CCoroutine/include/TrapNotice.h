// A trap in the engine ends the process; this says first which scenario it was.
#pragma once

#include <stdint.h>

/// From now on a trap of this process prints "TRAP seed=N" on standard output, with the calling thread's last announced seed.
void trap_notice_install(void);
void trap_notice_announce(uint64_t seed);
