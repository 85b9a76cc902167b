"""The reference runs, and all that README and documentation show of them: `python docs/make_reference.py [--measure]`.

With `--measure` (`make reference`) everything is measured anew, in about twenty minutes in which the machine
should have nothing else to do. Without (`make pictures`) the report, docs/backends.md and the pictures are made from
the records that are there. Nothing is drawn of a run that has no records: its pictures stay as they are.
"""

import argparse
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from types import ModuleType

from harness.report.charts import cpu, idle, sheet, throughput
from harness.report.charts.look import drawing
from harness.report.charts.selection import named
from harness.report.frame import tabulate
from harness.report.microbench import draw, read_microbench
from harness.store import read_run

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
REFERENCE = ROOT / "results" / "reference"
BIN = Path(sys.executable).parent

PRECEDENCE = ["nice", "-n", "-10"] if os.geteuid() == 0 else []
"""Before other programs of the machine, where that is allowed."""

CATALOGUE = (
    "run echo --connections 1,100,1000 --message-size 64B --backend all --rounds 7 --duration 400ms --budget 9min "
    "--baseline epoll --output results/reference/catalogue"
)
IDLE_LADDER = (
    "run idle-ladder --backend threads,select,poll,epoll,simulated-aio,io_uring,asyncio-buffered,uvloop "
    "--rounds 12 --duration 300ms --budget 8min --output results/reference/idle-ladder"
)
MICROBENCHMARKS = {"microbench": "test_multiplexers.py", "reply-styles": "test_reply_styles.py"}

WELL_KNOWN = ("c-epoll", "epoll", "uvloop", "go", "threads", "gevent", "twisted-epoll", "asyncio-protocol")
MODELS = ("threads", "select", "poll", "epoll", "epoll-et", "spin", "simulated-aio", "io_uring")
STYLES = (
    "twisted-epoll",
    "twisted-deferred",
    "asyncio-buffered",
    "asyncio-protocol",
    "asyncio-streams",
    "trio",
    "gevent",
)
"""Backends of the pictures that show a few, so that they can be read at a glance."""


def measure() -> None:
    """Measure everything anew. What was there is removed only when its turn comes.

    Raises:
        subprocess.CalledProcessError: A run failed.
    """
    subprocess.run([BIN / "muxbench", "build"], cwd=ROOT, check=True)
    for command in (CATALOGUE, IDLE_LADDER):
        arguments = command.split()
        shutil.rmtree(ROOT / arguments[-1], ignore_errors=True)
        subprocess.run([*PRECEDENCE, BIN / "muxbench", *arguments], cwd=ROOT, check=True)
    # A value that is off is told in its table, and spoils nothing else.
    subprocess.run([*PRECEDENCE, BIN / "muxbench", "calibrate", "--output", IMAGES], check=False)
    for name, file in MICROBENCHMARKS.items():
        out = REFERENCE / f"{name}.json"
        command = [BIN / "pytest", f"benchmarks/{file}", "--benchmark-enable", "--benchmark-only"]
        subprocess.run([*PRECEDENCE, *command, f"--benchmark-json={out}"], cwd=ROOT, check=True)
        slim(out)


def slim(file: Path) -> None:
    """Leave of what pytest-benchmark wrote the statistics and the kind of machine."""
    measured = json.loads(file.read_text(encoding="utf-8"))
    for each in measured["benchmarks"]:
        each["stats"].pop("data", None)
    measured["machine_info"].pop("node", None)
    measured["machine_info"]["cpu"].pop("flags", None)
    measured.pop("commit_info", None)  # it is that of the commit that brings the file
    file.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def show() -> None:
    """Make the report, the page of backends and the pictures from the records that are there."""
    catalogue, idle_ladder = REFERENCE / "catalogue", REFERENCE / "idle-ladder"
    subprocess.run([BIN / "muxbench", "report", catalogue, "--baseline", "epoll"], cwd=ROOT, check=True)
    runpy.run_path(str(ROOT / "docs" / "make_backends.py"), run_name="__main__")
    picture(catalogue, "throughput", "How many requests per second?", throughput, WELL_KNOWN)
    picture(catalogue, "cpu", "What does a request cost?", cpu, WELL_KNOWN, connections=100)
    picture(catalogue, "models", "What each I/O model costs", cpu, MODELS, connections=100)
    picture(catalogue, "styles", "What comfort costs", cpu, STYLES, connections=100)
    picture(catalogue, "catalogue-cpu", "What a request costs, all backends", cpu, connections=100)
    if idle_ladder.exists():
        picture(idle_ladder, "idle-ladder", "What idle connections cost", idle)
    if (REFERENCE / "microbench.json").exists():
        draw(read_microbench(REFERENCE / "microbench.json"), IMAGES)
    for file in IMAGES.glob("*.svg"):
        if file.with_suffix(".png").exists():
            file.unlink()  # the pages show PNGs
    for file in IMAGES.glob("*-dark.png"):
        file.unlink()
    if shutil.which("chromium") and shutil.which("chromedriver"):
        with tempfile.TemporaryDirectory() as folder:
            few = ["--backend", ",".join(WELL_KNOWN), "--baseline", "epoll", "--output", folder]
            subprocess.run(
                [BIN / "muxbench", "report", catalogue, *few], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
            )
            screenshots(Path(folder) / "report.html")


def picture(
    run: Path, name: str, title: str, chart: ModuleType, backends: Collection[str] = (), connections: int | None = None
) -> None:
    """Draw one chart of a run.

    Args:
        run: Its folder.
        name: Of the picture in docs/images.
        title: Stands on top.
        chart: Module of `harness.report.charts`.
        backends: Those that it shows; none means all.
        connections: The one number that it shows; None means all.
    """
    cells = tabulate(read_run(run).records).cells
    if backends:
        cells = cells[cells["backend"].isin(list(backends))]
    if connections is not None:
        cells = cells[cells["connections"] == connections]
    with drawing():
        figure = chart.figure(named(cells), title)
        sheet.write(figure, IMAGES, name)


def screenshots(report: Path) -> None:
    """Take pictures of a report in a browser, for the page about reading it."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--window-size=1500,1400"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.get(report.as_uri())
        wait = WebDriverWait(driver, 60)
        wait.until(lambda browser: browser.find_elements(By.CSS_SELECTOR, "#summary .js-plotly-plot"))
        driver.execute_script("document.head.insertAdjacentHTML('beforeend', arguments[0])", ROOM)
        for name, place in SCREENSHOTS.items():
            page = place.split()[0]
            driver.execute_script("location.hash = arguments[0]", page)
            element = wait.until(lambda browser, place=place: browser.find_element(By.CSS_SELECTOR, place))
            wait.until(lambda _, element=element: element.is_displayed())
            element.screenshot(str(IMAGES / f"report-{name}.png"))
    finally:
        driver.quit()


SCREENSHOTS = {
    "summary": "#summary article",
    "warnings": "#summary article:nth-of-type(2)",
    "chart": "#summary .js-plotly-plot",
    "cells": "#cells .grid",
}
"""Picture -> what of the report it shows."""

ROOM = "<style>#summary article, .grid { padding: 12px }</style>"
"""Some white around what is taken out of its page."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure everything anew first")
    if parser.parse_args().measure:
        measure()
    show()
