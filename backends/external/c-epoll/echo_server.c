/* A minimal epoll echo server that keeps what the contract of a backend asks for: what the machine can do.
 *
 *   echo_server HOST PORT
 *
 * Single-threaded and level-triggered. While bytes wait for a peer that does not read, nothing is read from it, so its
 * end is seen only when everything owed is sent. Without descriptors it leaves the listener alone for a while. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, READ_SIZE = 64 * 1024, BACKLOG = 4096, ACCEPT_PAUSE_MS = 100 };

struct connection {
    int fd;
    size_t owed_from, owed_to; /* what of `owed` is not sent yet */
    char *owed;                /* NULL while nothing waits */
};

static int epoll;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void watch(int operation, int fd, uint32_t events, void *who) {
    struct epoll_event event = {.events = events, .data.ptr = who};
    if (epoll_ctl(epoll, operation, fd, &event) < 0) die("epoll_ctl");
}

static void forget(struct connection *peer) {
    close(peer->fd); /* which takes it from epoll too */
    free(peer->owed);
    free(peer);
}

/* Send what is possible now; return how much that was, or -1 if the connection is broken. */
static ssize_t send_some(int fd, const char *data, size_t size) {
    ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
}

static void on_readable(struct connection *peer) {
    static char buffer[READ_SIZE];
    ssize_t got = recv(peer->fd, buffer, sizeof buffer, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    ssize_t sent = got > 0 ? send_some(peer->fd, buffer, got) : -1;
    if (sent < 0) {
        forget(peer);
    } else if (sent < got) {
        peer->owed_from = 0;
        peer->owed_to = got - sent;
        if (!(peer->owed = malloc(peer->owed_to))) die("malloc");
        memcpy(peer->owed, buffer + sent, peer->owed_to);
        watch(EPOLL_CTL_MOD, peer->fd, EPOLLOUT, peer);
    }
}

static void on_writable(struct connection *peer) {
    ssize_t sent = send_some(peer->fd, peer->owed + peer->owed_from, peer->owed_to - peer->owed_from);
    if (sent < 0) {
        forget(peer);
    } else if ((peer->owed_from += sent) == peer->owed_to) {
        free(peer->owed);
        peer->owed = NULL;
        watch(EPOLL_CTL_MOD, peer->fd, EPOLLIN, peer);
    }
}

/* Accept all that wait; return whether there are descriptors for more. */
static int on_connections(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection *peer = calloc(1, sizeof *peer);
        if (!peer) die("calloc");
        peer->fd = fd;
        watch(EPOLL_CTL_ADD, fd, EPOLLIN, peer);
    }
    return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
}

static int listen_on(const char *host, const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die(host);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, BACKLOG) < 0) die("listen");
    return listener;
}

int main(int count, char **words) {
    struct epoll_event events[EVENTS];
    if (count != 3) {
        fprintf(stderr, "usage: echo_server HOST PORT\n");
        return 2;
    }
    if ((epoll = epoll_create1(0)) < 0) die("epoll_create1");
    int listener = listen_on(words[1], words[2]), accepting = 1;
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, NULL); /* the one without a connection */
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, accepting ? -1 : ACCEPT_PAUSE_MS);
        if (!accepting) watch(EPOLL_CTL_MOD, listener, EPOLLIN, NULL), accepting = 1;
        for (int i = 0; i < ready; i++) {
            struct connection *peer = events[i].data.ptr;
            if (!peer) {
                if (!(accepting = on_connections(listener))) watch(EPOLL_CTL_MOD, listener, 0, NULL);
            } else if (peer->owed) {
                on_writable(peer);
            } else {
                on_readable(peer);
            }
        }
    }
}
