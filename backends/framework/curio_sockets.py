"""curio: coroutines over sockets, with a kernel of its own and no callbacks underneath."""

import time

import curio
import curio.io
import curio.traps

from backends.contract import ACCEPT_PAUSE_S, OUT_OF_DESCRIPTORS, READ_SIZE, Server, report_session_failure

TRAITS = {
    "name": "curio",
    "family": "framework",
    "summary": "curio's sockets, a task per connection",
    "requires": ["curio"],
}


def serve(server: Server) -> None:
    """Serve until told to stop."""
    curio.run(run, server)


async def run(server: Server) -> None:
    """Accept until told to stop; the kernel then cancels what is left."""
    await curio.spawn(accept, server, daemon=True)
    await curio.traps._read_wait(server.stop_fd)


async def accept(server: Server) -> None:
    """Start a task for each connection."""
    listener = curio.io.Socket(server.listener)
    while True:
        try:
            connection, _address = await listener.accept()
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS:
                await curio.sleep(ACCEPT_PAUSE_S)
            continue
        await curio.spawn(serve_one, connection, server, daemon=True)


async def serve_one(connection: curio.io.Socket, server: Server) -> None:
    """Serve one connection; whatever goes wrong ends it only."""
    try:
        async with connection:
            await converse(connection, server)
    except OSError:
        return  # the connection broke
    except Exception:
        report_session_failure()


async def converse(connection: curio.io.Socket, server: Server) -> None:
    """Carry one session until its peer has finished and everything owed is sent."""
    session = server.new_session()
    ended = False
    while not ended or session.wake_at is not None:
        data = None
        if session.wake_at is None:
            data = await connection.recv(READ_SIZE)
        elif (remaining_s := session.wake_at - time.monotonic()) > 0:
            waiting = curio.sleep(2 * remaining_s) if ended else connection.recv(READ_SIZE)
            data = await curio.ignore_after(remaining_s, waiting)
        if data is None:
            reply = session.wake()
        else:
            ended = not data
            reply = session.receive(data) if data else session.eof()
        if reply:
            await connection.sendall(reply)
