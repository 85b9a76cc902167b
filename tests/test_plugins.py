"""Backends and scenarios of other packages are found through their entry points; faulty ones are named and left out."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from backends.find import find_backends

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "tests" / "sample_plugin"
MUXBENCH = "from harness.cli import main; main(prog_name='muxbench')"
SERVE = "def serve(server): ...\n"


def run(python: str | Path, *arguments: str, path: str = "") -> str:
    """Run the command under an interpreter and return its output, lines joined."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [path, str(ROOT)]))}
    done = subprocess.run(
        [python, "-c", MUXBENCH, *arguments], capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split())


def install_by_hand(folder: Path, package: str, name: str, source: str | None) -> None:
    """Write what an installer leaves of a package with one backend, in a module of the package's name."""
    module = package.replace("-", "_")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[muxbench.backends]\n{name} = {module}\n")
    if source is not None:
        (folder / f"{module}.py").write_text(source)


def source_of(name: str, end: str = "") -> str:
    """Return the source of a backend of this name, and what stands at its end."""
    return f'TRAITS = {{"name": "{name}", "family": "blocking", "summary": "s"}}\n{SERVE}{end}\n'


def test_an_installed_plugin_is_listed_and_measured(tmp_path: Path) -> None:
    fresh = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", fresh], check=True)
    (packages,) = fresh.glob("lib/*/site-packages")
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "muxbench.pth").write_text(f"{here}\n")  # muxbench's own dependencies, which take minutes to install
    python = fresh / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check"]
    copy = tmp_path / "source"
    subprocess.run(["cp", "-r", SAMPLE, copy], check=True)  # building leaves files behind
    subprocess.run([*pip, "install", "--no-deps", copy], check=True)
    listed = run(python, "list")
    assert "one-by-one blocking one connection after the other (muxbench-sample 1.2)" in listed
    assert "As small as a scenario can be." in listed
    out = tmp_path / "out"
    measured = run(python, "run", "tiny", "--backend", "one-by-one,epoll", "--output", str(out))
    assert "one-by-one" in measured
    assert (out / "report" / "cells.csv").read_text().count("one-by-one") == 1


FAULTY = {
    "serves-nothing": ("idle", source_of("idle").replace(SERVE, ""), "there is no function serve(server)"),
    "has-a-number": ("five", SERVE + 'TRAITS = {"name": 5}\n', "TRAITS['name'] must be a text"),
    "lacks-its-module": ("lost", None, "there is no module lacks_its_module"),
    "says-another-name": ("yours", source_of("mine"), "its TRAITS call it 'mine'"),
    "takes-a-name": ("epoll", source_of("epoll"), "the name is taken by a built-in backend"),
    "second": ("twin", source_of("twin"), "the name is taken by first 1.0"),
}
"""Package -> its backend's name and source, and the words that refuse it."""

BROKEN = {
    "ends-python": ("import os; os._exit(3)", "ends the interpreter"),
    "divides": ("1 / 0", "cannot be imported: ZeroDiv"),
}
"""Package -> what its backend does when it is imported, and the words that say why it is unavailable."""


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is listed where all of them are installed."""
    folder = tmp_path_factory.mktemp("packages")
    install_by_hand(folder, "first", "twin", source_of("twin"))
    for package, (name, source, _) in FAULTY.items():
        install_by_hand(folder, package, name, source)
    for package, (line, _) in BROKEN.items():
        install_by_hand(folder, package, package, source_of(package, line))
    return run(sys.executable, "list", path=str(folder))


@pytest.mark.parametrize("package", FAULTY)
def test_a_faulty_plugin_is_named_with_its_package(package: str, listed: str) -> None:
    name, _, words = FAULTY[package]
    assert re.search(rf"plugin {name} of {package} 1\.0 is left out: (\S+: )?{re.escape(words)}", listed)


@pytest.mark.parametrize("package", BROKEN)
def test_a_plugin_that_cannot_be_imported_is_unavailable_with_the_reason(package: str, listed: str) -> None:
    assert f"({package} 1.0) [unavailable: {BROKEN[package][1]}" in listed


def test_the_others_are_listed_beside_faulty_plugins(listed: str) -> None:
    assert all(each in listed for each in find_backends())
    assert "epoll, level-triggered" in listed
