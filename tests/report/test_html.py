"""The HTML page shows the numbers of the frames, takes names for text, loads nothing, and works in a browser."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from plotly import graph_objects

from harness.compare import ratios
from harness.record import Record, Verdict
from harness.report.frame import Frames, tabulate
from harness.report.html import to_html
from harness.report.html.environment import repeat_command, sections
from harness.report.html.standings import headline, standings
from harness.report.html.words import plotly_text
from tests.records import histogram, record, refused, rounds

if TYPE_CHECKING:
    from pandas import DataFrame
    from selenium.webdriver import Chrome

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "<b>bold</b> &lt; $x$ %{y}",
    '"><a href="//example.org">',
    "{{ 7 * 7 }}",
]

STEADY = [10_000, 10_010, 10_020, 10_030, 10_040]


def compared(frames: Frames) -> "DataFrame":
    return ratios(frames.trials, frames.cells, frames.axes)


def document(records: list[Record], manifest: dict[str, Any] | None = None, problems: tuple[str, ...] = ()) -> str:
    frames = tabulate(records)
    return to_html(frames, compared(frames), manifest or {}, problems)


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def ladder(**changes: object) -> list[Record]:
    """Three backends at two numbers of connections: fast is ahead of slow by 25%, and even with twin."""
    return [
        each
        for connections in (10, 100)
        for name, factor in (("fast", 1.0), ("twin", 1.0), ("slow", 0.8))
        for each in rounds(name, [rate * factor for rate in STEADY], connections=connections, **changes)
    ]


class Elements(HTMLParser):
    """Every tag with its attributes, and the text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside not in {"script", "style"}:
            self.words.append(data)

    @property
    def prose(self) -> str:
        return " ".join(" ".join(self.words).split())


def prose(records: list[Record], **more: Any) -> str:  # noqa: ANN401 - arguments of `document`
    return Elements(document(records, **more)).prose


def test_the_charts_are_drawn_from_the_numbers_of_the_cells() -> None:
    frames = tabulate(ladder())
    [scenario] = data_of(document(ladder()))["charts"]
    columns = {"throughput_rps": 1, "p50_us": 1e6, "p90_us": 1e6, "p99_us": 1e6, "cpu_us": 1e6, "rss_bytes": 2**20}
    drawn = set()
    for chart in scenario["charts"]:
        for column, views in zip(chart["columns"], chart["figures"], strict=True):
            drawn.add(column)
            for trace in views[0][0]["data"]:
                cells = frames.cells.loc[trace["customdata"]]
                assert set(cells["backend"]) == {trace["name"]}
                assert trace["x"] == list(cells["connections"]) == [10, 100]
                unit = columns.get(column, 1e6)
                assert trace["y"] == pytest.approx(list(cells[column] / unit), rel=1e-5)
    assert drawn >= columns.keys()


def test_intervals_are_drawn_from_low_to_high() -> None:
    [scenario] = data_of(document(ladder()))["charts"]
    cells = tabulate(ladder()).cells
    for trace in scenario["charts"][0]["figures"][0][0][0]["data"]:
        rows = cells.loc[trace["customdata"]]
        low = [y - down for y, down in zip(trace["y"], trace["error_y"]["arrayminus"], strict=True)]
        high = [y + up for y, up in zip(trace["y"], trace["error_y"]["array"], strict=True)]
        assert low == pytest.approx(list(rows["throughput_low"]))
        assert high == pytest.approx(list(rows["throughput_high"]))


@pytest.mark.parametrize(
    "records", [ladder(), rounds("alone", STEADY), ladder(loop="open"), ladder(late=0, latency="")]
)
def test_plotly_accepts_every_figure(records: list[Record]) -> None:
    figures = [
        figure
        for scenario in data_of(document(records))["charts"]
        for chart in scenario["charts"]
        for views in chart["figures"]
        for panels in views
        for figure in panels
    ]
    assert figures
    for figure in figures:
        graph_objects.Figure(figure)  # raises on what its schema does not know


