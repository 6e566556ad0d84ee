// Shows the thread sanitizer where Swift's libraries synchronise threads; they are not built with it. tools/sanitize loads this in front
// of them: what is tested is the product's code unchanged, and the mutexes of every module and package.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

// Of the sanitizer's runtime; absent in programs without it, which inherit this library from those that have it.
extern void __tsan_acquire(void *) __attribute__((weak));
extern void __tsan_release(void *) __attribute__((weak));

#define SWIFT __attribute__((swiftcall))
#define SWIFT_ASYNC __attribute__((swiftasynccall))
#define SELF __attribute__((swift_context))
#define ASYNC_CONTEXT __attribute__((swift_async_context))

static void *original(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (!function) __builtin_trap();
    return function;
}

// ---- Continuations. The runtime shows the sanitizer each way from one thread of a task to the next but one: where the continuation was
// resumed before its task came to wait for it. Whoever resumed it has shown the task; what goes on behind the wait looks at it here.

extern SWIFT void *swift_task_getCurrent(void) __attribute__((weak));

struct async_context;
typedef SWIFT_ASYNC void (*resumption)(ASYNC_CONTEXT struct async_context *);
struct async_context {
    struct async_context *parent;
    resumption resume;
};

// What the task of each continuation goes on with.
static struct waiting {
    _Atomic(struct async_context *) context;
    resumption resume;
} waiting[4096];

static SWIFT_ASYNC void resume_visibly(ASYNC_CONTEXT struct async_context *context) {
    struct waiting *entry = waiting;
    while (atomic_load(&entry->context) != context) entry++;
    resumption resume = context->resume = entry->resume;
    atomic_store(&entry->context, NULL);
    __tsan_acquire(swift_task_getCurrent());
    __attribute__((musttail)) return resume(context);
}

// The entry of a continuation whose memory this was and which nobody resumed, or a free one; NULL where there is none.
static struct waiting *take_entry(struct async_context *context) {
    for (struct waiting *entry = waiting; entry < waiting + sizeof waiting / sizeof *waiting; entry++)
        if (atomic_load(&entry->context) == context) return entry;
    for (struct waiting *entry = waiting; entry < waiting + sizeof waiting / sizeof *waiting; entry++) {
        struct async_context *none = NULL;
        if (atomic_compare_exchange_strong(&entry->context, &none, context)) return entry;
    }
    return NULL;
}

// Here, and not where the task waits: what it goes on with after it has slept is taken from the context now.
SWIFT void *swift_continuation_init(struct async_context *context, uintptr_t flags);
SWIFT void *swift_continuation_init(struct async_context *context, uintptr_t flags) {
    SWIFT void *(*init)(struct async_context *, uintptr_t) = original("swift_continuation_init");
    struct waiting *entry = __tsan_acquire ? take_entry(context) : NULL;
    if (entry) {
        entry->resume = context->resume;
        context->resume = resume_visibly;
    }
    return init(context, flags);
}

// ---- `Synchronization.Mutex`. The fast ways into and out of it are inlined atomics of our own modules, which the sanitizer sees. A thread
// that finds the mutex taken goes through the functions below; there the kernel hands it over (a priority-inheriting futex), and all that
// it guards looks like a race. Each does what it always did, and says so.

#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK_SLOW "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

SWIFT void lock_slow(uint32_t thread, SELF void *mutex) __asm__(LOCK_SLOW);
SWIFT void lock_slow(uint32_t thread, SELF void *mutex) {
    SWIFT void (*lock)(uint32_t, SELF void *) = original(LOCK_SLOW);
    lock(thread, mutex);
    if (__tsan_acquire) __tsan_acquire(mutex);
}

SWIFT bool try_lock_slow(SELF void *mutex) __asm__(TRY_LOCK_SLOW);
SWIFT bool try_lock_slow(SELF void *mutex) {
    SWIFT bool (*lock)(SELF void *) = original(TRY_LOCK_SLOW);
    bool is_taken = lock(mutex);
    if (is_taken && __tsan_acquire) __tsan_acquire(mutex);
    return is_taken;
}

SWIFT void unlock_slow(SELF void *mutex) __asm__(UNLOCK_SLOW);
SWIFT void unlock_slow(SELF void *mutex) {
    SWIFT void (*unlock)(SELF void *) = original(UNLOCK_SLOW);
    if (__tsan_release) __tsan_release(mutex);
    unlock(mutex);
}

// ---- Rings. liburing maps and unmaps them by its own system calls, which the sanitizer does not see: it would take a ring for the one
// that was in its place before. The kernel gives a place away after it was left.

static char places;

struct io_uring;
void io_uring_queue_exit(struct io_uring *ring);
void io_uring_queue_exit(struct io_uring *ring) {
    void (*leave)(struct io_uring *) = original("io_uring_queue_exit");
    if (__tsan_release) __tsan_release(&places);
    leave(ring);
}

int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags) {
    int (*map)(unsigned, struct io_uring *, unsigned) = original("io_uring_queue_init");
    int result = map(entries, ring, flags);
    if (__tsan_acquire) __tsan_acquire(&places);
    return result;
}
