"""asyncio's streams: coroutines that await bytes, the style its documentation recommends to most."""

import asyncio
import time

from backends.contract import READ_SIZE, Server, report_session_failure
from backends.framework.asyncio_protocol import report
from scenarios.session import Session

TRAITS = {
    "name": "asyncio-streams",
    "family": "framework",
    "summary": "asyncio's StreamReader and StreamWriter, a coroutine per connection",
    "notify": True,
}


def serve(server: Server) -> None:
    """Serve until told to stop; the connections end with the process."""
    asyncio.new_event_loop().run_until_complete(run(server))


async def run(server: Server) -> None:
    """Accept until told to stop."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(report)
    told_to_stop = asyncio.Event()
    loop.add_reader(server.stop_fd, told_to_stop.set)

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await converse(reader, writer, server)
            writer.close()
        except OSError:
            writer.close()  # the connection broke
        except Exception:
            report_session_failure()
            writer.transport.abort()

    # The loop closes the socket it listens on and calls listen(2) again.
    await asyncio.start_server(
        serve_one, sock=server.listener.dup(), limit=READ_SIZE, backlog=server.options["backlog"]
    )
    await told_to_stop.wait()


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> None:
    """Carry one session until its peer has finished and everything owed is sent."""
    session = server.new_session()
    unasked = Unasked(session, writer)
    session.opened(unasked.notify)
    try:
        await answer(reader, writer, session)
    finally:
        unasked.notified = False
        session.closed()


class Unasked:
    """Sends what a session has without being asked: a task, beside that of the connection, while there is something."""

    def __init__(self, session: Session, writer: asyncio.StreamWriter) -> None:
        self.session = session
        self.writer = writer
        self.notified = False
        self.task: asyncio.Task[None] | None = None

    def notify(self) -> None:
        """Have the session woken."""
        self.notified = True
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self.send())

    async def send(self) -> None:
        """Wake the session again and again, each time after its peer has read enough, until nobody asks for it."""
        try:
            while self.notified:
                self.notified = False
                self.writer.write(self.session.wake())
                await self.writer.drain()
        except OSError:
            return  # the connection broke, as its own task hears too
        except Exception:
            report_session_failure()
            self.writer.transport.abort()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: Session) -> None:
    """Answer the peer until it has finished and everything owed is sent."""
    ended = False
    while not ended or session.wake_at is not None:
        data: bytes | None = None
        if session.wake_at is None:
            data = await reader.read(READ_SIZE)
        elif (remaining_s := session.wake_at - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(remaining_s):
                    data = await (asyncio.sleep(remaining_s, None) if ended else reader.read(READ_SIZE))
            except TimeoutError:
                data = None
        if data is None:
            reply = session.wake()
        else:
            ended = not data
            reply = session.receive(data) if data else session.eof()
        if reply:
            writer.write(reply)
            await writer.drain()
