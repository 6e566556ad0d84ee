#include "TrapNotice.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static _Thread_local uint64_t current_seed;

void trap_notice_announce(uint64_t seed) { current_seed = seed; }

static void on_trap(int number) {
    char text[64] = "\nTRAP seed=";
    size_t length = strlen(text);
    char digits[24];
    size_t count = 0;
    uint64_t seed = current_seed;
    do digits[count++] = (char)('0' + seed % 10);
    while ((seed /= 10) > 0);
    while (count > 0) text[length++] = digits[--count];
    text[length++] = '\n';
    (void)!write(STDOUT_FILENO, text, length);
    // Once more, without us.
    raise(number);
}

void trap_notice_install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_trap;
    action.sa_flags = (int)SA_RESETHAND | SA_NODEFER;
    static const int numbers[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT};
    for (size_t index = 0; index < sizeof numbers / sizeof *numbers; index++) sigaction(numbers[index], &action, NULL);
}
