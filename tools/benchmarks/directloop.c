// The reference for writing a guest image: a plain loop that writes as many bytes to a file on the same file system, past the page cache,
// in pieces of the same size and with as many writes under way, and syncs once at the end.
//
//   directloop PATH BYTES DEPTH    fills 256 MiB of memory and says so. When its standard input ends, it writes BYTES from that memory,
//                                  again and again, and prints the seconds
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 20, PIECES = 256 };

static void fail(const char *operation, int code) {
    fprintf(stderr, "directloop: %s: %s\n", operation, strerror(code));
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

int main(int count, char **arguments) {
    if (count != 4) {
        fprintf(stderr, "usage: directloop PATH BYTES DEPTH\n");
        return 64;
    }
    const char *path = arguments[1];
    uint64_t bytes = strtoull(arguments[2], NULL, 10);
    unsigned depth = (unsigned)strtoul(arguments[3], NULL, 10);
    char *memory = mmap(NULL, (size_t)PIECE * PIECES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap", errno);
    uint64_t state = 1;
    for (uint64_t *word = (uint64_t *)memory; word < (uint64_t *)(memory + (size_t)PIECE * PIECES); word++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        *word = state;
    }
    struct io_uring ring;
    int code = io_uring_queue_init(depth, &ring, 0);
    if (code < 0) fail("io_uring", -code);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT, 0600);
    if (file < 0) file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0) fail(path, errno);
    if (ftruncate(file, (off_t)bytes) < 0) fail("ftruncate", errno);
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) continue;

    double start = now();
    uint64_t next = 0, done = 0;
    unsigned under_way = 0;
    while (done < bytes) {
        while (under_way < depth && next < bytes) {
            struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
            if (!entry) break;
            unsigned length = bytes - next < PIECE ? (unsigned)(bytes - next) : PIECE;
            io_uring_prep_write(entry, file, memory + (next / PIECE % PIECES) * PIECE, length, next);
            next += length;
            under_way++;
        }
        if ((code = io_uring_submit_and_wait(&ring, 1)) < 0 && code != -EINTR) fail("submit", -code);
        struct io_uring_cqe *completion;
        while (io_uring_peek_cqe(&ring, &completion) == 0) {
            if (completion->res <= 0) fail("write", completion->res ? -completion->res : EIO);
            done += (uint64_t)completion->res;
            under_way--;
            io_uring_cqe_seen(&ring, completion);
        }
    }
    if (fdatasync(file) < 0) fail("fdatasync", errno);
    printf("%.6f\n", now() - start);
    close(file);
    unlink(path);
    return 0;
}
