"""External servers are started, watched and ended so that nothing of them stays, however they or the harness end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from backends.find import read_backend
from harness import process
from harness.keeper import LOG_HEAD_BYTES, LOG_TAIL_BYTES
from harness.process import ChildFailedError, ServerProcess
from harness.servers import PORTS, start_server
from tests.external_servers import write_external_server

DEADLINE_S = 30.0


def start(folder: Path, name: str, cpus: frozenset[int] = frozenset()) -> ServerProcess:
    return start_server(read_backend(write_external_server(folder, name)), "echo", folder / "log", cpus=cpus)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_server_that_listens_is_ready_and_echoes(tmp_path: Path) -> None:
    with start(tmp_path, "fine") as server:
        assert server.address[1] in PORTS
        with socket.create_connection(server.address, timeout=DEADLINE_S) as peer:
            peer.sendall(b"hello")
            assert peer.recv(100) == b"hello"
    wait_for(lambda: ended(server.pid))


def test_what_is_measured_is_the_server_and_not_its_keeper(tmp_path: Path) -> None:
    with start(tmp_path, "fine") as server:
        assert "fine.py" in psutil.Process(server.pid).cmdline()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins no process")
def test_the_server_runs_on_the_cpus_it_is_given(tmp_path: Path) -> None:
    cpu = max(os.sched_getaffinity(0))
    with start(tmp_path, "fine", frozenset({cpu})) as server:
        assert os.sched_getaffinity(server.pid) == {cpu}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("exits", "ended with status 7: bad luck; the end of its output: some words | bad luck"),
        ("crashes", "was killed by SIGSEGV; it printed nothing"),
        ("never-listens", "does not listen on 127.0.0.1:.* after 1 s; the end of its output: patience"),
        ("says-nothing", "does not listen on 127.0.0.1:.* after 1 s; it printed nothing"),
        ("listens-elsewhere", r"does not listen on .* but on 127.0.0.1:\d+; the end of its output: up"),
        ("prints-forever", "does not listen on .*; the end of its output: .*and on and on"),
    ],
)
def test_a_server_that_does_not_serve_is_refused_with_the_end_of_its_output(
    tmp_path: Path, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name not in {"exits", "crashes"}:  # these must not be waited for in vain
        monkeypatch.setattr(process, "START_TIMEOUT_S", 1.0)
    with pytest.raises(ChildFailedError, match=f"backend {name} {words}"):
        start(tmp_path, name)
    assert (tmp_path / "log").stat().st_size <= LOG_HEAD_BYTES + LOG_TAIL_BYTES + 100


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nsummary = "s"\ncommand = "./server {port}"\n')
    with pytest.raises(ChildFailedError, match=r"\./server: No such file"):
        start_server(read_backend(file), "echo", tmp_path / "log")


def daemons(log: Path) -> list[int]:
    """Return the processes that the server "leaves-daemons" has started."""
    wait_for(lambda: log.read_text().endswith("\n"))
    return [int(number) for number in log.read_text().split()]


def test_all_that_a_server_has_started_ends_with_it_even_what_left_its_session(tmp_path: Path) -> None:
    with start(tmp_path, "leaves-daemons") as server:
        left = [server.pid, *daemons(tmp_path / "log")]
        assert len(left) == 3
        assert not any(map(ended, left))
    for pid in left:
        wait_for(lambda pid=pid: ended(pid))


def test_a_server_that_is_killed_while_it_serves_says_so(tmp_path: Path) -> None:
    with start(tmp_path, "fine") as server:
        os.kill(server.pid, signal.SIGKILL)
        wait_for(lambda: not server.alive)
        assert "was killed by SIGKILL: listening" in server.last_words()


HARNESS = """
import json, sys, time
from pathlib import Path
from backends.find import read_backend
from harness.servers import start_server
server = start_server(read_backend(Path(sys.argv[1])), "echo", Path(sys.argv[2]))
print(json.dumps([server.pid, server._process.pid]), flush=True)
time.sleep(3600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG and PR_SET_CHILD_SUBREAPER")
@pytest.mark.parametrize("killed", ["harness", "keeper"])
def test_a_server_dies_with_the_harness_and_with_its_keeper(tmp_path: Path, killed: str) -> None:
    file = write_external_server(tmp_path, "leaves-daemons")
    with subprocess.Popen(
        [sys.executable, "-c", HARNESS, file, tmp_path / "log"], stdout=subprocess.PIPE, text=True
    ) as harness:
        assert harness.stdout is not None
        server, keeper = json.loads(harness.stdout.readline())
        left = [server, *daemons(tmp_path / "log")]
        try:
            os.kill(keeper if killed == "keeper" else harness.pid, signal.SIGKILL)
            wait_for(lambda: ended(server))
            if killed == "harness":
                for pid in [keeper, *left]:
                    wait_for(lambda pid=pid: ended(pid))
        finally:
            harness.kill()
            for pid in left:
                if not ended(pid):
                    os.kill(pid, signal.SIGKILL)
