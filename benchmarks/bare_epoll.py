"""The yardstick of the reactor: the barest epoll echo loop in Python, with none of a backend's duties.

It has no sessions, no partial writes, no backpressure, no timers and no error handling, so it serves only well-behaved
peers. Measure the reactor beside it with

    muxbench run quick --backend epoll,benchmarks/bare_epoll.py --connections 100 --baseline bare-epoll
"""

import select
import socket

TRAITS = {
    "name": "bare-epoll",
    "family": "readiness",
    "summary": "the barest epoll loop, a yardstick that serves only well-behaved peers",
    "platforms": ["linux"],
}


def serve(server) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Echo until told to stop."""
    epoll = select.epoll()
    connections: dict[int, socket.socket] = {}
    listener = server.listener.fileno()
    epoll.register(listener, select.EPOLLIN)
    epoll.register(server.stop_fd, select.EPOLLIN)
    while True:
        for fd, _events in epoll.poll():
            connection = connections.get(fd)
            if connection is not None:
                data = connection.recv(65536)
                if data:
                    connection.send(data)
                else:
                    epoll.unregister(fd)
                    connections.pop(fd).close()
            elif fd == listener:
                accepted, _address = server.listener.accept()
                accepted.setblocking(False)
                connections[accepted.fileno()] = accepted
                epoll.register(accepted.fileno(), select.EPOLLIN)
            else:
                return
