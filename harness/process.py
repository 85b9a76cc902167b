"""Children of a run: starts servers and generators pinned, hands them their sockets, stops them, leaves nothing behind.

Every child is told to stop by the end of its control socket, which also comes when this process dies, however it dies.
Children run in sessions of their own, so Ctrl-C reaches only this process; what does not stop in time is killed.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from backends.contract import BACKLOG, Option
from backends.find import Backend
from harness.certificate import make_certificate
from harness.loadgen.spec import UNIX, ConnectResult, LoadSpec, TrialResult
from harness.programs import probe_program
from scenarios.conditions import Conditions

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 3.0
REPLY_MARGIN_S = 5.0
LOG_TAIL_BYTES = 2000

NONE = Conditions()


class ChildFailedError(Exception):
    """A child died, hung or gave up.

    Attributes:
        kind: "crashed" or "timed out", as in a verdict.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Child:
    """A Python process with a control socket and a log.

    Attributes:
        name: What it is called in messages.
        pid: Its process number.
        log: The file that its output goes to.
    """

    def __init__(
        self,
        name: str,
        call: str,
        log: Path,
        *,
        python: str,
        cpus: Collection[int],
        pass_fds: tuple[int, ...] = (),
        root: Path = ROOT,
    ) -> None:
        """Start a process that calls a function of ours.

        Args:
            name: What it is called in messages.
            call: Dotted name of the function; it is called with `pass_fds` and the control socket's descriptor.
            log: Where its standard output and error go; appended to.
            python: The interpreter.
            cpus: CPUs it may run on; empty means all.
            pass_fds: Descriptors it inherits besides.
            root: Folder of the packages that it imports.
        """
        module, function = call.rsplit(".", 1)
        self.name = name
        self.log = log
        self._control, theirs = socket.socketpair()
        self._unread = b""
        self._stopped = False
        fds = (*pass_fds, theirs.fileno())
        # -I: neither the user's site, nor PYTHONPATH, nor a folder `backends` in the current folder can get in the way.
        code = f"import sys; sys.path.insert(0, {str(root)!r}); from {module} import {function}; {function}{fds}"
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                [python, "-I", "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=fds,
                start_new_session=True,
            )
        self.pid = self._process.pid
        if cpus and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self.pid, cpus)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def log_tail(self) -> str:
        """Return the end of its output, or an empty text."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
                return file.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send one line; a child that is gone is noticed by the next `hear`."""
        try:
            self._control.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return

    def hear(self, timeout_s: float) -> dict[str, Any]:
        """Return the next line.

        Raises:
            ChildFailedError: None came in time, the child died, or it says that it failed.
        """
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._unread:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise ChildFailedError("timed out", f"{self.name} gave no answer within {timeout_s:.0f} s")
            self._control.settimeout(remaining)
            try:
                data = self._control.recv(1 << 20)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            if not data:
                raise ChildFailedError("crashed", self.last_words())
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        if "failed" in message:
            raise ChildFailedError("crashed", f"{self.name} failed: {message['failed']}")
        return message

    def last_words(self) -> str:
        """Return how a process that is gone ended, with the last line of its output."""
        try:
            status = self._process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return f"{self.name} closed its control socket"
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        lines = self.log_tail().splitlines()
        return f"{self.name} {how}" + (f": {lines[-1]}" if lines else "")

    def pause(self) -> None:
        """Halt it and all it started (SIGSTOP), so that it uses no CPU."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """Tell it to stop, kill it and all it started if it does not; return whether it stopped by itself."""
        if self._stopped:
            return True  # its number may be another's by now
        self._stopped = True
        self.resume()
        self._control.close()
        try:
            self._process.wait(timeout=timeout_s)
            by_itself = True
        except subprocess.TimeoutExpired:
            by_itself = False
        self._signal(signal.SIGKILL)  # what of the group is left
        self._process.wait()
        return by_itself

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class ServerProcess(Child):
    """A running backend.

    Attributes:
        address: Host and port it listens on, as a `LoadSpec` has them.
        authority: Whom to trust to know it by its certificate, likewise; empty where it does not speak TLS.
    """

    authority = ""

    def __init__(
        self,
        backend: Backend,
        exchange: str,
        log: Path,
        *,
        cpus: Collection[int] = (),
        python: str = sys.executable,
        conditions: Conditions = NONE,
        root: Path = ROOT,
        workers: int = 1,
        options: Mapping[str, Option] | None = None,
        sndbuf: int | None = None,
        transport: str = "tcp",
    ) -> None:
        """Start it on a free port of the loopback interface, or name for a Unix socket, and wait until it serves.

        Args:
            backend: Which one.
            exchange: Name of the exchange, or path of its file.
            log: Where its output goes.
            cpus: CPUs it may run on; empty means all.
            python: The interpreter.
            conditions: What its sessions have to put up with.
            root: Folder of the packages `backends` and `scenarios`.
            workers: Processes that share the port (SO_REUSEPORT); the kernel deals the connections out among them.
            options: Settings in place of those it declares.
            sndbuf: SO_SNDBUF of the listener in bytes, which accepted sockets inherit; None leaves the system's.
            transport: What it serves: "tcp", "tls", or "unix" with one worker.

        Raises:
            ChildFailedError: It died or hung on the way.
        """
        settings = {**backend.traits.options, **(options or {})}
        backlog = int(settings["backlog"])
        with ExitStack() as ours:
            if transport == "unix":
                listeners = [ours.enter_context(listen_locally(backlog))]
                self.address: tuple[str, int] = (f"{UNIX}@{listeners[0].getsockname()[1:].decode()}", 0)
            else:
                listeners = [ours.enter_context(listen(backlog, sndbuf, shared=workers > 1))]
                self.address = listeners[0].getsockname()
            port = self.address[1]
            listeners += [ours.enter_context(listen(backlog, sndbuf, port, shared=True)) for _ in range(workers - 1)]
            super().__init__(
                f"backend {backend.traits.name}",
                "backends.serve.main",
                log,
                python=python,
                cpus=cpus,
                root=root,
                pass_fds=tuple(listener.fileno() for listener in listeners),
            )
        order = {
            "file": str(backend.file),
            "exchange": exchange,
            "conditions": asdict(conditions),
            "options": settings,
        }
        if transport == "tls":
            self.authority, order["certificate"] = make_certificate(self.address[0])
        try:
            self.tell(order)
            for _ in range(workers):
                self.hear(START_TIMEOUT_S)
        except BaseException:
            self.stop(timeout_s=0)
            raise


class GeneratorProcess(Child):
    """A running load generator."""

    def __init__(self, spec: LoadSpec, engine: str, log: Path, *, cpus: Collection[int] = ()) -> None:
        """Start it; it connects when told to.

        Args:
            spec: The load.
            engine: "native" or "portable".
            log: Where its output goes.
            cpus: CPUs it may run on; empty means all.
        """
        super().__init__("the generator", "harness.loadgen.__main__.main", log, python=sys.executable, cpus=cpus)
        self._grace_s = spec.grace_s
        self.tell({"spec": spec.to_json(), "engine": engine})

    def connect(self) -> ConnectResult:
        """Open all connections and verify one reply on each.

        Raises:
            ChildFailedError: It died or hung.
        """
        self.tell({"command": "connect"})
        return ConnectResult(**self.hear(START_TIMEOUT_S + 2 * self._grace_s))

    def trial(self, duration_s: float) -> TrialResult:
        """Load the server for `duration_s` seconds.

        Raises:
            ChildFailedError: It died or hung.
        """
        self.tell({"command": "trial", "duration_s": duration_s})
        return TrialResult.from_json(self.hear(duration_s + 2 * self._grace_s + REPLY_MARGIN_S)["result"])


def listen(backlog: int = BACKLOG, sndbuf: int | None = None, port: int = 0, shared: bool = False) -> socket.socket:
    """Return a non-blocking listener on the loopback interface.

    Accepted sockets inherit its options on Linux, so every backend has the same: TCP_NODELAY, because a reply must not
    wait for the acknowledgement of the one before (Nagle's algorithm, RFC 896), and the send buffer if one is given.

    Args:
        backlog: Connections that may wait to be accepted (listen(2)).
        sndbuf: SO_SNDBUF in bytes; None leaves the system's.
        port: The port; 0 takes a free one.
        shared: Whether other listeners may have the same port.
    """
    listener = socket.create_server(("127.0.0.1", port), backlog=backlog, reuse_port=shared)
    listener.setblocking(False)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sndbuf is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
    return listener


def listen_locally(backlog: int) -> socket.socket:
    """Return a non-blocking listener under a free abstract name, which leaves no file behind (unix(7), autobind)."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")
    listener.listen(backlog)
    listener.setblocking(False)
    return listener


