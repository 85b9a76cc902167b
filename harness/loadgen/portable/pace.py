"""When the portable engine sends: due requests, free connections, think times, slow readers' pauses."""

import time

from harness.loadgen.portable.counting import count_value
from harness.loadgen.portable.load import GRACE, NEVER, READ, WRITE, Connection, Load
from harness.loadgen.portable.tls import at_once
from harness.loadgen.portable.wire import flush, queue, watch


def can_take(load: Load, connection: Connection) -> bool:
    """Whether a connection can take one more request."""
    return (
        connection.socket is not None
        and not connection.connecting
        and connection.queued < connection.last
        and connection.queued - connection.answered < load.depth
    )


def send_owed(load: Load, connection: Connection) -> None:
    """Send what a connection owes, as far as it may: not while it connects, and no more than its last request."""
    if connection.connecting or connection.finishing:
        return
    while connection.owed and connection.queued < connection.last:
        connection.owed -= 1
        queue(load, connection, load.now)
    flush(load, connection)


def pause(load: Load, connection: Connection, until: int) -> None:
    """Have a connection think until then."""
    load.pauses.append((until, connection))
    load.next_due = min(load.next_due, until)


def enlist(load: Load, connection: Connection) -> None:
    """Put a connection at the end of the ring of those that can take a request, if it is not in it."""
    if not connection.listed:
        connection.listed = True
        load.ring.append(connection)


def take_waiting(load: Load, connection: Connection, most: int) -> int:
    """Give a connection requests that were due and wait for one, at most so many. Returns how many there were."""
    number = 0
    while load.taken < load.noticed and number < most and connection.queued < connection.last:
        queue(load, connection, load.start + load.dues[load.taken])
        load.taken += 1
        number += 1
    if number:
        flush(load, connection)
    return number


def notice(load: Load) -> None:
    """Act on every request that is due: send it if a connection is free, leave it waiting if none is."""
    while load.noticed < len(load.dues):
        due = load.start + load.dues[load.noticed]
        if due > load.now:
            break
        count_value(load.slip, load.now - due)
        load.noticed += 1
        load.due += 1
        while load.ring and load.taken + 1 == load.noticed:
            connection = load.ring.popleft()
            connection.listed = False
            if not can_take(load, connection):  # it broke while it was free, or was given requests meanwhile
                continue
            load.taken += 1
            queue(load, connection, due)
            flush(load, connection)
            if can_take(load, connection):
                enlist(load, connection)
        load.now = time.monotonic_ns()
    while load.pauses and load.pauses[0][0] <= load.now:
        due, connection = load.pauses.popleft()
        if connection.socket is None:
            continue
        load.now = time.monotonic_ns()
        count_value(load.slip, load.now - due)
        connection.owed += 1
        send_owed(load, connection)
    if load.noticed < len(load.dues):
        load.next_due = load.start + load.dues[load.noticed]
    else:
        load.next_due = load.pauses[0][0] if load.pauses else NEVER


def close_window(load: Load) -> None:
    """End the measured window: from here on nothing counts as throughput."""
    load.cpu = time.thread_time() - load.cpu
    load.phase = GRACE
    load.in_flight = load.outstanding
    load.pauses.clear()
    notice(load)
    if load.open_loop:
        load.waiting = load.due - load.sent


def rest(load: Load, connection: Connection) -> None:
    """Have a slow reader read no more until its pause is over."""
    load.sleepers.append((load.now + load.slow_pause, connection))
    connection.reading = 0
    watch(load, connection, connection.interest & WRITE)


def wake_sleepers(load: Load) -> None:
    """Let the slow readers whose pause is over read again."""
    while load.sleepers and load.sleepers[0][0] <= load.now:
        connection = load.sleepers.popleft()[1]
        if connection.socket is not None:
            connection.reading = READ
            watch(load, connection, connection.interest | READ | at_once(load))
