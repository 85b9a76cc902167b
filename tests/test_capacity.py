"""The capacity that a run's records say: which trials count, what limits it, and how it is shown."""

import math
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from harness.capacity import Asked, answers, capacities, outcome
from harness.compare import ratios
from harness.objective import parse_objective
from harness.record import Record, Verdict
from harness.report.charts import load
from harness.report.charts.look import drawing
from harness.report.charts.selection import named
from harness.report.frame import tabulate
from harness.report.html.page import page
from harness.report.terminal import render_capacity
from harness.report.write import write_report
from harness.search import Outcome
from tests.records import RESULT, USAGE, histogram, record

ASKED = Asked(parse_objective("p99 < 5ms"), 0.05)
MANIFEST = {"capacity": ASKED.to_json()}


def trial(backend: str, number: int, rate: int, latency_ms: float, *kinds: str, busy: float = 0.5) -> Record:
    """Return the record of a trial of a second in which every request took so long."""
    result = replace(
        RESULT,
        loop="open",
        duration_s=1.0,
        due=rate,
        sent=rate,
        replied=rate,
        late=0,
        latency=histogram((round(latency_ms * 1e6), rate)),
    )
    made = record(backend, number, result=result, server=replace(USAGE, cpu_s=busy))
    return replace(made, point={**made.point, "rate": rate}, verdicts=tuple(Verdict(kind, "x") for kind in kinds))


def searched(backend: str, capacity: int, rates: Sequence[int]) -> list[Record]:
    """Return a closed loop of 10,000 requests/s, and trials that hold up to a capacity."""
    closed = [record(backend, number, loop="closed") for number in range(5)]
    found = [trial(backend, 5 + each, rate, 1 if rate <= capacity else 9) for each, rate in enumerate(rates)]
    return [*closed, *found]


AROUND = (8_000, 9_000, 8_200, 8_800, 8_300, 8_700, 8_350, 8_650, 8_400, 8_600, 8_450, 8_550, 8_480, 8_520, 8_490)


def test_the_capacity_lies_between_what_held_and_what_did_not() -> None:
    [answer] = answers(searched("epoll", 8_500, AROUND), ASKED)
    assert (answer.estimate.kind, answer.estimate.precise) == ("capacity", True)
    assert answer.estimate.rate_rps == pytest.approx(8_500, rel=0.01)
    assert answer.estimate.low_rps < 8_500 < answer.estimate.high_rps
    assert answer.latency_us == pytest.approx(1_000, rel=1e-3)
    assert answer.closed_rps == 10_000
    assert answer.limited_by == "latency; server CPU 50%"
    assert (answer.counted, answer.repeated) == (len(AROUND), 0)


@pytest.mark.parametrize(
    ("latency_ms", "kinds", "busy", "expected"),
    [
        (1, (), 0.5, Outcome.HELD),
        (9, (), 0.5, Outcome.MISSED),
        (9, ("generator-bound",), 0.5, Outcome.GENERATOR),
        (9, ("disturbed",), 0.5, Outcome.DISTURBED),
        (9, ("generator-bound", "disturbed"), 0.5, Outcome.DISTURBED),
        (1, ("generator-bound", "disturbed"), 0.5, Outcome.HELD),
        (1, ("overloaded",), 0.5, Outcome.MISSED),
        (9, ("overloaded", "generator-bound"), 0.5, Outcome.GENERATOR),
        (9, ("overloaded", "generator-bound", "disturbed"), 0.99, Outcome.MISSED),
        (9, ("unsteady",), 0.5, Outcome.MISSED),
    ],
)
def test_only_what_the_server_did_counts_against_it(
    latency_ms: float, kinds: tuple[str, ...], busy: float, expected: Outcome
) -> None:
    assert outcome(trial("epoll", 0, 5_000, latency_ms, *kinds, busy=busy), ASKED.objective) is expected


def test_a_generator_that_is_the_limit_gives_a_lower_bound() -> None:
    records = [
        *searched("epoll", 8_500, [5_000] * 4),
        *(trial("epoll", 10 + number, 6_250, 9, "generator-bound") for number in range(3)),
        *(trial("epoll", 20 + number, 5_000, 1) for number in range(4)),
    ]
    [answer] = answers(records, ASKED)
    assert (answer.estimate.kind, answer.limited_by) == ("at least", "the generator")
    assert answer.estimate.rate_rps <= 5_000
    assert answer.repeated == 3


def test_a_queue_that_grows_and_errors_are_named() -> None:
    def limited(*kinds: str, errors: dict[str, int]) -> str:
        records = searched("epoll", 8_500, (8_000, 8_300))
        for number in range(4):
            missed = trial("epoll", 50 + number, 8_600, 9, *kinds, busy=0.98)
            assert missed.result is not None
            records.append(replace(missed, result=replace(missed.result, errors=errors)))
        return answers(records, ASKED)[0].limited_by

    assert limited("overloaded", errors={}) == "throughput: the queue grows; server CPU 98%"
    assert limited(errors={"reset": 5}) == "errors; server CPU 98%"


