"""The generator's process on its socket: commands in, results out, and nothing left when the socket ends."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from loadgen_peers import SIZE, Behaviour, assert_adds_up, echo, read_exactly

from harness.loadgen.histogram import decode
from harness.loadgen.spec import LoadSpec, TrialResult
from scenarios.exchanges.echo import conversation

ROOT = str(Path(__file__).parents[2])
START = "import sys; sys.path.insert(0, {root!r}); from harness.loadgen.__main__ import main; main({fd})"


class Process:
    """A generator process and the other end of its socket."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-I", "-c", START.format(root=ROOT, fd=theirs.fileno())]
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        self.control.settimeout(60)
        self.lines: IO[str] = self.control.makefile("r")

    def send(self, raw: object) -> None:
        self.control.sendall(json.dumps(raw).encode() + b"\n")

    def ask(self, raw: object) -> dict[str, Any]:
        self.send(raw)
        answer: dict[str, Any] = json.loads(self.lines.readline())
        return answer

    def end(self) -> None:
        self.lines.close()
        self.control.close()


@pytest.fixture
def process() -> Iterator[Process]:
    item = Process()
    yield item
    item.end()
    item.process.kill()
    item.process.communicate()


def spec(port: int) -> dict[str, Any]:
    talk = conversation(64)
    return LoadSpec("127.0.0.1", port, talk.request, talk.reply, connections=2, idle_connections=1).to_json()


Serve = Callable[[Behaviour], int]


def test_a_cell_is_connected_and_measured(serve: Serve, process: Process, engine_name: str) -> None:
    process.send({"spec": spec(serve(echo)), "engine": engine_name})
    opened = process.ask({"command": "connect"})
    assert decode(opened.pop("connection_time")).get_total_count() == 3
    assert opened == {"connected": 2, "idle": 1, "slow": 0, "errors": {}, "fault": ""}
    for _ in range(2):
        result = TrialResult.from_json(process.ask({"command": "trial", "duration_s": 0.1})["result"])
        assert_adds_up(result)
        assert result.engine == engine_name
        assert result.errors == {}
        assert result.replied > 0
    process.end()
    out, err = process.process.communicate(timeout=30)
    assert (process.process.returncode, out, err) == (0, b"", b"")


def test_the_process_ends_with_its_socket_in_mid_trial(serve: Serve, process: Process, engine_name: str) -> None:
    process.send({"spec": spec(serve(echo)), "engine": engine_name})
    process.ask({"command": "connect"})
    process.send({"command": "trial", "duration_s": 600})
    process.end()
    assert process.process.wait(30) == 0


def test_a_generator_that_was_held_up_says_so_and_hides_nothing(
    serve: Serve, process: Process, engine_name: str
) -> None:
    measuring = threading.Event()

    def note(connection: socket.socket, number: int) -> None:
        connection.sendall(read_exactly(connection, SIZE))
        first = read_exactly(connection, SIZE)
        measuring.set()
        connection.sendall(first)
        echo(connection, number)

    raw = {**spec(serve(note)), "connections": 60, "arrivals": {"process": "constant", "rate_rps": 100.0}}
    process.send({"spec": raw, "engine": engine_name})
    process.ask({"command": "connect"})
    process.send({"command": "trial", "duration_s": 0.5})
    assert measuring.wait(30)
    process.process.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    process.process.send_signal(signal.SIGCONT)
    result = TrialResult.from_json(json.loads(process.lines.readline())["result"])
    assert_adds_up(result)
    assert (result.due, result.errors) == (50, {})
    # Of those due in the first 200 of the 300 ms all are 100 ms late, though each found a free connection at once.
    for text in (result.slip, result.latency):
        assert decode(text).get_value_at_percentile(65) >= 100_000_000


def test_the_process_ends_when_it_is_never_told_anything(process: Process) -> None:
    process.end()
    assert process.process.wait(30) == 0


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ({"spec": spec(1), "engine": "steam"}, "no engine is called 'steam'"),
        ({"engine": "portable"}, "spec"),
        ({"spec": {**spec(1), "host": "nowhere.invalid"}, "engine": "portable"}, "nowhere.invalid"),
    ],
)
def test_a_failure_is_told_in_one_line(process: Process, first: dict[str, Any], words: str) -> None:
    assert words in process.ask(first)["failed"]
    assert process.process.wait(30) == 1


def test_an_unknown_command_is_told(serve: Serve, process: Process) -> None:
    process.send({"spec": spec(serve(echo)), "engine": "portable"})
    assert "unknown command 'sing'" in process.ask({"command": "sing"})["failed"]
    assert process.process.wait(30) == 1
