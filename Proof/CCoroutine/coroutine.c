#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include "CCoroutine.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#if __has_feature(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#endif

// The first entry is a ucontext's, which sets the stack; every switch after it is a setjmp pair, which costs no system call.
struct coroutine {
    void *stack;
    size_t stack_bytes;
    ucontext_t entry;
    jmp_buf inside;
    jmp_buf outside;
    void (*body)(void *);
    void *argument;
    bool is_new;
    bool is_idle;
    // What the address sanitizer keeps of a stack while the other is in use, and where the outer one lies.
    void *inside_frames;
    void *outside_frames;
    const void *outside_stack;
    size_t outside_bytes;
};

enum { guard_bytes = 4096 };

// The last words on one stack, about the other; and the first words there. They are for the address sanitizer, which must know the stack.
static void leave(void **frames, const void *stack, size_t bytes) {
#if __has_feature(address_sanitizer)
    __sanitizer_start_switch_fiber(frames, stack, bytes);
#else
    (void)frames, (void)stack, (void)bytes;
#endif
}

static void arrive(void *frames, const void **stack, size_t *bytes) {
#if __has_feature(address_sanitizer)
    __sanitizer_finish_switch_fiber(frames, stack, bytes);
#else
    (void)frames, (void)stack, (void)bytes;
#endif
}

coroutine *coroutine_create(size_t stack_bytes) {
    coroutine *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->stack_bytes = stack_bytes + guard_bytes;
    self->stack = mmap(NULL, self->stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (self->stack == MAP_FAILED) {
        free(self);
        return NULL;
    }
    mprotect(self->stack, guard_bytes, PROT_NONE);
    self->is_idle = true;
    return self;
}

void coroutine_destroy(coroutine *self) {
    munmap(self->stack, self->stack_bytes);
    free(self);
}

static void enter(unsigned low, unsigned high) {
    coroutine *self = (coroutine *)((uintptr_t)high << 32 | low);
    arrive(NULL, &self->outside_stack, &self->outside_bytes);
    self->body(self->argument);
    self->is_idle = true;
    leave(NULL, self->outside_stack, self->outside_bytes);
    _longjmp(self->outside, 1);
}

void coroutine_start(coroutine *self, void (*body)(void *), void *argument) {
    if (!self->is_idle) abort();
    self->body = body;
    self->argument = argument;
    self->is_new = true;
    self->is_idle = false;
    getcontext(&self->entry);
    self->entry.uc_stack.ss_sp = self->stack;
    self->entry.uc_stack.ss_size = self->stack_bytes;
    self->entry.uc_link = NULL;
    uintptr_t place = (uintptr_t)self;
    makecontext(&self->entry, (void (*)(void))enter, 2, (unsigned)place, (unsigned)(place >> 32));
}

__attribute__((noinline)) void coroutine_resume(coroutine *self) {
    if (self->is_idle) abort();
    if (_setjmp(self->outside)) return arrive(self->outside_frames, NULL, NULL);
    leave(&self->outside_frames, (char *)self->stack + guard_bytes, self->stack_bytes - guard_bytes);
    if (self->is_new) {
        self->is_new = false;
        setcontext(&self->entry);
        abort();
    }
    _longjmp(self->inside, 1);
}

__attribute__((noinline)) void coroutine_suspend(coroutine *self) {
    if (_setjmp(self->inside) == 0) {
        leave(&self->inside_frames, self->outside_stack, self->outside_bytes);
        _longjmp(self->outside, 1);
    }
    arrive(self->inside_frames, &self->outside_stack, &self->outside_bytes);
}

bool coroutine_is_idle(const coroutine *self) { return self->is_idle; }
