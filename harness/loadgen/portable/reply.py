"""What the portable engine does when the selector reports something: replies verified and counted, connections made."""

import os
import socket
import ssl
import time

from harness.loadgen.framing import BODY, FAULTS, Head
from harness.loadgen.portable.counting import count_value
from harness.loadgen.portable.load import (
    GRACE,
    NEVER,
    OPENING,
    READ,
    RECEIVE_BYTES,
    SHOWN,
    SLICES,
    WINDOW,
    WRITE,
    Connection,
    Load,
)
from harness.loadgen.portable.pace import can_take, close_window, enlist, notice, pause, rest, send_owed, take_waiting
from harness.loadgen.portable.tls import shake_hands
from harness.loadgen.portable.wire import (
    WOULD_WAIT,
    close_one,
    fail,
    flush,
    kind_of,
    queue,
    replacing,
    retire,
    stamp,
    watch,
)


def note_fault(load: Load, connection: Connection, received: memoryview, excess: bool) -> None:
    """Keep words on the first wrong bytes: `received` begins with the first of them."""
    if load.fault:
        return
    if excess:
        load.fault = (
            f"connection {connection.index}: {received[:SHOWN].hex(' ')} came after reply {connection.answered}, "
            "when nothing was owed"
        )
        return
    if connection.head.fault:
        quoted = bytes(received[:SHOWN])
        words = FAULTS[connection.head.fault]
        load.fault = f"connection {connection.index}, reply {connection.answered + 1}: {words}, at {quoted!r}"
        return
    expected = load.reply.data[connection.reply_bytes :]
    both = zip(expected, received, strict=False)
    skip = next((place for place, (one, other) in enumerate(both) if one != other), 0)
    length = min(SHOWN, len(received) - skip)
    load.fault = (
        f"connection {connection.index}, reply {connection.answered + 1}, byte {connection.reply_bytes + skip}: "
        f"expected {expected[skip : skip + length].hex(' ')}, received {received[skip : skip + length].hex(' ')}"
    )


