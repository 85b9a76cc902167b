"""External servers on this machine: whether one can run here, building it, and the words that start it.

What is built lands in a cache folder that is called by name and a hash of what it is built from, so a change of a
source is a new folder, and nothing that runs is ever overwritten.
"""

import errno
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from backends.find import FOLDER, Backend
from backends.program import Program

BUILD_TAIL_LINES = 20
VERSION_TIMEOUT_S = 20.0
HOST = "127.0.0.1"


class ProgramError(Exception):
    """An external server that cannot be built or started, with the reason, or the end of what its tools said."""


def cache_folder() -> Path:
    """Return the folder of everything built: $XDG_CACHE_HOME/muxbench, as the XDG Base Directory Specification says."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if os.path.isabs(root) else Path.home() / ".cache") / "muxbench"


def built_folder(backend: Backend, program: Program) -> Path:
    """Return the folder of a program's built files, whether they are built or not.

    Raises:
        ProgramError: A source is missing.
    """
    digest = hashlib.sha256("\0".join(program.build).encode())
    for source in program.sources:
        try:
            digest.update(source.encode() + b"\0" + (backend.file.parent / source).read_bytes() + b"\0")
        except OSError as fault:
            raise ProgramError(f"{backend.file}: the source {source} cannot be read: {fault.strerror}") from None
    return cache_folder() / f"{backend.traits.name}-{digest.hexdigest()[:16]}"


def missing(program: Program) -> str:
    """Return what the program needs and this machine has not, with the way to get it, or an empty text."""
    for thing, remedy in program.requires:
        there = any(Path("/").glob(thing[1:])) if thing.startswith("/") else shutil.which(thing)
        if not there:
            return f"needs {thing}: {remedy}"
    return ""


def why_not(backend: Backend, program: Program) -> str:
    """Return why a program cannot run here, with the command that would help, or an empty text if it can."""
    platforms = backend.traits.platforms
    if platforms and sys.platform not in platforms:
        return f"runs on {', '.join(platforms)} only, this is {sys.platform}"
    if reason := missing(program):
        return reason
    try:
        folder = built_folder(backend, program)
    except ProgramError as fault:
        return str(fault)
    if program.build and not folder.is_dir():
        own = backend.file.is_relative_to(FOLDER)
        return f"not built yet, run: muxbench build {backend.traits.name if own else backend.file}"
    first = filled(program.command, backend, program)[0]
    if not shutil.which(first if os.sep not in first else backend.file.parent / first):
        return f"{backend.file}: command: there is no program {first}"
    return ""


def filled(words: tuple[str, ...], backend: Backend, program: Program, port: int = 0) -> list[str]:
    """Return a command's words with host, port and folder in their places.

    Raises:
        ProgramError: A source is missing.
    """
    places = {"{host}": HOST, "{port}": str(port), "{folder}": str(built_folder(backend, program))}
    return [_fill(word, places) for word in words]


def _fill(text: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        text = text.replace(place, value)
    return text


def probe_program(backend: Backend, program: Program) -> tuple[str, str]:
    """Return why a program cannot run here, with the command that would help, or an empty text; and its version."""
    reason = why_not(backend, program)
    try:
        return reason, "" if reason else version(backend, program)
    except ProgramError as fault:
        return str(fault), ""


def version(backend: Backend, program: Program) -> str:
    """Return the first line that the version command prints; empty where there is no such command.

    Raises:
        ProgramError: The command fails, with the last line of what it says.
    """
    if not program.version:
        return ""
    try:
        done = subprocess.run(
            filled(program.version, backend, program),
            cwd=backend.file.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VERSION_TIMEOUT_S,
            check=False,
        )
    except OSError as fault:
        raise ProgramError(f"its version command cannot be started: {fault.filename}: {fault.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ProgramError(f"its version command takes more than {VERSION_TIMEOUT_S:.0f} s") from None
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode:
        raise ProgramError(f"its version command failed: {lines[-1] if lines else f'status {done.returncode}'}")
    return lines[0] if lines else ""


def build_program(backend: Backend, program: Program) -> Path:
    """Build a program, unless it is built, and return the folder of its files.

    The folder appears whole or not at all: it is made under another name and renamed.

    Raises:
        ProgramError: A tool or a source is missing, or a tool failed: the end of its output.
    """
    if reason := missing(program):
        raise ProgramError(f"{backend.traits.name} {reason}")
    folder = built_folder(backend, program)
    if not program.build or folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as fault:
        raise ProgramError(f"{fault.filename}: {fault.strerror}") from None
    try:
        for line in program.build:
            _run_line(line, backend, unfinished)
        unfinished.rename(folder)
    except OSError as fault:
        if fault.errno not in {errno.ENOTEMPTY, errno.EEXIST}:  # then somebody else has just built the same
            raise ProgramError(f"{folder}: {fault.strerror}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _run_line(line: str, backend: Backend, folder: Path) -> None:
    """Have the shell run one line of a build, `folder` being where the files go."""
    done = subprocess.run(
        ["sh", "-e", "-c", line.replace("{folder}", shlex.quote(str(folder)))],
        cwd=backend.file.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-BUILD_TAIL_LINES:])
        raise ProgramError(f"{backend.traits.name}: `{line}` ended with status {done.returncode}:\n{tail}")
