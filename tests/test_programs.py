"""External servers are built on demand, whole or not at all, and listed with what is missing and what would help."""

import shutil
from pathlib import Path

import pytest

from backends.find import Backend, read_backend
from backends.program import Program
from harness.process import probe_backends
from harness.programs import ProgramError, build_program, built_folder, cache_folder

HEAD = 'name = "mine"\nsummary = "s"\ncommand = "{folder}/server {port}"\nsources = ["source"]\n'
GOOD = "echo building; cp source {folder}/server; chmod +x {folder}/server"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache of mine"))
    return tmp_path / "cache of mine" / "muxbench"


def described(folder: Path, build: str = GOOD, more: str = "") -> tuple[Backend, Program]:
    (folder / "source").write_text("#!/bin/sh\necho version 3\necho more\n")
    file = folder / "mine.toml"
    file.write_text(f"{HEAD}build = '''{build}'''\n{more}")
    backend = read_backend(file)
    assert backend.program is not None
    return backend, backend.program


def reason(backend: Backend) -> str:
    return probe_backends({"mine": backend})["mine"].unavailable


def test_what_is_not_built_says_how_to_build_it_and_then_is_available(tmp_path: Path, cache: Path) -> None:
    backend, program = described(tmp_path)
    assert reason(backend) == f"not built yet, run: muxbench build {tmp_path / 'mine.toml'}"
    folder = build_program(backend, program)
    assert folder.parent == cache == cache_folder()
    assert (folder / "server").exists()
    assert reason(backend) == ""


def test_what_is_built_is_not_built_again_until_a_source_changes(tmp_path: Path) -> None:
    backend, program = described(tmp_path, GOOD + "; echo built >> built")
    first = build_program(backend, program)
    assert build_program(backend, program) == first
    assert (tmp_path / "built").read_text() == "built\n"
    (tmp_path / "source").write_text("another")
    assert reason(backend).startswith("not built yet")
    assert build_program(backend, program) != first
    assert (tmp_path / "built").read_text() == "built\nbuilt\n"


def test_a_build_that_fails_shows_the_end_of_its_output_and_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    backend, program = described(
        tmp_path, "touch {folder}/half; for i in $(seq 100); do echo line $i; done; cat no/such/file"
    )
    with pytest.raises(ProgramError) as failed:
        build_program(backend, program)
    assert "ended with status 1" in str(failed.value)
    assert "line 100\n" in str(failed.value)
    assert "no/such/file" in str(failed.value)
    assert "line 50\n" not in str(failed.value)
    assert list(cache.iterdir()) == []


def test_the_rest_of_a_line_is_not_run_after_a_fault(tmp_path: Path) -> None:
    backend, program = described(tmp_path, "false; touch {folder}/server")
    with pytest.raises(ProgramError, match="ended with status 1"):
        build_program(backend, program)


def test_a_source_that_is_missing_is_named(tmp_path: Path) -> None:
    backend, program = described(tmp_path)
    (tmp_path / "source").unlink()
    with pytest.raises(ProgramError, match="the source source cannot be read"):
        built_folder(backend, program)
    assert "the source source cannot be read" in reason(backend)


@pytest.mark.parametrize("thing", ["no-such-tool", "/no/such/*.jar"])
def test_what_is_missing_is_named_with_the_command_that_would_help(tmp_path: Path, thing: str) -> None:
    backend, program = described(
        tmp_path, more=f'requires = {{ sh = "?", "/bin/s*" = "?", "{thing}" = "apt install x" }}'
    )
    assert reason(backend) == f"needs {thing}: apt install x"
    with pytest.raises(ProgramError, match="apt install x"):
        build_program(backend, program)


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nsummary = "s"\ncommand = "./server {port}"\n')
    assert "there is no program ./server" in reason(read_backend(file))
    shutil.copy("/bin/true", tmp_path / "server")
    assert reason(read_backend(file)) == ""


def test_another_platform_is_named(tmp_path: Path) -> None:
    assert "runs on plan9 only" in reason(described(tmp_path, more='platforms = ["plan9"]')[0])


def test_the_version_is_the_first_line_of_its_command(tmp_path: Path) -> None:
    backend, program = described(tmp_path, more='version = "{folder}/server"')
    build_program(backend, program)
    assert probe_backends({"mine": backend})["mine"].interpreter == "version 3"


@pytest.mark.parametrize(
    ("version", "words"), [("sh -c 'echo a; echo b; exit 3'", "failed: b"), ("no-such-tool", "cannot be started")]
)
def test_a_version_command_that_fails_makes_the_server_unavailable(tmp_path: Path, version: str, words: str) -> None:
    backend, program = described(tmp_path, more=f'version = "{version}"')
    build_program(backend, program)
    assert words in reason(backend)
