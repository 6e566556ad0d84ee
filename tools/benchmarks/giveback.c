// The reference for a balloon: gives memory back with one madvise for each run, and nothing else.
//
//   giveback BYTES runs|scattered    fills BYTES of fresh memory, gives them back, and prints the seconds that it took
//
// Memory is as in the model guest: anonymous, aligned to 2 MiB, advised to be huge. `runs` are of 256 pages, as many as Linux names in a
// buffer. `scattered` are single pages, as the model guest's driver finds them: first one of each pair, then the other ones.
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { PAGE = 4096, HUGE_PAGE = 2 << 20, RUN = 256 * PAGE };

static void fail(const char *operation) {
    fprintf(stderr, "giveback: %s: %s\n", operation, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void give_back(char *place, size_t bytes) {
    if (madvise(place, bytes, MADV_DONTNEED)) fail("madvise");
}

int main(int count, char **words) {
    if (count != 3) {
        fprintf(stderr, "giveback: see the head of giveback.c\n");
        return 64;
    }
    size_t bytes = strtoull(words[1], NULL, 10) / HUGE_PAGE * HUGE_PAGE;
    int in_runs = !strcmp(words[2], "runs");
    char *raw = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED) fail("mmap");
    char *base = (char *)(((uintptr_t)raw + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
    madvise(base, bytes, MADV_HUGEPAGE);
    memset(base, 0x5A, bytes);
    // Which of each pair comes first is decided before the clock runs.
    size_t pairs = bytes / PAGE / 2;
    unsigned char *second = malloc(pairs);
    if (!second) fail("malloc");
    uint64_t state = 1;
    for (size_t pair = 0; pair < pairs; pair++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        second[pair] = state >> 63;
    }
    double start = now();
    if (in_runs) {
        for (size_t offset = 0; offset < bytes; offset += RUN) give_back(base + offset, RUN);
    } else {
        for (int turn = 0; turn < 2; turn++) {
            for (size_t pair = 0; pair < pairs; pair++) give_back(base + (2 * pair + (second[pair] ^ turn)) * PAGE, PAGE);
        }
    }
    printf("%.6f\n", now() - start);
    return 0;
}
