// Writes to nearly all free memory, and gives it back. If the outer machine itself runs in a virtual machine, the host below takes back
// memory that was idle for a while. Getting it again takes five times as long as anything to be measured, so all free memory is touched
// shortly before. It is touched in 2 MiB blocks, as the migrations allocate it.
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
    // If memory runs out, the kernel should end this process first.
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
