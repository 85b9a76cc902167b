"""What the documentation says is what the program and the reference results say."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness import scenario
from harness.store import read_run

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "results" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_page_of_backends_is_what_the_reference_run_says() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make_backends.py"))["page"]
    written = (ROOT / "docs" / "backends.md").read_text(encoding="utf-8")
    assert page() == written, "run: .venv/bin/python docs/make_backends.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation as a site; a link that leads nowhere, or code that is no longer there, ends the building."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    class Loaded(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(str(value) for key, value in attrs if key == "src" or (tag == "link" and key == "href"))

    found: list[str] = []
    for page in site.glob("*.html"):
        Loaded().feed(page.read_text(encoding="utf-8"))
    assert len(found) > 100
    assert [address for address in found if "//" in address] == []


def test_the_site_shows_code_as_it_stands(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "concepts.html").read_text(encoding="utf-8"))
    assert "readable, writable, _ = select.select(self._readers, self._writers, (), timeout)" in text


@pytest.mark.parametrize("name", ["Reactor.fly", "fly", "Reactor.run.fly"])
def test_code_that_is_no_longer_there_ends_the_building(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    hooks = runpy.run_path(str(ROOT / "docs" / "site_hooks.py"))
    reactor = ROOT / "backends" / "readiness" / "reactor.py"
    assert hooks["code_of"](reactor, "Reactor.run").startswith("def run(self) -> None:")
    with pytest.raises(hooks["PluginError"], match=f"there is no {name}"):
        hooks["code_of"](reactor, name)


def test_every_command_and_every_key_of_a_scenario_is_in_the_site(site: Path) -> None:
    from harness.cli import main

    commands = (site / "commands.html").read_text(encoding="utf-8")
    assert all(f'id="muxbench-{name}"' in commands for name in main.commands)
    keys = (site / "add-a-scenario.html").read_text(encoding="utf-8")
    models = (scenario.Scenario, scenario.Load, scenario.ServiceConditions, scenario.Measure)
    assert all(f"<code>{key}</code>" in keys for model in models for key in model.model_fields)


def test_the_scenario_and_the_exchange_of_the_walk_through_work(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "add-a-scenario.md").read_text(encoding="utf-8")
    mine, lookup, cache = re.findall(r"```(?:toml|python)\n(.*?)```", text, re.DOTALL)[:3]
    for name, block in (("mine.toml", mine), ("lookup.py", lookup), ("cache.toml", cache)):
        (tmp_path / name).write_text(block, encoding="utf-8")
    assert scenario.load_scenario(str(tmp_path / "mine.toml")).load.connections == (50, 200)
    made_ready(tmp_path)
    follow(".venv/bin/muxbench run ./cache.toml --backend epoll,threads --output run", tmp_path)
    assert measured(tmp_path / "run") == {"epoll", "threads"}


ADD_A_BACKEND = (ROOT / "docs" / "add-a-backend.md").read_text(encoding="utf-8").split("\n## ")


def section(title: str) -> str:
    (found,) = (each for each in ADD_A_BACKEND if each.startswith(title))
    return found


def test_every_command_of_the_page_about_backends_is_followed_below() -> None:
    followed = {"In a minute", "From nothing", "Any other program"}
    assert {each.partition("\n")[0] for each in ADD_A_BACKEND if commands(each)} == followed


def test_the_minute_of_the_page_about_backends_works(tmp_path: Path) -> None:
    page = section("In a minute")
    made_ready(tmp_path)
    for command in commands(page):
        follow(command, tmp_path)
    assert measured(tmp_path / "mine-run") == {"mine", "epoll"}
    assert (tmp_path / "mine-run" / "report" / "report.html").exists()
    (command,) = re.findall(r"`(python -m pytest [^`]+)`", page)
    assert "1 passed" in follow(f"{command} -k split-message", tmp_path)


def test_the_backend_of_the_page_works(tmp_path: Path) -> None:
    page = section("From nothing")
    made_ready(tmp_path, page)
    for command in commands(page):
        follow(command, tmp_path)
    assert measured(tmp_path / "small-run") == {"small", "epoll"}


@pytest.mark.skipif(shutil.which("cc") is None, reason="the C server of the page has to be built")
def test_the_external_server_of_the_page_works(tmp_path: Path) -> None:
    page = section("Any other program")
    made_ready(tmp_path, page)
    for command in commands(page):
        follow(command, tmp_path)
    (run,) = (tmp_path / "results").iterdir()
    assert measured(run) == {"mine", "c-epoll"}


def test_the_multiplexer_of_the_page_is_short_and_works(tmp_path: Path) -> None:
    (command,) = re.findall(r"`(muxbench new [^`]+)`", section("Only a multiplexer?"))
    made_ready(tmp_path)
    follow(f".venv/bin/{command}", tmp_path)
    follow('python -m pytest test_mine.py -k "split-message or half-close"', tmp_path)
    built_in = [file.read_text(encoding="utf-8") for file in (ROOT / "backends" / "readiness").glob("mux_*.py")]
    multiplexers = [(tmp_path / "mine.py").read_text(encoding="utf-8"), *built_in]
    assert max(len(each.splitlines()) for each in multiplexers) <= 40


def commands(page: str) -> list[str]:
    """Return the commands that stand in lines of their own."""
    return re.findall(r"^    (\.venv/bin/muxbench .*?)(?: +#.*)?$", page, re.MULTILINE)


def made_ready(folder: Path, page: str = "") -> None:
    """Put the command where pages say that it is, and beside it the files that a page has its reader save."""
    program = folder / ".venv" / "bin" / "muxbench"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!{sys.executable}\nfrom harness.cli import main\nmain(prog_name='muxbench')\n")
    program.chmod(0o755)
    for name, block in re.findall(r"`([\w.]+\.\w+)`[^`]*:\n\n```\w+\n(.*?)```", page, re.DOTALL):
        (folder / name).write_text(block, encoding="utf-8")


def follow(command: str, folder: Path) -> str:
    """Run a command of a page in this folder, a run of servers as short as can be, and return what it prints."""
    if " run " in command:
        command += " --connections 1 --duration 50ms --rounds 1"
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(folder / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def measured(run: Path) -> set[str]:
    """Return which backends a run has measured, each with right replies."""
    records = read_run(run).records
    for record in records:
        assert record.result is not None, record.verdicts
        assert record.result.replied + record.result.late > 0  # a busy machine may answer after 50 ms
        assert {verdict.kind for verdict in record.verdicts} <= {"disturbed", "unsteady", "generator-bound"}
    return {record.backend for record in records}
