"""The search for capacity as people use it: servers that cannot do more than so much, and one line for bad input."""

import json
from pathlib import Path

import pytest

from harness.store import read_run
from tests.faulty_servers import write_faulty_server
from tests.test_cli import muxbench, refused, wait_until_gone

MOST_RPS = 1_000
"""Of the server "limited"."""


def test_no_more_is_found_than_a_server_can_do(tmp_path: Path) -> None:
    backend = write_faulty_server(tmp_path, "limited")
    folder = tmp_path / "run"
    search = ["--slo", "p90 < 50ms", "--precision", "20%", "--budget", "10s", "--connections", "10", "--seed", "1"]
    done = muxbench("capacity", "quick", "--backend", backend, *search, "--output", folder)
    assert done.returncode == 0, done.stderr
    assert "capacity under p90 < 50ms" in done.stdout
    run = read_run(folder)
    assert run.problems == []
    assert run.manifest["capacity"] == {"slo": "p90 < 50ms", "precision": 0.2, "arrivals": "poisson", "budget_s": 10.0}
    loops = [record.result.loop for record in run.records if record.result is not None]
    assert loops[:5] == ["closed"] * 5
    assert set(loops[5:]) == {"open"}
    [found] = json.loads((folder / "report" / "report.json").read_text())["capacities"]
    assert found["kind"] in {"capacity", "at least", "below", "unknown"}  # whatever else runs on this machine
    if found["kind"] in {"capacity", "at least"}:
        assert 0 < found["rate_rps"] <= MOST_RPS * 1.05
        assert found["latency_us"] < 50_000
    again = muxbench("report", folder, "--output", tmp_path / "elsewhere")
    assert again.returncode == 0, again.stderr
    [same] = json.loads((tmp_path / "elsewhere" / "report.json").read_text())["capacities"]
    assert same == found
    wait_until_gone(folder)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--slo", "p95 < 5ms"], "must be p50, p90, p99 or p99.9"),
        ([], "Missing option '--slo'"),
        (["--slo", "p99 < 5ms", "--rate", "1000"], "leave --rate and --rate-percent out"),
        (["--slo", "p99 < 5ms", "--arrivals", "bursts"], "must be poisson or constant"),
        (["--slo", "p99 < 5ms", "--think-time", "1ms"], "leave it out"),
        (["--slo", "p99 < 5ms", "--precision", "5"], "a share is a number and a percent sign"),
        (["--slo", "p99 < 5ms", "--budget", "0s"], "must be above 0"),
        (["--slo", "p99 < 5ms", "--backend", "nonesuch"], "no backend is called 'nonesuch'"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path: Path, arguments: list[str], reason: str) -> None:
    assert reason in refused("capacity", "quick", *arguments, "--output", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_any_scenario_may_be_searched_whatever_its_arrivals(tmp_path: Path) -> None:
    backend = write_faulty_server(tmp_path, "limited")
    search = ["--slo", "p50 < 100ms", "--budget", "1s", "--connections", "5", "--duration", "100ms"]
    for scenario in ("bursts", "latency-load"):
        done = muxbench("capacity", scenario, "--backend", backend, *search, "--output", tmp_path / scenario)
        assert done.returncode == 0, done.stderr
        assert "capacity under p50 < 100ms" in done.stdout
