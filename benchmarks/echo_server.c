/* A minimal epoll echo server: the same server for every generator that is compared.
 *
 *   echo_server        listens on a free port of 127.0.0.1, prints the port, and serves until its standard input ends.
 *
 * Single-threaded, level-triggered, one read and one write an event; what the kernel does not take at once is sent
 * with a blocking write, which is enough for small messages and keeps the program short. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BUFFER = 64 * 1024 };

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) perror("epoll_ctl"), exit(1);
}

int main(void) {
    static char buffer[BUFFER];
    struct epoll_event events[EVENTS];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int on = 1, epoll = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
    if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 4096) < 0) perror("listen"), exit(1);
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    watch(epoll, listener);
    watch(epoll, STDIN_FILENO);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == STDIN_FILENO) return 0;
            if (fd == listener) {
                int peer;
                while ((peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) watch(epoll, peer);
                continue;
            }
            ssize_t got = recv(fd, buffer, BUFFER, 0);
            if (got <= 0) {
                close(fd);
                continue;
            }
            for (ssize_t sent = 0, done; sent < got; sent += done) {
                done = send(fd, buffer + sent, got - sent, MSG_NOSIGNAL);
                if (done < 0) {
                    struct pollfd full = {.fd = fd, .events = POLLOUT};
                    if (poll(&full, 1, 1000) <= 0) break;
                    done = 0;
                }
            }
        }
    }
}
