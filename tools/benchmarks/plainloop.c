// The reference for a migration: a plain blocking send/recv loop between two fresh processes. It also measures the machine's own speed.
//
//   plainloop receive BYTES huge|small    prints its port, receives BYTES into fresh memory, answers with one byte, ends
//   plainloop send PORT BYTES huge|small  fills BYTES of fresh memory and says so. When its standard input ends, it sends them
//                                         and prints the seconds until the answer
//   plainloop hold BYTES                  touches memory and says so. When its standard input ends, it gives the memory back
//   plainloop copy                        prints the speed of memcpy in GB/s
//
// Memory is as in the model guest: anonymous, aligned to 2 MiB, advised to be huge or not, filled with splitmix64.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, HUGE_PAGE = 2 << 20 };

static void fail(const char *operation) {
    fprintf(stderr, "plainloop: %s: %s\n", operation, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static char *map(size_t bytes, int huge) {
    char *raw = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED) fail("mmap");
    char *base = (char *)(((uintptr_t)raw + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
    madvise(base, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return base;
}

static void fill(char *base, size_t bytes) {
    uint64_t state = 1;
    for (uint64_t *word = (uint64_t *)base; word < (uint64_t *)(base + bytes); word++) {
        uint64_t mixed = state += 0x9E3779B97F4A7C15;
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9;
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB;
        *word = mixed ^ mixed >> 31;
    }
}

static void wait_for_end_of_input(void) {
    fflush(stdout);
    while (getchar() != EOF) continue;
}

static int listen_anywhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (void *)&address, length) || listen(listener, 1)) fail("listen");
    getsockname(listener, (void *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static void receive(size_t bytes, int huge) {
    int socket = accept(listen_anywhere(), NULL, NULL);
    if (socket < 0) fail("accept");
    char *base = map(bytes, huge);
    for (size_t done = 0; done < bytes;) {
        size_t wanted = bytes - done < CHUNK ? bytes - done : CHUNK;
        ssize_t count = recv(socket, base + done, wanted, MSG_WAITALL);
        if (count <= 0) fail("recv");
        done += count;
    }
    if (send(socket, "", 1, 0) != 1) fail("answer");
}

static void send_all(int port, size_t bytes, int huge) {
    char *base = map(bytes, huge);
    fill(base, bytes);
    puts("filled");
    wait_for_end_of_input();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int one = 1, link = socket(AF_INET, SOCK_STREAM, 0);
    if (link < 0 || connect(link, (void *)&address, sizeof address)) fail("connect");
    setsockopt(link, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    double start = now();
    for (size_t done = 0; done < bytes;) {
        ssize_t count = send(link, base + done, bytes - done < CHUNK ? bytes - done : CHUNK, 0);
        if (count <= 0) fail("send");
        done += count;
    }
    char answer;
    if (recv(link, &answer, 1, 0) != 1) fail("wait for the answer");
    printf("%.6f\n", now() - start);
}

static void copy(void) {
    size_t bytes = 256 << 20;
    char *from = map(bytes, 1), *to = map(bytes, 1);
    memset(from, 1, bytes);
    memset(to, 2, bytes);
    double best = 1e9;
    for (int round = 0; round < 5; round++) {
        double start = now();
        memcpy(to, from, bytes);
        __asm__ volatile("" ::: "memory");
        double took = now() - start;
        if (took < best) best = took;
    }
    printf("%.2f\n", bytes / best / 1e9);
}

// A virtual machine may have given its free memory back to its host (free page reporting, a machine that has just started). The first touch
// then costs ten times as much. The next measurement takes the memory that is given back here.
static void hold(size_t bytes) {
    char *base = map(bytes, 1);
    for (size_t offset = 0; offset < bytes; offset += 4096) base[offset] = 1;
    puts("held");
    wait_for_end_of_input();
}

int main(int count, char **words) {
    const char *mode = count > 1 ? words[1] : "";
    if (!strcmp(mode, "copy")) copy();
    else if (!strcmp(mode, "hold") && count == 3) hold(strtoull(words[2], NULL, 10));
    else if (!strcmp(mode, "receive") && count == 4) receive(strtoull(words[2], NULL, 10), !strcmp(words[3], "huge"));
    else if (!strcmp(mode, "send") && count == 5) send_all(atoi(words[2]), strtoull(words[3], NULL, 10), !strcmp(words[4], "huge"));
    else {
        fprintf(stderr, "plainloop: see the head of plainloop.c\n");
        return 64;
    }
    return 0;
}
