// A signal's arrival becomes a note and a ring of an eventfd, which somebody sleeps on.

#include "CLinux.h"

#include <stdatomic.h>

// By signal; 0 is none.
static atomic_int events[NSIG];
static atomic_int arrived[NSIG];

static void ring(int number) {
    int saved_errno = errno;
    // Before the bell: whoever it wakes finds the note.
    atomic_store_explicit(&arrived[number], 1, memory_order_release);
    int event = atomic_load_explicit(&events[number], memory_order_acquire);
    uint64_t one = 1;
    // A full counter is ringing already.
    ssize_t written = event > 0 ? write(event, &one, sizeof one) : 0;
    (void)written;
    errno = saved_errno;
}

int aerostat_unblock_signal(int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int aerostat_take_signal(int number) { return atomic_exchange_explicit(&arrived[number], 0, memory_order_acquire); }

int aerostat_leave_signal(int number) {
    struct sigaction action;
    if (sigaction(number, NULL, &action) < 0) return -1;
    if (action.sa_handler != ring) return 0;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    return sigaction(number, &action, NULL);
}

int aerostat_ring_at_signal(int number, int event) {
    struct sigaction action;
    // Whoever started this process with nohup wants it to stay when the terminal goes.
    if (number == SIGHUP && sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) return 0;
    atomic_store_explicit(&events[number], event, memory_order_release);
    memset(&action, 0, sizeof action);
    action.sa_handler = ring;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return sigaction(number, &action, NULL);
}
