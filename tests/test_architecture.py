"""The arrows between the packages never point back: scenarios <- backends <- harness. Read from the syntax trees."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.find import find_backends

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("scenarios", "backends", "harness")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
FRAMEWORKS = {"gevent", "trio", "anyio", "curio", "twisted", "tornado", "uvloop", "eventlet", "psutil", "pandas"}
REQUIRED = {
    backend.file: {module.partition(".")[0] for module in backend.traits.requires}
    for backend in find_backends().values()
    if backend.program is None
}

SOURCES_ONLY = {".py", ".pyi", ".pyx", ".pxd", ".c", ".so"}
"""Endings of files that are packaged as code, or only needed to build it."""

HARNESS_USES_OF_BACKENDS = {f"backends.{name}" for name in ("contract", "find", "plugins", "probe", "program")}
PURE = {
    "harness.record": {"harness.loadgen.spec"},
    "harness.verdict": {"harness.loadgen.histogram", "harness.loadgen.spec", "harness.record"},
    "harness.histogram_text": {"harness.loadgen.histogram"},
    "harness.stats": {"harness.loadgen.spec", "harness.record", "harness.loadgen.histogram", "harness.histogram_text"},
    "harness.loadgen.spec": {"scenarios.session"},
    "harness.loadgen.schedule": {"harness.loadgen.spec"},
    "harness.loadgen.merge": {"harness.loadgen.histogram", "harness.loadgen.spec"},
    "harness.loadgen.framing": set(),
}
"""Modules that compute and do nothing else -> the modules of ours that they may import."""

INPUT_AND_OUTPUT = {"os", "socket", "subprocess", "psutil", "pathlib", "threading", "multiprocessing", "sys", "time"}


def imports_in(code: str, package: str) -> set[str]:
    """Return the dotted names of the modules, or of what is taken from a module, that this code imports anywhere."""

    def names() -> Iterator[str]:
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                parent = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                module = ".".join([*parent, *([node.module] if node.module else [])])
                yield from (f"{module}.{alias.name}" for alias in node.names)

    return set(names())


def imports_of(file: Path) -> set[str]:
    return imports_in(file.read_text(), ".".join(file.relative_to(ROOT).parent.parts))


def module_of(name: str) -> str:
    """Return the module of a dotted name that may end in something within a module."""
    parts = name.split(".")
    while parts:
        path = ROOT.joinpath(*parts)
        if path.with_suffix(".py").is_file() or path.with_suffix(".pyx").is_file() or path.is_dir():
            return ".".join(parts)
        parts.pop()
    return name


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def top(name: str) -> str:
    return name.split(".")[0]


def files_of(package: str) -> list[Path]:
    return [file for file in FILES if file.relative_to(ROOT).parts[0] == package]


def foreign(file: Path, allowed: set[str]) -> set[str]:
    return {name for name in imports_of(file) if top(name) not in sys.stdlib_module_names | allowed}


@pytest.mark.parametrize("file", files_of("scenarios"), ids=name_of)
def test_scenarios_import_the_standard_library_only(file: Path) -> None:
    parser = {"httptools"} if name_of(file) == "scenarios.exchanges.http_plain" else set()
    assert foreign(file, {"scenarios"} | parser) == set()


@pytest.mark.parametrize("file", files_of("backends"), ids=name_of)
def test_backends_import_scenarios_and_what_they_require(file: Path) -> None:
    users = [user for user in REQUIRED if name_of(file) in {module_of(name) for name in imports_of(user)}]
    required = set().union(*(REQUIRED[user] for user in [*users, file] if user in REQUIRED))
    assert foreign(file, {"scenarios", "backends"} | required) == set()


@pytest.mark.parametrize("file", files_of("harness"), ids=name_of)
def test_harness_knows_no_backend(file: Path) -> None:
    used = {module_of(name) for name in imports_of(file) if top(name) == "backends"}
    assert used <= HARNESS_USES_OF_BACKENDS


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_nobody_imports_the_command_line(file: Path) -> None:
    if name_of(file) != "harness.__main__":
        assert "harness.cli" not in {module_of(name) for name in imports_of(file)}


@pytest.mark.parametrize("name", [name for name in PURE if (ROOT / (name.replace(".", "/") + ".py")).is_file()])
def test_what_computes_does_nothing_else(name: str) -> None:
    names = imports_of(ROOT / (name.replace(".", "/") + ".py"))
    assert {module_of(each) for each in names if top(each) in PACKAGES} <= PURE[name]
    assert {top(each) for each in names} & INPUT_AND_OUTPUT == set()


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_module_takes_the_name_of_a_foreign_one(file: Path) -> None:
    # A file is found under its bare name when a neighbour runs as a script.
    if file.stem not in {"__init__", "__main__"}:
        assert file.stem not in sys.stdlib_module_names | FRAMEWORKS


@pytest.mark.parametrize(
    ("code", "package", "expected"),
    [
        ("import a.b, c", "harness", {"a.b", "c"}),
        ("from a import b as c", "harness", {"a.b"}),
        ("def f():\n    if True:\n        import late", "harness", {"late"}),
        ("from . import cli", "harness", {"harness.cli"}),
        ("from ..backends.contract import X", "harness.report", {"harness.backends.contract.X"}),
        ("from .spec import Y", "harness.loadgen", {"harness.loadgen.spec.Y"}),
    ],
)
def test_every_form_of_import_is_seen(code: str, package: str, expected: set[str]) -> None:
    assert imports_in(code, package) == expected


def test_an_installed_copy_holds_every_package_and_every_file_that_the_program_reads() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert set(setuptools["packages"]) == {".".join(file.relative_to(ROOT).parent.parts) for file in FILES}
    patterns = [(name, each) for name, globs in setuptools["package-data"].items() for each in globs]
    packaged = {path for name, each in patterns for path in (ROOT / name.replace(".", "/")).glob(each)}
    read = {
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in SOURCES_ONLY and "__pycache__" not in path.parts
    }
    assert read <= packaged
    assert any(path.suffix == ".c" for path in packaged)  # that of an external server
