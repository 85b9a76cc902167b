"""Threads that were started beforehand, each of which accepts a connection and serves it to its end.

No thread is made or ended while serving, and no more peers are served than there are threads: the others wait in the
backlog. Option `threads`: how many there are.
"""

import threading
import time

from backends.blocking.many_threads import prepare_for_many_threads
from backends.blocking.threads import run
from backends.contract import ACCEPT_PAUSE_S, OUT_OF_DESCRIPTORS, Server

TRAITS = {
    "name": "thread-pool",
    "family": "blocking",
    "summary": "threads started beforehand, each serves one connection after the other",
    "notify": True,
    "platforms": ["linux", "darwin"],
    "max_connections": 1024,
    "options": {"threads": 1024, "read_size": 65536},
}


def serve(server: Server) -> None:
    """Start the threads and wait until told to stop; they end with the process."""
    prepare_for_many_threads()
    server.listener.setblocking(True)
    accepting = threading.Lock()
    with accepting:
        for _ in range(int(server.options["threads"])):
            threading.Thread(target=work, args=(server, accepting), daemon=True).start()
    server.stopped.wait()


def work(server: Server, accepting: threading.Lock) -> None:
    """Serve one connection after the other."""
    while True:
        # One at a time, so that only one waits and tries again while there are no descriptors.
        with accepting:
            try:
                connection, _address = server.listener.accept()
            except OSError as error:
                if error.errno in OUT_OF_DESCRIPTORS:
                    time.sleep(ACCEPT_PAUSE_S)
                continue
        connection.setblocking(True)
        run(connection, server, set())
