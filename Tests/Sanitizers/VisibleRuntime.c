// Shows the thread sanitizer where Swift's libraries synchronise threads; they are not built with it. tools/sanitize loads this in front
// of them: what is tested is the product's code unchanged, and the mutexes of every module and package.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

// Of the sanitizer's runtime; absent in programs without it, which inherit this library from those that have it.
extern void __tsan_acquire(void *) __attribute__((weak));
extern void __tsan_release(void *) __attribute__((weak));

#define SWIFT __attribute__((swiftcall))
#define SWIFT_ASYNC __attribute__((swiftasynccall))
#define SELF __attribute__((swift_context))

static void *original(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (!function) __builtin_trap();
    return function;
}

// ---- Continuations. The runtime shows the sanitizer each way from one thread of a task to the next but one: where the continuation was
// resumed before its task came to wait for it. Whoever resumed it has shown the task.

extern SWIFT void *swift_task_getCurrent(void) __attribute__((weak));

SWIFT_ASYNC void swift_continuation_await(void *context);
SWIFT_ASYNC void swift_continuation_await(void *context) {
    SWIFT_ASYNC void (*await)(void *) = original("swift_continuation_await");
    if (__tsan_acquire) __tsan_acquire(swift_task_getCurrent());
    __attribute__((musttail)) return await(context);
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