def count_replies(load: Load, connection: Connection, complete: int) -> None:
    """Count so many replies for the phase in which they came."""
    if connection.slow:
        load.slow_replied += complete if load.phase is WINDOW else 0
        return
    load.outstanding -= complete
    if load.phase is WINDOW:
        load.slices[min(SLICES - 1, (load.now - load.start) // load.slice_length)] += complete
        load.replied += complete
    elif load.phase is GRACE:
        load.late += complete


def go_on(load: Load, connection: Connection, complete: int) -> None:
    """Give a connection its next requests after so many replies, or replace it if these were its last."""
    if load.phase is OPENING:
        connection.verifying = False
        return
    if connection.slow:
        for _ in range(complete):
            queue(load, connection, load.now)
        flush(load, connection)
        return
    if load.open_loop:
        if take_waiting(load, connection, complete) < complete and can_take(load, connection):
            enlist(load, connection)
    elif load.phase is WINDOW:
        if load.think:
            for _ in range(complete):
                pause(load, connection, load.now + load.think)
        else:
            connection.owed += complete
            send_owed(load, connection)
    if connection.answered == connection.last and connection.socket is not None and replacing(load):
        retire(load, connection)


def settle(load: Load) -> None:
    """Fan-out: count the publications that have reached all subscribers, and send the next in their place."""
    publisher = load.connections[0]
    complete = freed = 0
    # Where one is missing so are all later ones: each subscriber receives them in order.
    while publisher.answered < publisher.queued and not load.publications[0].missing:
        since = publisher.stamps.popleft()
        if not load.publications.popleft().lost:
            count_value(load.latency, load.now - since)
            complete += 1
        publisher.answered += 1
        freed += 1
    if freed:
        count_replies(load, publisher, complete)
        if publisher.socket is not None:
            go_on(load, publisher, freed)


def receive(load: Load, connection: Connection) -> None:
    """Take what has come, verify every byte, record latencies, and go on with the next requests."""
    assert connection.socket is not None
    kind = ""
    got = 0
    limit = load.slow_bytes if connection.slow and load.phase is not OPENING else RECEIVE_BYTES
    try:
        got = connection.socket.recv_into(load.inbox, min(limit, RECEIVE_BYTES))
    except WOULD_WAIT:
        return
    except ssl.SSLZeroReturnError:
        pass  # the peer's close_notify, after this side's
    except OSError as fault:
        kind = kind_of(fault)
    load.now = time.monotonic_ns()
    if load.phase is WINDOW and load.now >= load.end:
        close_window(load)
    if connection.finishing and not got and not kind:
        close_one(load, connection)
        return
    if kind or not got:
        fail(load, connection, kind or "closed")
        return
    complete = verify(load, connection, got)
    if complete < 0:
        fail(load, connection, "wrong")
    elif complete:
        count_replies(load, connection, complete)
        go_on(load, connection, complete)
    if connection.slow and load.phase is not OPENING and connection.socket is not None and connection.reading:
        rest(load, connection)


def verify(load: Load, connection: Connection, got: int) -> int:
    """Return how many replies these bytes complete, or -1 after noting what is wrong with them."""
    reply, view = load.reply, load.inbox_view
    at = complete = 0
    asker, owed_until = connection, connection.queued
    subscribed = load.fan_out and load.phase is not OPENING
    if subscribed:  # to what the first connection sends, and that one to nothing
        asker = load.connections[0]
        owed_until = connection.answered if connection is asker else asker.queued
    while at < got:
        if connection.answered == owed_until:
            note_fault(load, connection, view[at:got], True)
            break
        if load.http and connection.head.state != BODY:
            at += take_head(load, connection.head, view[at:got])
            if connection.head.fault:
                note_fault(load, connection, view[at:got], False)
                break
            continue
        stamp(reply, 0, asker.offset + connection.answered)
        piece = min(reply.size - connection.reply_bytes, got - at)
        if reply.view[connection.reply_bytes : connection.reply_bytes + piece] != view[at : at + piece]:
            note_fault(load, connection, view[at : at + piece], False)
            break
        at += piece
        connection.reply_bytes += piece
        if connection.reply_bytes == reply.size:
            connection.reply_bytes = 0
            if load.http:
                connection.head.restart()
            if subscribed:
                load.publications[connection.answered - asker.answered].missing -= 1
                connection.answered += 1
                continue
            since = connection.stamps.popleft()
            if load.phase is not OPENING and not connection.slow:
                count_value(load.latency, load.now - since)
            connection.answered += 1
            complete += 1
    if at < got:  # the whole replies before the fault are good ones
        count_replies(load, connection, complete)
        return -1
    return complete


def take_head(load: Load, head: Head, data: memoryview) -> int:
    """Take the head of a response, or what has come of it, and return how many bytes that was."""
    # Servers say the same head again and again: comparing it is ten times as fast as reading it.
    size = len(load.known_head)
    if size and head.size == 0 and data[:size] == load.known_head:
        head.state = BODY
        return size
    whole = head.size == 0
    taken = head.take(data, load.reply.size)
    if whole and head.state == BODY and not head.fault:
        load.known_head = bytes(data[:taken])
    return taken


def secured(load: Load, connection: Connection) -> bool:
    """Return whether the handshake of a connection is done; if not, go on with it, and wait or fail if it must."""
    try:
        awaited = shake_hands(load, connection)
    except OSError as fault:
        fail(load, connection, kind_of(fault))
        return False
    if awaited:
        watch(load, connection, awaited)
    return not awaited


def finish_connecting(load: Load, connection: Connection) -> None:
    """Send the first request of a connection that was made, or say why it was not."""
    assert connection.socket is not None
    error = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        fail(load, connection, kind_of(OSError(error, os.strerror(error))))
        return
    if load.tls is not None and not secured(load, connection):
        return
    load.now = time.monotonic_ns()
    count_value(load.connection_times, load.now - connection.since)
    load.opened += 1
    if load.phase is WINDOW and load.now >= load.end:
        close_window(load)
    load.changing -= 1
    connection.connecting = False
    connection.last = connection.queued + load.churn if load.churn else NEVER
    if load.phase is OPENING:
        queue(load, connection, load.now)
        flush(load, connection)
    elif load.open_loop:
        if take_waiting(load, connection, load.depth) < load.depth and can_take(load, connection):
            enlist(load, connection)
        if connection.socket is not None:
            flush(load, connection)  # nothing may have been sent: then what is watched changes here
    elif load.phase is WINDOW:
        send_owed(load, connection)
    else:
        flush(load, connection)


def check_control(load: Load) -> None:
    """Look whether the control socket is at its end; a command that came early is left where it is.

    Raises:
        EOFError: It is.
    """
    assert load.control is not None
    try:
        ended = not load.control.recv(1, socket.MSG_PEEK)
    except ConnectionError:
        ended = True
    if ended:
        raise EOFError("the control socket was closed")


def poll_events(load: Load, timeout_s: float) -> int:
    """Wait for events and handle them, looking in between at the requests that come due. Returns how many there were.

    Raises:
        EOFError: The control socket was closed.
    """
    ready = load.selector.select(timeout_s)
    for key, events in ready:
        connection: Connection | None = key.data
        if connection is None:
            check_control(load)
        elif connection.socket is not None:  # it may have failed since it was reported
            if connection.connecting:
                finish_connecting(load, connection)
                continue
            if events & WRITE:
                flush(load, connection)
            if connection.socket is not None and (events & READ or (load.tls is not None and connection.reading)):
                receive(load, connection)
            if load.fan_out and load.phase is not OPENING:
                settle(load)
        if load.paced and load.now >= load.next_due and load.phase is not OPENING:
            notice(load)
    return len(ready)
