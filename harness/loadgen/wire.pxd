# cython: language_level=3, cdivision=True
"""One connection of the native engine: made, given requests, sent on, half-closed, replaced, and failed."""

from libc.errno cimport (
    EADDRNOTAVAIL, EAGAIN, ECONNABORTED, ECONNREFUSED, ECONNRESET, EINPROGRESS, EINTR, EMFILE, ENFILE, EPIPE, EPROTO,
    ESHUTDOWN, ETIMEDOUT, errno,
)
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC
from posix.unistd cimport close

from harness.loadgen.head cimport restart_head
from harness.loadgen.load cimport (
    BAD_TLS, CLOSED, NO_DESCRIPTORS, NO_PORTS, OPENING, REFUSED, RESET, SLOW_BUFFER, SOURCES, TIMED_OUT, UNREACHABLE,
    WINDOW, Connection, Load, Publication, Template,
)
from harness.loadgen.system cimport (
    AF_INET, AF_UNIX, bind_, clock_ns, connect_, epoll_ctl, EPOLL_CTL_ADD, EPOLL_CTL_MOD, epoll_event, EPOLLIN,
    EPOLLOUT, htonl, IP_BIND_ADDRESS_NO_PORT, IPPROTO_IP, IPPROTO_TCP, MSG_DONTWAIT, MSG_NOSIGNAL, send, setsockopt,
    SHUT_WR, shutdown_, SO_RCVBUF, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, sockaddr, sockaddr_in, socket_, SOL_SOCKET,
    TCP_NODELAY,
)
from harness.loadgen.tls cimport encrypt, say_goodbye


cdef inline void stamp(Template *template, size_t start, uint64_t sequence) noexcept nogil:
    cdef unsigned char *place = template.data + start + template.at
    cdef size_t index
    cdef unsigned char digit
    if template.hex:
        for index in range(template.width):
            digit = (sequence >> (4 * (template.width - 1 - index))) & 15
            place[index] = digit + (48 if digit < 10 else 87)
    else:
        for index in range(template.width):
            place[index] = <unsigned char>(sequence >> (8 * index))


cdef inline void watch(Load *load, uint32_t index, uint32_t interest) noexcept nogil:
    cdef epoll_event event
    cdef Connection *connection = &load.connections[index]
    if connection.interest != interest:
        event.events = interest
        event.data.u32 = index
        epoll_ctl(load.epoll, EPOLL_CTL_MOD, connection.fd, &event)
        connection.interest = interest


cdef inline void hang_up(Load *load) noexcept nogil:
    """Fan-out: close all connections, but that of the publisher half: the server may still have something of it."""
    cdef uint32_t index
    if load.connections[0].fd >= 0:
        shutdown_(load.connections[0].fd, SHUT_WR)
        load.leaving = load.connections[0].fd
        load.connections[0].fd = -1
    for index in range(load.active):
        if load.connections[index].fd >= 0:
            close(load.connections[index].fd)
            load.connections[index].fd = -1
    load.open_active = 0


cdef inline uint64_t lose_publications(Load *load, uint32_t index) noexcept nogil:
    """Fan-out: give up what has not reached a connection that broke. Returns how many publications that fails."""
    cdef uint64_t number
    cdef uint64_t lost = 0
    cdef Publication *publication
    for number in range(load.connections[index].answered, load.connections[0].queued):
        publication = &load.publications[number % load.depth]
        publication.missing -= index > 0
        lost += not publication.lost
        publication.lost = True
    return lost


cdef inline void give_back(Load *load, Connection *connection) noexcept nogil:
    """Close a connection's socket; in order over TLS only after `say_goodbye`."""
    if connection.ssl != NULL:
        load.tls.free(connection.ssl)
        connection.ssl = NULL
    close(connection.fd)  # which ends epoll's watch of it: nothing else holds this socket
    connection.fd = -1


cdef inline void fail(Load *load, uint32_t index, int kind) noexcept nogil:
    """Close a connection that broke and count every request that was in flight on it."""
    cdef Connection *connection = &load.connections[index]
    cdef uint64_t lost = connection.queued - connection.answered
    cdef bint publishing = load.fan_out and load.phase != OPENING
    if publishing:
        lost = lose_publications(load, index)
        if index == 0:  # nobody is left to send
            hang_up(load)
    load.errors[kind] += lost if lost else 1
    if index < load.first_slow:
        load.outstanding -= lost
        if load.phase == WINDOW:
            load.failed += lost
    if connection.fd >= 0:
        give_back(load, connection)
        if index < load.active:
            load.open_active -= 1
    connection.sent = connection.answered = connection.queued
    connection.sent_bytes = connection.reply_bytes = 0
    restart_head(&connection.head)
    connection.owed = 0
    load.changing -= connection.connecting or connection.finishing
    connection.connecting = connection.verifying = connection.finishing = False
    if publishing and load.open_active == 1:  # nobody is left to receive
        hang_up(load)


cdef inline int kind_of(int error) noexcept nogil:
    if error == ECONNREFUSED:
        return REFUSED
    if error == ECONNRESET or error == EPIPE or error == ECONNABORTED:
        return RESET
    if error == ETIMEDOUT:
        return TIMED_OUT
    if error == ESHUTDOWN:
        return CLOSED
    if error == EPROTO:
        return BAD_TLS
    if error == EMFILE or error == ENFILE:
        return NO_DESCRIPTORS
    if error == EADDRNOTAVAIL or error == EAGAIN:
        return NO_PORTS
    return UNREACHABLE


