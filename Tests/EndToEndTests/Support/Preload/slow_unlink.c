// A disk on which the removal of a partial file takes SLOW_SECONDS. For LD_PRELOAD.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int unlink(const char *path) {
    int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
    if (strstr(path, ".partial")) sleep(atoi(getenv("SLOW_SECONDS")));
    return real(path);
}
