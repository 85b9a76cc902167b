"""Children are started, probed and stopped so that nothing of them stays."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from backends.find import Backend, find_backends, read_backend
from harness.process import ChildFailedError, ServerProcess, probe_backends
from harness.usage import snapshot
from tests.faulty_servers import write_backend_that_raises, write_faulty_server

STUBBORN = """
import subprocess, sys, time
TRAITS = {"name": "stubborn", "family": "blocking", "summary": "s"}
def serve(server):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    print(child.pid, file=sys.stderr, flush=True)
    while True:
        time.sleep(3600)
"""


def backend(folder: Path, source: str) -> Backend:
    file = folder / "mine.py"
    file.write_text(source)
    return read_backend(file)


def with_import(line: str) -> str:
    return f'{line}\nTRAITS = {{"name": "mine", "family": "blocking", "summary": "s"}}\ndef serve(server): ...\n'


def test_a_server_stops_by_itself_when_told(tmp_path: Path) -> None:
    with ServerProcess(find_backends()["epoll"], "echo", tmp_path / "log") as server:
        assert server.alive
        assert server.stop(timeout_s=30)
        assert not server.alive


def test_what_does_not_stop_is_killed_with_all_it_started(tmp_path: Path) -> None:
    with ServerProcess(backend(tmp_path, STUBBORN), "echo", tmp_path / "log") as server:
        while not server.log_tail():
            time.sleep(0.01)
        grandchild = psutil.Process(int(server.log_tail()))
        assert not server.stop(timeout_s=0.1)
        psutil.wait_procs([grandchild], timeout=30)
        assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


def test_a_server_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    broken = backend(tmp_path, with_import("import no_such_module"))
    with pytest.raises(ChildFailedError, match="no_such_module"):
        ServerProcess(broken, "echo", tmp_path / "log")


def test_a_server_that_raises_leaves_its_traceback_in_the_log(tmp_path: Path) -> None:
    with ServerProcess(read_backend(write_backend_that_raises(tmp_path)), "echo", tmp_path / "log") as server:
        with pytest.raises(ChildFailedError, match="no such luck"):
            server.hear(30)
        assert "Traceback" in server.log_tail()


def test_an_exchange_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChildFailedError, match="no exchange is called 'ecco'"):
        ServerProcess(find_backends()["epoll"], "ecco", tmp_path / "log")


def test_the_probe_names_what_is_missing_and_survives_what_crashes(tmp_path: Path) -> None:
    sources = {
        "missing": with_import("import no_such_module"),
        "crashes": with_import("import os; os._exit(1)"),
        "raises": with_import("1 / 0"),
        "prints": with_import("print('hello')"),
        "fine": with_import(""),
    }
    found = {}
    for name, source in sources.items():
        (tmp_path / name).mkdir()
        found[name] = backend(tmp_path / name, source)
    reasons = {name: reason for name, (reason, *_) in probe_backends(found).items()}
    assert "no_such_module" in reasons["missing"]
    assert "ends the interpreter" in reasons["crashes"]
    assert "ZeroDivisionError" in reasons["raises"]
    assert reasons["prints"] == reasons["fine"] == ""


def test_an_interpreter_that_is_none_makes_all_unavailable(tmp_path: Path) -> None:
    ((reason, *_),) = probe_backends({"epoll": find_backends()["epoll"]}, str(tmp_path / "python")).values()
    assert "cannot be started" in reason


def test_usage_counts_cpu_time_of_the_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as spinning:
        try:
            before = snapshot(spinning.pid)
            assert before is not None
            deadline = time.monotonic() + 60
            cpu_s = 0.0
            while cpu_s < 0.2 and time.monotonic() < deadline:
                time.sleep(0.05)
                now = snapshot(spinning.pid)
                assert now is not None
                cpu_s = now.cpu_s - before.cpu_s
            assert 0.2 <= cpu_s < 60
            assert before.rss_bytes > 0
            assert before.threads == 1
        finally:
            spinning.kill()
    assert snapshot(spinning.pid) is None


def test_a_fine_server_of_a_file_serves(tmp_path: Path) -> None:
    with (
        ServerProcess(read_backend(write_faulty_server(tmp_path, "fine")), "echo", tmp_path / "log") as server,
        socket.create_connection(server.address, timeout=30) as peer,
    ):
        peer.sendall(b"hello")
        assert peer.recv(100) == b"hello"
        assert os.getpgid(server.pid) == server.pid


NAMES_ITSELF = """
import os
TRAITS = {"name": "mine", "family": "blocking", "summary": "s", "options": {"greeting": "hello", "times": 1}}
def serve(server):
    server.listener.setblocking(True)
    while True:
        connection, _ = server.listener.accept()
        words = server.options["greeting"] * server.options["times"]
        connection.sendall(f"{words} {os.getpid()}".encode())
        connection.close()
"""


def test_workers_share_the_port_and_end_with_the_server(tmp_path: Path) -> None:
    pids = set()
    options = {"times": 2}
    with ServerProcess(backend(tmp_path, NAMES_ITSELF), "echo", tmp_path / "log", workers=3, options=options) as server:
        deadline = time.monotonic() + 60
        while len(pids) < 3 and time.monotonic() < deadline:
            with socket.create_connection(server.address, timeout=30) as peer:
                words, pid = peer.makefile().read().split()
            assert words == "hellohello"
            pids.add(int(pid))
        assert len(pids) == 3
        workers = [psutil.Process(pid) for pid in pids]
    _gone, alive = psutil.wait_procs(workers, timeout=30)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("name", ["fork", "prefork"])
def test_the_processes_of_a_server_end_with_it_even_by_kill(name: str, tmp_path: Path) -> None:
    with (
        ServerProcess(find_backends()[name], "echo", tmp_path / "log") as server,
        socket.create_connection(server.address, timeout=30) as peer,
    ):
        peer.sendall(b"hello")
        assert peer.recv(100) == b"hello"
        children = psutil.Process(server.pid).children(recursive=True)
        assert children
        os.kill(server.pid, signal.SIGKILL)
        _gone, alive = psutil.wait_procs(children, timeout=30)
        assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def test_a_server_that_spins_is_halted_and_goes_on_and_stops(tmp_path: Path) -> None:
    with ServerProcess(find_backends()["spin"], "echo", tmp_path / "log") as server:
        server.pause()
        process = psutil.Process(server.pid)
        deadline = time.monotonic() + 30
        while process.status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.status() == psutil.STATUS_STOPPED
        server.resume()
        with socket.create_connection(server.address, timeout=30) as peer:
            peer.sendall(b"hello")
            assert peer.recv(100) == b"hello"
        server.pause()
        assert server.stop(timeout_s=30)