cdef inline ssize_t send_some(Load *load, Connection *connection, const unsigned char *data, size_t length) noexcept nogil:
    if connection.ssl != NULL:
        return encrypt(&load.tls, connection.ssl, data, length)
    return send(connection.fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL)


cdef inline void flush(Load *load, uint32_t index) noexcept nogil:
    """Send what is queued, as far as the kernel takes it; epoll says when it takes more."""
    cdef Connection *connection = &load.connections[index]
    cdef size_t size = load.request.size
    cdef size_t length
    cdef uint64_t count, number
    cdef ssize_t done
    while connection.sent < connection.queued:
        count = connection.queued - connection.sent
        if count > load.batch:
            count = load.batch
        for number in range(count):
            stamp(&load.request, number * size, connection.offset + connection.sent + number)
        length = count * size - connection.sent_bytes
        done = send_some(load, connection, load.request.data + connection.sent_bytes, length)
        if done == <ssize_t>length:
            connection.sent += count
            connection.sent_bytes = 0
        elif done >= 0:
            connection.sent_bytes += done
            connection.sent += connection.sent_bytes // size
            connection.sent_bytes %= size
        elif errno == EAGAIN:
            watch(load, index, connection.reading | EPOLLOUT)
            return
        elif errno != EINTR:
            fail(load, index, kind_of(errno))
            return
    watch(load, index, connection.reading)


cdef inline void queue(Load *load, uint32_t index, int64_t since) noexcept nogil:
    """Give a connection one more request, whose latency counts from `since`."""
    cdef Connection *connection = &load.connections[index]
    load.stamps[index * load.depth + connection.queued % load.depth] = since
    if load.fan_out and load.phase != OPENING:
        load.publications[connection.queued % load.depth].missing = load.open_active - 1
        load.publications[connection.queued % load.depth].lost = False
    connection.queued += 1
    if index < load.first_slow:
        load.outstanding += 1
        if load.phase == WINDOW:
            load.sent += 1


cdef inline int begin_connecting(Load *load, uint32_t index) noexcept nogil:
    """Make a socket and begin to connect it. Returns it, or minus the error."""
    cdef int on = 1
    cdef int buffer = SLOW_BUFFER
    cdef int attempt, fd, error
    cdef sockaddr_in source
    for attempt in range(SOURCES):
        fd = socket_(load.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        if fd < 0:
            return -errno
        if load.family != AF_UNIX:
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
        if index >= load.first_slow:
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer))
        if load.source:
            # The port is chosen by connect(2), so that it may be in use towards another server (ip(7)).
            setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on))
            source.sin_family = <uint16_t>AF_INET
            source.sin_port = 0
            source.sin_addr.s_addr = htonl(0x7F000001 + load.source)
            bind_(fd, <const sockaddr *>&source, sizeof(source))
        if connect_(fd, <const sockaddr *>&load.address, load.address_length) == 0 or errno == EINPROGRESS:
            return fd
        error = errno
        close(fd)
        if error == EAGAIN and load.family == AF_UNIX:
            error = ECONNREFUSED  # its backlog is full (unix(7)): there is nothing to wait for
        if error != EADDRNOTAVAIL or not load.loopback:
            return -error
        # All ports of this source are taken, most by connections in TIME_WAIT: each other source has ports of its own.
        load.source = (load.source + 1) % SOURCES
    return -EADDRNOTAVAIL


cdef inline void open_one(Load *load, uint32_t index) noexcept nogil:
    """Begin a connection without waiting for it."""
    cdef Connection *connection = &load.connections[index]
    cdef epoll_event event
    cdef int fd
    connection.since = clock_ns(CLOCK_MONOTONIC)
    fd = begin_connecting(load, index)
    if fd < 0:
        fail(load, index, kind_of(-fd))
        return
    connection.fd = fd
    if index < load.active:
        load.open_active += 1
    load.changing += 1
    connection.connecting = True
    connection.verifying = load.phase == OPENING
    connection.reading = EPOLLIN
    connection.interest = event.events = EPOLLOUT
    event.data.u32 = index
    if epoll_ctl(load.epoll, EPOLL_CTL_ADD, connection.fd, &event) < 0:
        fail(load, index, NO_DESCRIPTORS)


cdef inline bint replacing(Load *load) noexcept nogil:
    """Whether connections that have had their requests are replaced: in the window, and while requests wait for one."""
    return load.phase == WINDOW or load.taken < load.noticed


cdef inline void close_one(Load *load, uint32_t index) noexcept nogil:
    """Close a connection that has had its requests, and open one in its place."""
    cdef Connection *connection = &load.connections[index]
    if connection.ssl != NULL and not connection.finishing:
        say_goodbye(&load.tls, connection.ssl)
    give_back(load, connection)
    load.open_active -= 1
    load.changing -= connection.finishing
    connection.finishing = False
    if replacing(load):
        open_one(load, index)


cdef inline void retire(Load *load, uint32_t index) noexcept nogil:
    """End a connection that has had its requests: by half-closing it, where that is asked for."""
    cdef Connection *connection = &load.connections[index]
    if not load.half_close:
        close_one(load, index)
    elif connection.ssl != NULL and say_goodbye(&load.tls, connection.ssl) < 0:
        fail(load, index, kind_of(errno))
    elif shutdown_(connection.fd, SHUT_WR) < 0:
        fail(load, index, kind_of(errno))
    else:
        connection.finishing = True
        load.changing += 1
