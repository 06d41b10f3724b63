"""The heatmap as a PNG: tiles half-transparent over the slide, with a legend in numbers."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from kemm.results.heatmap.tiles import CAUTION, NEARLY_EVEN, SlideAttention, Thumbnail, percentiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS: Final = "viridis"
"""Told apart by people who do not see red and green apart, and in grey; its high end stands out on stained tissue."""
OPACITY: Final = 0.55
CANVAS: Final = 1000
"""Longer side of the drawn slide in pixels."""
PAPER: Final = 245
"""Grey of the canvas where there is no image."""
MARGIN: Final = 0.02
DPI: Final = 100
TICKS: Final = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
LONGEST_NAME: Final = 60
BAR_SHARE: Final = 0.25
"""Of the width, at most, that the scale bar takes."""
LINE: Final = 15
"""Pixels from a line of small text to the next."""
LETTER: Final = 7.0
"""Pixels of a letter of small text; most are narrower."""
SMALL_BYTES: Final = 100_000


def draw_heatmap(
    attention: SlideAttention,
    thumbnail: Thumbnail | None = None,
    tile_images: Mapping[int, NDArray[np.uint8]] | None = None,
    *,
    longer_side: int = CANVAS,
) -> bytes:
    """The PNG.

    Args:
        thumbnail: drawn under the tiles; without it the canvas is blank.
        tile_images: (height, width, 3) RGB of some tiles, such as `attention.strongest(8)`; shown below, in
            the order of their attention.
        longer_side: of the slide in the picture, in pixels.
    """
    base, scale, corner = _base(attention, thumbnail, longer_side)
    ranks = percentiles(attention.weights)
    painted = _painted(base, attention, ranks, scale, corner)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"text.parse_math": False, "font.size": 10})
        figure = _figure(attention, painted, ranks, scale, tile_images or {})
        stream = io.BytesIO()
        with warnings.catch_warnings():
            # A slide's name may be in a script that the font lacks: its letters become boxes.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            figure.savefig(stream, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return stream.getvalue()


def small_heatmap(
    attention: SlideAttention, thumbnail: Thumbnail | None = None, most_bytes: int = SMALL_BYTES
) -> bytes:
    """The PNG for a page, not above `most_bytes`: in fewer colours, and smaller, until it is."""
    side = 420
    while True:
        image = Image.open(io.BytesIO(draw_heatmap(attention, thumbnail, longer_side=side))).convert("RGB")
        stream = io.BytesIO()
        image.quantize(colors=128, dither=Image.Dither.NONE).save(stream, format="PNG", optimize=True)
        if len(stream.getvalue()) <= most_bytes or side <= 100:
            return stream.getvalue()
        side = int(side * 0.8)


def _base(
    attention: SlideAttention, thumbnail: Thumbnail | None, longer_side: int
) -> tuple[NDArray[np.uint8], float, NDArray[np.float64]]:
    """The canvas, full-resolution pixels to one of its pixels, and its corner on the slide."""
    if thumbnail is not None:
        height, width = thumbnail.pixels.shape[:2]
        shrink = longer_side / max(height, width)
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        resized = Image.fromarray(thumbnail.pixels).resize(size, Image.Resampling.LANCZOS)
        return np.asarray(resized), thumbnail.scale / shrink, np.zeros(2)
    # Without an image nothing is known of the slide but its tiles: the canvas is where they are.
    first, last = attention.coordinates.min(axis=0), attention.coordinates.max(axis=0) + attention.tile_side
    margin = MARGIN * float((last - first).max())
    corner = np.asarray(first - margin, dtype=np.float64)
    span = last - first + 2 * margin
    scale = float(span.max()) / longer_side
    width, height = (max(1, math.ceil(side / scale)) for side in span)
    return np.full((height, width, 3), PAPER, dtype=np.uint8), scale, corner


def _painted(
    base: NDArray[np.uint8],
    attention: SlideAttention,
    ranks: NDArray[np.float64],
    scale: float,
    corner: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """The canvas with each tile painted over it; of tiles that overlap, the one looked at more is on top."""
    height, width = base.shape[:2]
    colours = matplotlib.colormaps[COLOURS](ranks)[:, :3] * 255
    starts = np.rint((attention.coordinates - corner) / scale).astype(int)
    # At least a pixel, so that no tile of a large slide is lost.
    ends = np.maximum(
        np.rint((attention.coordinates + attention.tile_side - corner) / scale).astype(int), starts + 1
    )
    overlay, covered = np.zeros(base.shape), np.zeros((height, width, 1))
    for tile in np.argsort(ranks, kind="stable"):
        (left, top), (right, bottom) = np.maximum(starts[tile], 0), np.maximum(ends[tile], 0)
        overlay[top:bottom, left:right] = colours[tile]
        covered[top:bottom, left:right] = OPACITY
    return np.asarray(np.rint(base * (1 - covered) + overlay * covered), dtype=np.uint8)


def _figure(
    attention: SlideAttention,
    painted: NDArray[np.uint8],
    ranks: NDArray[np.float64],
    scale: float,
    tile_images: Mapping[int, NDArray[np.uint8]],
) -> Figure:
    height, width = painted.shape[:2]
    # A narrow slide still leaves room for the words.
    head, foot, side, room = 46.0, 30.0, 128.0, max(width, 300)
    strip = 118.0 if tile_images else 0.0
    total_width = room + side + 24
    asked = _asked(attention, total_width - 24)
    head += LINE * (len(asked) - 1)
    total_height = height + head + foot + strip
    figure = Figure(figsize=(total_width / DPI, total_height / DPI))

    def placed(left: float, top: float, wide: float, high: float) -> Axes:
        return figure.add_axes(
            (left / total_width, 1 - (top + high) / total_height, wide / total_width, high / total_height)
        )

    axes = placed(12, head, width, height)
    axes.imshow(painted, interpolation="none", aspect="auto")
    axes.set_axis_off()
    if attention.mpp is not None:
        _scale_bar(axes, width, height, scale * attention.mpp)
    figure.text(12 / total_width, 1 - 16 / total_height, _plain(attention.slide), va="center", weight="bold")
    figure.text(
        12 / total_width,
        1 - 27 / total_height,
        "\n".join(asked),
        va="top",
        size=9,
        color="#444444",
        linespacing=1.1,
    )
    figure.text(12 / total_width, 12 / total_height, CAUTION, va="center", size=9, style="italic")
    _legend(placed(room + 26, head + 28, 14, min(max(height - 50, 120), 300)), attention.weights, figure)
    if tile_images:
        _strip(placed, tile_images, attention, head + height + 6, room + side)
    return figure


def _asked(attention: SlideAttention, width: int) -> list[str]:
    """Whose attention it is, in lines that fit into the picture."""
    text = f"Attention of {_plain(attention.asked_by)}"
    if attention.nearly_even:
        text += f". {NEARLY_EVEN}"
    return textwrap.wrap(text, max(20, int(width / LETTER)))


def _legend(axes: Axes, weights: NDArray[np.float32], figure: Figure) -> None:
    axes.imshow(
        np.linspace(0, 1, 256)[:, None],
        cmap=COLOURS,
        origin="lower",
        aspect="auto",
        extent=(0, 1, 0, 1),
        alpha=0.85,
    )
    axes.set_xticks([])
    values = np.quantile(weights, TICKS)
    names = ("lowest", "", "median", "", "top 10%", "highest")
    axes.set_yticks(
        TICKS,
        [f"{_times(value)}{'  ' + name if name else ''}" for value, name in zip(values, names, strict=True)],
        size=8,
    )
    axes.yaxis.tick_right()
    axes.set_title("times the\neven share", size=8, loc="left")


def _times(value: float) -> str:
    return f"{value:.0f}×" if value >= 10 else f"{value:.2f}×"


def _scale_bar(axes: Axes, width: int, height: int, micrometres_a_pixel: float) -> None:
    """A round length of at most a quarter of the width."""
    longest = BAR_SHARE * width * micrometres_a_pixel
    power = 10.0 ** math.floor(math.log10(longest))
    length = max(step * power for step in (1, 2, 5) if step * power <= longest)
    pixels = length / micrometres_a_pixel
    text = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    left, bottom = 0.03 * width, height - 10
    axes.plot([left, left + pixels], [bottom, bottom], color="white", linewidth=5, solid_capstyle="butt")
    axes.plot([left, left + pixels], [bottom, bottom], color="black", linewidth=2.5, solid_capstyle="butt")
    axes.text(
        left,
        bottom - 7,
        text,
        size=8,
        va="bottom",
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5},
    )
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)


def _strip(placed, tile_images, attention: SlideAttention, top: float, wide: float) -> None:  # type: ignore[no-untyped-def]
    """As many of the tiles as fit side by side, the one looked at most first."""
    order = sorted(tile_images, key=lambda tile: (-float(attention.weights[tile]), tile))
    for place, tile in enumerate(order[: int(wide // 96)]):
        axes = placed(12 + 96 * place, top, 90, 90)
        axes.imshow(tile_images[tile], interpolation="bilinear", aspect="auto")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(f"tile {tile}: {_times(float(attention.weights[tile]))}", size=8, labelpad=2)


def _plain(text: str) -> str:
    """One line of printable letters, not too long."""
    line = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    return line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
