// Prints the frequency of this processor's time stamp counter in kHz. Software emulation shows the counter to its machine, whose kernel
// cannot measure it well on a busy host. Of several measurements, the one with the shortest time between two readings of the clock is the
// least disturbed.
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct moment {
    uint64_t counter, nanoseconds;
};

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static struct moment look(void) {
    struct moment best = {0, 0};
    for (uint64_t attempt = 0, shortest = UINT64_MAX; attempt < 1000; attempt++) {
        uint64_t before = now(), counter = __rdtsc(), after = now();
        if (after - before < shortest) {
            shortest = after - before;
            best = (struct moment){counter, before + (after - before) / 2};
        }
    }
    return best;
}

int main(void) {
    struct moment begin = look();
    nanosleep(&(struct timespec){0, 200000000}, NULL);
    struct moment end = look();
    printf("%llu\n", (unsigned long long)((end.counter - begin.counter) * 1000000 / (end.nanoseconds - begin.nanoseconds)));
}
