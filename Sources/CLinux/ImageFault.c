// What a person reads when guest memory that is mapped from a file cannot be read: the file was cut short, or the disk failed. The
// kernel says so with SIGBUS to whoever touched the page, in the middle of any instruction; nothing can be undone there.
//
// The handler uses only async-signal-safe calls. Slots are filled before they become live, and the handler reads live slots only.

#include "CLinux.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { free_slot, busy_slot, live_slot };

struct image_range {
    atomic_int state;
    uint64_t start;
    uint64_t end;
    uint64_t file_offset;
    size_t path_length;
    char path[4096];
};

static struct image_range ranges[AEROSTAT_IMAGE_RANGES];
static struct sigaction previous_action;

static struct iovec text(const char *bytes) { return (struct iovec){.iov_base = (char *)bytes, .iov_len = strlen(bytes)}; }

/// Decimal digits, written into `digits` from its end.
static struct iovec number(uint64_t value, char digits[20]) {
    int first = 20;
    do {
        first -= 1;
        digits[first] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return (struct iovec){.iov_base = digits + first, .iov_len = (size_t)(20 - first)};
}

static void guest_is_lost(const struct image_range *range, uint64_t address) {
    char offset[20], page[20];
    uint64_t inside = (address - range->start) & ~(uint64_t)4095;
    struct iovec pieces[] = {
        text("aerostat: guest memory could not be read from the image "),
        {.iov_base = (char *)range->path, .iov_len = range->path_length},
        text(" at offset "),
        number(range->file_offset + inside, offset),
        text(" (page "),
        number(inside / 4096, page),
        text("): the file was truncated or the disk failed; the guest is lost\n"),
    };
    aerostat_restore_terminal();
    ssize_t ignored = writev(STDERR_FILENO, pieces, sizeof pieces / sizeof pieces[0]);
    (void)ignored;
    _exit(1);
}

static void handle_bus_error(int signal, siginfo_t *information, void *context) {
    (void)context;
    uint64_t address = (uint64_t)(uintptr_t)information->si_addr;
    // Only "no such physical address": broken RAM (BUS_MCEERR_AR) is not the file's fault.
    for (int slot = 0; information->si_code == BUS_ADRERR && slot < AEROSTAT_IMAGE_RANGES; slot += 1) {
        struct image_range *range = &ranges[slot];
        if (atomic_load_explicit(&range->state, memory_order_acquire) != live_slot) continue;
        if (address >= range->start && address < range->end) guest_is_lost(range, address);
    }
    // Not ours: as if this handler had never been there. A fault comes again when the instruction is repeated, a sent signal does not.
    sigaction(SIGBUS, &previous_action, NULL);
    if (information->si_code <= 0) raise(signal);
}

static void install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handle_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previous_action);
}

int aerostat_add_image_range(uint64_t start, uint64_t length, uint64_t file_offset, const char *path) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    for (int slot = 0; slot < AEROSTAT_IMAGE_RANGES; slot += 1) {
        struct image_range *range = &ranges[slot];
        int expected = free_slot;
        if (!atomic_compare_exchange_strong(&range->state, &expected, busy_slot)) continue;
        range->start = start;
        range->end = start + length;
        range->file_offset = file_offset;
        range->path_length = strnlen(path, sizeof range->path);
        memcpy(range->path, path, range->path_length);
        atomic_store_explicit(&range->state, live_slot, memory_order_release);
        return slot;
    }
    return -1;
}

void aerostat_remove_image_range(int slot) { atomic_store_explicit(&ranges[slot].state, free_slot, memory_order_release); }
