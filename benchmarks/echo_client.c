/* A minimal closed-loop echo client: the yardstick of the native load generator. It neither verifies nor records.
 *
 *   echo_client PORT CONNECTIONS SIZE
 *
 * Opens its connections to 127.0.0.1, then reads lines from standard input: each is a number of seconds to run for, and
 * is answered by a line "REQUESTS SECONDS CPU_SECONDS". Ends at the end of standard input. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, BUFFER = 256 * 1024 };

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    static char buffer[BUFFER], message[BUFFER];
    struct epoll_event events[EVENTS];
    if (argc != 4) return fprintf(stderr, "usage: echo_client PORT CONNECTIONS SIZE\n"), 2;
    int connections = atoi(argv[2]), size = atoi(argv[3]), epoll = epoll_create1(0), on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int *fds = calloc(connections, sizeof *fds), *missing = calloc(connections, sizeof *missing);
    for (int i = 0; i < connections; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (connect(fds[i], (struct sockaddr *)&address, sizeof address) < 0) return perror("connect"), 1;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
    }
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        double start = seconds(CLOCK_MONOTONIC), end = start + atof(line), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
        long requests = 0, in_flight = 0;
        int open = 1;
        for (int i = 0; i < connections; i++) {
            missing[i] = size;
            in_flight++;
            if (send(fds[i], message, size, MSG_NOSIGNAL) != size) return perror("send"), 1;
        }
        while (in_flight) {
            int count = epoll_wait(epoll, events, EVENTS, 1000);
            if (open && seconds(CLOCK_MONOTONIC) >= end) {
                open = 0;
                end = seconds(CLOCK_MONOTONIC);
                cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
            }
            for (int i = 0; i < count; i++) {
                int index = events[i].data.u32;
                ssize_t got = recv(fds[index], buffer, BUFFER, MSG_DONTWAIT);
                if (got <= 0) return perror("recv"), 1;
                missing[index] -= got;
                if (missing[index]) continue;
                in_flight--;
                if (!open) continue;
                requests++;
                in_flight++;
                missing[index] = size;
                if (send(fds[index], message, size, MSG_NOSIGNAL | MSG_DONTWAIT) != size) return perror("send"), 1;
            }
        }
        printf("%ld %.9f %.9f\n", requests, end - start, cpu);
        fflush(stdout);
    }
    return 0;
}
