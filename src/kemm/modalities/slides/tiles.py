"""Which squares of a slide are given to the encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from kemm.core.errors import InputError
from kemm.core.settings import Section
from kemm.modalities.slides.reader import Slide
from kemm.modalities.slides.tissue import Tissue, is_black, is_ink, optical_density

MOST_ENLARGED = 1.5
"""Beyond, an enlarged tile shows no nuclei as the encoder knows them."""
MOST_TILES = 1_000_000
QUICK_STEP = 8
"""Ink is looked for on every eighth pixel: lines of a pen are far wider."""


class TilesConfig(Section):
    """Which tiles are kept."""

    least_tissue: float = Field(0.5, gt=0, le=1)
    """Share of a tile that must be tissue."""
    most_ink: float = Field(0.25, ge=0, le=1)
    """Tiles with a larger share of ink or black are left out; 1 keeps all."""
    least_sharpness: float = Field(0.0, ge=0)
    """Tiles that are less sharp are left out: variance of the Laplacian of green; 0 keeps all, 15 drops clear blur."""


@dataclass(frozen=True)
class Grid:
    """The tiles of a slide: equal squares side by side."""

    coordinates: NDArray[np.int32]
    """Left and top in pixels of the full resolution, (tile, 2), row after row."""
    side: float
    """In pixels of the full resolution."""
    side_um: float


def lay_tiles(
    width: int, height: int, mpp: float, tissue: Tissue, side_um: float, config: TilesConfig
) -> Grid:
    """The tiles of a slide (sizes in base pixels) that are within it and on tissue."""
    side = side_um / mpp
    columns, rows = int(width // side), int(height // side)
    lefts = np.round(np.arange(columns) * side).astype(np.int32)
    tops = np.round(np.arange(rows) * side).astype(np.int32)
    share = tissue_share(tissue, lefts, tops, side, width, height)
    row, column = np.nonzero(share >= config.least_tissue)
    return Grid(np.stack([lefts[column], tops[row]], axis=1), side, side_um)


def tissue_share(
    tissue: Tissue,
    lefts: NDArray[np.int32],
    tops: NDArray[np.int32],
    side: float,
    width: int,
    height: int,
) -> NDArray[np.float64]:
    """Share of tissue in each tile, (top, left). Edges of the mask's pixels are cut where the tile ends."""
    mask = tissue.mask
    down = _overlaps(tops, side * mask.shape[0] / height, mask.shape[0] / height, mask.shape[0])
    across = _overlaps(lefts, side * mask.shape[1] / width, mask.shape[1] / width, mask.shape[1])
    summed = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    summed[1:, 1:] = mask.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    at_rows = _between(summed, down[1]) - _between(summed, down[0])
    both = _between(at_rows.T, across[1]) - _between(at_rows.T, across[0])
    area = (down[1] - down[0])[:, None] * (across[1] - across[0])[None, :]
    share: NDArray[np.float64] = both.T / np.maximum(area, 1e-9)
    return share


def _overlaps(
    starts: NDArray[np.int32], side: float, scale: float, size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first = starts * scale
    return np.minimum(first, size), np.minimum(first + side, size)


def _between(summed: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of a cumulative sum at places between its rows."""
    below = np.minimum(places.astype(int), len(summed) - 2)
    part = (places - below)[:, None]
    found: NDArray[np.float64] = summed[below] * (1 - part) + summed[below + 1] * part
    return found


def require_resolution(slide: Slide, side_um: float, tile_px: int) -> None:
    """Raise `InputError` where tiles would have to be enlarged to what the scanner never saw."""
    wanted = side_um / tile_px
    if slide.mpp > wanted * MOST_ENLARGED:
        raise InputError(
            f"{slide.path}: scanned at {slide.mpp:g} micrometres a pixel, too coarse for tiles of {side_um:g} micrometres "
            f"on {tile_px} pixels ({wanted:g}). Leave the slide out, or use larger tiles for all: "
            f"slides.tile_side_um of {slide.mpp * tile_px:.0f}."
        )


def require_tiles(grid: Grid, path: Path) -> None:
    """Raise `InputError` of a slide on which no tile lies, or absurdly many."""
    if not len(grid.coordinates):
        raise InputError(
            f"{path}: there is tissue, but no tile of {grid.side_um:g} micrometres has enough of it. "
            "Set slides.tiles.least_tissue lower, or leave the slide out."
        )
    if len(grid.coordinates) > MOST_TILES:
        raise InputError(
            f"{path}: {len(grid.coordinates):,} tiles of {grid.side_um:g} micrometres are above the limit of "
            f"{MOST_TILES:,}. Set slides.tile_side_um larger, or correct slides.mpp."
        )


def is_usable(tile: NDArray[np.uint8], config: TilesConfig) -> bool:
    """Whether a tile is neither ink nor blurred, as far as the settings ask."""
    if config.most_ink < 1:
        small = tile[::QUICK_STEP, ::QUICK_STEP]
        white = np.full(3, 255, dtype=np.float32)
        inked = is_black(small) | is_ink(optical_density(small, white))
        if inked.mean() > config.most_ink:
            return False
    return config.least_sharpness <= 0 or sharpness(tile) >= config.least_sharpness


def sharpness(tile: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the green channel."""
    return float(ndimage.laplace(tile[..., 1].astype(np.float32)).var())
