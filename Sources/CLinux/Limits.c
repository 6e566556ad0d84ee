// Tries out how many threads can be started. Not in Swift: threads that call malloc each make themselves an arena of 64 MiB of address
// space, which stays, and may be what is scarce.

#include "CLinux.h"

#include <malloc.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int is_over;

static void *wait_for_end(void *argument) {
    (void)argument;
    pthread_mutex_lock(&lock);
    while (!is_over) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    return NULL;
}

int aerostat_probe_threads(int count) {
    pthread_t *threads = calloc((size_t)count, sizeof *threads);
    if (threads == NULL) return ENOMEM;
    int started = 0, code = 0;
    is_over = 0;
    while (started < count && (code = pthread_create(&threads[started], NULL, wait_for_end, NULL)) == 0) started += 1;
    pthread_mutex_lock(&lock);
    is_over = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    for (int index = 0; index < started; index += 1) pthread_join(threads[index], NULL);
    free(threads);
    return code;
}

void aerostat_use_one_arena(void) { mallopt(M_ARENA_MAX, 1); }
