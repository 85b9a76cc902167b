"""`muxbench new`: a working backend to start from, with its test."""

from __future__ import annotations

import re
from pathlib import Path

import click

from harness.commands.common import open_console

TEST = '''"""{name} keeps the contract of a backend. Run: python -m pytest {test}"""

from pathlib import Path

import pytest

from backends.find import read_backend
from harness.conformance import CHECKS, Check, CheckSkippedError, run_check

BACKEND = read_backend(Path(__file__).with_name("{file}"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_contract_is_kept(check: Check, tmp_path: Path) -> None:
    try:
        run_check(check, BACKEND, tmp_path / "server.log")
    except CheckSkippedError as reason:
        pytest.skip(str(reason))
'''


@click.group()
def new() -> None:
    """Write a working file to start from."""


@new.command()
@click.argument("name")
@click.option("--multiplexer", is_flag=True, help="Only another way to wait for readiness: the reactor does the rest.")
def backend(name: str, multiplexer: bool) -> None:
    """Write NAME.py, a backend that keeps the contract, and test_NAME.py, into this folder."""
    from backends.find import FOLDER

    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise click.UsageError(f"{name!r} is no name for a backend: small letters, digits and hyphens, such as my-loop")
    file, test = Path(f"{name.replace('-', '_')}.py"), Path(f"test_{name.replace('-', '_')}.py")
    template = FOLDER / ("template_multiplexer.py" if multiplexer else "template.py")
    contents = {
        file: template.read_text(encoding="utf-8").replace('"name": "template"', f'"name": "{name}"'),
        test: TEST.format(name=name, file=file, test=test),
    }
    for path in contents:
        if path.exists():
            raise click.UsageError(f"{path} exists: choose another name, or move it away")
    try:
        for path, text in contents.items():
            path.write_text(text, encoding="utf-8")
    except OSError as fault:
        raise click.ClickException(f"{fault.filename}: {fault.strerror}") from None
    open_console().print(
        f"Wrote {file} and {test}. Next:\n  muxbench check ./{file}\n  muxbench run quick --backend ./{file},epoll",
        markup=False,
    )
