"""Processes that were forked beforehand and share the listening socket, as in Apache's MPM of that name.

Each accepts a connection and serves it to its end, so no more peers are served than there are processes; the others
wait in the backlog. Option `processes`: how many there are.
"""

import os
import select
import signal
import time

from backends.blocking.threads import run
from backends.contract import ACCEPT_PAUSE_S, OUT_OF_DESCRIPTORS, Server, wait_readable
from backends.serve import die_with_parent

TRAITS = {
    "name": "prefork",
    "family": "blocking",
    "summary": "processes forked beforehand share the listener, each serves one connection after the other",
    "platforms": ["linux", "darwin"],
    "max_connections": 128,
    "options": {"processes": 128, "read_size": 65536},
}


def serve(server: Server) -> None:
    """Fork the workers and wait until told to stop; then kill them all."""
    workers = [fork(server) for _ in range(int(server.options["processes"]))]
    wait_readable(server.stop_fd)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


def fork(server: Server) -> int:
    """Start a worker and return its process number."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        die_with_parent(parent)
        work(server)
    finally:
        os._exit(1)


def work(server: Server) -> None:
    """Serve one connection after the other."""
    listener = server.listener
    poller = select.poll()
    poller.register(listener, select.POLLIN)
    while True:
        poller.poll()
        try:
            connection, _address = listener.accept()
        except BlockingIOError:
            continue  # another worker was faster
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS:
                time.sleep(ACCEPT_PAUSE_S)
            continue
        connection.setblocking(True)
        run(connection, server, set())
