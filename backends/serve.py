"""The server's process: it is handed listening sockets and a control socket, and runs one backend.

For each further listener it forks a worker; their sockets share one port (SO_REUSEPORT in socket(7)), so the kernel
deals the connections out among them.

    first line in     {"file": "/path/mux_epoll.py", "exchange": "echo", "conditions": {}, "options": {}, and with TLS
                      "certificate": "private key and certificate as PEM text"}
    lines out         one of each worker: {"serving": true}, or {"failed": "one line"} and status 1
    end of file       stop

Nothing is read from standard input or written to standard output, so a stray print of a backend harms nothing. Should
the parent die without closing anything, the kernel kills this process (PR_SET_PDEATHSIG).
"""

import ctypes
import importlib
import importlib.util
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from backends.contract import Server, Traits
from scenarios.conditions import Conditions, under
from scenarios.session import load_exchange

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when the thread that started it ends (Linux, PR_SET_PDEATHSIG in prctl(2)).

    Args:
        parent: Process number of who forked this one; should it have died before the kernel was told, end at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def load_backend(file: str) -> ModuleType:
    """Import the backend in this file: a built-in one under its own name, any other under its file's."""
    path = Path(file).resolve()
    root = Path(__file__).resolve().parent.parent
    if path.is_relative_to(root / "backends"):
        return importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
    location = importlib.util.spec_from_file_location(f"backend_{path.stem}", path)
    if location is None or location.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(location)
    sys.modules[location.name] = module
    location.loader.exec_module(module)
    return module


def main(*fds: int) -> None:
    """Run the backend that the control socket names until the control socket ends.

    Args:
        fds: Descriptors of the listeners, one a worker, and last that of the control socket.

    Raises:
        SystemExit: The backend failed; the other end has been told in one line and the traceback is on standard error.
    """
    die_with_parent()
    control_fd = fds[-1]
    control = socket.socket(fileno=control_fd)
    order = json.loads(read_line(control))
    listener_fd = become_worker(fds[:-1])
    try:
        module = load_backend(order["file"])
        listener = socket.socket(fileno=listener_fd)
        listener.setblocking(False)  # it is already, but the object must know: its duplicates take over its timeout
        new_session = under(Conditions(**order["conditions"]), load_exchange(order["exchange"]).new_session)
        if "certificate" in order:
            from scenarios.tls import over_tls, server_context  # OpenSSL is large: others do without

            new_session = over_tls(server_context(order["certificate"]), new_session)
        server = Server(
            listener=listener,
            new_session=new_session,
            stop_fd=control_fd,
            options={**Traits.parse(module.TRAITS).options, **order["options"]},
        )
        tell(control, {"serving": True})
        module.serve(server)
    except Exception as fault:
        traceback.print_exc()
        tell(control, {"failed": f"{type(fault).__name__}: {fault}"})
        end(1)
    end(0)


def become_worker(listener_fds: Sequence[int]) -> int:
    """Fork until each listener has a process of its own; return this one's and close the others.

    A listener left open in another process would go on taking its share of connections after its worker died.
    """
    mine, parent = listener_fds[0], os.getpid()
    for fd in listener_fds[1:]:
        if os.fork() == 0:
            die_with_parent(parent)
            mine = fd
            break
    for fd in listener_fds:
        if fd != mine:
            os.close(fd)
    return mine


def end(status: int) -> None:
    """End at once: threads that a backend left behind have no say in it."""
    sys.stderr.flush()
    os._exit(status)


def read_line(control: socket.socket) -> bytes:
    """Return the first line, reading not a byte more: what follows is the backend's to see (end of file means stop)."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = control.recv(1)
        if not byte:
            end(0)
        line += byte
    return bytes(line)


def tell(control: socket.socket, message: dict[str, object]) -> None:
    """Send one line; nobody may be left to read it."""
    try:
        control.sendall(json.dumps(message).encode() + b"\n")
    except OSError:
        end(1)