def test_each_axis_of_the_load_can_be_gone_along() -> None:
    records = [
        each
        for size in (64, 1024)
        for connections in (1, 10, 100)
        for each in rounds("epoll", STEADY, connections=connections, message_size=size)
    ]
    [scenario] = data_of(document(records))["charts"]
    assert scenario["views"] == [
        {"axis": "connections", "panels": ["64 B messages", "1 KiB messages"]},
        {"axis": "message size", "panels": ["1 connection", "10 connections", "100 connections"]},
    ]
    [[_, by_size]] = scenario["charts"][0]["figures"]
    assert [figure["data"][0]["x"] for figure in by_size] == [[64, 1024]] * 3


def test_zero_has_a_place_on_an_axis_of_steps() -> None:
    records = [each for idle in (0, 100, 1000) for each in rounds("epoll", STEADY, idle_connections=idle)]
    [scenario] = data_of(document(records))["charts"]
    figure = scenario["charts"][0]["figures"][0][0][0]
    assert figure["data"][0]["x"] == [0, 1, 2]
    assert figure["layout"]["xaxis"]["ticktext"] == ["0", "100", "1k"]


def test_the_tables_hold_the_numbers_of_the_frames() -> None:
    frames = tabulate(ladder())
    grids = data_of(document(ladder()))["grids"]

    def column(grid: str, title: str) -> list[Any]:
        [place] = [number for number, each in enumerate(grids[grid]["columns"]) if each["title"] == title]
        return [row[place] for row in grids[grid]["rows"]]

    names = zip(column("cells", "backend"), [value for value, _ in column("cells", "connections")], strict=True)
    shown = dict(zip(names, column("cells", "requests/s"), strict=True))
    for cell in frames.cells.to_dict("records"):
        value = cell["throughput_rps"]
        assert shown[cell["backend"], cell["connections"]] == [value, f"{value:,.0f}"]
    expected = compared(frames)
    assert [value for value, _ in column("ratios", "ratio")] == pytest.approx(list(expected["median"]), rel=1e-5)
    assert column("ratios", "verdict").count("worse") == list(expected["verdict"]).count("worse") > 0


def test_a_percentile_without_enough_samples_is_missing_everywhere() -> None:
    data = data_of(document(rounds("epoll", STEADY[:1])))
    assert data["hover"]["values"]["p999_us"] == [""]
    place = [each["title"] for each in data["grids"]["cells"]["columns"]].index("p99.9")
    assert data["grids"]["cells"]["rows"][0][place] == [None, "\u2013"]


def test_the_headline_names_the_leader_and_by_how_much() -> None:
    records = [*rounds("fast", STEADY), *rounds("slow", [rate * 0.8 for rate in STEADY])]
    measure, found = standings(tabulate(records), "synthetic")
    [clause] = headline(measure, found)
    assert (clause.subject, clause.words) == ("fast", "is fastest at the one point, by 25%")
    assert found[0].lead == "25% [25% to 25%]"
    assert "25% [25% to 25%] slow" in prose(records)


def test_no_winner_is_named_where_the_interval_includes_1() -> None:
    _, found = standings(tabulate(ladder()), "synthetic")
    assert [sorted(each.leaders) for each in found] == [["fast", "twin"]] * 2
    assert {each.behind for each in found} == {"slow"}
    text = prose(ladder())
    assert "No difference shown between the leaders at all 2 points (fast, twin); slow is behind them" in text


def test_no_winner_is_named_with_too_few_rounds() -> None:
    _, [found] = standings(tabulate([*rounds("a", STEADY[:3]), *rounds("b", [5_000] * 3)]), "synthetic")
    assert found.leaders == ["a", "b"]
    assert found.reason == "fewer than 5 common rounds"


