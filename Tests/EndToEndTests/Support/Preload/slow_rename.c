// A disk on which rename takes SLOW_SECONDS. For LD_PRELOAD.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    sleep(atoi(getenv("SLOW_SECONDS")));
    return real(from, to);
}
