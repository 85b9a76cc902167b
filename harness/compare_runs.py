"""Runs against each other: cells that both have, what changed between them, and whether a limit is broken. Pure.

Runs were not interleaved, so whatever changed on the machine between them is in their ratios too: a ratio between runs
says less than one within a run. Its interval is the percentile bootstrap's over the trials of both sides. (Efron,
Tibshirani: An Introduction to the Bootstrap, chapter 13.)
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.compare import METRICS
from harness.record import TCP, value_text
from harness.report.frame import Frames
from harness.stats import CONFIDENCE, RESAMPLES, ROUNDS_FOR_INTERVAL

NAMES = {"throughput": "throughput_rps", "p50": "p50_us", "p99": "p99_us", "cpu": "cpu_us", "memory": "rss_bytes"}
"""What people call a metric -> its column in the trials' table."""

OPERATORS: dict[str, Callable[[float, float], bool]] = {"<": operator.lt, ">": operator.gt}

VOLATILE = {"load_average"}
"""Facts of a machine that differ between any two runs."""


class LimitError(Exception):
    """A limit that cannot be read, in one line with the way out."""


@dataclass(frozen=True, slots=True)
class Change:
    """One metric of one cell in a later run over that in an earlier one.

    Attributes:
        cell: Scenario, axes and backend, in words.
        metric: One of `NAMES`.
        ratio: Of the medians; NaN where one side has none.
        low: Lower end of its interval; NaN with fewer than `ROUNDS_FOR_INTERVAL` trials on a side.
        high: Upper end.
        bound: Whether the generator held one side up, so that a throughput is only a lower bound.
    """

    cell: str
    metric: str
    ratio: float
    low: float
    high: float
    bound: bool

    @property
    def verdict(self) -> str:
        """Return better, worse, or undecided where the interval includes 1 or there is none."""
        if math.isnan(self.low) or self.low <= 1 <= self.high or self.bound:
            return "undecided"
        return "better" if (self.low > 1) == (METRICS[NAMES[self.metric]] > 0) else "worse"


@dataclass(frozen=True, slots=True)
class Limit:
    """A ratio that must not be: `throughput < 0.97`.

    Attributes:
        metric: One of `NAMES`.
        sign: "<" or ">".
        value: The ratio.
    """

    metric: str
    sign: str
    value: float

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Return the limit that a text such as "throughput < 0.97" describes.

        Raises:
            LimitError: It describes none.
        """
        match = re.fullmatch(r"\s*(\w+)\s*([<>])\s*(\d+(?:\.\d+)?)\s*", text)
        if match is None or match[1] not in NAMES:
            raise LimitError(
                f"{text!r} is no limit: write a metric ({', '.join(NAMES)}), < or >, and a ratio, such as "
                '"throughput < 0.97"'
            )
        return cls(match[1], match[2], float(match[3]))

    def broken_by(self, change: Change) -> bool:
        """Return whether a change breaks the limit, and is more than chance: its interval excludes 1."""
        beyond = change.metric == self.metric and OPERATORS[self.sign](change.ratio, self.value)
        return beyond and change.verdict != "undecided"


def changes(earlier: Frames, later: Frames) -> list[Change]:
    """Return every metric of every cell that both runs have, in the order of the later one."""
    before, after = _cells(earlier), _cells(later)
    return [
        _change(_words(place), name, before[place], trials)
        for place, trials in after.items()
        if place in before
        for name in NAMES
    ]


def only_in_one(earlier: Frames, later: Frames) -> list[str]:
    """Return in words what was measured in one run only: backends, and cells of those that are in both."""
    sides = {"earlier": _cells(earlier), "later": _cells(later)}
    backends = {side: {dict(place)["backend"] for place in cells} for side, cells in sides.items()}
    words = []
    for side, other in (("earlier", "later"), ("later", "earlier")):
        lone = sorted(map(str, backends[side] - backends[other]))
        lone += [
            _words(place)
            for place in sides[side]
            if place not in sides[other] and dict(place)["backend"] in backends[other]
        ]
        if lone:
            words.append(f"only in the {side} run: {', '.join(lone)}")
    return words


Place = tuple[tuple[str, Any], ...]
"""Where a cell is: names and values of what tells it apart. Usual values are left out, as a run may not name them."""


def _cells(frames: Frames) -> dict[Place, pd.DataFrame]:
    """Return the trials of each cell of a run."""
    if not len(frames.trials):
        return {}
    key = ["scenario", *frames.axes, "backend"]
    usual = (0, TCP)
    return {
        tuple(sorted((name, value) for name, value in zip(key, place, strict=True) if value not in usual)): trials
        for place, trials in frames.trials.groupby(key, sort=False)
    }


def environment_changes(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> list[str]:
    """Return in words what differs between the manifests of two runs: machine, versions, generator, scenario."""
    parts = ("machine", "muxbench", "generator", "cpus", "scenario", "backends")
    before, after = (_flat({part: manifest.get(part) for part in parts}) for manifest in (earlier, later))
    return [
        f"{name}: {before.get(name)} -> {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and not VOLATILE & set(name.split("."))
    ]


def _flat(value: Any, name: str = "") -> dict[str, Any]:  # noqa: ANN401 - JSON
    if isinstance(value, Mapping):
        return {
            inner: leaf
            for key, each in value.items()
            for inner, leaf in _flat(each, f"{name}.{key}".strip(".")).items()
        }
    return {name: value}


def _words(place: Place) -> str:
    named = dict(place)
    axes = [f"{axis} {value_text(value)}" for axis, value in place if axis not in ("scenario", "backend")]
    return f"{named['backend']} ({named['scenario']}: {', '.join(axes)})"


def _change(cell: str, name: str, before: pd.DataFrame, after: pd.DataFrame) -> Change:
    column = NAMES[name]
    sides = [side[column].dropna().to_numpy(np.float64) for side in (before, after)]
    bound = name == "throughput" and bool(before["lower_bound"].any() or after["lower_bound"].any())
    if not all(len(side) and np.median(side) > 0 for side in sides):
        return Change(cell, name, math.nan, math.nan, math.nan, bound)
    ratio = float(np.median(sides[1]) / np.median(sides[0]))
    if min(map(len, sides)) < ROUNDS_FOR_INTERVAL:
        return Change(cell, name, ratio, math.nan, math.nan, bound)
    draw = np.random.default_rng(len(sides[0]))
    medians = [np.median(draw.choice(side, (RESAMPLES, len(side))), axis=1) for side in sides]
    low, high = np.quantile(medians[1] / medians[0], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Change(cell, name, ratio, float(low), float(high), bound)


def to_markdown(found: Sequence[Change], broken: Sequence[Change]) -> str:
    """Return the changes as a GitHub Markdown table, for a pull request."""
    from harness.report.markdown import escaped

    lines = ["| cell | metric | ratio | 95% interval | |", "|---|---|---|---|---|"]
    for change in found:
        interval = "?" if math.isnan(change.low) else f"{change.low:.3f} to {change.high:.3f}"
        mark = "**limit broken**" if change in broken else change.verdict
        lines.append(f"| {escaped(change.cell)} | {change.metric} | {change.ratio:.3f} | {interval} | {mark} |")
    return "\n".join(lines) + "\n"
