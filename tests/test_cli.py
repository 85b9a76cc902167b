"""The command as people use it: real runs, real faults, one line for bad input, nothing left behind."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.store import Run, read_run
from tests.faulty_servers import write_backend_that_raises, write_faulty_server

MUXBENCH = [sys.executable, "-c", "from harness.cli import main; main(prog_name='muxbench')"]
SHORT = ["--connections", "3", "--duration", "50ms", "--rounds", "2"]
DEADLINE_S = 120


def muxbench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*MUXBENCH, *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


def refused(*arguments: str | Path) -> str:
    """Give the command, in this process, what it cannot use, and return the error, lines joined."""
    done = CliRunner().invoke(main, [*map(str, arguments)], prog_name="muxbench")
    assert done.exit_code == 2, (done.output, done.exception)
    assert len([line for line in done.output.splitlines() if line.startswith("Error:")]) == 1
    return " ".join(done.output.split())


def children_of(folder: Path) -> list[psutil.Process]:
    """Return the processes whose output goes to the logs of the run in this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            target = os.readlink(f"/proc/{process.pid}/fd/1")
        except OSError:
            continue
        if target.startswith(str(folder)):
            found.append(process)
    return found


def wait_until_gone(folder: Path) -> None:
    """Wait until a run's children have ended."""
    deadline = time.monotonic() + DEADLINE_S
    while left := children_of(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def wait_for_records(folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a run has recorded something."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        if (folder / "records.jsonl").exists() and (folder / "records.jsonl").stat().st_size:
            return
        time.sleep(0.02)
    raise AssertionError("nothing was recorded")


def verdicts(run: Run, backend: str) -> list[str]:
    return [verdict.kind for record in run.records if record.backend == backend for verdict in record.verdicts]


def test_fan_out_is_measured_and_refused_where_it_cannot_be(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    size = ["--connections", "1,5", "--duration", "50ms", "--rounds", "1"]
    done = muxbench("run", "fan-out", "--backend", "epoll,threads,prefork", *size, "--output", folder)
    assert done.returncode == 0, done.stderr
    assert "prefork does not declare notify" in done.stdout
    assert "connections must be at least 2 (it is 1)" in done.stdout
    measured = [record for record in read_run(folder).records if record.result is not None]
    assert {(record.backend, record.point["connections"]) for record in measured} == {("epoll", 5), ("threads", 5)}
    for record in measured:
        assert record.result is not None
        assert record.result.errors == {}
        assert record.result.replied + record.result.late > 0  # a busy machine may answer after 50 ms
        assert record.result.sent == record.result.replied + record.result.in_flight


def test_a_small_run_measures_records_and_reports(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = muxbench("run", "quick", "--backend", "epoll,threads", *SHORT, "--output", folder)
    assert done.returncode == 0, done.stderr
    assert "epoll" in done.stdout
    assert "closed loop" in done.stdout
    run = read_run(folder)
    assert run.problems == []
    assert sorted((record.backend, record.round) for record in run.records) == [
        ("epoll", 0),
        ("epoll", 1),
        ("threads", 0),
        ("threads", 1),
    ]
    for record in run.records:
        assert record.result is not None
        assert record.server is not None
        assert record.result.replied + record.result.late > 0  # a busy machine may answer after 50 ms
        assert record.result.sent == record.result.replied + record.result.failed + record.result.in_flight
        assert record.result.errors == {}
        assert record.server.cpu_s > 0
        assert record.server.rss_bytes > record.server.rss_start_bytes / 2 > 0
    assert run.manifest["machine"]["kernel"]
    assert run.manifest["scenario"]["load"]["connections"] == [3]
    assert isinstance(run.manifest["seed"], int)
    with (folder / "report" / "trials.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    assert list((folder / "report").glob("*.png"))
    assert list((folder / "report").glob("*.svg"))
    again = muxbench("report", folder, "--output", tmp_path / "elsewhere")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "elsewhere" / "cells.csv").exists()
    few = muxbench("report", folder, "--backend", "epoll", "--output", tmp_path / "few")
    assert few.returncode == 0, few.stderr
    with (tmp_path / "few" / "cells.csv").open() as file:
        assert [cell["backend"] for cell in csv.DictReader(file)] == ["epoll"]
    wrong = refused("report", folder, "--backend", "epol")
    assert "backend 'epol' is not in this run; there are epoll, threads" in wrong
    wait_until_gone(folder)


def test_servers_that_go_wrong_fail_alone_and_the_others_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    names = ["fine", "dies", "hangs", "lies", "lies-at-once", "resets"]
    files = [str(write_faulty_server(tmp_path, name)) for name in names]
    files.append(str(write_backend_that_raises(tmp_path)))
    done = muxbench("run", "quick", "--backend", ",".join(files), *SHORT, "--rounds", "3", "--output", folder)
    assert done.returncode == 0, done.stderr
    run = read_run(folder)
    assert set(verdicts(run, "fine")) <= {"unsteady", "generator-bound", "disturbed"}
    assert len([record for record in run.records if record.backend == "fine" and record.usable]) == 3
    assert "crashed" in verdicts(run, "dies")
    assert "crashed" in verdicts(run, "raises")
    assert "wrong replies" in verdicts(run, "lies")
    assert "wrong replies" in verdicts(run, "lies-at-once")
    assert {"timed out", "errors"} & set(verdicts(run, "hangs"))
    assert "errors" in verdicts(run, "resets") or "timed out" in verdicts(run, "resets")
    reasons = " ".join(verdict.reason for record in run.records for verdict in record.verdicts)
    assert "out of luck" in reasons
    assert "no such luck" in reasons
    for name in names:
        assert name in done.stdout
    wait_until_gone(folder)


def test_a_refused_backend_is_named_and_the_run_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ["--idle-connections", "1000", "--connections", "3", "--duration", "50ms", "--rounds", "1"]
    done = muxbench("run", "quick", "--backend", "select,epoll", *arguments, "--output", folder)
    assert done.returncode == 0, done.stderr
    run = read_run(folder)
    assert verdicts(run, "select") == ["refused"]
    assert [record.usable for record in run.records if record.backend == "epoll"] == [True]
    assert "1,024" in " ".join(done.stdout.split())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_keeps_what_it_measured_and_leaves_no_process(tmp_path: Path, how: signal.Signals) -> None:
    folder = tmp_path / "run"
    command = [*MUXBENCH, "run", "quick", "-b", "epoll,threads", "--connections", "3", "--duration", "100ms"]
    process = subprocess.Popen(
        [*command, "--rounds", "1000", "--budget", "10min", "--output", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_records(folder, process)
    assert len(children_of(folder)) == 4
    process.send_signal(how)
    output, errors = process.communicate(timeout=DEADLINE_S)
    wait_until_gone(folder)
    assert read_run(folder).records
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "Interrupted" in output
        assert read_run(folder).records[0].backend in output
        assert (folder / "report" / "cells.csv").exists()
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "quik"], "did you mean quick"),
        (["run", "quick", "--backend", "epol"], "did you mean epoll"),
        (["run", "quick", "--backend", "/no/such/file.py"], "No such file"),
        (["run", "quick", "--connections", "none"], "connections"),
        (["run", "quick", "--message-size", "0"], "message_size"),
        (["run", "quick", "--duration", "5"], "unit"),
        (["run", "quick", "--rounds", "0"], "rounds"),
        (["run", "quick", "--backend", "epoll", "--baseline", "poll"], "baseline"),
        (["run", "quick", "--output", "/proc/run"], "/proc/run"),
        (["report", "/no/such/run"], "/no/such/run"),
        (["run", "quick", "--rate", "100"], "a closed loop has no rate"),
        (["run", "quick", "--arrivals", "poisson"], "need either a rate"),
        (["calibrate", "--duration", "0"], "duration"),
        (["rum"], "run"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], words: str) -> None:
    assert words in refused(*arguments)


def test_bad_input_is_as_clear_to_a_shell() -> None:
    done = muxbench("run", "quik")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("Error:")
    assert "Traceback" not in done.stderr


def test_an_output_folder_that_exists_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    assert "exists and is not empty" in refused("run", "quick", "--output", tmp_path)
    assert os.listdir(tmp_path) == ["precious"]


def test_an_empty_folder_is_no_run(tmp_path: Path) -> None:
    assert "is not the folder of a run" in refused("report", tmp_path)


def test_the_list_names_backends_and_scenarios() -> None:
    done = muxbench("list")
    assert done.returncode == 0
    for name in ("epoll", "readiness", "simulated-aio", "completion", "quick", "idle-ladder"):
        assert name in done.stdout


def test_the_version_is_that_of_the_installation() -> None:
    from importlib.metadata import version

    assert muxbench("--version").stdout.strip() == f"muxbench, version {version('muxbench')}"


def test_a_run_is_not_misled_by_folders_of_the_same_names(tmp_path: Path) -> None:
    for package in ("backends", "harness", "scenarios"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('hostile')")
    script = Path(sys.executable).with_name("muxbench")
    command = [str(script), "run", "quick", "-b", "epoll", *SHORT, "--output", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "run.json").read_text())["generator"] in {"native", "portable"}


def test_a_scenario_says_which_backends_are_usual_and_all_means_all(tmp_path: Path) -> None:
    scenario = tmp_path / "mine.toml"
    scenario.write_text('summary = "s"\nexchange = "echo"\nbackends = ["poll", "epoll"]\n')
    usual = muxbench("run", scenario, *SHORT, "--output", tmp_path / "usual")
    assert usual.returncode == 0, usual.stderr
    assert {record.backend for record in read_run(tmp_path / "usual").records} == {"poll", "epoll"}
    scenario.write_text('summary = "s"\nexchange = "echo"\nbackends = ["pol"]\n')
    assert "did you mean poll" in refused("run", scenario, "--output", tmp_path / "refused")
