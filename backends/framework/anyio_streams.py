"""anyio on its asyncio backend: what structured concurrency across event loops costs."""

import socket
import time

import anyio
import anyio.abc

from backends.contract import ACCEPT_PAUSE_S, OUT_OF_DESCRIPTORS, READ_SIZE, Server, report_session_failure

TRAITS = {
    "name": "anyio",
    "family": "framework",
    "summary": "anyio's SocketStream on asyncio, a task per connection in a task group",
    "requires": ["anyio"],
}


def serve(server: Server) -> None:
    """Serve until told to stop."""
    anyio.run(run, server)


async def run(server: Server) -> None:
    """Accept until told to stop, then cancel the connections."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(accept, server, tasks)
        await anyio.wait_readable(socket.socket(fileno=server.stop_fd))
        tasks.cancel_scope.cancel()


async def accept(server: Server, tasks: anyio.abc.TaskGroup) -> None:
    """Start a task for each connection."""
    listener = await anyio.abc.SocketListener.from_socket(server.listener.dup())
    while True:
        try:
            tasks.start_soon(serve_one, await listener.accept(), server)
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS:
                await anyio.sleep(ACCEPT_PAUSE_S)


async def serve_one(stream: anyio.abc.SocketStream, server: Server) -> None:
    """Serve one connection; whatever goes wrong ends it only."""
    try:
        async with stream:
            await converse(stream, server)
    except (anyio.BrokenResourceError, OSError):
        return  # the connection broke
    except Exception:
        report_session_failure()


async def converse(stream: anyio.abc.SocketStream, server: Server) -> None:
    """Carry one session until its peer has finished and everything owed is sent."""
    session = server.new_session()
    ended = False
    while not ended or session.wake_at is not None:
        data: bytes | None = None
        try:
            if session.wake_at is None:
                data = await stream.receive(READ_SIZE)
            elif (remaining_s := session.wake_at - time.monotonic()) > 0:
                with anyio.move_on_after(remaining_s):
                    data = await (anyio.sleep_forever() if ended else stream.receive(READ_SIZE))
        except anyio.EndOfStream:
            data = b""
        if data is None:
            reply = session.wake()
        else:
            ended = not data
            reply = session.receive(data) if data else session.eof()
        if reply:
            await stream.send(reply)
