# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""A server whose behaviour is known, for the generator to be measured by: it echoes messages of one size, late by rule.

    first line in     {"size": 64, "service_ns": 1000000, ...}: the arguments of `serve`
    line out          {"serving": {}}
    end of file       stop

Replies are late without holding up each other: each has a time of its own, like a service with a worker for every
request, unless a rate limit or a stall says otherwise. It watches the clock all the time rather than sleep, because
what waking up takes would be added to every time that it is known for. Linux (epoll) only.
"""

import json
import socket

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, nanosleep, timespec
from posix.unistd cimport close

from harness.loadgen.system cimport (
    clock_ns, EPOLL_CLOEXEC, epoll_create1, epoll_ctl, EPOLL_CTL_ADD, epoll_event, epoll_wait, EPOLLIN, EPOLLRDHUP,
    MSG_DONTWAIT, MSG_NOSIGNAL, PR_SET_TIMERSLACK, prctl, recv, sched_yield, send, sockaddr,
)

cdef extern from "<sys/socket.h>" nogil:
    int accept4(int fd, sockaddr *address, uint32_t *length, int flags)
    int SOCK_NONBLOCK, SOCK_CLOEXEC

cdef enum:
    EVENTS = 256
    MOST_BYTES = 256  # of a message
    MOST_PEERS = 16 * 1024  # descriptors
    MOST_WAITING = 64 * 1024  # replies of one kind, a power of two

cdef struct Peer:
    bint open
    uint32_t generation  # counts the connections that had this descriptor
    size_t got  # bytes of the next message
    unsigned char message[MOST_BYTES]

cdef struct Reply:
    int64_t due
    int fd
    uint32_t generation
    unsigned char message[MOST_BYTES]

cdef struct Line:
    Reply *replies  # in the order of their times
    uint64_t first
    uint64_t end

cdef struct Server:
    int epoll
    int listener
    int control
    size_t size
    int64_t service
    int64_t slow_service
    uint64_t slow_every
    int64_t stall
    int64_t stall_period
    int64_t gap  # between two replies, where there is a rate limit
    int64_t start
    int64_t now
    int64_t last_due
    uint64_t requests
    bint stopped
    bint full
    Peer *peers
    Line usual
    Line slow


cdef void drop(Server *server, int fd) noexcept nogil:
    server.peers[fd].open = False
    close(fd)


cdef void take_in(Server *server) noexcept nogil:
    cdef epoll_event event
    cdef int fd
    while True:
        fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if fd < 0:
            return
        if fd >= MOST_PEERS:
            close(fd)
            continue
        server.peers[fd].open = True
        server.peers[fd].generation += 1
        server.peers[fd].got = 0
        event.events = EPOLLIN
        event.data.u32 = <uint32_t>fd
        epoll_ctl(server.epoll, EPOLL_CTL_ADD, fd, &event)


cdef void schedule(Server *server, int fd) noexcept nogil:
    """Decide when a request that has come is answered."""
    cdef Peer *peer = &server.peers[fd]
    cdef Line *line = &server.usual
    cdef Reply *reply
    cdef int64_t due = server.now + server.service
    server.requests += 1
    if server.slow_every and server.requests % server.slow_every == 0:
        line = &server.slow
        due = server.now + server.slow_service
    elif server.gap:
        if due < server.last_due + server.gap:
            due = server.last_due + server.gap
        server.last_due = due
    if line.end - line.first == MOST_WAITING:
        server.full = True
        return
    reply = &line.replies[line.end % MOST_WAITING]
    line.end += 1
    reply.due = due
    reply.fd = fd
    reply.generation = peer.generation
    memcpy(reply.message, peer.message, server.size)


cdef void hear(Server *server, int fd) noexcept nogil:
    """Read what a peer sent: one message at most, the rest is reported again."""
    cdef Peer *peer = &server.peers[fd]
    cdef ssize_t got = recv(fd, peer.message + peer.got, server.size - peer.got, MSG_DONTWAIT)
    if got == 0 or (got < 0 and errno != EAGAIN and errno != EINTR):
        drop(server, fd)
    elif got > 0:
        peer.got += got
        if peer.got == server.size:
            peer.got = 0
            schedule(server, fd)


cdef void answer(Server *server, Line *line) noexcept nogil:
    """Send what is due."""
    cdef Reply *reply
    while line.first < line.end:
        reply = &line.replies[line.first % MOST_WAITING]
        if reply.due > server.now:
            return
        line.first += 1
        if server.peers[reply.fd].open and server.peers[reply.fd].generation == reply.generation:
            if send(reply.fd, reply.message, server.size, MSG_DONTWAIT | MSG_NOSIGNAL) != <ssize_t>server.size:
                drop(server, reply.fd)
        server.now = clock_ns(CLOCK_MONOTONIC)


cdef void stall(Server *server) noexcept nogil:
    """Do nothing at all while it is time for a stall: the last part of every period."""
    cdef int64_t left = server.stall_period - (server.now - server.start) % server.stall_period
    cdef timespec pause
    if left <= server.stall:
        pause.tv_sec = left // 1_000_000_000
        pause.tv_nsec = left % 1_000_000_000
        nanosleep(&pause, NULL)
        server.now = clock_ns(CLOCK_MONOTONIC)


cdef void run(Server *server) noexcept nogil:
    cdef epoll_event events[EVENTS]
    cdef int count, number, fd
    server.start = server.now = clock_ns(CLOCK_MONOTONIC)
    while not server.stopped and not server.full:
        count = epoll_wait(server.epoll, events, EVENTS, 0)
        server.now = clock_ns(CLOCK_MONOTONIC)
        if server.stall:
            stall(server)
        answer(server, &server.usual)
        answer(server, &server.slow)
        if count == 0:
            # Kernel threads that carry packets get the CPU at once, not when the scheduler ends this loop's slice.
            sched_yield()
        for number in range(count):
            fd = <int>events[number].data.u32
            if fd == server.control:
                server.stopped = True
            elif fd == server.listener:
                take_in(server)
            else:
                server.now = clock_ns(CLOCK_MONOTONIC)
                hear(server, fd)


def serve(
    int listener,
    int control,
    *,
    size,
    service_ns=0,
    slow_every=0,
    slow_service_ns=0,
    stall_ns=0,
    stall_period_ns=0,
    rate_rps=0,
):
    """Serve until the control descriptor is at its end.

    Args:
        listener: Descriptor of a non-blocking, listening socket.
        control: Descriptor whose end of file means stop.
        size: Bytes of a message, at most 256.
        service_ns: Time from a request to its reply.
        slow_every: Every so many requests one is slow; 0: none is.
        slow_service_ns: Time from a slow request to its reply.
        stall_ns: How long nothing is read or sent at the end of each period; 0: never.
        stall_period_ns: The period.
        rate_rps: Most replies a second, spaced evenly; 0: no limit.

    Raises:
        ValueError: The size is out of range.
        OverflowError: More replies waited than there is room for.
    """
    cdef Server server
    cdef epoll_event event
    if not 0 < size <= MOST_BYTES:
        raise ValueError(f"size is {size}, must be 1 to {MOST_BYTES}")
    server.listener, server.control, server.size = listener, control, size
    server.service, server.slow_every, server.slow_service = service_ns, slow_every, slow_service_ns
    server.stall, server.stall_period = stall_ns, stall_period_ns
    server.gap = round(1e9 / rate_rps) if rate_rps else 0
    server.requests = server.last_due = 0
    server.stopped = server.full = False
    server.usual.first = server.usual.end = server.slow.first = server.slow.end = 0
    server.epoll = epoll_create1(EPOLL_CLOEXEC)
    server.peers = <Peer *>calloc(MOST_PEERS, sizeof(Peer))
    server.usual.replies = <Reply *>calloc(MOST_WAITING, sizeof(Reply))
    server.slow.replies = <Reply *>calloc(MOST_WAITING, sizeof(Reply))
    try:
        if server.epoll < 0 or server.peers == NULL or server.usual.replies == NULL or server.slow.replies == NULL:
            raise MemoryError("no memory or no descriptor for the reference server")
        event.events = EPOLLIN
        event.data.u32 = <uint32_t>listener
        epoll_ctl(server.epoll, EPOLL_CTL_ADD, listener, &event)
        event.events = EPOLLRDHUP
        event.data.u32 = <uint32_t>control
        epoll_ctl(server.epoll, EPOLL_CTL_ADD, control, &event)
        prctl(PR_SET_TIMERSLACK, 1)
        with nogil:
            run(&server)
        if server.full:
            raise OverflowError(f"more than {MOST_WAITING} replies waited")
    finally:
        for fd in range(MOST_PEERS if server.peers != NULL else 0):
            if server.peers[fd].open:
                close(fd)
        free(server.peers)
        free(server.usual.replies)
        free(server.slow.replies)
        close(server.epoll)


def main(int listener_fd, int control_fd):
    """Serve as the first line on the control socket says, until its end."""
    control = socket.socket(fileno=control_fd)
    listener = socket.socket(fileno=listener_fd)
    line = control.makefile("rb").readline()
    if line:
        control.sendall(b'{"serving": {}}\n')
        serve(listener.fileno(), control.fileno(), **json.loads(line))
