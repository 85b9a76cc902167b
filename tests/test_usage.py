"""What a server uses includes what its children use, alive or ended."""

import subprocess
import sys
import time

import psutil
import pytest

from harness.usage import Snapshot, snapshot

ONE_CHILD = "import os\nif not os.fork():\n" + " import time\n while True: pass\nos.wait()"
ENDED_CHILD = "import os, time\nif not os.fork():\n while time.process_time() < 0.3: pass\n os._exit(0)\n"
ENDED_CHILD += "os.wait()\nprint(flush=True)\ntime.sleep(3600)"


def after(process: "subprocess.Popen[bytes]", cpu_s: float) -> Snapshot:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = snapshot(process.pid)
        assert found is not None
        if found.cpu_s >= cpu_s:
            return found
        time.sleep(0.02)
    pytest.fail(f"{cpu_s} s of CPU time were never counted")


def end(process: "subprocess.Popen[bytes]") -> None:
    for each in [*psutil.Process(process.pid).children(recursive=True), process]:
        each.kill()
    process.wait()


def test_a_child_that_works_is_counted() -> None:
    with subprocess.Popen([sys.executable, "-c", ONE_CHILD]) as parent:
        try:
            found = after(parent, 0.3)
            alone = psutil.Process(parent.pid).cpu_times()
            assert alone.user + alone.system < 0.3
            assert found.threads == 2
        finally:
            end(parent)


def test_a_child_that_has_ended_is_counted() -> None:
    with subprocess.Popen([sys.executable, "-c", ENDED_CHILD], stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            parent.stdout.readline()
            found = snapshot(parent.pid)
            assert found is not None
            assert found.cpu_s >= 0.29
            assert found.threads == 1
        finally:
            end(parent)


def test_memory_that_forked_processes_share_counts_once() -> None:
    code = "import os, time\nblock = os.urandom(50_000_000)\nfor _ in range(3):\n if not os.fork(): break\n"
    with subprocess.Popen([sys.executable, "-c", code + "print(flush=True)\ntime.sleep(3600)"], stdout=-1) as parent:
        try:
            assert parent.stdout is not None
            for _ in range(4):
                parent.stdout.readline()
            found = snapshot(parent.pid)
            assert found is not None
            assert 50_000_000 < found.rss_bytes < 120_000_000
        finally:
            end(parent)


def test_a_process_that_is_gone_has_no_usage() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert snapshot(gone.pid) is None
