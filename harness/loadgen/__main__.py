"""The generator's process: commands come and results go as JSON lines on one inherited socket, never on stdout.

    first line in                                     {"spec": {...}, "engine": "native" | "portable"}
    {"command": "connect"}                            {"connected": 100, "idle": 0, "errors": {}, "fault": ""}
    {"command": "trial", "duration_s": 1.0}           {"result": {...}}
    end of file                                       the process ends at once, in a trial too
    anything that goes wrong                          {"failed": "one line"}, and the process ends with status 1

Imports are few, so that it starts quickly and its memory stays small.
"""

import json
import resource
import socket
from typing import Any

from harness.loadgen.engines import Engine, make_engine
from harness.loadgen.spec import LoadSpec


def main(fd: int) -> None:
    """Serve the socket with this descriptor until its end of file.

    Raises:
        SystemExit: Something failed; the other end has been told in one line.
    """
    control = socket.socket(fileno=fd)
    lines = control.makefile("r", encoding="utf-8")
    try:
        first = lines.readline()
        if not first:
            return
        _allow_many_descriptors()
        raw = json.loads(first)
        engine = make_engine(raw["engine"], LoadSpec.from_json(raw["spec"]), fd)
        for line in lines:
            _answer(control, _obey(engine, json.loads(line)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody is left to answer
    except Exception as fault:
        _answer(control, {"failed": f"{type(fault).__name__}: {' '.join(str(fault).split())}"})
        raise SystemExit(1) from fault


def _obey(engine: Engine, request: dict[str, Any]) -> dict[str, Any]:
    """Do what one command says and return the answer."""
    if request["command"] == "connect":
        return engine.connect().to_json()
    if request["command"] == "trial":
        return {"result": engine.trial(float(request["duration_s"])).to_json()}
    raise ValueError(f"unknown command {request['command']!r}")


def _answer(control: socket.socket, answer: dict[str, Any]) -> None:
    """Send one line."""
    control.sendall(json.dumps(answer).encode() + b"\n")


def _allow_many_descriptors() -> None:
    """Raise the limit of open files as far as it goes without privileges: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
