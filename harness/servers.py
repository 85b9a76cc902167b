"""Servers of every kind, started the same way: backends in Python, and external programs."""

import random
import socket
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import psutil

from backends.find import Backend
from backends.program import Program
from harness import process as processes
from harness.process import Child, ChildFailedError, ServerProcess
from harness.programs import HOST, ProgramError, filled

PORTS = range(10_000, 32_768)
"""Below the ports that systems give to outgoing connections, so that none of these takes it before the server does."""

ACCEPT_POLL_S = 0.01
END_LINES = 3
END_CHARACTERS = 400


class ProgramProcess(ServerProcess):
    """A running external server, and the keeper that ends it.

    Attributes:
        pid: The server's process number; the keeper is not measured.
    """

    def __init__(self, backend: Backend, program: Program, log: Path, *, cpus: Collection[int] = ()) -> None:
        """Start it on a free port of the loopback interface and wait until it accepts connections there.

        Args:
            backend: Which one.
            program: How it is started.
            log: Where its output goes, of which a bounded part is kept.
            cpus: CPUs it may run on; empty means all.

        Raises:
            ChildFailedError: It cannot be started, ended, or does not listen where it was told to; with the end of its
                output.
        """
        name = f"backend {backend.traits.name}"
        self.address = (HOST, free_port())
        try:
            command = filled(program.command, backend, program, self.address[1])
        except ProgramError as fault:
            raise ChildFailedError("crashed", str(fault)) from None
        Child.__init__(self, name, "harness.keeper.main", log, python=sys.executable, cpus=cpus)
        try:
            self.tell({"command": command, "folder": str(backend.file.parent)})
            self.pid = self.hear(processes.START_TIMEOUT_S)["started"]
            self._wait_until_it_listens()
        except ChildFailedError as fault:
            self.stop()
            raise ChildFailedError(fault.kind, f"{fault}; {self._end_of_output()}") from None
        except BaseException:
            self.stop(timeout_s=0)
            raise

    def stop(self, timeout_s: float = processes.STOP_TIMEOUT_S) -> bool:
        """Have the keeper end it; the keeper is given its time, because it knows of what left the process group."""
        return super().stop(max(timeout_s, processes.STOP_TIMEOUT_S))

    def _wait_until_it_listens(self) -> None:
        timeout_s = processes.START_TIMEOUT_S
        deadline = time.monotonic() + timeout_s
        while self.alive:
            try:
                socket.create_connection(self.address, timeout_s).close()
            except OSError:
                if time.monotonic() > deadline:
                    where = f"{self.address[0]}:{self.address[1]}"
                    raise ChildFailedError(
                        "timed out", f"{self.name} does not listen on {where} after {timeout_s:g} s{self._elsewhere()}"
                    ) from None
                time.sleep(ACCEPT_POLL_S)
            else:
                return
        raise ChildFailedError("crashed", self.last_words())

    def _elsewhere(self) -> str:
        """Return where it listens instead, in words, or an empty text."""
        try:
            family = [self.pid, *(child.pid for child in psutil.Process(self.pid).children(recursive=True))]
            found = [
                each.laddr
                for each in psutil.net_connections("tcp")
                if each.pid in family and each.status == psutil.CONN_LISTEN and each.laddr
            ]
        except psutil.Error:
            return ""
        places = sorted({f"{host}:{port}" for host, port in found})
        return f" but on {', '.join(places)}" if places else ""

    def _end_of_output(self) -> str:
        end = " | ".join(self.log_tail().splitlines()[-END_LINES:])[-END_CHARACTERS:]
        return f"the end of its output: {end}" if end else "it printed nothing"


def start_server(backend: Backend, exchange: str, log: Path, **settings: Any) -> ServerProcess:  # noqa: ANN401
    """Start a backend of either kind on a free port of the loopback interface and wait until it serves.

    Args:
        backend: Which one.
        exchange: Name of the exchange, or path of its file.
        log: Where its output goes.
        settings: Those of `ServerProcess`; of an external server only `cpus` counts.

    Raises:
        ChildFailedError: It died or hung on the way.
    """
    if backend.program is None:
        return ServerProcess(backend, exchange, log, **settings)
    return ProgramProcess(backend, backend.program, log, cpus=settings.get("cpus", ()))


def free_port() -> int:
    """Return a port of the loopback interface on which nobody listens.

    Raises:
        ChildFailedError: There is none.
    """
    for port in random.sample(PORTS, len(PORTS)):
        try:
            socket.create_server((HOST, port)).close()
        except OSError:
            continue
        return port
    raise ChildFailedError("crashed", f"no port from {PORTS[0]} to {PORTS[-1]} is free on {HOST}")
