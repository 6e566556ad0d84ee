// Functions with stacks of their own, taking turns on one thread: the simulator runs the engine's blocking loops unchanged on them.
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct coroutine coroutine;

/// A stack to run functions on, one after the other; NULL without memory.
coroutine *_Nullable coroutine_create(size_t stack_bytes);
/// Not while it has a function that has not returned.
void coroutine_destroy(coroutine *_Nonnull self);

/// Gives an idle coroutine a function; it begins with the first resume.
void coroutine_start(coroutine *_Nonnull self, void (*_Nonnull body)(void *_Nullable), void *_Nullable argument);
/// Goes on with it until it suspends itself or returns. Not from a coroutine.
void coroutine_resume(coroutine *_Nonnull self);
/// Back to whoever resumed it. Only from the coroutine itself.
void coroutine_suspend(coroutine *_Nonnull self);
/// Whether its function has returned.
bool coroutine_is_idle(const coroutine *_Nonnull self);
