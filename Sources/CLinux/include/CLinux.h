#pragma once

// No _GNU_SOURCE here: it changes the fields of types (fd_set) that Swift's own Glibc module has without it, and Clang refuses two
// definitions of one type in one compilation.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <linux/magic.h>
#include <linux/sockios.h>
#include <linux/userfaultfd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include "KVM.h"
#endif

/// Reads and writes past the page cache. The headers show its usual name with _GNU_SOURCE only.
static const int aerostat_o_direct = __O_DIRECT;

/// The host's random bytes, never waiting for them: EAGAIN where a host has just booted and has none.
static inline long aerostat_getrandom(void *buffer, size_t count) { return getrandom(buffer, count, GRND_NONBLOCK); }

/// process_madvise(2) for this process's own memory: any advice since Linux 6.13, and the calling thread stands for its process since 6.14
/// (PIDFD_SELF_THREAD); an error before. The kernel flushes once for all ranges.
/// Returns bytes: fewer than all where one of the ranges was refused.
static inline ssize_t aerostat_madvise_all(const struct iovec *ranges, size_t count, int advice) {
    return syscall(SYS_process_madvise, -10000, ranges, count, advice, 0);
}

// ---- PAGEMAP_SCAN (Linux 6.7, include/uapi/linux/fs.h); Debian 12's headers do not have it.

struct aerostat_page_region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

struct aerostat_pm_scan_arg {
    uint64_t size;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end;
    uint64_t vec;
    uint64_t vec_len;
    uint64_t max_pages;
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
};

static const uint64_t aerostat_page_is_written = 1 << 1;
static const uint64_t aerostat_page_is_file = 1 << 2;
static const uint64_t aerostat_page_is_present = 1 << 3;
static const uint64_t aerostat_page_is_swapped = 1 << 4;
static const uint64_t aerostat_page_is_pfnzero = 1 << 5;
static const uint64_t aerostat_pm_scan_wp_matching = 1 << 0;
static const uint64_t aerostat_pm_scan_check_wpasync = 1 << 1;

/// Returns the number of regions filled, or -1 with errno.
static inline int64_t aerostat_pagemap_scan(int pagemap, struct aerostat_pm_scan_arg *arg) {
    return ioctl(pagemap, _IOWR('f', 16, struct aerostat_pm_scan_arg), arg);
}

// ---- userfaultfd in write-protect async mode (Linux 6.7).

static inline int aerostat_userfaultfd(int flags) { return (int)syscall(SYS_userfaultfd, flags); }

static const int aerostat_uffd_user_mode_only = 1;
static const uint64_t aerostat_uffd_feature_wp_hugetlbfs_shmem = 1 << 12;
static const uint64_t aerostat_uffd_feature_wp_async = 1 << 15;

static inline int aerostat_uffd_api(int fd, uint64_t features) {
    struct uffdio_api api = {.api = UFFD_API, .features = features, .ioctls = 0};
    return ioctl(fd, UFFDIO_API, &api);
}

static inline int aerostat_uffd_register_wp(int fd, uint64_t start, uint64_t length) {
    struct uffdio_register reg = {
        .range = {.start = start, .len = length}, .mode = UFFDIO_REGISTER_MODE_WP, .ioctls = 0};
    return ioctl(fd, UFFDIO_REGISTER, &reg);
}

// ---- File systems.

/// Whether a file's holes are known to stay holes when they are read through a mapping. A tmpfs puts a page there, and dies of a full
/// disk by SIGBUS; so does what passes its mappings on (overlayfs), or may do so.
static inline int aerostat_mapped_holes_stay(int fd) {
    struct statfs status;
    if (fstatfs(fd, &status) != 0) return 0;
    switch ((uint32_t)status.f_type) {
    case EXT4_SUPER_MAGIC: // ext2 and ext3 too
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case NFS_SUPER_MAGIC: return 1;
    default: return 0;
    }
}

