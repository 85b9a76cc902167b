"""One connection of the portable engine: made, given requests, sent on, half-closed, replaced, and failed."""

import contextlib
import errno
import socket
import ssl
import sys
import time

from harness.loadgen.portable.load import (
    KINDS,
    OPENING,
    READ,
    SLOW_BUFFER,
    SOURCES,
    WINDOW,
    WRITE,
    Connection,
    Load,
    Publication,
    Template,
)
from harness.loadgen.portable.tls import say_goodbye

WOULD_WAIT = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a socket raises where it could do nothing without waiting."""

NO_PORT_YET = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
"""The option's number on Linux, where `socket` does not name it before Python 3.12 (ip(7))."""


def stamp(template: Template, start: int, sequence: int) -> None:
    """Write a sequence number into the message that begins at this byte."""
    template.data[start + template.at : start + template.end] = template.message.stamp(sequence)


def watch(load: Load, connection: Connection, interest: int) -> None:
    """Have the selector watch a connection for these events, or not at all."""
    before = connection.interest
    if before != interest and connection.socket is not None:
        connection.interest = interest
        if not interest:
            load.selector.unregister(connection.socket)
        elif before:
            load.selector.modify(connection.socket, interest, connection)
        else:
            load.selector.register(connection.socket, interest, connection)


def hang_up(load: Load) -> None:
    """Fan-out: close all connections, but that of the publisher half: the server may still have something of it."""
    publisher = load.connections[0]
    if publisher.socket is not None:
        with contextlib.suppress(OSError):  # it is broken already
            publisher.socket.shutdown(socket.SHUT_WR)
        load.leaving = publisher.socket
        watch(load, publisher, 0)
        publisher.socket = None
    for connection in load.connections[: load.active]:
        if connection.socket is not None:
            watch(load, connection, 0)
            connection.socket.close()
            connection.socket = None
    load.open_active = 0


def lose_publications(load: Load, connection: Connection) -> int:
    """Fan-out: give up what has not reached a connection that broke. Returns how many publications that fails."""
    publisher = load.connections[0]
    lost = 0
    for number in range(connection.answered, publisher.queued):
        publication = load.publications[number - publisher.answered]
        publication.missing -= connection is not publisher
        lost += not publication.lost
        publication.lost = True
    return lost


def fail(load: Load, connection: Connection, kind: str) -> None:
    """Close a connection that broke and count every request that was in flight on it."""
    lost = connection.queued - connection.answered
    publishing = load.fan_out and load.phase is not OPENING
    if publishing:
        lost = lose_publications(load, connection)
        if connection.index == 0:  # nobody is left to send
            hang_up(load)
    load.errors[kind] = load.errors.get(kind, 0) + (lost or 1)
    if not connection.slow:
        load.outstanding -= lost
        if load.phase is WINDOW:
            load.failed += lost
    if connection.socket is not None:
        if connection.interest:
            load.selector.unregister(connection.socket)
        connection.socket.close()
        connection.socket = None
        if connection.index < load.active:
            load.open_active -= 1
    connection.sent = connection.answered = connection.queued
    connection.sent_bytes = connection.reply_bytes = connection.interest = 0
    connection.stamps.clear()
    connection.head.restart()
    connection.owed = 0
    load.changing -= connection.connecting or connection.finishing
    connection.connecting = connection.verifying = connection.finishing = False
    if publishing and load.open_active == 1:  # nobody is left to receive
        hang_up(load)


def kind_of(fault: OSError) -> str:
    """Return what an error of a socket is counted as."""
    if isinstance(fault, ssl.SSLEOFError):
        return "closed"
    if isinstance(fault, ssl.SSLError):
        return f"TLS: {(fault.reason or 'failed').replace('_', ' ').lower()}"
    return KINDS.get(fault.errno or 0, "unreachable")


