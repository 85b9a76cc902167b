"""What a backend looks like in every chart, and how numbers are written on axes."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255")
"""Okabe and Ito's palette for all kinds of colour vision (https://jfly.uni-koeln.de/color/); its yellow, which is hard
to see on white, is replaced by the wine of Paul Tol's."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")

LineStyle: TypeAlias = Literal["-"] | tuple[float, tuple[float, ...]]

LINES: tuple[LineStyle, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))

SALT = b"6156505"
"""Chosen by trial so that those most often charted together differ in colour: the models, the idle ladder's, and the
well-known servers'. Changing it changes every backend's look in all reports from then on."""

GREY = "#595959"
"""Of everything that is not data; 7:1 on white."""

SETTINGS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "font.family": ["sans-serif"],
    "font.size": 10,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and restyled
    "svg.hashsalt": "muxbench",  # the same figure gives the same file
    "text.parse_math": False,  # a backend may be called "$x_y$"
    "xtick.color": GREY,
    "ytick.color": GREY,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Apply the house settings of matplotlib, whatever the user's own are."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


@dataclass(frozen=True, slots=True)
class Look:
    """How one series is drawn.

    Attributes:
        colour: Stable for a backend's name.
        marker: Stable for a series' name.
        line: Tells apart those of a chart that share a colour.
    """

    colour: str
    marker: str
    line: LineStyle


def looks(series: Iterable[tuple[str, str]]) -> dict[str, Look]:
    """Return the look of each series of a chart by its name.

    A name always has the same colour and marker, in any chart of any run; with eight colours some share one, and those
    differ in their lines within a chart.

    Args:
        series: (name of the series, name of its backend) of all in the chart.
    """
    found: dict[str, Look] = {}
    sharing: dict[str, int] = {}
    for name, backend in sorted(set(series)):
        colour = COLOURS[_digest(backend)[0] % len(COLOURS)]
        marker = MARKERS[_digest(name)[1] % len(MARKERS)]
        found[name] = Look(colour, marker, LINES[sharing.get(colour, 0) % len(LINES)])
        sharing[colour] = sharing.get(colour, 0) + 1
    return found


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=4, salt=SALT).digest()


def lighter(colour: str) -> str:
    """Return a tint of a colour: opaque, so that no grid shines through."""
    mixed = [(int(colour[place : place + 2], 16) * 2 + 255 * 3) // 5 for place in (1, 3, 5)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def darkened(pixels: "NDArray[uint8]") -> "NDArray[uint8]":
    """Return colours for a dark ground: lightness (that of HSL) turned over, hue kept, so white becomes black.

    Continuous, so that the smoothed edges of letters and lines stay smooth. Middle tones come out lighter than by a
    plain reversal, which would make the palette's light colours too dark to be seen on black.

    Args:
        pixels: Red, green, blue and whatever follows along the last axis, 0 to 255.
    """
    import numpy as np

    colours = pixels[..., :3] / np.float32(255)
    lightness = (colours.max(-1, keepdims=True) + colours.min(-1, keepdims=True)) / 2
    turned = np.clip(colours - lightness + (1 - lightness) ** 0.7, 0, 1)
    return np.concatenate([np.rint(turned * 255).astype(np.uint8), pixels[..., 3:]], axis=-1)


def darkened_svg(text: str) -> str:
    """Return a picture that matplotlib wrote as SVG with its colours for a dark ground."""
    import numpy as np

    def turned(found: re.Match[str]) -> str:
        return found[1] + darkened(np.frombuffer(bytes.fromhex(found[2]), np.uint8)).tobytes().hex()

    text = re.sub(r"((?:fill|stroke): #)([0-9a-f]{6})", turned, text)
    # matplotlib leaves black out, as it is what SVG fills with.
    return text.replace('<style type="text/css">', '<style type="text/css">svg{fill: #ffffff}', 1)


def count(value: float) -> str:
    """Write a number of things shortly: 950, 1k, 12.5k, 1.2M."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 999.95k would be written as 1000k
        if abs(value) >= size * 0.99995:
            return f"{_short(value / size)}{suffix}"
    return _short(value)


def duration(microseconds: float) -> str:
    """Write a time with its unit: 0.5 µs, 12 µs, 1.5 ms, 2 s."""
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if abs(microseconds) >= size * 0.99995:
            return f"{_short(microseconds / size)} {unit}"
    return f"{_short(microseconds)} µs"


def size(count_of_bytes: float) -> str:
    """Write a number of bytes: 64 B, 1 KiB, 1.5 MiB."""
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count_of_bytes >= factor:
            return f"{_short(count_of_bytes / factor)} {unit}"
    return f"{_short(count_of_bytes)} B"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
