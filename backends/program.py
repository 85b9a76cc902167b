"""An external server: any program that listens on an address, described by a TOML file. Read and validated here.

    name = "mine"
    summary = "one line that says what is special about it"
    command = "./server --host {host} --port {port}"

`{host}` and `{port}` are where it must listen; `{folder}` is where its built files are. Commands run in the folder of
the TOML file. `Program` names the other keys.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from shlex import split
from typing import Any

from backends.contract import BackendError, Traits

TRAITS = ("name", "summary", "platforms", "max_connections")
"""Keys that an external server shares with every backend, see `backends.contract.Traits`."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is needed to build and start an external server.

    Attributes:
        command: Starts it; words, in which `{host}`, `{port}` and `{folder}` are replaced.
        exchanges: What it can serve.
        build: Lines for the shell that make its files in `{folder}`; empty where there is nothing to build.
        sources: Files that it is built from; it is built anew when one of them changes.
        requires: Executables, or absolute paths of files (with the wildcards of glob) -> how to get them.
        version: Command whose first line of output is recorded as its version; words, as in `command`.
    """

    command: tuple[str, ...]
    exchanges: tuple[str, ...] = ("echo",)
    build: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    requires: tuple[tuple[str, str], ...] = ()
    version: tuple[str, ...] = ()


def read_program(file: Path) -> tuple[Traits, Program]:
    """Return what a TOML file says of an external server.

    Raises:
        BackendError: The file cannot be read or a key is missing, unknown or wrong; the message names file and key.
    """
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as fault:
        raise BackendError(f"{file}: {fault.strerror}") from None
    except ValueError as fault:
        raise BackendError(f"{file}: {fault}") from None
    try:
        return parse_program(raw)
    except BackendError as fault:
        raise BackendError(f"{file}: {fault}") from None


def parse_program(raw: Mapping[str, Any]) -> tuple[Traits, Program]:
    """Return what this table says of an external server.

    Raises:
        BackendError: A key is missing, unknown or wrong, in one line with the way out.
    """
    known = [*TRAITS, *(field.name for field in fields(Program))]
    for key in raw:
        if key not in known:
            raise BackendError(f"unknown key {key!r}; known are {', '.join(known)}")
    for key in ("name", "summary", "command"):
        if not isinstance(raw.get(key), str) or not raw[key].strip():
            raise BackendError(f"{key} must be a text, such as {key} = {_EXAMPLES[key]}")
    traits = Traits.parse(
        {"family": "external", "transports": ["tcp"], **{key: raw[key] for key in TRAITS if key in raw}}
    )
    if "{port}" not in raw["command"]:
        raise BackendError(f"command must tell the program its port, such as command = {_EXAMPLES['command']}")
    program = Program(
        command=_words(raw, "command"),
        exchanges=_texts(raw, "exchanges") or ("echo",),
        build=_texts(raw, "build"),
        sources=_texts(raw, "sources"),
        requires=_requirements(raw),
        version=_words(raw, "version"),
    )
    if bool(program.build) != bool(program.sources):
        raise BackendError("build and sources go together: sources names the files that it is built from")
    return traits, program


_EXAMPLES = {"name": '"mine"', "summary": '"a server of mine"', "command": '"./server --port {port}"'}


def _texts(raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return a text or a list of them."""
    value = raw.get(key, [])
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) and item for item in values):
        raise BackendError(f"{key} must be a text or a list of texts")
    return tuple(values)


def _words(raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return a command's words, cut as a shell would cut them."""
    value = raw.get(key, "")
    if not isinstance(value, str):
        raise BackendError(f"{key} must be a text")
    try:
        return tuple(split(value))
    except ValueError as fault:
        raise BackendError(f"{key} cannot be cut into words: {fault}") from None


def _requirements(raw: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    value = raw.get("requires", {})
    if not isinstance(value, dict) or not all(isinstance(hint, str) and hint for hint in value.values()):
        raise BackendError('requires must say how to get each thing, such as requires = { cc = "apt install gcc" }')
    return tuple(value.items())
