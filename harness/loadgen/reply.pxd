# cython: language_level=3, cdivision=True
"""What the native engine does when the kernel reports something: replies verified and counted, connections made."""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy
from posix.time cimport CLOCK_MONOTONIC

from harness.loadgen.counting cimport count_value
from harness.loadgen.head cimport BODY, restart_head, take_head
from harness.loadgen.load cimport (
    CLOSED, CONTROL, EVENTS, GRACE, OPENING, RECEIVE_BYTES, SHOWN, SLICES, UNREACHABLE, WINDOW, WRONG, Connection,
    Fault, Load, Publication,
)
from harness.loadgen.pace cimport (
    can_take, close_window, enlist, notice, pause, rest, send_owed, take_waiting,
)
from harness.loadgen.system cimport (
    clock_ns, epoll_event, epoll_wait, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, getsockopt, MSG_DONTWAIT, recv, SO_ERROR,
    SOL_SOCKET, UINT64_MAX,
)
from harness.loadgen.tls cimport begin_tls, decrypt, shake_hands, unread
from harness.loadgen.wire cimport close_one, fail, flush, kind_of, queue, replacing, retire, stamp, watch


cdef inline void note_fault(
    Load *load, uint32_t index, const unsigned char *received, size_t length, bint excess
) noexcept nogil:
    """Keep the first wrong bytes for the report: `received` points at the first of them."""
    cdef Connection *connection = &load.connections[index]
    cdef Fault *fault = &load.fault
    cdef size_t expected = load.reply.size - connection.reply_bytes
    cdef const unsigned char *due = load.reply.data + connection.reply_bytes
    if fault.seen:
        return
    if length > expected and not excess and not connection.head.fault:
        length = expected
    fault.offset = connection.reply_bytes
    fault.head = connection.head.fault
    while not excess and not fault.head and length > 1 and due[0] == received[0]:
        due += 1
        received += 1
        length -= 1
        fault.offset += 1
    fault.seen = True
    fault.excess = excess
    fault.connection = index
    fault.number = connection.answered
    fault.length = length if length < SHOWN else SHOWN
    memcpy(fault.received, received, fault.length)
    if not excess and not fault.head:
        memcpy(fault.expected, due, fault.length)


cdef inline void count_replies(Load *load, uint64_t complete) noexcept nogil:
    load.outstanding -= complete
    if load.phase == WINDOW:
        if load.now >= load.slice_end:
            while load.now >= load.slice_end and load.slice < SLICES - 1:
                load.slice += 1
                load.slice_end += load.slice_length
        load.slices[load.slice] += complete
        load.replied += complete
    elif load.phase == GRACE:
        load.late += complete


cdef inline void go_on(Load *load, uint32_t index, uint64_t complete) noexcept nogil:
    """Give a connection its next requests after so many replies, or replace it if these were its last."""
    cdef Connection *connection = &load.connections[index]
    cdef uint64_t number
    if load.phase == OPENING:
        connection.verifying = False
        return
    if index >= load.first_slow:
        for number in range(complete):
            queue(load, index, load.now)
        flush(load, index)
        return
    if load.open_loop:
        if take_waiting(load, index, complete) < complete and can_take(load, connection):
            enlist(load, index)
    elif load.phase == WINDOW:
        if load.think:
            for number in range(complete):
                pause(load, index, load.now + load.think)
        else:
            connection.owed += complete
            send_owed(load, index)
    if connection.answered == connection.last and connection.fd >= 0 and replacing(load):
        retire(load, index)


cdef inline void settle(Load *load) noexcept nogil:
    """Fan-out: count the publications that have reached all subscribers, and send the next in their place."""
    cdef Connection *publisher = &load.connections[0]
    cdef Publication *publication
    cdef uint64_t complete = 0
    cdef uint64_t freed = 0
    while publisher.answered < publisher.queued:
        publication = &load.publications[publisher.answered % load.depth]
        if publication.missing:  # then so are all later ones: each subscriber receives them in order
            break
        if not publication.lost:
            count_value(load.latency, load.now - load.stamps[publisher.answered % load.depth], load.highest)
            complete += 1
        publisher.answered += 1
        freed += 1
    if freed:
        count_replies(load, complete)
        if publisher.fd >= 0:
            go_on(load, 0, freed)


cdef inline ssize_t receive_some(Load *load, Connection *connection, unsigned char *data, size_t limit) noexcept nogil:
    if connection.ssl != NULL:
        return decrypt(&load.tls, connection.ssl, data, limit)
    return recv(connection.fd, data, limit, MSG_DONTWAIT)


