"""The measured code of an earlier commit, put beside the present one, so that both can be measured in one run."""

import io
import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class CheckoutError(Exception):
    """A commit that cannot be had, in one line."""


def check_out(commit: str, into: Path) -> str:
    """Write the folders `backends` and `scenarios` of a commit into a folder and return the commit's short name.

    Args:
        commit: Any name that git knows it by.
        into: An existing folder.

    Raises:
        CheckoutError: There is no such commit, or no repository.
    """
    name = _git("rev-parse", "--short", "--verify", f"{commit}^{{commit}}", what=commit).decode().strip()
    archive = _git("archive", name, "backends", "scenarios", what=commit)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(into, filter="data")
    return name


def _git(*arguments: str, what: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    except OSError as fault:
        raise CheckoutError(f"commit {what}: git cannot be started: {fault.strerror}") from None
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise CheckoutError(f"commit {what}: {' '.join(reason)}")
    return done.stdout
