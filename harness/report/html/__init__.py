"""A run's report as one HTML file that needs nothing else: no network, no other file.

`standings` says who leads, `figures` makes the charts' data (out of `measures` and `traces`), `grids` the tables',
`environment` the machine's; each from tables that have every statistic already. `template/` is what they are put into.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.report.html.page import page

if TYPE_CHECKING:
    from pandas import DataFrame

    from harness.report.frame import Frames


def to_html(
    frames: "Frames",
    ratios: "DataFrame",
    manifest: Mapping[str, Any],
    problems: Sequence[str] = (),
    capacities: "DataFrame | None" = None,
) -> str:
    """Return the report as an HTML document.

    Args:
        frames: Tables of a run's records.
        ratios: What `harness.compare.ratios` returned for them.
        manifest: Of the same run; whatever it holds is shown.
        problems: One line for each thing that could not be read.
        capacities: What `harness.capacity.capacities` returned; None, or no row, if the run was no such search.
    """
    import jinja2
    from jinja2.utils import htmlsafe_json_dumps

    from harness.report.html import libraries

    facts = page(frames, ratios, manifest, problems, capacities)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report.html", "template"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    data = htmlsafe_json_dumps(facts.pop("data"), allow_nan=False, separators=(",", ":"))
    return environment.get_template("report.html.jinja").render(
        **facts,
        data=data,
        # Scripts run only with this number, which no name in the page can know; the same page has the same one.
        nonce=hashlib.sha256(data.encode()).hexdigest()[:32],
        plotly_js=libraries.plotly_js(),
        datatables_url=libraries.datatables_url(),
    )
