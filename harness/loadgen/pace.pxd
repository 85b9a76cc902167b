# cython: language_level=3, cdivision=True
"""When the native engine sends: requests that are due, connections that are free, think times, slow readers' pauses."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID

from harness.loadgen.counting cimport count_value
from harness.loadgen.load cimport GRACE, Connection, Load
from harness.loadgen.system cimport EPOLLIN, EPOLLOUT, INT64_MAX, clock_ns
from harness.loadgen.tls cimport at_once
from harness.loadgen.wire cimport flush, queue, watch


cdef inline bint can_take(Load *load, Connection *connection) noexcept nogil:
    """Whether a connection can take one more request."""
    return (
        connection.fd >= 0
        and not connection.connecting
        and connection.queued < connection.last
        and connection.queued - connection.answered < load.depth
    )


cdef inline void send_owed(Load *load, uint32_t index) noexcept nogil:
    """Send what a connection owes, as far as it may: not while it connects, and no more than its last request."""
    cdef Connection *connection = &load.connections[index]
    if connection.connecting or connection.finishing:
        return
    while connection.owed and connection.queued < connection.last:
        connection.owed -= 1
        queue(load, index, load.now)
    flush(load, index)


cdef inline void pause(Load *load, uint32_t index, int64_t until) noexcept nogil:
    """Have a connection think until then."""
    cdef uint64_t place = (load.pause_head + load.pause_count) % load.pause_capacity
    load.pauses[place].until = until
    load.pauses[place].connection = index
    load.pause_count += 1
    if until < load.next_due:
        load.next_due = until


cdef inline void enlist(Load *load, uint32_t index) noexcept nogil:
    """Put a connection at the end of the ring of those that can take a request, if it is not in it."""
    cdef Connection *connection = &load.connections[index]
    cdef uint32_t place
    if not connection.listed:
        connection.listed = True
        place = load.ring_head + load.ring_count
        load.ring[place if place < load.active else place - load.active] = index
        load.ring_count += 1


cdef inline uint64_t take_waiting(Load *load, uint32_t index, uint64_t most) noexcept nogil:
    """Give a connection requests that were due and wait for one, at most so many. Returns how many there were."""
    cdef Connection *connection = &load.connections[index]
    cdef uint64_t number = 0
    while load.taken < load.noticed and number < most and connection.queued < connection.last:
        queue(load, index, load.start + load.dues[load.taken])
        load.taken += 1
        number += 1
    if number:
        flush(load, index)
    return number


cdef inline void notice(Load *load) noexcept nogil:
    """Act on every request that is due: send it if a connection is free, leave it waiting if none is."""
    cdef uint32_t index
    cdef int64_t due
    cdef Connection *connection
    cdef bint given
    while load.noticed < load.due_count:
        due = load.start + load.dues[load.noticed]
        if due > load.now:
            break
        count_value(load.slip, load.now - due, load.highest)
        load.noticed += 1
        load.due += 1
        given = False
        while load.ring_count and not given and load.taken + 1 == load.noticed:
            index = load.ring[load.ring_head]
            load.ring_head = load.ring_head + 1 if load.ring_head + 1 < load.active else 0
            load.ring_count -= 1
            connection = &load.connections[index]
            connection.listed = False
            if not can_take(load, connection):  # it broke while it was free, or was given requests meanwhile
                continue
            given = True
            load.taken += 1
            queue(load, index, due)
            flush(load, index)
            if can_take(load, connection):
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
        count_value(load.slip, load.now - due, load.highest)
        load.connections[index].owed += 1
        send_owed(load, index)
    if load.noticed < load.due_count:
        load.next_due = load.start + load.dues[load.noticed]
    elif load.pause_count:
        load.next_due = load.pauses[load.pause_head].until
    else:
        load.next_due = INT64_MAX


cdef inline void close_window(Load *load) noexcept nogil:
    """End the measured window: from here on nothing counts as throughput."""
    load.cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - load.cpu
    load.phase = GRACE
    load.in_flight = load.outstanding
    load.pause_count = 0
    notice(load)
    load.waiting = load.due - load.sent


cdef inline void rest(Load *load, uint32_t index) noexcept nogil:
    """Have a slow reader read no more until its pause is over."""
    cdef Connection *connection = &load.connections[index]
    cdef uint32_t slow = load.total - load.first_slow
    cdef uint32_t place = (load.sleeper_head + load.sleeper_count) % slow
    load.sleepers[place].until = load.now + load.slow_pause
    load.sleepers[place].connection = index
    load.sleeper_count += 1
    connection.reading = 0
    watch(load, index, connection.interest & EPOLLOUT)


cdef inline void wake_sleepers(Load *load) noexcept nogil:
    """Let the slow readers whose pause is over read again."""
    cdef uint32_t index
    while load.sleeper_count and load.sleepers[load.sleeper_head].until <= load.now:
        index = load.sleepers[load.sleeper_head].connection
        load.sleeper_head = (load.sleeper_head + 1) % (load.total - load.first_slow)
        load.sleeper_count -= 1
        if load.connections[index].fd >= 0:
            load.connections[index].reading = EPOLLIN
            watch(load, index, load.connections[index].interest | EPOLLIN | at_once(load.connections[index].ssl))
