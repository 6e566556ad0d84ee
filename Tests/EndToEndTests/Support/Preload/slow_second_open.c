// Says on standard error how often SLOW_PATH was opened, and lets SLOW_SECONDS pass before the second time. For LD_PRELOAD.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int seen;

static void look(const char *path) {
    const char *slow = getenv("SLOW_PATH");
    if (!slow || !path || strcmp(path, slow)) return;
    seen += 1;
    fprintf(stderr, "open #%d of %s\n", seen, path);
    if (seen == 2) sleep(atoi(getenv("SLOW_SECONDS")));
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int mode = va_arg(arguments, int);
    va_end(arguments);
    look(path);
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    return real(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int mode = va_arg(arguments, int);
    va_end(arguments);
    look(path);
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
    return real(path, flags, mode);
}
