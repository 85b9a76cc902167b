"""External servers on the command line: built, listed, measured beside the others, and refused with what would help."""

import shutil
from pathlib import Path

import pytest

from harness.store import read_run
from tests.external_servers import write_external_server
from tests.test_cli import SHORT, muxbench, refused, verdicts, wait_until_gone


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def to_build(folder: Path, build: str) -> Path:
    return write_external_server(folder, "fine", build=f'"{build}"', sources='["fine.py"]')


def test_servers_that_go_wrong_fail_alone_and_say_why(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    files = [write_external_server(tmp_path, name) for name in ("exits", "lies")]
    files.append(write_external_server(tmp_path, "fine", version='"echo fine 3.1"'))
    names = ",".join(["epoll", *map(str, files)])
    done = muxbench("run", "quick", "--backend", names, *SHORT, "--output", folder)
    assert done.returncode == 0, done.stderr
    run = read_run(folder)
    usable = {record.backend for record in run.records if record.usable}
    assert usable == {"epoll", "fine"}
    assert verdicts(run, "exits") == ["crashed"]
    assert verdicts(run, "lies") == ["wrong replies"]
    assert any("bad luck" in verdict.reason for record in run.records for verdict in record.verdicts)
    assert {record.interpreter for record in run.records if record.backend == "fine"} == {"fine 3.1"}
    assert all(record.server.cpu_s > 0 for record in run.records if record.usable and record.server)
    wait_until_gone(folder)


def test_an_external_server_has_one_form_whatever_interpreters_and_workers_are_asked_for(tmp_path: Path) -> None:
    fine = write_external_server(tmp_path, "fine")
    folder = tmp_path / "run"
    done = muxbench(
        "run", "quick", "-b", f"epoll,{fine}", "--workers", "1,2", *SHORT, "--rounds", "1", "--output", folder
    )
    assert done.returncode == 0, done.stderr
    assert sorted(record.label for record in read_run(folder).records) == ["epoll", "epoll x2", "fine"]


def test_what_an_external_server_cannot_do_is_refused_in_the_record(tmp_path: Path) -> None:
    fine = write_external_server(tmp_path, "fine")
    folder = tmp_path / "run"
    done = muxbench(
        "run", "quick", "-b", f"epoll,{fine}", "--cpu-work", "1us", *SHORT, "--rounds", "1", "--output", folder
    )
    assert done.returncode == 0, done.stderr
    assert verdicts(read_run(folder), "fine") == ["refused"]


def test_what_is_not_built_is_refused_until_it_is_built(tmp_path: Path) -> None:
    file = to_build(tmp_path, "cp fine.py {folder}")
    assert f"run: muxbench build {file}" in refused("run", "quick", "-b", file, *SHORT)
    built = muxbench("build", file)
    assert built.returncode == 0, built.stderr
    assert "fine: built in" in built.stdout
    assert "fine: is built in" in muxbench("build", file).stdout
    done = muxbench("run", "quick", "-b", file, *SHORT, "--output", tmp_path / "run")
    assert done.returncode == 0, done.stderr


def test_a_build_that_fails_ends_with_its_output_and_status_1(tmp_path: Path) -> None:
    done = muxbench("build", to_build(tmp_path, "echo no luck today; false"))
    assert done.returncode == 1
    assert "no luck today\nError: not built: fine" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_lacks_a_tool_is_an_error_only_if_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "git"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    monkeypatch.setenv("PATH", str(tools))
    named = muxbench("build", "netty")
    assert named.returncode == 1
    assert "needs java: apt install" in named.stderr
    everything = muxbench("build")
    assert everything.returncode == 0, everything.stderr
    assert "left out: netty: needs java" in everything.stdout
    listed = " ".join(muxbench("list").stdout.split())
    assert "needs node: apt install nodejs" in listed
    assert "needs go: apt install golang-go" in listed


@pytest.mark.parametrize(
    ("arguments", "words"), [(["build", "netti"], "did you mean netty"), (["build", "no.toml"], "No such file")]
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], words: str) -> None:
    assert words in refused(*arguments)


def test_a_backend_in_python_has_nothing_to_build() -> None:
    assert "epoll: nothing to build" in muxbench("build", "epoll").stdout
