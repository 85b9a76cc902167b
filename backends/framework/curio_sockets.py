"""curio: coroutines over sockets, with a kernel of its own and no callbacks underneath."""

import time
from typing import Any

import curio
import curio.io
import curio.traps

from backends.contract import ACCEPT_PAUSE_S, OUT_OF_DESCRIPTORS, Server, report_session_failure
from scenarios.session import Session

TRAITS = {
    "name": "curio",
    "family": "framework",
    "summary": "curio's sockets, a task per connection",
    "notify": True,
    "requires": ["curio"],
    "options": {"read_size": 65536},
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
    notified: list[Connection] = []
    while True:
        try:
            connection, _address = await listener.accept()
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS:
                await curio.sleep(ACCEPT_PAUSE_S)
            continue
        await curio.spawn(serve_one, connection, server, notified, daemon=True)


async def serve_one(connection: curio.io.Socket, server: Server, notified: list["Connection"]) -> None:
    """Serve one connection; whatever goes wrong ends it only."""
    try:
        async with connection:
            await Connection(connection, server.new_session(), notified).converse(server.read_size)
    except OSError:
        return  # the connection broke
    except Exception:
        report_session_failure()


class Connection:
    """One connection and its session. What the session sends unasked is sent by a task beside the one that reads.

    Only one task may send at a time. Whoever begins says so in `sending`, and looks for notifications afterwards; the
    lock is for replies beside what is sent unasked.
    """

    __slots__ = ("all_notified", "lock", "notified", "open", "reader", "sender", "sending", "session", "socket")

    def __init__(self, accepted: curio.io.Socket, session: Session, all_notified: list["Connection"]) -> None:
        self.socket = accepted
        self.session = session
        self.all_notified = all_notified
        self.lock = curio.Lock()
        self.notified = self.sending = False
        self.open = True
        self.reader: Any = None
        self.sender: Any = None

    def notify(self) -> None:
        """Have the session woken, after what is being sent."""
        self.notified = True
        if self.open and not self.sending:
            self.sending = True
            self.all_notified.append(self)

    async def send_unasked(self) -> None:
        """Wake the session again and again, each time after its peer has read enough, until nobody asks for it."""
        try:
            while self.notified:
                self.notified = False
                async with self.lock:
                    if self.open:
                        data = self.session.wake()
                        await start_senders(self.all_notified)
                        await self.socket.sendall(data)
            self.sending = False
        except OSError:
            return  # the connection broke, as the other task hears too
        except Exception:
            report_session_failure()
            await self.reader.cancel(blocking=False)

    async def converse(self, read_size: int) -> None:
        """Carry the session until its peer has finished and everything owed is sent."""
        session, connection, all_notified = self.session, self.socket, self.all_notified
        ended = False
        self.reader = await curio.current_task()
        session.opened(self.notify)
        try:
            while not ended or session.wake_at is not None:
                data = None
                if session.wake_at is None:
                    data = await connection.recv(read_size)
                elif (remaining_s := session.wake_at - time.monotonic()) > 0:
                    waiting = curio.sleep(2 * remaining_s) if ended else connection.recv(read_size)
                    data = await curio.ignore_after(remaining_s, waiting)
                if data is None:
                    reply = session.wake()
                else:
                    ended = not data
                    reply = session.receive(data) if data else session.eof()
                if all_notified or self.sending:
                    await start_senders(all_notified)
                    if reply:
                        async with self.lock:
                            await connection.sendall(reply)
                    await curio.sleep(0)  # let them begin: recv does not wait while there is more to read
                elif reply:
                    self.sending = True
                    await connection.sendall(reply)
                    self.sending = False
                    if self.notified:
                        self.notify()
                        await start_senders(all_notified)
            if self.sending:
                async with self.lock:  # after what is being sent
                    self.open = False
        finally:
            self.open = False
            session.closed()
            await start_senders(self.all_notified)
            if self.sender is not None:
                await self.sender.cancel()


async def start_senders(notified: list[Connection]) -> None:
    """Start the tasks of those that have been notified; notify() cannot, as a session's methods await nothing."""
    while notified:
        connection = notified.pop()
        connection.sender = await curio.spawn(connection.send_unasked, daemon=True)
