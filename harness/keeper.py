"""The keeper's process: it starts one external server, bounds its log, and ends with it all that it started.

    first line in     {"command": ["./server", "--port", "21000"], "folder": "/where/it/runs"}
    line out          {"started": 1234}, its process number, or {"failed": "one line"} and status 1
    end of file       the server is told to end (SIGTERM) and killed if it does not

The keeper ends as the server did: with its status, or by the same signal. The end of file comes however the harness
ends, and should the keeper itself be killed, the kernel kills the server (PR_SET_PDEATHSIG). What the server started
and left behind becomes a child of the keeper (PR_SET_CHILD_SUBREAPER in prctl(2)), so it is found and killed too.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

LOG_HEAD_BYTES = 256 * 1024
"""So much of the server's output goes to the log as it comes."""

LOG_TAIL_BYTES = 16 * 1024
"""So much of the end is kept of what comes after, and written when the server has ended."""

END_TIMEOUT_S = 1.0


def main(control_fd: int) -> None:
    """Start the server that the control socket names, and stay until it has ended or the control socket has.

    Raises:
        SystemExit: Nothing could be started; the other end has been told in one line.
    """
    control = socket.socket(fileno=control_fd)
    first = control.makefile("rb").readline()
    if not first:
        return
    order = json.loads(first)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        server = subprocess.Popen(
            order["command"],
            cwd=order["folder"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            preexec_fn=die_with_keeper,
        )
    except OSError as fault:
        control.sendall(json.dumps({"failed": f"{order['command'][0]}: {fault.strerror}"}).encode() + b"\n")
        sys.exit(1)
    assert server.stdout is not None
    log = threading.Thread(target=copy_bounded, args=(server.stdout.fileno(), 1), daemon=True)
    log.start()
    threading.Thread(target=end_with, args=(control, server), daemon=True).start()
    with contextlib.suppress(OSError):
        control.sendall(json.dumps({"started": server.pid}).encode() + b"\n")
    status = server.wait()
    kill_descendants()
    log.join(END_TIMEOUT_S)
    end_like(status)


def die_with_keeper() -> None:
    """Have the kernel kill this process when the keeper ends, however it does (PR_SET_PDEATHSIG in prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with(control: socket.socket, server: "subprocess.Popen[bytes]") -> None:
    """Wait for the control socket's end, then end the server."""
    with contextlib.suppress(OSError):
        while control.recv(4096):
            pass
    server.terminate()
    try:
        server.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()


def copy_bounded(source: int, target: int) -> None:
    """Copy from one descriptor to another until the end: the first bytes, and of the rest only the last.

    Reading goes on in between, so a server that prints without end neither fills the disk nor stops for a full pipe.
    """
    copied = left_out = 0
    tail = b""
    while data := os.read(source, 64 * 1024):
        head = data[: LOG_HEAD_BYTES - copied]
        os.write(target, head)
        copied += len(head)
        tail += data[len(head) :]
        if len(tail) > LOG_TAIL_BYTES:
            left_out += len(tail) - LOG_TAIL_BYTES
            tail = tail[-LOG_TAIL_BYTES:]
    if left_out:
        os.write(target, b"\n[%d bytes left out]\n" % left_out)
    os.write(target, tail)


def kill_descendants() -> None:
    """Kill what the server has left behind, and reap it."""
    while left := psutil.Process().children(recursive=True):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=END_TIMEOUT_S)


def end_like(status: int) -> None:
    """End with this status of a child, or by the signal that ended it, without a core file of the keeper's own."""
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # SIGKILL and SIGSTOP have no handler to reset
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(max(status, 0))
