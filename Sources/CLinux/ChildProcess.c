// Starts a program whose life is tied to this process: fork, a few async-signal-safe calls, exec.

#include "CLinux.h"

int aerostat_spawn(const char *path, char *const arguments[], int output, int errors) {
    pid_t parent = getpid();
    pid_t child = fork();
    if (child != 0) return child;
    // A group of its own: the interrupt key is for this process, which decides about its children.
    setpgid(0, 0);
    // Sent when the *thread* that forked ends, so that thread must live as long as the process.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent) _exit(127);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    int input = open("/dev/null", O_RDONLY);
    if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(errors, 2) < 0) _exit(127);
    syscall(SYS_close_range, 3, ~0U, 0);
    execv(path, arguments);
    _exit(127);
}