def test_a_backend_without_an_answer_has_a_reason() -> None:
    crashed = record("dies", -1, result=None, server=None, verdicts=(Verdict("crashed", "signal 11"),))
    spoilt = [*searched("noisy", 0, ()), trial("noisy", 9, 8_000, 9, "disturbed")]
    slow = [record("slow", number, loop="closed", replied=50) for number in range(5)]
    found = {each.backend: each for each in answers([crashed, *spoilt, *slow, *searched("idle", 0, ())], ASKED)}
    assert all(math.isnan(each.estimate.rate_rps) for each in found.values())
    assert found["dies"].reason == "crashed: signal 11"
    assert found["noisy"].reason == "every trial was spoilt by the generator or something else"
    assert "needs 2,000 requests a trial: at 100 requests/s" in found["slow"].reason
    assert found["idle"].reason == "no trial was made"


def test_each_point_has_an_answer_of_its_own() -> None:
    records = [
        replace(each, point={**each.point, "connections": connections})
        for connections, capacity in ((10, 8_500), (100, 8_450))
        for each in searched("epoll", capacity, AROUND)
    ]
    assert [each.point["connections"] for each in answers(records, ASKED)] == [10, 100]


def test_a_run_that_was_no_search_has_no_capacity() -> None:
    assert len(capacities(searched("epoll", 8_500, AROUND), {})) == 0
    assert len(capacities([], {"capacity": {"slo": "nonsense", "precision": 0.05}})) == 0


def test_every_form_of_the_report_has_it(tmp_path: Path) -> None:
    records = [*searched("epoll", 8_500, AROUND), *searched("[b]slow", 7_000, (8_000, 6_000, 7_000, 7_500))]
    found = capacities(records, MANIFEST)
    output = StringIO()
    render_capacity(found, Console(file=output, width=160))
    assert "capacity under p99 < 5ms" in output.getvalue()
    assert "[b]slow" in output.getvalue()
    files = {file.name: file for file in write_report(tabulate(records), MANIFEST, tmp_path, capacities=found)}
    rate = f"{found['rate_rps'].max():,.0f} /s"
    assert rate in files["summary.md"].read_text()
    assert rate in files["report.html"].read_text()
    assert '"capacities":' in files["report.json"].read_text()
    assert len(files["capacity.csv"].read_text().splitlines()) == 3
    assert {"latency-rate.png", "latency-rate.svg", "throughput.png"} <= files.keys()


def test_the_page_draws_latency_along_the_rate_from_nothing_on() -> None:
    records = searched("epoll", 8_500, AROUND)
    frames = tabulate(records)
    compared = ratios(frames.trials, frames.cells, frames.axes)
    found = page(frames, compared, MANIFEST, (), capacities(records, MANIFEST))
    [scenario] = found["data"]["charts"]
    [latency] = [chart for chart in scenario["charts"] if chart["title"] == "Latency, open loop"]
    drawn = latency["figures"][0][0][0]
    assert drawn["layout"]["xaxis"]["rangemode"] == "tozero"
    assert drawn["layout"]["xaxis"].get("type", "linear") == "linear"
    assert drawn["data"][0]["x"] == sorted(AROUND)


def test_the_chart_shows_latency_against_the_rate_with_the_limit_and_the_capacity() -> None:
    records = searched("epoll", 8_500, AROUND)
    found = capacities(records, MANIFEST)
    with drawing():
        figure = load.figure(named(tabulate(records).cells), "t", found)
    assert figure is not None
    p50, p99 = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["p50", "p99"]
    lines = {str(line.get_label()): line for line in p99.get_lines()}
    assert np.asarray(lines["epoll"].get_xdata()).tolist() == sorted(AROUND)
    values = np.asarray(lines["epoll"].get_ydata())
    assert values == pytest.approx([1_000 if rate <= 8_500 else 9_000 for rate in sorted(AROUND)], rel=1e-3)
    assert list(lines["_objective"].get_ydata()) == [5_000, 5_000]
    assert lines["_capacity"].get_xdata() == [found["rate_rps"][0]]
    assert "_objective" not in {line.get_label() for line in p50.get_lines()}
    assert p99.get_xlim()[0] == 0


def test_rates_that_differ_from_backend_to_backend_are_lines_without_gaps() -> None:
    records = [
        replace(made, point={**made.point, "rate": 0, "rate_percent": percent})
        for backend, closed in (("fast", 10_000), ("slow", 7_000))
        for percent in (10, 50, 90)
        for made in [trial(backend, 0, closed * percent // 100, percent / 10)]
    ]
    with drawing():
        figure = load.figure(named(tabulate(records).cells), "t")
    assert figure is not None
    lines = {str(line.get_label()): np.asarray(line.get_data()).tolist() for line in figure.axes[0].get_lines()}
    assert lines["fast"][0] == [1_000, 5_000, 9_000]
    assert lines["slow"][0] == [700, 3_500, 6_300]
    assert not np.isnan(lines["slow"][1]).any()
