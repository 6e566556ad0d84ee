// Starts a program whose life is tied to this process: fork, a few async-signal-safe calls, exec.

#include "CLinux.h"

int aerostat_spawn(const char *path, char *const arguments[], int output, int errors) {
    pid_t parent = getpid();
    // A signal for the child must not run this process's handlers there: they would ring bells that both share.
    sigset_t all, previous;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &previous);
    pid_t child = fork();
    if (child != 0) {
        int saved_errno = errno;
        pthread_sigmask(SIG_SETMASK, &previous, NULL);
        errno = saved_errno;
        return child;
    }
    // A group of its own: the interrupt key is for this process, which decides about its children.
    setpgid(0, 0);
    // Sent when the *thread* that forked ends, so that thread must live as long as the process.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent) _exit(127);
    // A SIGHUP that is ignored (nohup) is ignored there too; what else this process ignores or handles is its own affair.
    struct sigaction action;
    for (int number = 1; number < NSIG; number += 1) {
        if (sigaction(number, NULL, &action) < 0 || (number == SIGHUP && action.sa_handler == SIG_IGN)) continue;
        if (action.sa_handler != SIG_DFL) signal(number, SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int input = open("/dev/null", O_RDONLY);
    if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(errors, 2) < 0) _exit(127);
    syscall(SYS_close_range, 3, ~0U, 0);
    execv(path, arguments);
    _exit(127);
}
