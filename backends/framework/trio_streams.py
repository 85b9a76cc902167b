"""trio: a task per connection in a nursery, over SocketStream, which its documentation recommends over raw sockets."""

import time

import trio

from backends.contract import READ_SIZE, Server, report_session_failure

TRAITS = {
    "name": "trio",
    "family": "framework",
    "summary": "trio's SocketStream, a task per connection in a nursery",
    "requires": ["trio"],
}


def serve(server: Server) -> None:
    """Serve until told to stop."""
    trio.run(run, server)


async def run(server: Server) -> None:
    """Accept until told to stop, then cancel the connections. Out of descriptors, trio tries again after 0.1 s."""

    async def serve_one(stream: trio.SocketStream) -> None:
        try:
            await converse(stream, server)
        except trio.BrokenResourceError:
            return  # the connection broke
        except Exception:
            report_session_failure()

    listener = trio.SocketListener(trio.socket.from_stdlib_socket(server.listener.dup()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve_one, [listener])
        await trio.lowlevel.wait_readable(server.stop_fd)
        nursery.cancel_scope.cancel()


async def converse(stream: trio.SocketStream, server: Server) -> None:
    """Carry one session until its peer has finished and everything owed is sent."""
    session = server.new_session()
    receive_some, send_all, receive = stream.receive_some, stream.send_all, session.receive
    ended = False
    while not ended or session.wake_at is not None:
        data: bytes | bytearray | None = None
        if session.wake_at is None:
            data = await receive_some(READ_SIZE)
        else:
            with trio.move_on_after(max(0.0, session.wake_at - time.monotonic())):
                data = await (trio.sleep_forever() if ended else receive_some(READ_SIZE))
        if data is None:
            reply = session.wake()
        else:
            ended = not data
            reply = receive(bytes(data)) if data else session.eof()
        if reply:
            await send_all(reply)
