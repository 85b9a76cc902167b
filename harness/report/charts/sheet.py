"""A figure's layout in inches: title, panels, legend and notes each have their own room, so none hides another."""

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report.charts.look import GREY, Look, darkened, darkened_svg

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 160
"""Dots per inch of the PNG."""

MARGIN = 0.3
"""Inches of white around everything."""

LINE = 0.2
"""Inches from one line of small text to the next."""

SMALL = 10
"""Points of legend, direct labels and notes."""

PANEL_TITLE = 11
"""Points of what stands above a panel, where there is room."""


@dataclass(frozen=True)
class Grid:
    """How panels are arranged. Sizes in inches.

    Attributes:
        rows: Rows of panels.
        columns: Panels in a row.
        width: Of a panel.
        height: Of a panel.
        left: Room for the labels of the left-most panels.
        right: Room to the right of every panel, for direct labels.
        below: Room below each row, for ticks and the axis label.
    """

    rows: int
    columns: int
    width: float
    height: float
    left: float = 0.85
    right: float = 0.25
    below: float = 0.65


def lay_out(
    grid: Grid,
    title: str,
    subtitle: str,
    *,
    share_x: bool = True,
    share_y: bool = True,
    legend: Mapping[str, Look] | None = None,
    key: Sequence["Artist"] = (),
    notes: Sequence[str] = (),
) -> tuple["Figure", list["Axes"]]:
    """Return a figure and its axes, row by row.

    Args:
        grid: How panels are arranged.
        title: Stands on top.
        subtitle: Stands below it: what the chart shows and under which conditions.
        share_x: Whether all panels have the same horizontal axis.
        share_y: Whether all panels have the same vertical axis.
        legend: Series -> look, listed right of the panels where they are not labelled directly.
        key: Legend handles with labels that explain markers and bars; stands below the panels.
        notes: Paragraphs at the foot.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels_width = grid.left + grid.columns * (grid.width + grid.right)
    legend_width = 0.5 + max(map(text_width, legend)) if legend else 0.0
    width = max(2 * MARGIN + panels_width + legend_width, 6.5)
    title_lines = _wrap(title, width, 15, 2)
    subtitle_lines = _wrap(subtitle, width, 10, 3)
    note_lines = [line for note in notes for line in _wrap(note, width, SMALL, 2)]

    top = MARGIN + 0.27 * len(title_lines) + 0.2 * len(subtitle_lines) + 0.38
    key_width = sum(0.9 + text_width(str(handle.get_label())) for handle in key)
    key_rows = 1 if key_width <= width - 2 * MARGIN else len(key)
    foot = MARGIN + LINE * len(note_lines) + (0.3 + LINE * (key_rows - 1) if key else 0)
    height = top + grid.rows * (grid.height + grid.below) + (grid.rows - 1) * 0.2 + foot
    if legend:
        height = max(height, top + len(legend) * (LINE + 0.04) + foot)
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)

    def write_lines(lines: Sequence[str], from_top: float, step: float, style: dict[str, Any]) -> None:
        for number, line in enumerate(lines):
            figure.text(MARGIN / width, 1 - (from_top + number * step) / height, line, va="top", **style)

    write_lines(title_lines, MARGIN, 0.27, {"fontsize": 15, "fontweight": "bold"})
    write_lines(subtitle_lines, MARGIN + 0.27 * len(title_lines) + 0.04, 0.2, {"color": GREY})
    write_lines(note_lines, height - MARGIN - LINE * len(note_lines) + 0.04, LINE, {"fontsize": SMALL, "color": GREY})

    axes: list[Axes] = []
    for number in range(grid.rows * grid.columns):
        row, column = divmod(number, grid.columns)
        x = MARGIN + grid.left + column * (grid.width + grid.right)
        y = height - top - row * (grid.height + grid.below + 0.2) - grid.height
        box = (x / width, y / height, grid.width / width, grid.height / height)
        first = axes[0] if axes else None
        axes.append(figure.add_axes(box, sharex=first if share_x else None, sharey=first if share_y else None))
    if legend:
        x, y = (MARGIN + panels_width) / width, 1 - (top - 0.05) / height
        figure.legend(handles=_handles(legend), loc="upper left", bbox_to_anchor=(x, y), **_BARE)
    if key:
        x, y = MARGIN / width, (MARGIN + LINE * len(note_lines) + 0.02) / height
        figure.legend(handles=list(key), loc="lower left", bbox_to_anchor=(x, y), ncols=len(key) // key_rows, **_BARE)
    return figure, axes


_BARE: dict[str, Any] = {
    "frameon": False,
    "borderpad": 0.0,
    "borderaxespad": 0.0,
    "fontsize": SMALL,
    "labelcolor": "black",
}


def _handles(legend: Mapping[str, Look]) -> list["Artist"]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.line, label=name, markersize=6)
        for name, look in legend.items()
    ]


@cache
def text_width(text: str, points: float = SMALL) -> float:
    """Return the width of a line of text in inches."""
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=points).get_extents().width) / 72 if text.strip() else 0.0


def _wrap(text: str, width: float, points: float, lines: int) -> list[str]:
    # An average letter of DejaVu Sans is 0.56 of its size wide, a bold one 0.63.
    letters = int((width - 2 * MARGIN) * 72 / (points * (0.63 if points > 12 else 0.56)))
    return textwrap.wrap(" ".join(text.split()), letters, max_lines=lines, placeholder=" …")


def name_panel(place: "Axes", title: str) -> None:
    """Write what sets a panel apart above it, as small as its width demands."""
    width = place.get_window_extent().width / DPI
    place.set_title(title, fontsize=PANEL_TITLE * min(1.0, width / max(0.1, text_width(title, PANEL_TITLE))))


def remove_unused(axes: Sequence["Axes"], used: int) -> None:
    """Take away the panels of the last row that have nothing to show."""
    for spare in axes[used:]:
        spare.remove()


def write(figure: "Figure", folder: Path, name: str) -> list[Path]:
    """Write a figure as `name`.png and `name`.svg, and both for a dark ground as `name`-dark; return the four paths.

    Raises:
        OSError: The folder cannot be made or written.
    """
    import numpy as np
    from matplotlib.image import imsave

    folder.mkdir(parents=True, exist_ok=True)
    png, svg, dark_png, dark_svg = files = [
        folder / f"{name}{ending}" for ending in (".png", ".svg", "-dark.png", "-dark.svg")
    ]
    with warnings.catch_warnings():
        # A name in another script is a row of boxes in the PNG; in the SVG it is text, and browsers have the letters.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(png, dpi=DPI)
        imsave(dark_png, darkened(np.asarray(figure.canvas.buffer_rgba())), dpi=DPI)  # type: ignore[attr-defined]
        figure.savefig(svg, metadata={"Date": None})
    dark_svg.write_text(darkened_svg(svg.read_text(encoding="utf-8")), encoding="utf-8")
    return files
