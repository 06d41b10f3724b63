"""Tiles of one slide with the attention each got, and how attention becomes colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

NEARLY_EVEN: Final = "Nearly even: the colours rank differences that are small."
EVEN_WITHIN: Final = 1.25
CAUTION: Final = "Where the model looked, not what causes the outcome."


@dataclass(frozen=True, kw_only=True)
class SlideAttention:
    """The tiles of a slide, and how many times the even share each was looked at."""

    slide: str
    coordinates: NDArray[np.int32]
    """Left and top of each tile in pixels of the slide's full resolution, (tile, 2)."""
    tile_side: float
    """In the same pixels."""
    weights: NDArray[np.float32]
    """1 is what a tile gets where all are looked at alike, (tile,)."""
    asked_by: str = "all statements"
    """Whose attention it is."""
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
    def nearly_even(self) -> bool:
        """Whether nine tiles of ten got the even share within a quarter: then ranks look like more than they are."""
        low, high = np.quantile(self.weights, [0.05, 0.95])
        return bool(low >= 1 / EVEN_WITHIN and high <= EVEN_WITHIN)

    def strongest(self, count: int) -> list[int]:
        """The tiles looked at most, strongest first; of equals, the first."""
        return [int(tile) for tile in np.argsort(-self.weights, kind="stable")[:count]]


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


def percentiles(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Each weight's rank from 0 (lowest) to 1 (highest), (tile,); equal weights share the mean of their ranks.

    A few tiles take most of the attention: on a linear scale all others would look the same.
    """
    if len(weights) == 1:
        return np.array([0.5])
    return np.asarray((rankdata(weights, method="average") - 1) / (len(weights) - 1))
