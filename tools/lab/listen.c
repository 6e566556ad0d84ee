// Prints what a VMM sends on its QMP socket, events included, until it ends. Asks it one thing first, if there is one. Busybox cannot
// connect to a unix socket.
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int count, char **arguments) {
    static const char hello[] = "{\"execute\": \"qmp_capabilities\"}\n";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (count < 2 || count > 3 || strlen(arguments[1]) >= sizeof address.sun_path) {
        fputs("usage: listen SOCKET [COMMAND]\n", stderr);
        return 64;
    }
    strcpy(address.sun_path, arguments[1]);
    int link = socket(AF_UNIX, SOCK_STREAM, 0);
    if (link < 0 || connect(link, (struct sockaddr *)&address, sizeof address) < 0 || write(link, hello, strlen(hello)) < 0) {
        perror(arguments[1]);
        return 1;
    }
    if (count == 3 && dprintf(link, "%s\n", arguments[2]) < 0) {
        perror(arguments[1]);
        return 1;
    }
    char text[4096];
    for (ssize_t length; (length = read(link, text, sizeof text)) > 0;) {
        if (write(STDOUT_FILENO, text, (size_t)length) != length) return 1;
    }
    return 0;
}
