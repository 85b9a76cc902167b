"""The calibration's table says what is off, and its chart goes through what was measured."""

from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from harness.calibrate import Measured, cases
from harness.report.calibration import draw, render
from tests.records import RESULT, histogram


def measured(open_ns: int = 1_000_000, closed_ns: int = 1_020_000) -> Measured:
    """The case of the fixed service time of 1 ms with these latencies."""
    return Measured(
        case=cases()[0],
        open_loop=replace(RESULT, loop="open", latency=histogram((open_ns, 10_000))),
        closed_loop=replace(RESULT, latency=histogram((closed_ns, 10_000))),
    )


def shown(each: Measured) -> tuple[bool, str]:
    output = StringIO()
    passed = render([each], Console(file=output, width=120, highlight=False))
    return passed, output.getvalue()


def test_values_that_are_right_pass_and_stand_beside_what_was_expected() -> None:
    passed, text = shown(measured())
    assert passed
    assert "off" not in text
    assert "fixed service time" in text
    assert "1.020 ms" in text


def test_a_value_that_is_off_says_so() -> None:
    passed, text = shown(measured(open_ns=1_100_000))
    assert not passed
    assert "off" in text
    assert "what else runs on this machine" in text


def test_a_percentile_without_enough_samples_is_off() -> None:
    few = replace(measured(), open_loop=replace(RESULT, loop="open", latency=histogram((1_000_000, 100))))
    passed, text = shown(few)
    assert not passed
    assert "too few samples" in text


@pytest.mark.parametrize("count", [1, 3])
def test_the_chart_names_each_case(tmp_path: Path, count: int) -> None:
    files = draw([measured()] * count, tmp_path)
    assert [file.suffix for file in files] == [".png", ".svg"] * 2
    words = "".join(ElementTree.parse(files[1]).getroot().itertext())
    for expected in ("fixed service time", "open loop", "closed loop", "99.9"):
        assert expected in words
