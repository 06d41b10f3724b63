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
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from kemm.results.heatmap.tiles import SlideMap, SlideRisk, Thumbnail, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RISK_COLOURS: Final = LinearSegmentedColormap.from_list(
    SlideRisk.COLOURS, ["#123f7a", "#4d8fd1", "#f5f5f2", "#f0913a", "#8f3b00"]
)
"""Blue lowers and orange raises, as in the report; told apart by people who do not see red and green apart."""
OPACITY: Final = 0.55
CANVAS: Final = 1000
"""Longer side of the drawn slide in pixels."""
PAPER: Final = 245
"""Grey of the canvas where there is no image."""
MARGIN: Final = 0.02
DPI: Final = 100
BAR_SHARE: Final = 0.25
"""Of the width, at most, that the scale bar takes."""
LINE: Final = 15
"""Pixels from a line of small text to the next."""
LETTER: Final = 7.0
"""Pixels of a letter of small text; most are narrower."""
SMALL_BYTES: Final = 100_000


def draw_heatmap(
    slide: SlideMap,
    thumbnail: Thumbnail | None = None,
    tile_images: Mapping[int, NDArray[np.uint8]] | None = None,
    *,
    longer_side: int = CANVAS,
) -> bytes:
    """The PNG.

    Args:
        thumbnail: drawn under the tiles; without it the canvas is blank.
        tile_images: (height, width, 3) RGB of some tiles, such as `slide.strongest(8)`; shown below, in
            their order.
        longer_side: of the slide in the picture, in pixels.
    """
    base, scale, corner = _base(slide, thumbnail, longer_side)
    painted = _painted(base, slide, scale, corner)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"text.parse_math": False, "font.size": 10})
        figure = _figure(slide, painted, scale, tile_images or {})
        stream = io.BytesIO()
        with warnings.catch_warnings():
            # A slide's name may be in a script that the font lacks: its letters become boxes.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            figure.savefig(stream, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return stream.getvalue()


def small_heatmap(
    slide: SlideMap, thumbnail: Thumbnail | None = None, most_bytes: int = SMALL_BYTES
) -> bytes:
    """The PNG for a page, not above `most_bytes`: in fewer colours, and smaller, until it is."""
    side = 420
    while True:
        image = Image.open(io.BytesIO(draw_heatmap(slide, thumbnail, longer_side=side))).convert("RGB")
        stream = io.BytesIO()
        image.quantize(colors=128, dither=Image.Dither.NONE).save(stream, format="PNG", optimize=True)
        if len(stream.getvalue()) <= most_bytes or side <= 100:
            return stream.getvalue()
        side = int(side * 0.8)


def _base(
    slide: SlideMap, thumbnail: Thumbnail | None, longer_side: int
) -> tuple[NDArray[np.uint8], float, NDArray[np.float64]]:
    """The canvas, full-resolution pixels to one of its pixels, and its corner on the slide."""
    if thumbnail is not None:
        height, width = thumbnail.pixels.shape[:2]
        shrink = longer_side / max(height, width)
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        resized = Image.fromarray(thumbnail.pixels).resize(size, Image.Resampling.LANCZOS)
        return np.asarray(resized), thumbnail.scale / shrink, np.zeros(2)
    # Without an image nothing is known of the slide but its tiles: the canvas is where they are.
    first, last = slide.coordinates.min(axis=0), slide.coordinates.max(axis=0) + slide.tile_side
    margin = MARGIN * float((last - first).max())
    corner = np.asarray(first - margin, dtype=np.float64)
    span = last - first + 2 * margin
    scale = float(span.max()) / longer_side
    width, height = (max(1, math.ceil(side / scale)) for side in span)
    return np.full((height, width, 3), PAPER, dtype=np.uint8), scale, corner


def _painted(
    base: NDArray[np.uint8],
    slide: SlideMap,
    scale: float,
    corner: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """The canvas with each tile painted over it; of tiles that overlap, the one with more is on top."""
    height, width = base.shape[:2]
    colours = colours_of(slide)(slide.shades)[:, :3] * 255
    starts = np.rint((slide.coordinates - corner) / scale).astype(int)
    # At least a pixel, so that no tile of a large slide is lost.
    ends = np.maximum(np.rint((slide.coordinates + slide.tile_side - corner) / scale).astype(int), starts + 1)
    overlay, covered = np.zeros(base.shape), np.zeros((height, width, 1))
    for tile in np.argsort(slide.on_top, kind="stable"):
        (left, top), (right, bottom) = np.maximum(starts[tile], 0), np.maximum(ends[tile], 0)
        overlay[top:bottom, left:right] = colours[tile]
        covered[top:bottom, left:right] = OPACITY
    return np.asarray(np.rint(base * (1 - covered) + overlay * covered), dtype=np.uint8)


def _figure(
    slide: SlideMap,
    painted: NDArray[np.uint8],
    scale: float,
    tile_images: Mapping[int, NDArray[np.uint8]],
) -> Figure:
    height, width = painted.shape[:2]
    # A narrow slide still leaves room for the words.
    head, foot, side, room = 46.0, 30.0, 128.0, max(width, 300)
    strip = 118.0 if tile_images else 0.0
    total_width = room + side + 24
    asked = _asked(slide, total_width - 24)
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
    if slide.mpp is not None:
        _scale_bar(axes, width, height, scale * slide.mpp)
    figure.text(12 / total_width, 1 - 16 / total_height, plain(slide.slide), va="center", weight="bold")
    figure.text(
        12 / total_width,
        1 - 27 / total_height,
        "\n".join(asked),
        va="top",
        size=9,
        color="#444444",
        linespacing=1.1,
    )
    figure.text(12 / total_width, 12 / total_height, slide.CAUTION, va="center", size=9, style="italic")
    _legend(placed(room + 26, head + 28, 14, min(max(height - 50, 120), 300)), slide)
    if tile_images:
        _strip(placed, tile_images, slide, head + height + 6, room + side)
    return figure


def _asked(slide: SlideMap, width: int) -> list[str]:
    """What the picture shows, in lines that fit into it."""
    return textwrap.wrap(slide.heading, max(20, int(width / LETTER)))


def _legend(axes: Axes, slide: SlideMap) -> None:
    axes.imshow(
        np.linspace(0, 1, 256)[:, None],
        cmap=colours_of(slide),
        origin="lower",
        aspect="auto",
        extent=(0, 1, 0, 1),
        alpha=0.85,
    )
    axes.set_xticks([])
    title, ticks = slide.legend
    axes.set_yticks([place for place, _ in ticks], [text for _, text in ticks], size=8)
    axes.yaxis.tick_right()
    axes.set_title(title, size=8, loc="left")


def colours_of(slide: SlideMap) -> Colormap:
    """The map from shades to colours."""
    return RISK_COLOURS if isinstance(slide, SlideRisk) else matplotlib.colormaps[slide.COLOURS]


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


def _strip(placed, tile_images, slide: SlideMap, top: float, wide: float) -> None:  # type: ignore[no-untyped-def]
    """As many of the tiles as fit side by side, in their order."""
    order = [tile for tile in slide.strongest(len(slide.weights)) if tile in tile_images]
    for place, tile in enumerate(order[: int(wide // 96)]):
        axes = placed(12 + 96 * place, top, 90, 90)
        axes.imshow(tile_images[tile], interpolation="bilinear", aspect="auto")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(f"tile {tile}: {slide.said(tile)}", size=8, labelpad=2)
