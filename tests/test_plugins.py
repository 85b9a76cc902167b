"""Backends and scenarios of other packages are found through their entry points; faulty ones are named and left out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backends.find import find_backends

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "tests" / "sample_plugin"
MUXBENCH = "from harness.cli import main; main(prog_name='muxbench')"
TRAITS = 'TRAITS = {"name": "mine", "family": "blocking", "summary": "s"}\n'
SERVE = "def serve(server): ...\n"


def run(python: str | Path, *arguments: str, path: str = "") -> str:
    """Run the command under an interpreter and return its output, lines joined."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [path, str(ROOT)]))}
    done = subprocess.run(
        [python, "-c", MUXBENCH, *arguments], capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split())


def install_by_hand(folder: Path, package: str, name: str, module: str, source: str | None) -> None:
    """Write what an installer leaves of a package with one backend."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[muxbench.backends]\n{name} = {module}\n")
    if source is not None:
        (folder / f"{module}.py").write_text(source)


def test_an_installed_plugin_is_listed_and_measured(tmp_path: Path) -> None:
    fresh = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", fresh], check=True)
    (packages,) = fresh.glob("lib/*/site-packages")
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "muxbench.pth").write_text(f"{here}\n")  # muxbench's own dependencies, which take minutes to install
    python = fresh / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    copy = tmp_path / "source"
    subprocess.run(["cp", "-r", SAMPLE, copy], check=True)  # building leaves files behind
    subprocess.run([*install, copy], check=True)
    listed = run(python, "list")
    assert "one-by-one blocking one connection after the other (muxbench-sample 1.2)" in listed
    assert "As small as a scenario can be." in listed
    out = tmp_path / "out"
    measured = run(python, "run", "tiny", "--backend", "one-by-one,epoll", "--output", str(out))
    assert "one-by-one" in measured
    assert (out / "report" / "cells.csv").read_text().count("one-by-one") == 1


@pytest.mark.parametrize(
    ("name", "module", "source", "words"),
    [
        ("mine", "mine_module", TRAITS, "there is no function serve(server)"),
        ("mine", "mine_module", SERVE + 'TRAITS = {"name": 5}\n', "TRAITS['name'] must be a text"),
        ("mine", "mine_module", None, "there is no module mine_module"),
        ("yours", "mine_module", TRAITS + SERVE, "its TRAITS call it 'mine'"),
        ("epoll", "mine_module", TRAITS.replace("mine", "epoll") + SERVE, "the name is taken by a built-in backend"),
    ],
)
def test_a_faulty_plugin_is_named_with_its_package(
    name: str, module: str, source: str | None, words: str, tmp_path: Path
) -> None:
    install_by_hand(tmp_path, "faulty", name, module, source)
    listed = run(sys.executable, "list", path=str(tmp_path))
    assert f"plugin {name} of faulty 1.0 is left out" in listed
    assert words in listed
    assert all(each in listed for each in find_backends())


def test_two_plugins_of_one_name_are_told_apart(tmp_path: Path) -> None:
    install_by_hand(tmp_path, "first", "mine", "one_module", TRAITS + SERVE)
    install_by_hand(tmp_path, "second", "mine", "two_module", TRAITS + SERVE)
    listed = run(sys.executable, "list", path=str(tmp_path))
    assert "plugin mine of second 1.0 is left out: the name is taken by first 1.0" in listed


@pytest.mark.parametrize(("line", "words"), [("import os; os._exit(3)", "ends the interpreter"), ("1 / 0", "ZeroDiv")])
def test_a_plugin_that_cannot_be_imported_is_unavailable_with_the_reason(line: str, words: str, tmp_path: Path) -> None:
    install_by_hand(tmp_path, "broken", "mine", "mine_module", f"{TRAITS}{SERVE}{line}\n")
    listed = run(sys.executable, "list", path=str(tmp_path))
    assert words in listed
    assert "epoll, level-triggered" in listed
