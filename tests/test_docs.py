"""What the documentation says is what the program and the reference results say."""

import re
import runpy
from pathlib import Path

import pytest

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