def test_open_loops_are_ranked_by_latency() -> None:
    quick, slow = histogram((100_000, 5_000)), histogram((300_000, 5_000))
    records = [
        *rounds("quick", STEADY, loop="open", latency=quick),
        *rounds("slow", [rate * 1.5 for rate in STEADY], loop="open", latency=slow),
    ]
    measure, [found] = standings(tabulate(records), "synthetic")
    assert measure.column == "p99_us"
    assert found.leaders == ["quick"]
    assert found.lead.startswith("3.0\u00d7")
    assert "has the lowest p99 latency" in prose(records)


def test_generator_bound_numbers_are_lower_bounds_everywhere() -> None:
    bound = (Verdict("generator-bound", "the generator used 99%"),)
    records = [*rounds("fast", STEADY, verdicts=bound), *rounds("slow", [rate * 0.8 for rate in STEADY])]
    data, text = data_of(document(records)), prose(records)
    number = next(index for index, row in enumerate(tabulate(records).cells["backend"]) if row == "fast")
    assert data["hover"]["values"]["throughput_rps"][number].startswith("≥ 10,020 requests/s")
    assert "≥ 10,020" in text
    assert "≥ 25%" in text
    assert [None, "≥ 10,020"] not in data["grids"]["cells"]["rows"]
    assert [10020, "≥ 10,020"] in data["grids"]["cells"]["rows"][0]
    assert data["bounded"] == [name == "fast" for name in tabulate(records).cells["backend"]]
    # Held up by the generator it may be faster still, but what it held up cannot be shown to be slower.
    _, [found] = standings(tabulate([*records, *rounds("bounded", [9_000] * 5, verdicts=bound)]), "synthetic")
    assert found.leaders == ["fast", "bounded"]
    assert found.reason == "the generator was the bottleneck"


def test_closed_loop_latencies_are_labelled_so() -> None:
    data = data_of(document(ladder()))
    titles = [chart["title"] for chart in data["charts"][0]["charts"]]
    assert "Latency, closed loop" in titles
    assert all("closed loop" in text for text in data["hover"]["values"]["p50_us"])


