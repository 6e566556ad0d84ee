// A signal's arrival becomes a ring of an eventfd, which somebody sleeps on.

#include "CLinux.h"

#include <stdatomic.h>

// By signal; 0 is none.
static atomic_int events[NSIG];

static void ring(int number) {
    int saved_errno = errno;
    int event = atomic_load_explicit(&events[number], memory_order_acquire);
    uint64_t one = 1;
    // A full counter is ringing already.
    ssize_t written = event > 0 ? write(event, &one, sizeof one) : 0;
    (void)written;
    errno = saved_errno;
}

int aerostat_ring_at_signal(int number, int event) {
    atomic_store_explicit(&events[number], event, memory_order_release);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = ring;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return sigaction(number, &action, NULL);
}
