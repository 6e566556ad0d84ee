// Writes to nearly all memory that is free, and gives it back. Where the outer machine itself runs on a virtual machine, the host below
// takes back what has been idle for a while, and providing it again takes five times as long as anything that is to be measured: so
// everything free is touched shortly before. Of 2 MiB blocks, as the migrations allocate them.
#include <stdio.h>
#include <sys/mman.h>

enum { KIB_LEFT = 256 << 10 };

int main(void) {
    unsigned long kib = 0;
    FILE *information = fopen("/proc/meminfo", "r"), *adjustment = fopen("/proc/self/oom_score_adj", "w");
    char line[128];
    while (information && fgets(line, sizeof line, information)) {
        if (sscanf(line, "MemFree: %lu kB", &kib) == 1) { break; }
    }
    if (kib <= KIB_LEFT) { return 1; }
    // Whoever must go for want of memory: this one.
    if (adjustment) {
        fputs("1000", adjustment);
        fclose(adjustment);
    }
    size_t size = (size_t)(kib - KIB_LEFT) << 10;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) { return 1; }
    madvise(memory, size, MADV_HUGEPAGE);
    for (size_t at = 0; at < size; at += 4096) { ((volatile char *)memory)[at] = 1; }
}
