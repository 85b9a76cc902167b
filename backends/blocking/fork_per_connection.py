"""A process for every connection, as inetd and the first web servers had it.

Connections share nothing, so a crash harms one peer only, and no interpreter's lock is contended; but each costs a
fork(2), a process, and the copies of the pages that it writes to.
"""

import os
import select
import signal
import socket

from backends.blocking.threads import run
from backends.contract import ACCEPT_PAUSE_S, OUT_OF_DESCRIPTORS, Server
from backends.serve import die_with_parent

TRAITS = {
    "name": "fork",
    "family": "blocking",
    "summary": "a process per connection that waits in recv and send",
    "platforms": ["linux", "darwin"],
    "options": {"read_size": 65536},
}

REAP_MS = 100


def serve(server: Server) -> None:
    """Accept connections and fork a process for each until told to stop; then kill them all."""
    children: set[int] = set()
    poller = select.poll()
    poller.register(server.stop_fd, select.POLLIN)
    poller.register(server.listener, select.POLLIN)
    pausing = False
    while all(fd != server.stop_fd for fd, _ in poller.poll(pause_ms(pausing, bool(children)))):
        reap(children)
        if pausing:
            pausing = False
            poller.register(server.listener, select.POLLIN)
        try:
            while True:
                connection, _address = server.listener.accept()
                with connection:
                    children.add(fork(connection, server))
        except BlockingIOError:
            continue
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS or isinstance(error, BlockingIOError):
                # The connection stays in the backlog and keeps the listener readable: look away or spin.
                pausing = True
                poller.unregister(server.listener)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def pause_ms(pausing: bool, has_children: bool) -> float | None:
    """Return how long to wait for the next connection: only so long that ended children do not pile up."""
    return ACCEPT_PAUSE_S * 1000 if pausing else REAP_MS if has_children else None


def fork(connection: socket.socket, server: Server) -> int:
    """Have a new process serve this connection and end; return its number."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        die_with_parent(parent)
        server.listener.close()
        connection.setblocking(True)
        run(connection, server, set())
    finally:
        os._exit(0)


def reap(children: set[int]) -> None:
    """Forget the children that have ended (waitpid(2)), which also adds their CPU time to ours."""
    while children:
        pid, _status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        children.discard(pid)