class Probed(NamedTuple):
    """What an interpreter says of a backend.

    Attributes:
        unavailable: Why it cannot run there, or empty.
        packages: Versions of its packages by distribution name.
        interpreter: Such as "CPython 3.11.7", or an external server's version; empty where it could not be asked.
    """

    unavailable: str
    packages: dict[str, str]
    interpreter: str


def probe_backends(
    backends: Mapping[str, Backend], python: str = sys.executable, root: Path = ROOT
) -> dict[str, Probed]:
    """Ask an interpreter which backends it can run, and the machine which external servers.

    A backend that kills or hangs the process on import is blamed, and the rest is asked again.

    Args:
        backends: By name.
        python: The interpreter.
        root: Folder of the packages `backends` and `scenarios`.

    Returns:
        What it says, by name.
    """
    results: dict[str, Probed] = {}
    waiting = {
        name: {"file": str(each.file), "requires": each.traits.requires, "platforms": each.traits.platforms}
        for name, each in backends.items()
        if each.program is None
    }
    for name, each in backends.items():
        if each.program is not None:
            reason, version = probe_program(each, each.program)
            results[name] = Probed(reason, {}, version)
    while waiting:
        call = "import sys; sys.path.insert(0, sys.argv[1]); from backends.probe import main; main()"
        try:
            child = subprocess.run(
                [python, "-I", "-c", call, str(root)],
                input=json.dumps(waiting).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=START_TIMEOUT_S,
                check=False,
            )
            output, how = child.stdout, "ends the interpreter when it is imported"
        except subprocess.TimeoutExpired as fault:
            output, how = fault.stdout or b"", f"takes more than {START_TIMEOUT_S:.0f} s to import"
        except OSError as fault:
            results |= {name: Probed(f"{python} cannot be started: {fault.strerror}", {}, "") for name in waiting}
            break
        for line in output.splitlines():
            answer = json.loads(line)
            # An earlier commit's probe does not name its interpreter.
            interpreter = answer.get("interpreter", "")
            results[answer["name"]] = Probed(answer["unavailable"], answer["packages"], interpreter)
        waiting = {name: entry for name, entry in waiting.items() if name not in results}
        if waiting:
            name = next(iter(waiting))
            results[name] = Probed(how, {}, "")
            del waiting[name]
    return {name: results[name] for name in backends}
