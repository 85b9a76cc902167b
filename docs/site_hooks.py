"""What MkDocs does to our pages: files beside docs/ become part of the site, and code is shown as it stands in them.

Pages link to files of the repository as `../harness/run.py`, so that the links work where the repository is browsed.
In the site such a link leads to a copy of the file. One that stands alone in its line is replaced by what it names:

    [`backends/readiness/mux_select.py`](../backends/readiness/mux_select.py#Multiplexer.wait)     the code
    [The keys of `[load]`](../harness/scenario.py#Load.model_fields)                               a table of keys
    [Reply styles](../results/reference/reply-styles.json#median)                                  a table of medians

What is named and not there ends the build.
"""

import ast
import json
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from scenario_keys import keys_table

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
RECORDS = "results/README.md"
LINK = re.compile(r"(!?)\[([^\]]*)\]\(\.\./([^)#\s]+)(?:#([\w.-]+))?\)")
AS_PAGES = {RECORDS: "records.md", "README.md": "index.md"}
"""Files of the repository that are pages of the site, or have one in their place."""

SHOWN_AS_THEY_ARE = {".html", ".png"}
"""Endings of files that browsers show; copies of others are called .txt, so that they are not downloaded."""


def on_files(files: "Files", config: "MkDocsConfig") -> None:
    """Add the page about records."""
    text = (ROOT / RECORDS).read_text(encoding="utf-8")
    files.append(File.generated(config, AS_PAGES[RECORDS], content=text))


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Replace links to files beside docs/ by what they name, or by links to copies."""

    def replaced(found: re.Match[str]) -> str:
        mark, words, path, name = found[1], found[2], found[3], found[4]
        if path in AS_PAGES:
            return f"[{words}]({AS_PAGES[path]}{'#' + name if name else ''})"
        file = ROOT / path
        if not file.is_file():
            raise PluginError(f"{page.file.src_path}: there is no {path}")
        alone = found.string[: found.start()].rpartition("\n")[2] + found.string[found.end() :].partition("\n")[0] == ""
        if name and alone:
            return shown(file, name)
        copy = f"source/{path}{'' if file.suffix in SHOWN_AS_THEY_ARE else '.txt'}"
        if files.get_file_from_path(copy) is None:
            files.append(File.generated(config, copy, content=file.read_bytes()))
        return f"{mark}[{words}]({copy})"

    return LINK.sub(replaced, markdown)


def shown(file: Path, name: str) -> str:
    """Return the Markdown of what a link names within a file.

    Raises:
        PluginError: There is no such thing.
    """
    if name.endswith(".model_fields"):
        return keys_table(name.removesuffix(".model_fields"))
    if file.suffix == ".json":
        return medians_table(json.loads(file.read_text(encoding="utf-8")))
    return f'```python title="{file.relative_to(ROOT)}"\n{code_of(file, name)}\n```'


def code_of(file: Path, name: str) -> str:
    """Return the source of a function or class, such as `Reactor.run`, without its indentation.

    Raises:
        PluginError: The file has none of this name.
    """
    source = file.read_text(encoding="utf-8")
    node: Any = ast.parse(source)
    for part in name.split("."):
        node = next((each for each in node.body if getattr(each, "name", None) == part), None)
        if node is None:
            raise PluginError(f"{file}: there is no {name}")
    return textwrap.dedent("\n".join(source.splitlines()[node.lineno - 1 : node.end_lineno]))


def medians_table(measured: dict[str, Any]) -> str:
    """Return what pytest-benchmark wrote of `benchmarks/test_reply_styles.py` as a table: microseconds a reply."""
    rows = ["| one reply through | median, us |", "| --- | ---: |"]
    for each in measured["benchmarks"]:
        style = each["name"].removeprefix("test_").replace("_", " ")
        rows.append(f"| {style} | {each['stats']['median'] * 1e6 / 1000:.2f} |")
    return "\n".join(rows)
