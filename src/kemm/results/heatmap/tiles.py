"""Tiles of one slide with what is drawn of each, and how that becomes colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

NEARLY_EVEN: Final = "Nearly even: the colours rank differences that are small."
EVEN_WITHIN: Final = 1.25
CAUTION: Final = "Where the model looked, not what causes the outcome."
RISK_CAUTION: Final = "What the linear part makes of each tile, not what causes the outcome."
STRONGEST_SHARE: Final = 0.99
"""Of a case's tiles lie within the colours; what is beyond has the last colour."""
LONGEST_NAME: Final = 60
TICKS: Final = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True, kw_only=True)
class SlideMap:
    """The tiles of a slide, and a number for each."""

    COLOURS: ClassVar[str]
    """The name of a map of matplotlib's."""
    CAUTION: ClassVar[str]

    slide: str
    coordinates: NDArray[np.int32]
    """Left and top of each tile in pixels of the slide's full resolution, (tile, 2)."""
    tile_side: float
    """In the same pixels."""
    weights: NDArray[np.float32]
    """What is drawn, (tile,)."""
    mpp: float | None = None
    """Micrometres a pixel at full resolution."""

    def __post_init__(self) -> None:
        if self.coordinates.shape != (len(self.weights), 2):
            raise ValueError(f"{len(self.weights)} weights and coordinates {self.coordinates.shape}")
        if not len(self.weights):
            raise ValueError("a heatmap of no tile")
        if not np.isfinite(self.weights).all() or not self.tile_side > 0:
            raise ValueError("weights must be finite and the side of a tile above 0")

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height from the slide's corner to the end of the last tile."""
        right, bottom = self.coordinates.max(axis=0) + self.tile_side
        return float(right), float(bottom)

    @property
    def shades(self) -> NDArray[np.float64]:
        """Where in the colours each tile is, 0 to 1, (tile,)."""
        raise NotImplementedError

    @property
    def on_top(self) -> NDArray[np.float64]:
        """Of tiles that overlap, the one with more is seen, (tile,)."""
        return self.shades

    @property
    def heading(self) -> str:
        """What the picture shows, in a sentence or two."""
        raise NotImplementedError

    @property
    def legend(self) -> tuple[str, list[tuple[float, str]]]:
        """The title of the colours, and what some of them stand for: (0 to 1, text)."""
        raise NotImplementedError

    def strongest(self, count: int) -> list[int]:
        """The tiles to show, in their order."""
        return [int(tile) for tile in np.argsort(-self.weights, kind="stable")[:count]]

    def said(self, tile: int) -> str:
        """A tile's number, in words."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class SlideAttention(SlideMap):
    """The tiles of a slide, and how many times the even share each was looked at: 1 where all are looked at alike."""

    COLOURS = "viridis"  # told apart by people who do not see red and green apart, and in grey
    CAUTION = CAUTION

    asked_by: str = "all statements"
    """Whose attention it is."""
    of_seeds: tuple[int, int] | None = None
    """Of how many seeds' networks the slides have weight, and of how many there are."""

    @property
    def nearly_even(self) -> bool:
        """Whether nine tiles of ten got the even share within a quarter: then ranks look like more than they are."""
        low, high = np.quantile(self.weights, [0.05, 0.95])
        return bool(low >= 1 / EVEN_WITHIN and high <= EVEN_WITHIN)

    @property
    def shades(self) -> NDArray[np.float64]:
        """Ranks."""
        return percentiles(self.weights)

    @property
    def remarks(self) -> str:
        """What a reader has to know before the colours mean anything; often nothing."""
        found = [NEARLY_EVEN] if self.nearly_even else []
        if self.of_seeds is not None and self.of_seeds[0] < self.of_seeds[1]:
            found.append(some_weight(*self.of_seeds))
        return " ".join(found)

    @property
    def heading(self) -> str:
        """Whose attention, and what to doubt."""
        return f"Attention of {plain(self.asked_by)}{'. ' if self.remarks else ''}{self.remarks}"

    @property
    def legend(self) -> tuple[str, list[tuple[float, str]]]:
        """Attention at some ranks."""
        names = ("lowest", "", "median", "", "top 10%", "highest")
        values = np.quantile(self.weights, TICKS)
        texts = [
            f"{_times(value)}{'  ' + name if name else ''}" for value, name in zip(values, names, strict=True)
        ]
        return "times the\neven share", list(zip(TICKS, texts, strict=True))

    def said(self, tile: int) -> str:
        """Times the even share."""
        return _times(float(self.weights[tile]))