cdef inline void receive(Load *load, uint32_t index) noexcept nogil:
    """Take what has come, verify every byte, record latencies, and go on with the next requests."""
    cdef Connection *connection = &load.connections[index]
    cdef unsigned char *data = load.inbox
    cdef size_t size = load.reply.size
    cdef size_t piece
    cdef uint64_t complete = 0
    cdef uint64_t number
    cdef bint slow = index >= load.first_slow
    cdef bint subscribed = load.fan_out and load.phase != OPENING
    cdef uint64_t offset = connection.offset
    cdef uint64_t owed_until = connection.queued
    cdef size_t limit = load.slow_bytes if slow and load.phase != OPENING else RECEIVE_BYTES
    cdef ssize_t got
    got = receive_some(load, connection, data, limit)
    load.now = clock_ns(CLOCK_MONOTONIC)
    if load.phase == WINDOW and load.now >= load.end:
        close_window(load)
    if got < 0:
        if errno != EAGAIN and errno != EINTR:
            fail(load, index, kind_of(errno))
        return
    if got == 0:
        if connection.finishing:
            close_one(load, index)
        else:
            fail(load, index, CLOSED)
        return
    if subscribed:  # to what the first connection sends, and that one to nothing
        offset = load.connections[0].offset
        owed_until = load.connections[0].queued if index else connection.answered
    while got > 0:
        if connection.answered == owed_until:
            note_fault(load, index, data, got, True)
            break
        if load.reply.http and connection.head.state != BODY:
            piece = take_head(&connection.head, data, got, size)
            data += piece
            got -= piece
            if connection.head.fault:
                note_fault(load, index, data, got, False)
                break
            continue
        stamp(&load.reply, 0, offset + connection.answered)
        piece = size - connection.reply_bytes
        if piece > <size_t>got:
            piece = got
        if memcmp(load.reply.data + connection.reply_bytes, data, piece) != 0:
            note_fault(load, index, data, piece, False)
            break
        data += piece
        got -= piece
        connection.reply_bytes += piece
        if connection.reply_bytes == size:
            connection.reply_bytes = 0
            restart_head(&connection.head)
            if subscribed:
                load.publications[connection.answered % load.depth].missing -= 1
                connection.answered += 1
                continue
            if load.phase != OPENING and not slow:
                count_value(
                    load.latency,
                    load.now - load.stamps[index * load.depth + connection.answered % load.depth],
                    load.highest,
                )
            connection.answered += 1
            complete += 1
    if not slow:
        count_replies(load, complete)
    elif load.phase == WINDOW:
        load.slow_replied += complete
    if got > 0:  # the replies before the fault were good ones, the connection is not
        fail(load, index, WRONG)
    elif complete:
        go_on(load, index, complete)
    if slow and load.phase != OPENING and connection.fd >= 0 and connection.reading:
        rest(load, index)


cdef inline bint secured(Load *load, uint32_t index) noexcept nogil:
    """Whether the handshake of a connection is done; goes on with it if it is not, and waits or fails if it must."""
    cdef Connection *connection = &load.connections[index]
    cdef int awaited
    if connection.ssl == NULL:
        connection.ssl = begin_tls(&load.tls, connection.fd)
        if connection.ssl == NULL:
            fail(load, index, UNREACHABLE)
            return False
    awaited = shake_hands(&load.tls, connection.ssl)
    if awaited < 0:
        fail(load, index, kind_of(errno))
    elif awaited:
        watch(load, index, awaited)
    return awaited == 0


cdef inline void finish_connecting(Load *load, uint32_t index) noexcept nogil:
    """Send the first request of a connection that was made, or say why it was not."""
    cdef Connection *connection = &load.connections[index]
    cdef int error = 0
    cdef uint32_t length = sizeof(error)
    getsockopt(connection.fd, SOL_SOCKET, SO_ERROR, &error, &length)
    if error:
        fail(load, index, kind_of(error))
        return
    if load.tls.context != NULL and not secured(load, index):
        return
    load.now = clock_ns(CLOCK_MONOTONIC)
    count_value(load.connection_times, load.now - connection.since, load.highest)
    load.opened += 1
    if load.phase == WINDOW and load.now >= load.end:
        close_window(load)
    load.changing -= 1
    connection.connecting = False
    connection.last = connection.queued + load.churn if load.churn else UINT64_MAX
    if load.phase == OPENING:
        queue(load, index, load.now)
        flush(load, index)
    elif load.open_loop:
        if take_waiting(load, index, load.depth) < load.depth and can_take(load, connection):
            enlist(load, index)
        if connection.fd >= 0:
            flush(load, index)  # nothing may have been sent: then what is watched changes here
    elif load.phase == WINDOW:
        send_owed(load, index)
    else:
        flush(load, index)


cdef inline void handle(Load *load, epoll_event *event) noexcept nogil:
    cdef uint32_t index = event.data.u32
    cdef Connection *connection
    if index == CONTROL:
        load.aborted = True
        return
    connection = &load.connections[index]
    if connection.fd < 0:  # failed since epoll reported it
        return
    if connection.connecting:
        finish_connecting(load, index)
        return
    if event.events & EPOLLOUT:
        flush(load, index)
    if connection.fd >= 0 and (event.events & (EPOLLIN | EPOLLERR | EPOLLHUP) or (connection.ssl != NULL and connection.reading)):
        receive(load, index)
        while connection.reading and unread(&load.tls, connection.ssl):
            receive(load, index)
    if load.fan_out and load.phase != OPENING:
        settle(load)


cdef inline int poll_events(Load *load, int timeout_ms) noexcept nogil:
    """Wait for events and handle them, looking in between at the requests that come due. Returns how many there were."""
    cdef int count = epoll_wait(load.epoll, load.events, EVENTS, timeout_ms)
    cdef int number
    for number in range(count):
        handle(load, &load.events[number])
        if load.paced and load.now >= load.next_due and load.phase != OPENING:
            notice(load)
    return count
