// A file server whose answer to a rename is lost: it happened, and is reported as failed. For LD_PRELOAD.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    real(from, to);
    errno = ENOENT;
    return -1;
}
