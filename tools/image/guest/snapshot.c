// Writes /proc/kpageflags to the disk named on the command line, and stops the machine with the next instruction: QEMU's debug exit device
// ends QEMU at once. QEMU's memory is a file, which stays as it is at that moment. The machine compiles this program itself.
//
// usage: snapshot DISK MEBIBYTES

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

#define FRAMES_PER_MEBIBYTE 256
#define NO_PAGE (1ull << 20) // KPF_NOPAGE: frames beyond those that the kernel reports
#define BLOCK 4096 // a multiple of any disk's blocks, for O_DIRECT
#define DEBUG_EXIT_PORT 0xf4 // as in tools/guest-image
#define DONE 0x10 // QEMU ends with 2 * DONE + 1

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void read_flags(int file, uint64_t *flags, size_t frames) {
    size_t length = frames * sizeof *flags, done = 0;
    while (done < length) {
        ssize_t part = pread(file, (char *)flags + done, length - done, done);
        if (part < 0) fail("/proc/kpageflags");
        if (part == 0) break;
        done += part;
    }
    for (size_t frame = done / sizeof *flags; frame < frames; frame++) flags[frame] = NO_PAGE;
}

int main(int count, char **arguments) {
    if (count != 3) return 64;
    size_t frames = (size_t)atol(arguments[2]) * FRAMES_PER_MEBIBYTE;
    size_t length = (frames * sizeof(uint64_t) + BLOCK - 1) / BLOCK * BLOCK;
    int source = open("/proc/kpageflags", O_RDONLY);
    if (source < 0) fail("/proc/kpageflags");
    int disk = open(arguments[1], O_WRONLY | O_DIRECT);
    if (disk < 0) fail(arguments[1]);
    // Everything that allocates memory is done before the flags are read.
    uint64_t *flags = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (flags == MAP_FAILED || mlockall(MCL_CURRENT) != 0) fail("memory");
    if (ioperm(DEBUG_EXIT_PORT, 1, 1) != 0) fail("ioperm");
    sync();
    sleep(1);
    read_flags(source, flags, frames); // a first time without using the result: afterwards its code and tables are in memory
    read_flags(source, flags, frames);
    for (size_t done = 0; done < length;) {
        ssize_t part = pwrite(disk, (char *)flags + done, length - done, done);
        if (part <= 0) fail(arguments[1]);
        done += part;
    }
    asm volatile("outb %b0, %w1" : : "a"(DONE), "d"(DEBUG_EXIT_PORT)); // tcc does not inline <sys/io.h>'s
    fail("debug exit");
}