def flush(load: Load, connection: Connection) -> None:
    """Send what is queued, as far as the kernel takes it; the selector says when it takes more."""
    request = load.request
    size = request.size
    assert connection.socket is not None
    while connection.sent < connection.queued:
        count = min(connection.queued - connection.sent, load.batch)
        for number in range(count):
            stamp(request, number * size, connection.offset + connection.sent + number)
        try:
            done = connection.socket.send(request.view[connection.sent_bytes : count * size])
        except WOULD_WAIT:
            watch(load, connection, connection.reading | WRITE)
            return
        except OSError as fault:
            fail(load, connection, kind_of(fault))
            return
        whole_requests, connection.sent_bytes = divmod(connection.sent_bytes + done, size)
        connection.sent += whole_requests
    watch(load, connection, connection.reading)


def queue(load: Load, connection: Connection, since: int) -> None:
    """Give a connection one more request, whose latency counts from `since`."""
    connection.stamps.append(since)
    if load.fan_out and load.phase is not OPENING:
        load.publications.append(Publication(load.open_active - 1))
    connection.queued += 1
    if not connection.slow:
        load.outstanding += 1
        if load.phase is WINDOW:
            load.sent += 1


def begin_connecting(load: Load, connection: Connection) -> socket.socket:
    """Make a socket and begin to connect it.

    Raises:
        OSError: It cannot be made or connected.
    """
    for _ in range(SOURCES):
        made = socket.socket(load.family, socket.SOCK_STREAM)
        made.setblocking(False)
        if load.family != socket.AF_UNIX:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if connection.slow:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
        if load.source:
            if sys.platform == "linux":
                made.setsockopt(socket.IPPROTO_IP, NO_PORT_YET, 1)
            made.bind((f"127.0.0.{1 + load.source}", 0))
        error = made.connect_ex(load.address)
        if error in (0, errno.EINPROGRESS, errno.EWOULDBLOCK) and (
            error != errno.EAGAIN or load.family != socket.AF_UNIX
        ):
            return made
        made.close()
        if error == errno.EAGAIN:
            error = errno.ECONNREFUSED  # its backlog is full (unix(7)): there is nothing to wait for
        if error != errno.EADDRNOTAVAIL or not load.loopback:
            raise OSError(error, "connect")
        # All ports of this source are taken, most by connections in TIME_WAIT: each source has ports of its own.
        load.source = (load.source + 1) % SOURCES
    raise OSError(errno.EADDRNOTAVAIL, "connect")


def open_one(load: Load, connection: Connection) -> None:
    """Begin a connection without waiting for it."""
    connection.since = time.monotonic_ns()
    try:
        connection.socket = begin_connecting(load, connection)
    except OSError as fault:
        fail(load, connection, kind_of(fault))
        return
    if connection.index < load.active:
        load.open_active += 1
    load.changing += 1
    connection.connecting = True
    connection.verifying = load.phase is OPENING
    connection.reading = READ
    connection.interest = WRITE
    load.selector.register(connection.socket, WRITE, connection)


def replacing(load: Load) -> bool:
    """Whether connections that have had their requests are replaced: in the window, and while requests wait for one."""
    return load.phase is WINDOW or load.taken < load.noticed


def close_one(load: Load, connection: Connection) -> None:
    """Close a connection that has had its requests, and open one in its place."""
    assert connection.socket is not None
    if not connection.finishing:
        with contextlib.suppress(OSError):
            say_goodbye(connection.socket)
    load.selector.unregister(connection.socket)
    connection.socket.close()
    connection.socket = None
    load.open_active -= 1
    load.changing -= connection.finishing
    connection.finishing = False
    if replacing(load):
        open_one(load, connection)


def retire(load: Load, connection: Connection) -> None:
    """End a connection that has had its requests: by half-closing it, where that is asked for."""
    assert connection.socket is not None
    if not load.half_close:
        close_one(load, connection)
        return
    try:
        say_goodbye(connection.socket)
        # An SSLSocket's own shutdown would forget its TLS, and with it how to read on.
        socket.socket.shutdown(connection.socket, socket.SHUT_WR)
    except OSError as fault:
        fail(load, connection, kind_of(fault))
    else:
        connection.finishing = True
        load.changing += 1
