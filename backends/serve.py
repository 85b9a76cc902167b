"""The server's process: it is handed a listening socket and a control socket, and runs one backend.

    first line in     {"file": "/path/mux_epoll.py", "exchange": "echo", "conditions": {}, "options": {}}
    line out          {"serving": {"interpreter": "CPython 3.11.7"}}, or {"failed": "one line"} and status 1
    end of file       stop

Nothing is read from standard input or written to standard output, so a stray print of a backend harms nothing. Should
the parent die without closing anything, the kernel kills this process (PR_SET_PDEATHSIG).
"""

import ctypes
import importlib
import importlib.util
import json
import os
import platform
import signal
import socket
import sys
import traceback
from pathlib import Path
from types import ModuleType

from backends.contract import Server
from scenarios.conditions import Conditions, under
from scenarios.session import load_exchange

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends (Linux, PR_SET_PDEATHSIG in prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


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


def main(listener_fd: int, control_fd: int) -> None:
    """Run the backend that the control socket names until the control socket ends.

    Raises:
        SystemExit: The backend failed; the other end has been told in one line and the traceback is on standard error.
    """
    die_with_parent()
    control = socket.socket(fileno=control_fd)
    order = json.loads(read_line(control))
    try:
        module = load_backend(order["file"])
        server = Server(
            listener=socket.socket(fileno=listener_fd),
            new_session=under(Conditions(**order["conditions"]), load_exchange(order["exchange"]).new_session),
            stop_fd=control_fd,
            options=order["options"],
        )
        interpreter = f"{platform.python_implementation()} {platform.python_version()}"
        tell(control, {"serving": {"interpreter": interpreter}})
        module.serve(server)
    except Exception as fault:
        traceback.print_exc()
        tell(control, {"failed": f"{type(fault).__name__}: {fault}"})
        end(1)
    end(0)


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
