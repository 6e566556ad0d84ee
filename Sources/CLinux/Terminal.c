// A terminal that was put into raw mode gets its own mode back however this process ends, short of SIGKILL: at a normal exit, by exit(),
// and by signals that end a process. The handler uses only async-signal-safe calls (tcsetattr is one).

#include "CLinux.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <termios.h>

static struct termios own_mode;
static struct termios raw_mode;
/// The terminal in raw mode, or -1. The modes are written before it is.
static atomic_int raw_terminal = -1;
static struct sigaction previous_actions[NSIG];

void aerostat_restore_terminal(void) {
    int saved_errno = errno;
    int terminal = atomic_exchange_explicit(&raw_terminal, -1, memory_order_acquire);
    if (terminal >= 0) tcsetattr(terminal, TCSANOW, &own_mode);
    errno = saved_errno;
}

static void restore_and_end(int signal, siginfo_t *information, void *context) {
    (void)context;
    aerostat_restore_terminal();
    // As if this handler had never been there. A fault comes again when the instruction is repeated, a sent signal does not.
    sigaction(signal, &previous_actions[signal], NULL);
    if (information->si_code <= 0 || signal == SIGTRAP) raise(signal);
}

static void install(void) {
    static const int signals[] = {SIGHUP, SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT, SIGBUS,  SIGFPE,
                                  SIGSEGV, SIGTERM, SIGSYS,  SIGXCPU, SIGALRM, SIGUSR1, SIGUSR2, SIGPIPE};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = restore_and_end;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (unsigned index = 0; index < sizeof signals / sizeof signals[0]; index += 1) {
        int number = signals[index];
        // What is ignored ends nobody.
        if (sigaction(number, NULL, &previous_actions[number]) < 0 || previous_actions[number].sa_handler == SIG_IGN) continue;
        sigaction(number, &action, NULL);
    }
    // Giving the mode back from the background must not stop the process.
    signal(SIGTTOU, SIG_IGN);
    atexit(aerostat_restore_terminal);
}

int aerostat_make_terminal_raw(int terminal) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (tcgetattr(terminal, &own_mode) < 0) return -1;
    pthread_once(&once, install);
    raw_mode = own_mode;
    cfmakeraw(&raw_mode);
    // Lines that this process says beside the console still begin at the left.
    raw_mode.c_oflag |= OPOST | ONLCR;
    atomic_store_explicit(&raw_terminal, terminal, memory_order_release);
    if (tcsetattr(terminal, TCSANOW, &raw_mode) == 0) return 0;
    aerostat_restore_terminal();
    return -1;
}

void aerostat_reapply_raw_mode(void) {
    int terminal = atomic_load_explicit(&raw_terminal, memory_order_acquire);
    if (terminal >= 0) tcsetattr(terminal, TCSANOW, &raw_mode);
}
