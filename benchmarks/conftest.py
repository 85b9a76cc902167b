"""Benchmarks keep their statistics in the JSON, not every single time: 55 MB would become of it."""

from typing import Any

import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """Leave out the times of all rounds, which pytest-benchmark writes with `--benchmark-json`."""
    for benchmark in output_json["benchmarks"]:
        benchmark["stats"].pop("data", None)