def test_verdicts_refusals_errors_and_unreadable_lines_are_in_plain_sight() -> None:
    records = [
        record("one", verdicts=(Verdict("errors", "3 reset beside 5,000 replies"),), errors={"reset": 3}),
        record("one", number=1, verdicts=(Verdict("wrong replies", "byte 3"),)),
        refused("select", reason="1,024 descriptors at most"),
    ]
    text = Elements(document(records, problems=("records.jsonl:7: cut off",)))
    for words in ("errors", "1 trial ", "refused: 1,024 descriptors at most", "records.jsonl:7: cut off", "select"):
        assert words in text.prose
    rows = data_of(document(records))["grids"]["verdicts"]["rows"]
    assert sorted((row[1], row[-2]) for row in rows) == [
        ("errors", "counts"),
        ("refused", "does not count"),
        ("wrong replies", "does not count"),
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_whatever_they_look_like(name: str) -> None:
    records = [
        *rounds(name, STEADY, scenario=name, verdicts=(Verdict("unsteady", name),)),
        *rounds("other", STEADY, scenario=name),
        replace(refused(name + "2", reason=name), scenario=name),
    ]
    manifest = {"command": ["muxbench", name], "machine": {"cpu": name, name: name}, "backends": {name: {name: 1}}}
    text = document(records, manifest, (name,))
    elements = Elements(text)
    assert elements.prose.count(name) >= 8
    assert {tag for tag, _ in elements.tags} & {"img", "b2"} == set()
    assert all(str(facts.get("href")).startswith("#") for tag, facts in elements.tags if tag == "a")
    assert [facts for tag, facts in elements.tags if any(key.startswith("on") for key in facts)] == []
    nonces = {facts.get("nonce") for tag, facts in elements.tags if tag == "script"}
    assert len(nonces) == 1
    assert None not in nonces
    data = data_of(text)
    assert {row[0] for row in data["grids"]["cells"]["rows"]} == {name}
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    names = {each["name"] for each in data["charts"][0]["charts"][0]["figures"][0][0][0]["data"]}
    assert names == {escaped, "other"}


def test_the_page_refers_to_nothing_outside_itself() -> None:
    text = document(ladder())
    elements = Elements(text)
    for tag, facts in elements.tags:
        assert tag not in {"link", "iframe", "img", "object", "embed", "base"}
        for key in ("src", "href", "action", "data"):
            assert facts.get(key) is None or str(facts[key]).startswith("#")
    [policy] = [str(facts["content"]) for tag, facts in elements.tags if facts.get("http-equiv")]
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles
    assert len(text) < 15e6


def test_the_same_records_give_the_same_page() -> None:
    assert document(ladder()) == document(ladder())


@pytest.mark.parametrize("records", [[], [refused()], [record(latency="", late=0)]])
def test_a_run_without_numbers_has_a_page(records: list[Record]) -> None:
    assert "<h1>" in document(records)


def test_the_command_that_repeats_a_run_has_its_seed_and_a_folder_of_its_own() -> None:
    given = ["muxbench", "run", "quick", "--output", "/tmp/x", "-b", "a b"]
    assert repeat_command({"command": given, "seed": 7}) == "muxbench run quick -b 'a b' --seed 7"
    assert repeat_command({"command": ["muxbench", "--seed=3", "--output=x"], "seed": 3}) == "muxbench --seed=3"
    assert repeat_command({}) == ""


@pytest.mark.parametrize(
    "manifest",
    [{"machine": 3, "scenario": ["x"], "command": "ls", "seed": "?", "backends": None}, {"machine": {"a": {}}}],
)
def test_a_manifest_may_hold_anything(manifest: dict[str, Any]) -> None:
    assert "fast" in prose(ladder(), manifest=manifest)


def test_the_environment_shows_every_fact_of_the_manifest() -> None:
    manifest = {
        "machine": {"cpu": "EPYC", "mitigations": {"spectre": "on"}, "open_files": {"soft": 4, "hard": 8}},
        "generator": "native",
        "further": {"deep": [1, {"deeper": True}]},
    }
    found = {section.title: dict(section.rows) for section in sections(manifest)}
    assert found["Machine"] == {"cpu": "EPYC"}
    assert found["Limits"] == {"open files": "soft 4, hard 8"}
    assert found["Run"] == {"generator": "native", "further": "deep 1, deeper yes"}


BOUND = (Verdict("generator-bound", "the generator used 99%"),)

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def browser() -> Iterator["Chrome"]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs Chromium and chromedriver: apt install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    flags = ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "window-size=1400,1000")
    for flag in (*flags, "disable-background-networking", "disable-component-update", "disable-sync"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Page:
    """A report in the browser."""

    def __init__(self, browser: "Chrome", file: Path) -> None:
        self.browser = browser
        self.url = file.as_uri()

    def open(self, name: str) -> None:
        self.browser.get("about:blank")
        self.browser.get(f"{self.url}#{name}")
        self.wait("return 'ready' in document.documentElement.dataset")

    def go_to(self, name: str) -> None:
        self.run("location.hash = arguments[0]", name)
        self.wait(SHOWN + f"return shown.id === '{name}'")

    def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever a script returns
        return self.browser.execute_script(script, *arguments)

    def wait(self, script: str) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.browser, 60).until(lambda _: self.run(script))

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]


@pytest.fixture
def page(browser: "Chrome", tmp_path: Path) -> Page:
    file = tmp_path / "report.html"
    records = [
        *ladder(),
        *rounds(HOSTILE[0], [4_000] * 5, connections=10, verdicts=BOUND),
        refused("gone", reason=HOSTILE[1]),
    ]
    file.write_text(document(records, {"command": ["muxbench", "run", "x"]}), encoding="utf-8")
    return Page(browser, file)


SHOWN = "const shown = document.querySelector('.page.shown');"
DRAWN = SHOWN + "return shown.querySelectorAll('.plot .scatterlayer').length >= 1"
VISIBLE = SHOWN + "return shown.querySelector('.plot').data.map(t => [t.name, t.visible])"


