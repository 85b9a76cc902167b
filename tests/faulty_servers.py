"""Backends that go wrong in the ways a run must survive: each is the source of a file."""

from pathlib import Path

HEAD = """
import os, socket, sys, threading, time
TRAITS = {{"name": "{name}", "family": "blocking", "summary": "goes wrong"}}
LOCK = threading.Lock()

def serve(server):
    print("a stray line on standard output")
    while not server.stopped.is_set():
        try:
            connection, _ = server.listener.accept()
        except BlockingIOError:
            server.stopped.wait(0.01)
            continue
        connection.setblocking(True)
        threading.Thread(target=answer, args=(connection,), daemon=True).start()

def answer(connection):
    replies = 0
    while data := connection.recv(65536):
        replies += 1
        {body}
"""

BODIES = {
    "fine": "connection.sendall(data)",
    "dies": """if replies > 50:
            print("out of luck", file=sys.stderr, flush=True)
            os._exit(3)
        connection.sendall(data)""",
    "hangs": "replies > 50 and time.sleep(3600); connection.sendall(data)",
    "lies": "connection.sendall(data if replies < 50 else data[:-1] + bytes([data[-1] ^ 1]))",
    "lies-at-once": "connection.sendall(bytes(len(data)))",
    "limited": """with LOCK:
            time.sleep(0.001)
        connection.sendall(data)""",
    "resets": "replies > 50 and connection.close(); connection.sendall(data)",
}


def write_faulty_server(folder: Path, name: str) -> Path:
    """Write the backend of this name and return its file."""
    file = folder / f"{name}.py"
    file.write_text(HEAD.format(name=name, body=BODIES[name]))
    return file


def write_backend_that_raises(folder: Path) -> Path:
    """Write a backend whose serve() raises at once."""
    file = folder / "raises.py"
    file.write_text(
        'TRAITS = {"name": "raises", "family": "blocking", "summary": "s"}\n'
        'def serve(server):\n    raise RuntimeError("no such luck")\n'
    )
    return file
