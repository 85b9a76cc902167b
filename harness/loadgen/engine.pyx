# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The native engine: the measuring loop without interpreter, without GIL and without allocation. Linux (epoll) only.

`harness.loadgen.portable` is its twin in Python: the same interface and results, and the same tests. Everything a trial
touches is allocated before it starts: flat arrays of connections, of send times and of histogram counters, one send
buffer and one receive buffer for all connections. A connection has no buffer of its own: what it sends is the request
template, what it must receive is the reply template, and both are stamped with its sequence number right before use,
which is safe because one thread does everything.
"""

import ipaddress

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport (
    EADDRNOTAVAIL, EAGAIN, ECONNABORTED, ECONNREFUSED, ECONNRESET, EINPROGRESS, EINTR, EMFILE, ENFILE, EPIPE, ETIMEDOUT,
    errno,
)
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID, timespec
from posix.unistd cimport close

from harness.loadgen.counting cimport count_value
from harness.loadgen.head cimport BODY, Head, restart_head, take_head
from harness.loadgen.load cimport (
    RECEIVE_BYTES, SEND_BYTES, EVENTS, START_BATCH, SPIN_NS, SLICES, CONTROL, SHOWN, REFUSED, RESET, CLOSED,
    TIMED_OUT, WRONG, UNREACHABLE, NO_DESCRIPTORS, NO_PORTS, KINDS, OPENING, WINDOW, GRACE, Connection, Pause,
    Template, Fault, Load,
)
from harness.loadgen.system cimport (
    AF_INET, AF_INET6, clock_ns, connect_, EPOLL_CLOEXEC, epoll_create1, epoll_ctl, EPOLL_CTL_ADD, EPOLL_CTL_MOD,
    epoll_event, epoll_wait, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, getsockopt, htons, INT64_MAX,
    IPPROTO_TCP, MSG_DONTWAIT, MSG_NOSIGNAL, pollfd, POLLIN, ppoll, PR_SET_TIMERSLACK, prctl, recv, send,
    setsockopt, SO_ERROR, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, sockaddr, sockaddr_in, sockaddr_in6,
    sockaddr_storage, socket_, SOL_SOCKET, TCP_NODELAY,
)

from harness.loadgen.framing import FAULTS
from harness.loadgen.histogram import COUNTS, HIGHEST_NS, encode_counts
from harness.loadgen.schedule import due_times
from harness.loadgen.spec import ConnectResult, TrialResult, sequence_offset

KIND_NAMES = ("refused", "reset", "closed", "timed out", "wrong", "unreachable", "no descriptors", "no ports")
"""What the kinds of `load.pxd` are called, in their order."""

cdef int64_t HIGHEST = HIGHEST_NS


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


cdef void fail(Load *load, uint32_t index, int kind) noexcept nogil:
    """Close a connection that broke and count every request that was in flight on it."""
    cdef Connection *connection = &load.connections[index]
    cdef uint64_t lost = connection.queued - connection.answered
    load.errors[kind] += lost if lost else 1
    load.outstanding -= lost
    if load.phase == WINDOW:
        load.failed += lost
    if connection.fd >= 0:
        close(connection.fd)  # which ends epoll's watch of it: nothing else holds this socket
        connection.fd = -1
        if index < load.active:
            load.open_active -= 1
    connection.sent = connection.answered = connection.queued
    connection.sent_bytes = connection.reply_bytes = 0
    restart_head(&connection.head)
    connection.connecting = connection.verifying = False


cdef int kind_of(int error) noexcept nogil:
    if error == ECONNREFUSED:
        return REFUSED
    if error == ECONNRESET or error == EPIPE or error == ECONNABORTED:
        return RESET
    if error == ETIMEDOUT:
        return TIMED_OUT
    if error == EMFILE or error == ENFILE:
        return NO_DESCRIPTORS
    if error == EADDRNOTAVAIL or error == EAGAIN:
        return NO_PORTS
    return UNREACHABLE


cdef void flush(Load *load, uint32_t index) noexcept nogil:
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
        done = send(connection.fd, load.request.data + connection.sent_bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL)
        if done == <ssize_t>length:
            connection.sent += count
            connection.sent_bytes = 0
        elif done >= 0:
            connection.sent_bytes += done
            connection.sent += connection.sent_bytes / size
            connection.sent_bytes %= size
        elif errno == EAGAIN:
            watch(load, index, EPOLLIN | EPOLLOUT)
            return
        elif errno != EINTR:
            fail(load, index, kind_of(errno))
            return
    watch(load, index, EPOLLIN)


cdef inline void queue(Load *load, uint32_t index, int64_t since) noexcept nogil:
    """Give a connection one more request, whose latency counts from `since`."""
    cdef Connection *connection = &load.connections[index]
    load.stamps[index * load.depth + connection.queued % load.depth] = since
    connection.queued += 1
    load.outstanding += 1
    if load.phase == WINDOW:
        load.sent += 1


cdef void note_fault(
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


cdef inline void pause(Load *load, uint32_t index, int64_t until) noexcept nogil:
    cdef uint64_t place = (load.pause_head + load.pause_count) % load.pause_capacity
    load.pauses[place].until = until
    load.pauses[place].connection = index
    load.pause_count += 1


cdef inline void enlist(Load *load, uint32_t index) noexcept nogil:
    """Put a connection at the end of the ring of those that can take a request, if it is not in it."""
    cdef Connection *connection = &load.connections[index]
    cdef uint32_t place
    if not connection.listed:
        connection.listed = True
        place = load.ring_head + load.ring_count
        load.ring[place if place < load.active else place - load.active] = index
        load.ring_count += 1


cdef void receive(Load *load, uint32_t index) noexcept nogil:
    """Take what has come, verify every byte, record latencies, and go on with the next requests."""
    cdef Connection *connection = &load.connections[index]
    cdef unsigned char *data = load.inbox
    cdef size_t size = load.reply.size
    cdef size_t piece
    cdef uint64_t complete = 0
    cdef uint64_t number
    cdef ssize_t got = recv(connection.fd, data, RECEIVE_BYTES, MSG_DONTWAIT)
    load.now = clock_ns(CLOCK_MONOTONIC)
    if load.phase == WINDOW and load.now >= load.end:
        close_window(load)
    if got < 0:
        if errno != EAGAIN and errno != EINTR:
            fail(load, index, kind_of(errno))
        return
    if got == 0:
        fail(load, index, CLOSED)
        return
    while got > 0:
        if connection.answered == connection.queued:
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
        stamp(&load.reply, 0, connection.offset + connection.answered)
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
            if load.phase != OPENING:
                count_value(
                    load.latency,
                    load.now - load.stamps[index * load.depth + connection.answered % load.depth],
                    HIGHEST,
                )
            connection.answered += 1
            complete += 1
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
    if got > 0:  # the replies before the fault were good ones, the connection is not
        fail(load, index, WRONG)
        return
    if complete == 0:
        return
    if load.open_loop:
        if load.phase == OPENING:
            connection.verifying = False
            return
        number = 0
        while load.taken < load.noticed and number < complete:
            queue(load, index, load.start + load.dues[load.taken])
            load.taken += 1
            number += 1
        if number:
            flush(load, index)
        if number < complete:
            enlist(load, index)
    elif load.phase == WINDOW:
        if load.think:
            for number in range(complete):
                pause(load, index, load.now + load.think)
        else:
            for number in range(complete):
                queue(load, index, load.now)
            flush(load, index)
    elif load.phase == OPENING:
        connection.verifying = False


cdef void close_window(Load *load) noexcept nogil:
    """End the measured window: from here on nothing counts as throughput."""
    load.cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - load.cpu
    load.phase = GRACE
    load.in_flight = load.outstanding
    load.pause_count = 0
    notice(load)
    load.waiting = load.due - load.sent


cdef void notice(Load *load) noexcept nogil:
    """Act on every request that is due: send it if a connection is free, leave it waiting if none is."""
    cdef uint32_t index
    cdef int64_t due
    cdef Connection *connection
    cdef bint given
    while load.noticed < load.due_count:
        due = load.start + load.dues[load.noticed]
        if due > load.now:
            break
        count_value(load.slip, load.now - due, HIGHEST)
        load.noticed += 1
        load.due += 1
        given = False
        while load.ring_count and not given and load.taken + 1 == load.noticed:
            index = load.ring[load.ring_head]
            load.ring_head = load.ring_head + 1 if load.ring_head + 1 < load.active else 0
            load.ring_count -= 1
            connection = &load.connections[index]
            connection.listed = False
            if connection.fd < 0:  # broke while it was free
                continue
            given = True
            load.taken += 1
            queue(load, index, due)
            flush(load, index)
            if connection.fd >= 0 and connection.queued - connection.answered < load.depth:
                enlist(load, index)
        load.now = clock_ns(CLOCK_MONOTONIC)
    while load.pause_count and load.pauses[load.pause_head].until <= load.now:
        index = load.pauses[load.pause_head].connection
        due = load.pauses[load.pause_head].until
        load.pause_head = (load.pause_head + 1) % load.pause_capacity
        load.pause_count -= 1
        if load.connections[index].fd < 0:
            continue
        load.now = clock_ns(CLOCK_MONOTONIC)
        count_value(load.slip, load.now - due, HIGHEST)
        queue(load, index, load.now)
        flush(load, index)
    if load.noticed < load.due_count:
        load.next_due = load.start + load.dues[load.noticed]
    elif load.pause_count:
        load.next_due = load.pauses[load.pause_head].until
    else:
        load.next_due = INT64_MAX


cdef void open_one(Load *load, uint32_t index) noexcept nogil:
    """Begin a connection without waiting for it."""
    cdef Connection *connection = &load.connections[index]
    cdef epoll_event event
    cdef int on = 1
    cdef int fd = socket_(load.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if fd < 0:
        fail(load, index, kind_of(errno))
        return
    connection.fd = fd
    if index < load.active:
        load.open_active += 1
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
    if connect_(fd, <const sockaddr *>&load.address, load.address_length) < 0 and errno != EINPROGRESS:
        fail(load, index, kind_of(errno))
        return
    connection.connecting = connection.verifying = True
    connection.interest = event.events = EPOLLOUT
    event.data.u32 = index
    if epoll_ctl(load.epoll, EPOLL_CTL_ADD, fd, &event) < 0:
        fail(load, index, NO_DESCRIPTORS)


cdef void finish_connecting(Load *load, uint32_t index) noexcept nogil:
    """Send the first request of a connection that was made, or say why it was not."""
    cdef Connection *connection = &load.connections[index]
    cdef int error = 0
    cdef uint32_t length = sizeof(error)
    getsockopt(connection.fd, SOL_SOCKET, SO_ERROR, &error, &length)
    if error:
        fail(load, index, kind_of(error))
        return
    connection.connecting = False
    queue(load, index, load.now)
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
    if connection.fd >= 0 and event.events & (EPOLLIN | EPOLLERR | EPOLLHUP):
        receive(load, index)


cdef int poll_events(Load *load, int timeout_ms) noexcept nogil:
    """Wait for events and handle them, looking in between at the requests that come due. Returns how many there were."""
    cdef int count = epoll_wait(load.epoll, load.events, EVENTS, timeout_ms)
    cdef int number
    for number in range(count):
        handle(load, &load.events[number])
        if load.paced and load.now >= load.next_due and load.phase != OPENING:
            notice(load)
    return count


cdef inline int until_ms(int64_t now, int64_t moment) noexcept nogil:
    """Return the milliseconds until a moment, rounded up, for epoll_wait: at least 0, at most a second."""
    if moment <= now:
        return 0
    if moment - now > 1_000_000_000:
        return 1000
    return <int>((moment - now + 999_999) / 1_000_000)


cdef void open_missing(Load *load, int64_t patience, int64_t deadline) noexcept nogil:
    """Open and verify every connection that is not open, some at a time, and give up when none makes progress."""
    cdef uint32_t next_index = 0
    cdef uint32_t index, pending, before
    cdef int64_t limit
    load.phase = OPENING
    load.now = clock_ns(CLOCK_MONOTONIC)
    limit = load.now + patience
    before = 0
    while not load.aborted:
        pending = 0
        for index in range(load.total if next_index == load.total else next_index):
            pending += load.connections[index].verifying
        while pending < START_BATCH and next_index < load.total:
            if load.connections[next_index].fd < 0:
                open_one(load, next_index)
                pending += load.connections[next_index].verifying
            next_index += 1
        if pending == 0:
            break
        poll_events(load, until_ms(load.now, limit))
        load.now = clock_ns(CLOCK_MONOTONIC)
        if next_index - pending != before:
            before = next_index - pending
            limit = load.now + patience
        if limit > deadline:
            limit = deadline
        if load.now >= limit:
            break
    for index in range(load.total):
        if load.connections[index].verifying or (load.connections[index].fd < 0 and index >= next_index):
            fail(load, index, TIMED_OUT)


cdef void begin(Load *load, int64_t duration) noexcept nogil:
    """Set the counters of a trial to nothing and open its window."""
    cdef uint32_t index
    cdef uint64_t number, places
    load.due = load.sent = load.replied = load.failed = load.in_flight = load.waiting = load.late = 0
    load.noticed = load.taken = 0
    load.ring_head = load.ring_count = 0
    load.pause_head = load.pause_count = 0
    load.begun = 0
    load.stopped = 0
    load.spun = 0
    memset(load.slices, 0, sizeof(load.slices))
    for index in range(load.active):
        load.connections[index].listed = False
        if load.open_loop and load.connections[index].fd >= 0:
            enlist(load, index)
    load.phase = WINDOW
    load.cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    load.start = load.now = clock_ns(CLOCK_MONOTONIC)
    load.end = load.start + duration
    load.slice = 0
    load.slice_length = duration / SLICES
    load.slice_end = load.start + load.slice_length
    load.next_due = INT64_MAX
    if load.think:
        # The first requests spread over one think time, so that connections do not march in step.
        places = load.active * load.depth
        for number in range(places):
            pause(load, <uint32_t>(number % load.active), load.start + <int64_t>(load.think * number / places))
    if load.paced:
        notice(load)


cdef inline void begin_connections(Load *load, int replies) noexcept nogil:
    """Send the first requests of some connections more, at least as many as replies came in the round before.

    Not of all at once, or the first replies would wait for the last requests.
    """
    cdef int batch = 0
    cdef int limit = START_BATCH if replies < START_BATCH else replies
    cdef uint64_t number
    while batch < limit and load.begun < load.active:
        if load.connections[load.begun].fd >= 0:
            load.now = clock_ns(CLOCK_MONOTONIC)
            for number in range(load.depth):
                queue(load, load.begun, load.now)
            flush(load, load.begun)
            batch += 1
        load.begun += 1


cdef void measure(Load *load) noexcept nogil:
    """The measuring loop: from the start of the window to the end of the grace."""
    cdef pollfd watched
    cdef timespec sleep
    cdef int64_t horizon, gap, before
    cdef bint spinning
    cdef int timeout_ms
    cdef int found = 0
    watched.fd = load.epoll
    watched.events = POLLIN
    while not load.aborted:
        if load.phase == WINDOW and load.now >= load.end:
            close_window(load)
        if load.phase == GRACE and (
            (load.outstanding == 0 and load.taken == load.noticed) or load.now >= load.give_up
        ):
            break
        if load.open_active == 0:
            load.stopped = load.now
            break
        horizon = load.end if load.phase == WINDOW else load.give_up
        timeout_ms = until_ms(load.now, horizon)
        spinning = False
        if load.phase == WINDOW and load.paced:
            if load.now >= load.next_due:
                notice(load)
            if load.next_due < horizon:
                horizon = load.next_due
            gap = horizon - load.now - SPIN_NS
            if gap > 0:
                # ppoll on the epoll descriptor, because epoll_wait counts in milliseconds and epoll_pwait2 is young.
                sleep.tv_sec = gap / 1_000_000_000
                sleep.tv_nsec = gap % 1_000_000_000
                ppoll(&watched, 1, &sleep, NULL)
            else:
                spinning = True
            timeout_ms = 0
        elif load.phase == WINDOW and load.begun < load.active:
            begin_connections(load, found)
            timeout_ms = 0
        before = load.now
        found = poll_events(load, timeout_ms)
        load.now = clock_ns(CLOCK_MONOTONIC)
        if spinning and found == 0:
            load.spun += load.now - before


cdef void finish(Load *load) noexcept nogil:
    """Close the window if the trial was cut short, and give up what is still unanswered."""
    cdef uint32_t index
    if load.phase == WINDOW:
        load.end = load.now
        close_window(load)
    load.errors[TIMED_OUT] += load.noticed - load.taken
    load.taken = load.noticed
    for index in range(load.active):
        if load.connections[index].queued != load.connections[index].answered:
            fail(load, index, TIMED_OUT)


def count_values(values):
    """Return the counters of these times in nanoseconds as `COUNTS` native 64-bit numbers, counted as the engine does."""
    cdef bytes counts = bytes(8 * COUNTS)
    for value in values:
        count_value(<uint64_t *><char *>counts, value, HIGHEST)
    return counts


def take_heads(pieces, long long due):
    """Feed these pieces to one head as the engine does; return its state, its fault, and the bytes it took of each."""
    cdef Head head
    cdef bytes data
    restart_head(&head)
    taken = []
    for piece in pieces:
        data = piece
        if not head.fault and head.state != BODY:
            taken.append(take_head(&head, <const unsigned char *><const char *>data, len(data), due))
    return head.state, head.fault, taken


cdef class NativeEngine:
    """Opens the connections of a cell and runs its trials.

    Args:
        spec: The load.
        control_fd: A socket whose end of file means: give up at once; -1 if there is none.

    Raises:
        OSError: There is no epoll instance to be had.
        ValueError: `host` is no IP address.
    """

    name = "native"

    cdef Load load
    cdef object spec
    cdef int trials

    def __cinit__(self):
        memset(&self.load, 0, sizeof(self.load))
        self.load.epoll = -1

    def __init__(self, spec, int control_fd=-1):
        cdef Load *load = &self.load
        cdef uint32_t index
        cdef epoll_event event
        cdef uint64_t number
        cdef uint64_t copies
        self.spec = spec
        self.set_address(spec.host, spec.port)
        load.active = spec.connections
        load.total = spec.connections + spec.idle_connections
        load.depth = spec.pipeline_depth
        load.open_loop = spec.arrivals.open_loop
        load.think = round(spec.think_time_s * 1e9)
        load.paced = load.open_loop or load.think > 0
        copies = max(1, min(load.depth, SEND_BYTES // len(spec.request.data)))
        load.batch = copies
        self.set_template(&load.request, spec.request, copies)
        self.set_template(&load.reply, spec.reply, 1)
        load.connections = <Connection *>self.allocate(load.total, sizeof(Connection))
        load.stamps = <int64_t *>self.allocate(load.total * load.depth, sizeof(int64_t))
        load.latency = <uint64_t *>self.allocate(COUNTS, sizeof(uint64_t))
        load.slip = <uint64_t *>self.allocate(COUNTS, sizeof(uint64_t))
        load.inbox = <unsigned char *>self.allocate(RECEIVE_BYTES, 1)
        load.events = <epoll_event *>self.allocate(EVENTS, sizeof(epoll_event))
        load.ring = <uint32_t *>self.allocate(load.active, sizeof(uint32_t))
        load.pause_capacity = load.active * load.depth
        if load.think:
            load.pauses = <Pause *>self.allocate(load.pause_capacity, sizeof(Pause))
        for index in range(load.total):
            load.connections[index].fd = -1
            restart_head(&load.connections[index].head)
            load.connections[index].offset = sequence_offset(index)
        load.epoll = epoll_create1(EPOLL_CLOEXEC)
        if load.epoll < 0:
            raise OSError(errno, "epoll_create1")
        if control_fd >= 0:
            event.events = EPOLLRDHUP
            event.data.u32 = CONTROL
            if epoll_ctl(load.epoll, EPOLL_CTL_ADD, control_fd, &event) < 0:
                raise OSError(errno, "the control descriptor cannot be watched")
        prctl(PR_SET_TIMERSLACK, 1)  # the default of 50 us would be added to every sleep

    def __dealloc__(self):
        self.release()

    def close(self):
        """Close every connection."""
        self.close_sockets()

    def connect(self):
        """Open every connection and verify each with one request.

        Takes at most the grace plus 10 ms a connection, and gives up earlier when none is made within the grace.

        Raises:
            EOFError: The control socket was closed.
        """
        cdef int64_t patience = round(self.spec.grace_s * 1e9)
        cdef int64_t deadline = clock_ns(CLOCK_MONOTONIC) + patience + 10_000_000 * <int64_t>self.load.total
        self.forget_errors()
        with nogil:
            open_missing(&self.load, patience, deadline)
        self.refuse_abort()
        opened = [self.load.connections[index].fd >= 0 for index in range(self.load.total)]
        return ConnectResult(
            connected=sum(opened[: self.load.active]),
            idle=sum(opened[self.load.active :]),
            errors=self.errors(),
            fault=self.fault(),
        )

    def trial(self, double duration_s):
        """Open what broke since the last trial, then measure for this many seconds, and wait for stragglers.

        Takes at most the duration and twice the grace (one for opening what broke).

        Raises:
            EOFError: The control socket was closed.
            ValueError: The duration is not above 0, or absurd.
        """
        cdef Load *load = &self.load
        cdef int64_t duration
        cdef int64_t grace = round(self.spec.grace_s * 1e9)
        cdef Py_buffer view
        if not 1e-9 <= duration_s <= 1e9:
            raise ValueError(f"duration_s is {duration_s:g}, must be above 0 and at most 1e9")
        duration = round(duration_s * 1e9)
        dues = due_times(self.spec.arrivals, duration_s, self.trials) if load.open_loop else b""
        self.trials += 1
        self.forget_errors()
        memset(load.latency, 0, COUNTS * sizeof(uint64_t))
        memset(load.slip, 0, COUNTS * sizeof(uint64_t))
        PyObject_GetBuffer(dues, &view, PyBUF_SIMPLE)
        load.dues = <const int64_t *>view.buf
        load.due_count = view.len // sizeof(int64_t)
        load.noticed = load.taken = 0
        with nogil:
            load.phase = OPENING
            poll_events(load, 0)  # who closed since the last trial?
            open_missing(load, grace, clock_ns(CLOCK_MONOTONIC) + grace)
            if not load.aborted:
                begin(load, duration)
                load.give_up = load.end + grace
                measure(load)
                finish(load)
        load.dues = NULL
        PyBuffer_Release(&view)
        self.refuse_abort()
        seconds = (load.end - load.start) / 1e9
        return TrialResult(
            engine=self.name,
            loop="open" if load.open_loop else "closed",
            duration_s=seconds,
            sent=load.sent,
            replied=load.replied,
            failed=load.failed,
            in_flight=load.in_flight,
            late=load.late,
            errors=self.errors(),
            latency=encode_counts((<char *>load.latency)[: COUNTS * sizeof(uint64_t)]),
            slices=[load.slices[index] for index in range(SLICES)],
            cpu_s=load.cpu / 1e9,
            fault=self.fault(),
            due=load.due if load.open_loop else load.sent,
            waiting=load.waiting if load.open_loop else 0,
            slip=encode_counts((<char *>load.slip)[: COUNTS * sizeof(uint64_t)]) if load.paced else "",
            spun_s=load.spun / 1e9,
            stopped=f"no connection was left after {seconds:.3f} s" if load.stopped else "",
        )

    cdef void *allocate(self, size_t count, size_t size) except NULL:
        cdef void *memory = calloc(count, size)
        if memory == NULL:
            raise MemoryError(f"no memory for {count} x {size} bytes")
        return memory

    cdef int set_template(self, Template *template, message, uint64_t copies) except -1:
        cdef bytes data = message.data
        cdef uint64_t number
        template.size = len(data)
        template.at = message.sequence_at
        template.width = message.sequence_width
        template.hex = message.sequence_encoding == "hex"
        template.http = message.framing == "http"
        template.data = <unsigned char *>self.allocate(copies, template.size)
        for number in range(copies):
            memcpy(template.data + number * template.size, <const char *>data, template.size)
        return 0

    cdef int set_address(self, host, int port) except -1:
        cdef Load *load = &self.load
        cdef bytes packed
        cdef sockaddr_in *four = <sockaddr_in *>&load.address
        cdef sockaddr_in6 *six = <sockaddr_in6 *>&load.address
        address = ipaddress.ip_address(host)
        packed = address.packed
        if address.version == 4:
            load.family = AF_INET
            load.address_length = sizeof(sockaddr_in)
            four.sin_family = <uint16_t>AF_INET
            four.sin_port = htons(port)
            memcpy(&four.sin_addr, <const char *>packed, 4)
        else:
            load.family = AF_INET6
            load.address_length = sizeof(sockaddr_in6)
            six.sin6_family = <uint16_t>AF_INET6
            six.sin6_port = htons(port)
            memcpy(&six.sin6_addr, <const char *>packed, 16)
        return 0

    cdef void forget_errors(self) noexcept:
        memset(self.load.errors, 0, sizeof(self.load.errors))
        memset(&self.load.fault, 0, sizeof(self.load.fault))

    cdef dict errors(self):
        return {KIND_NAMES[kind]: self.load.errors[kind] for kind in range(KINDS) if self.load.errors[kind]}

    cdef str fault(self):
        cdef Fault *fault = &self.load.fault
        if not fault.seen:
            return ""
        received = (<char *>fault.received)[: fault.length].hex(" ")
        if fault.excess:
            return f"connection {fault.connection}: {received} came after reply {fault.number}, when nothing was owed"
        if fault.head:
            quoted = (<char *>fault.received)[: fault.length]
            return f"connection {fault.connection}, reply {fault.number + 1}: {FAULTS[fault.head]}, at {quoted!r}"
        expected = (<char *>fault.expected)[: fault.length].hex(" ")
        return (
            f"connection {fault.connection}, reply {fault.number + 1}, byte {fault.offset}: "
            f"expected {expected}, received {received}"
        )

    cdef int refuse_abort(self) except -1:
        if self.load.aborted:
            raise EOFError("the control socket was closed")
        return 0

    cdef void close_sockets(self) noexcept:
        cdef uint32_t index
        cdef Load *load = &self.load
        if load.connections != NULL:
            for index in range(load.total):
                if load.connections[index].fd >= 0:
                    close(load.connections[index].fd)
                    load.connections[index].fd = -1
        load.open_active = 0
        if load.epoll >= 0:
            close(load.epoll)
            load.epoll = -1

    cdef void release(self) noexcept:
        cdef Load *load = &self.load
        self.close_sockets()
        free(load.connections)
        free(load.stamps)
        free(load.latency)
        free(load.slip)
        free(load.inbox)
        free(load.events)
        free(load.ring)
        free(load.pauses)
        free(load.request.data)
        free(load.reply.data)
