"""External servers that go wrong in the ways a run must survive, and one that does not: each a script and its TOML."""

import sys
from pathlib import Path

SCRIPTS = {
    "fine": """
import socket, sys, threading
print("listening", flush=True)
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
def echo(connection):
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)
while True:
    threading.Thread(target=echo, args=listener.accept()[:1], daemon=True).start()
""",
    "exits": "import sys; print('some words'); print('bad luck'); sys.exit(7)",
    "crashes": "import os; os.kill(os.getpid(), 11)",
    "never-listens": "import time; print('patience', flush=True); time.sleep(3600)",
    "prints-forever": "while True: print('and on ' * 1000, flush=True)",
    "listens-elsewhere": """
import socket, sys, time
listener = socket.create_server((sys.argv[1], 0))
print("up", flush=True)
time.sleep(3600)
""",
    "says-nothing": "import time; time.sleep(3600)",
    "lies": """
import socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    connection, _ = listener.accept()
    while data := connection.recv(65536):
        connection.sendall(bytes(len(data)))
""",
    "hoards": """
import collections, socket, sys, threading
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
def take(connection, replies, more):
    while data := connection.recv(65536):
        replies.append(data)
        more.release()
    connection.close()
def give(connection, replies, more):
    while more.acquire():
        connection.sendall(replies.popleft())
while True:
    both = listener.accept()[0], collections.deque(), threading.Semaphore(0)
    for work in take, give:
        threading.Thread(target=work, args=both, daemon=True).start()
""",
    "leaves-daemons": """
import os, subprocess, sys, time, socket, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleeper = [sys.executable, "-c", "import time; time.sleep(3600)"]
child = subprocess.Popen(sleeper)
if os.fork() == 0:
    os.setsid()
    orphan = subprocess.Popen(sleeper, start_new_session=True)
    print(child.pid, orphan.pid, flush=True)
    os._exit(0)
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    listener.accept()
""",
}


def write_external_server(folder: Path, name: str, **keys: str) -> Path:
    """Write the server of this name, and return the TOML file that describes it, with these further keys."""
    (folder / f"{name}.py").write_text(SCRIPTS[name])
    file = folder / f"{name}.toml"
    lines = [f'name = "{name}"', 'summary = "s"', f"command = '{sys.executable} {name}.py {{host}} {{port}}'"]
    file.write_text("\n".join(lines + [f"{key} = {value}" for key, value in keys.items()]))
    return file