// ---- Guest memory mapped from a file (ImageFault.c).

#define AEROSTAT_IMAGE_RANGES 64

/// From now on a SIGBUS for an address in the range ends the process with status 1 and a line on standard error that names the file.
/// Returns a slot, or -1 where all are taken.
int aerostat_add_image_range(uint64_t start, uint64_t length, uint64_t file_offset, const char *path);
void aerostat_remove_image_range(int slot);

// ---- Signals (Signals.c).

/// Has a signal ring an eventfd, from now on: the eventfd must stay open for ever. A SIGHUP that is ignored stays so. Returns 0, or -1 with
/// errno.
int aerostat_ring_at_signal(int number, int event);
/// Lets the calling thread take the signal. Returns 0, or an error number.
int aerostat_unblock_signal(int number);
/// Returns whether the signal has come since this was last asked.
int aerostat_take_signal(int number);
/// Has the signal do again what it does by itself, where it rings an eventfd. Returns 0, or -1 with errno.
int aerostat_leave_signal(int number);

// ---- A terminal in raw mode (Terminal.c).

/// Puts a terminal into raw mode, until `aerostat_restore_terminal` or any end of this process but SIGKILL's. Returns 0, or -1 with errno.
int aerostat_make_terminal_raw(int terminal);
/// Gives the terminal its own mode back, where it does not have it. May be called in signal handlers.
void aerostat_restore_terminal(void);
/// Raw mode again, where there was raw mode.
void aerostat_reapply_raw_mode(void);

// ---- Child processes (ChildProcess.c).

/// Starts a program that is killed when the calling thread ends. Returns its process id, or -1 with errno; a program that cannot be
/// executed ends with 127.
int aerostat_spawn(const char *path, char *const arguments[], int output, int errors);

// ---- Limits (Limits.c).

/// Starts so many threads at once, and ends them. Returns 0, or why one could not be started. For one thread at a time.
int aerostat_probe_threads(int count);
/// Has malloc share one arena between all threads, where each thread else takes 64 MiB of address space for one of its own.
void aerostat_use_one_arena(void);

// ---- madvise advice that older headers lack.

static const int aerostat_madv_populate_write = 23;  // Linux 5.14

// ---- Files that are memory. The headers show these with _GNU_SOURCE only.

static const unsigned aerostat_mfd_cloexec = 1;
static const unsigned aerostat_mfd_allow_sealing = 2;
static const unsigned aerostat_mfd_hugetlb = 4;
static const unsigned aerostat_mfd_huge_2mb = 21u << 26;
static const int aerostat_f_add_seals = 1033;
static const int aerostat_f_seal_shrink = 2;
static const int aerostat_f_seal_grow = 4;
static const int aerostat_seek_data = 3;
static const int aerostat_seek_hole = 4;
static const uint64_t aerostat_hugetlbfs_magic = 0x958458f6;

static inline int aerostat_memfd_create(const char *name, unsigned flags) { return (int)syscall(SYS_memfd_create, name, flags); }

/// FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
static inline int aerostat_punch_hole(int fd, uint64_t offset, uint64_t length) {
    return (int)syscall(SYS_fallocate, fd, 1 | 2, (off_t)offset, (off_t)length);
}

// ---- Macros and variadic functions that Swift does not import.

static void *const aerostat_map_failed = MAP_FAILED;
static inline int aerostat_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }
static inline int aerostat_accept(int fd) { return (int)syscall(SYS_accept4, fd, 0, 0, SOCK_CLOEXEC); }
static inline int aerostat_pipe(int ends[2]) { return (int)syscall(SYS_pipe2, ends, O_CLOEXEC); }
static inline int aerostat_name_thread(const char *name) { return prctl(PR_SET_NAME, name); }
static inline int aerostat_fcntl(int fd, int command, int argument) { return fcntl(fd, command, argument); }

// ---- What a socket has taken and still holds.