def test_a_browser_opens_every_page_without_an_error_and_loads_nothing(page: Page) -> None:
    page.open("environment")
    for name in ("summary", "scenario-0", "backend-0", "backend-4", "cells", "ratios", "verdicts", "environment"):
        page.go_to(name)
        if name.startswith(("summary", "scenario")):
            page.wait(DRAWN)
        assert (
            page.run("return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:'))") == []
        )
    assert page.errors() == []


def test_a_browser_draws_the_numbers_and_names_as_they_are(page: Page) -> None:
    page.open("scenario-0")
    page.wait(DRAWN)
    drawn = dict(page.run(SHOWN + "return shown.querySelector('.plot').data.map(t => [t.name, t.y])"))
    assert drawn["fast"] == [10_020, 10_020]
    assert drawn["slow"] == pytest.approx([8_016, 8_016])
    hollow = dict(page.run(SHOWN + "return shown.querySelector('.plot').data.map(t => [t.name, t.marker.symbol])"))
    assert [name for name, symbols in hollow.items() if symbols[0].endswith("-open")] == [plotly_text(HOSTILE[0])]
    legend = page.run(
        SHOWN + "return [...shown.querySelectorAll('.plot')[0].querySelectorAll('.legendtext')].map(e => e.textContent)"
    )
    assert HOSTILE[0] in legend
    assert page.run("return document.querySelectorAll('main script, main img').length") == 0
    assert page.errors() == []


def test_a_click_in_a_legend_hides_a_backend_in_all_charts(page: Page) -> None:
    from selenium.webdriver import ActionChains

    page.open("scenario-0")
    page.wait(SHOWN + "return shown.querySelectorAll('.plot .scatterlayer').length >= 2")
    [number] = [number for number, (name, _) in enumerate(page.run(VISIBLE)) if name == "slow"]
    toggle = page.run(SHOWN + "return shown.querySelectorAll('.plot .legendtoggle')[arguments[0]]", number)
    ActionChains(page.browser).move_to_element(toggle).click().perform()
    page.wait(
        SHOWN + "return [...shown.querySelectorAll('.plot')].filter(p => p.data)"
        ".every(p => p.data.every(t => (t.visible === 'legendonly') === (t.name === 'slow')))"
    )
    assert page.errors() == []


def test_a_click_on_a_heading_sorts_a_table(page: Page) -> None:
    page.open("cells")
    rates = SHOWN + (
        "const at = [...shown.querySelectorAll('th')].findIndex(h => h.textContent === 'requests/s');"
        "return [...shown.querySelectorAll('tbody tr')].map(r => r.children[at].textContent)"
    )
    heading = SHOWN + "return [...shown.querySelectorAll('th')].find(h => h.textContent === 'requests/s')"
    page.run(heading).click()
    page.wait(SHOWN + "return shown.querySelector('th.dt-ordering-asc') !== null")
    numbers = [float(text.replace(",", "")) for text in page.run(rates) if text[0].isdigit()]
    assert numbers == sorted(numbers)
    assert len(numbers) == 6
    page.run(heading).click()
    page.wait(SHOWN + "return shown.querySelector('th.dt-ordering-desc') !== null")
    assert page.run(rates)[0] == "10,020"


@pytest.mark.parametrize("name", ["slow", HOSTILE[0]])
def test_a_table_can_be_filtered_by_backend(page: Page, name: str) -> None:
    from selenium.webdriver.support.ui import Select

    page.open("cells")
    select = page.run(
        SHOWN
        + "return [...shown.querySelectorAll('label')].find(l => l.textContent.startsWith('backend')).firstElementChild"
    )
    Select(select).select_by_visible_text(name)
    shown = page.run(SHOWN + "return [...shown.querySelectorAll('tbody tr')].map(r => r.children[0].textContent)")
    assert set(shown) == {name}
    assert page.errors() == []