@dataclass(frozen=True, kw_only=True)
class SlideRisk(SlideMap):
    """The tiles of a slide, and the log risk by the linear part of a case all of whose tiles were like each.

    The mean over all tiles of a case is what its slides add to its log risk.
    """

    COLOURS = "kemm-risk"
    CAUTION = RISK_CAUTION

    case_tiles: int
    """Tiles of all slides of the case."""
    case_sum: float
    """What they add to its log risk together."""
    limit: float
    """The value of the last colour, the same for all slides of the case; its negative is that of the first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.limit > 0 or self.case_tiles < len(self.weights):
            raise ValueError(
                "the limit of the colours must be above 0, and a case has all tiles of its slide"
            )

    @property
    def adds(self) -> NDArray[np.float64]:
        """What each tile adds to the case's log risk, (tile,)."""
        return np.asarray(self.weights, dtype=np.float64) / self.case_tiles

    @property
    def shades(self) -> NDArray[np.float64]:
        """Linear, 0.5 at zero."""
        return np.asarray(np.clip(0.5 + self.weights / (2 * self.limit), 0, 1), dtype=np.float64)

    @property
    def on_top(self) -> NDArray[np.float64]:
        """The one further from zero."""
        return np.abs(self.shades - 0.5)

    @property
    def heading(self) -> str:
        """What it is, where zero is, and the sum."""
        return (
            "What each tile adds to the linear part of the risk. Zero: the mean of the training part. "
            f"All {self.case_tiles:,} tiles of this patient add {self.case_sum:+.3f} to the log risk "
            f"(hazard × {np.exp(self.case_sum):.2f})."
        )

    @property
    def legend(self) -> tuple[str, list[tuple[float, str]]]:
        """Values at even steps."""
        names = ("lowers", "", "", "", "raises")
        steps = np.linspace(-1, 1, len(names))
        texts = [
            f"{_signed(step * self.limit)}{'  ' + name if name else ''}"
            for step, name in zip(steps, names, strict=True)
        ]
        return "log risk, were\nall tiles like it", [
            (0.5 + step / 2, text) for step, text in zip(steps, texts, strict=True)
        ]

    def strongest(self, count: int) -> list[int]:
        """Half of them raise the risk most, half lower it most; highest first."""
        order = np.argsort(-self.weights, kind="stable")
        ends = (
            order
            if len(order) <= count
            else np.r_[order[: count - count // 2], order[len(order) - count // 2 :]]
        )
        return [int(tile) for tile in ends]

    def said(self, tile: int) -> str:
        """With its sign."""
        return _signed(float(self.weights[tile]))


@dataclass(frozen=True)
class Thumbnail:
    """A small image of a whole slide."""

    pixels: NDArray[np.uint8]
    """(height, width, 3), RGB."""
    scale: float
    """Pixels of the slide's full resolution to one of this image."""

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ValueError(f"a thumbnail is (height, width, 3) uint8, not {self.pixels.shape}")
        if not self.scale > 0:
            raise ValueError("the scale of a thumbnail must be above 0")


def no_weight(trained: bool) -> str:
    """Where no seed's networks use what they look at; `trained`: whether it is at least no longer as it began."""
    state = (
        "attention was trained, and plays no part in it" if trained else "attention is as it began, by chance"
    )
    return f"The network gave this case's slides no weight in its forecast: {state}."


def some_weight(looking: int, seeds: int) -> str:
    """Where some seeds' networks do not use what they look at."""
    return f"Only {looking} of {seeds} seeds' networks gave slides weight; the mean is over those."


def limit_of(values: NDArray[np.floating]) -> float:
    """The last colour of a case's tiles: a few extreme ones would leave all others pale."""
    sizes = np.abs(values)
    return float(np.quantile(sizes, STRONGEST_SHARE)) or float(sizes.max()) or 1.0


def percentiles(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Each weight's rank from 0 (lowest) to 1 (highest), (tile,); equal weights share the mean of their ranks.

    A few tiles take most of the attention: on a linear scale all others would look the same.
    """
    if len(weights) == 1:
        return np.array([0.5])
    return np.asarray((rankdata(weights, method="average") - 1) / (len(weights) - 1))


def plain(text: str) -> str:
    """One line of printable letters, not too long."""
    line = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    return line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def _times(value: float) -> str:
    return f"{value:.0f}×" if value >= 10 else f"{value:.2f}×"


def _signed(value: float) -> str:
    return "0" if value == 0 else f"{value:+.2f}" if abs(value) >= 0.1 else f"{value:+.2g}"