/// `held`: bytes that the other side has not acknowledged. Returns 0, or -1 with errno.
static inline int aerostat_outgoing_queue(int fd, int *held) { return ioctl(fd, SIOCOUTQ, held); }

/// Packets on their way without an acknowledgement, and the time since any acknowledgement came. Returns 0, or -1 where it is no TCP
/// socket.
static inline int aerostat_tcp_silence(int fd, uint32_t *packets, uint32_t *milliseconds) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) return -1;
    *packets = info.tcpi_unacked;
    *milliseconds = info.tcpi_last_ack_recv;
    return 0;
}

// ---- CRC-32C (Castagnoli) by the SSE 4.2 instruction where the processor has it.

#if defined(__x86_64__)
static inline int aerostat_has_crc32c(void) { return __builtin_cpu_supports("sse4.2") ? 1 : 0; }

__attribute__((target("sse4.2"))) static inline uint32_t aerostat_crc32c(
    uint32_t crc, const unsigned char *bytes, uint64_t count) {
    uint64_t state = crc;
    while (count >= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        state = __builtin_ia32_crc32di(state, word);
        bytes += 8;
        count -= 8;
    }
    uint32_t narrow = (uint32_t)state;
    while (count > 0) {
        narrow = __builtin_ia32_crc32qi(narrow, *bytes);
        bytes += 1;
        count -= 1;
    }
    return narrow;
}

// A page in four streams: the instruction has a latency of three cycles and one can start in each, so one stream alone waits for
// itself most of the time. The four remainders are joined by carry-less multiplication with x^(8n - 33) mod P (reflected), which moves
// a remainder n bytes on: the product of two reflected words stands one bit low, and the instruction itself multiplies by x^32.

static inline int aerostat_has_crc32c_page(void) {
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul") ? 1 : 0;
}

typedef long long aerostat_two_words __attribute__((vector_size(16)));

__attribute__((target("sse4.2,pclmul"))) static inline uint64_t aerostat_crc32c_moved(uint64_t crc, uint64_t factor) {
    aerostat_two_words a = {(long long)crc, 0}, b = {(long long)factor, 0};
    return (uint64_t)__builtin_ia32_pclmulqdq128(a, b, 0)[0];
}

/// The CRC-32C of 4096 bytes.
__attribute__((target("sse4.2,pclmul"))) static inline uint32_t aerostat_crc32c_page(const unsigned char *page) {
    uint64_t a = 0xFFFFFFFF, b = 0, c = 0, d = 0;
    for (int offset = 0; offset < 1024; offset += 8) {
        uint64_t words[4];
        memcpy(&words[0], page + offset, 8);
        memcpy(&words[1], page + 1024 + offset, 8);
        memcpy(&words[2], page + 2048 + offset, 8);
        memcpy(&words[3], page + 3072 + offset, 8);
        a = __builtin_ia32_crc32di(a, words[0]);
        b = __builtin_ia32_crc32di(b, words[1]);
        c = __builtin_ia32_crc32di(c, words[2]);
        d = __builtin_ia32_crc32di(d, words[3]);
    }
    uint64_t moved = aerostat_crc32c_moved(a, 0x359674F7)    // 3072 bytes on
                     ^ aerostat_crc32c_moved(b, 0xA51B6135)  // 2048
                     ^ aerostat_crc32c_moved(c, 0x170076FA); // 1024
    return ~(uint32_t)(__builtin_ia32_crc32di(0, moved) ^ d);
}
#else
static inline int aerostat_has_crc32c_page(void) { return 0; }
static inline uint32_t aerostat_crc32c_page(const unsigned char *page) {
    (void)page;
    return 0;
}
static inline int aerostat_has_crc32c(void) { return 0; }
static inline uint32_t aerostat_crc32c(uint32_t crc, const unsigned char *bytes, uint64_t count) {
    (void)bytes;
    (void)count;
    return crc;
}
#endif
