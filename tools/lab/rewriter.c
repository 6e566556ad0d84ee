// Rewrites memory on one processor, and checks every page before that: it must hold what was last written to it. Meanwhile it checks that
// time never goes back, even as seen by another processor's copy of this program.
//
//     rewriter CPU MIB RATE-MIB FOLDER-AND-PREFIX
//
// Writes counts to PREFIX.CPU four times a second, if the rate allows. Complaints go to standard output.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { page_words = 4096 / sizeof(uint64_t), batch_milliseconds = 250 };

static uint64_t stamp(uint64_t page, uint64_t generation, uint64_t word) {
    return (page << 40 ^ generation << 9 ^ word) * 0x9E3779B97F4A7C15u;
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// The latest time that any copy of this program has seen. A clock that is read later must not be behind it.
static uint64_t look_at_time(_Atomic uint64_t *latest) {
    uint64_t seen = atomic_load(latest), time = now();
    if (time < seen) printf("@wrong time went back by %llu ns\n", (unsigned long long)(seen - time));
    while (seen < time && !atomic_compare_exchange_weak(latest, &seen, time)) {
    }
    return time;
}

int main(int count, char **arguments) {
    if (count != 5) return 64;
    int cpu = atoi(arguments[1]);
    size_t pages = (size_t)atoi(arguments[2]) * 256;
    size_t batch = (size_t)atoi(arguments[3]) * 256 * batch_milliseconds / 1000;
    char name[256], shared[256];
    snprintf(name, sizeof name, "%s.%d", arguments[4], cpu);
    snprintf(shared, sizeof shared, "%s-latest", arguments[4]);
    setvbuf(stdout, NULL, _IOLBF, 0);

    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(cpu, &only);
    int file = open(shared, O_RDWR | O_CREAT, 0600);
    if (sched_setaffinity(0, sizeof only, &only) || file < 0 || ftruncate(file, 4096)) return perror("rewriter"), 1;
    _Atomic uint64_t *latest = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    uint64_t(*memory)[page_words] = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (latest == MAP_FAILED || (void *)memory == MAP_FAILED) return perror("rewriter"), 1;

    uint64_t wrong = 0, written = 0;
    for (uint64_t generation = 0;; generation++) {
        for (size_t page = 0; page < pages; page++) {
            for (size_t word = 0; word < page_words; word++) {
                uint64_t expected = generation ? stamp(page, generation - 1, word) : 0;
                if (memory[page][word] != expected && wrong++ == 0)
                    printf("@wrong page %zu word %zu of generation %llu\n", page, word, (unsigned long long)generation);
                memory[page][word] = stamp(page, generation, word);
            }
            look_at_time(latest);
            if (++written % batch) continue;
            FILE *counts = fopen(name, "w");
            if (counts) {
                fprintf(counts, "%d written %llu wrong %llu\n", cpu, (unsigned long long)written, (unsigned long long)wrong);
                fclose(counts);
            }
            for (uint64_t end = now() + batch_milliseconds * 1000000u; look_at_time(latest) < end;) usleep(10000);
        }
    }
}
