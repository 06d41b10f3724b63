"""Where on a slide there is tissue: a mask on a small picture of it.

Tissue is what light of one colour passes better than of another. Glass, air, the rims of bubbles and
black borders are grey; ink is coloured, but in ways that haematoxylin and eosin are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from kemm.core.errors import InputError
from kemm.core.settings import Section

FAINTEST, STRONGEST = 0.02, 0.06
"""Bounds of the threshold, in optical density between the best and the worst passing colour. Below, noise of a
clean slide becomes tissue; above, pale fat and mucus are lost beside dense tumour."""
BLACK = 60
"""Brightest channel of a pixel of border or black ink."""
BLACK_CHROMA = 30
BRIGHT_SHARE = 0.1
"""Share of a slide's pixels that is taken to be glass, to find its tint."""
MOST_TINT = 0.08
DARKEST_GLASS = 170
SMOOTHING = 1.0
BINS = 256
BACKGROUND_MARGIN = 2
"""Pixels around ink that its blurred edge still colours."""


class TissueConfig(Section):
    """How tissue is told from glass, ink and dirt."""

    mpp: float = Field(10.0, ge=2, le=40)
    """Micrometres a pixel of the picture on which tissue is looked for."""
    threshold: float | None = Field(None, gt=0)
    """Optical density between a pixel's colours from which it is tissue; by default Otsu's, between 0.02 and 0.06."""
    smallest_piece_mm2: float = Field(0.02, ge=0)
    """Smaller islands of tissue are left out."""
    largest_hole_mm2: float = Field(0.25, ge=0)
    """Smaller holes within tissue, such as lumina, are filled."""
    ink: bool = True
    """Leave out blue, green and black ink. Set to false for stains that look like it."""


@dataclass(frozen=True)
class Tissue:
    """Where there is tissue, on a grid of squares."""

    mask: NDArray[np.bool_]
    """(row, column)"""
    mpp: float
    """Micrometres a pixel of the mask."""

    @property
    def fraction(self) -> float:
        """Share of the slide."""
        return float(self.mask.mean())

    @property
    def area_mm2(self) -> float:
        """Of the tissue."""
        return float(self.mask.sum()) * (self.mpp / 1000) ** 2


def find_tissue(picture: NDArray[np.uint8], mpp: float, config: TissueConfig) -> Tissue:
    """The tissue on a picture (row, column, 3) of a whole slide, `mpp` micrometres a pixel."""
    black = is_black(picture)
    density = optical_density(picture, glass_of(picture, black))
    ink = is_ink(density) if config.ink else np.zeros_like(black)
    # What a border or a line of ink colours at its edge belongs to it.
    excluded = _grown(_opened(black)) | _grown(_opened(ink))
    chroma = density.max(axis=2) - density.min(axis=2)
    chroma[excluded] = 0
    chroma = ndimage.gaussian_filter(chroma, SMOOTHING)
    threshold = config.threshold or float(np.clip(otsu(chroma[~excluded]), FAINTEST, STRONGEST))
    mask = ndimage.binary_opening((chroma > threshold) & ~excluded, np.ones((3, 3)))
    mask = ndimage.binary_closing(np.pad(mask, 2), np.ones((3, 3)), iterations=2)[2:-2, 2:-2]
    a_pixel = (mpp / 1000) ** 2
    mask |= _pieces(~mask, most=config.largest_hole_mm2 / a_pixel, inside=True)
    mask &= ~excluded
    mask = _pieces(mask, least=config.smallest_piece_mm2 / a_pixel)
    return Tissue(mask, mpp)


def require_tissue(tissue: Tissue, path: Path) -> None:
    """Raise `InputError` of a slide without any."""
    if not tissue.mask.any():
        raise InputError(
            f"{path}: no tissue was found on this slide. Look at it with `kemm slides --preview`; "
            "if there is some, set slides.tissue.threshold lower than 0.02, else leave the slide out."
        )


def optical_density(picture: NDArray[np.uint8], glass: NDArray[np.float32]) -> NDArray[np.float32]:
    """-log10 of what passes, of what passes through glass; 0 where it is brighter."""
    passed = (picture.astype(np.float32) + 1) / (glass + 1)
    density: NDArray[np.float32] = np.maximum(-np.log10(passed), 0)
    return density


def glass_of(picture: NDArray[np.uint8], black: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The colour of empty glass, (3,): of the brightest pixels; white, where these are no glass."""
    pixels = picture[~black]
    white = np.full(3, 255, dtype=np.float32)
    if not len(pixels):
        return white
    brightness = pixels.min(axis=1)
    bright = pixels[brightness >= np.quantile(brightness, 1 - BRIGHT_SHARE)]
    glass: NDArray[np.float32] = np.median(bright, axis=0).astype(np.float32)
    tint = float(np.log10((glass.max() + 1) / (glass.min() + 1)))
    return glass if glass.min() >= DARKEST_GLASS and tint < MOST_TINT else white


def is_ink(density: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Blue or green ink, by optical density (..., 3).

    Haematoxylin and eosin both take most of the green. Green ink takes it least; blue ink takes at
    least as much red, and lets blue through better than any nucleus does.
    """
    red, green, blue = density[..., 0], density[..., 1], density[..., 2]
    green_ink = (red > 0.15) & (red > 1.3 * green) & (blue > green)
    blue_ink = (red > 0.25) & (red > 0.92 * green) & (red - blue > 0.33)
    light_blue_ink = (red > 0.15) & (red > 1.35 * green) & (red - blue > 0.1)
    ink: NDArray[np.bool_] = green_ink | blue_ink | light_blue_ink
    return ink


def is_black(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Border, or black ink: dark in every colour alike."""
    brightest, darkest = picture.max(axis=-1), picture.min(axis=-1)
    black: NDArray[np.bool_] = (brightest < BLACK) & (brightest - darkest < BLACK_CHROMA)
    return black


def otsu(values: NDArray[np.float32]) -> float:
    """The threshold with the largest variance between what is below and above it (Otsu 1979); 0 of nothing."""
    if not values.size or float(values.max()) == float(values.min()):
        return 0.0
    counts, edges = np.histogram(values, bins=BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    below = counts.cumsum()
    above = below[-1] - below
    sums = (counts * middles).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1 + int(np.nan_to_num(apart[:-1]).argmax())])


def _opened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without single pixels: a dark nucleus is no border."""
    opened: NDArray[np.bool_] = ndimage.binary_opening(np.pad(mask, 1, mode="edge"), np.ones((2, 2)))
    return opened[1:-1, 1:-1]


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown: NDArray[np.bool_] = ndimage.binary_dilation(mask, np.ones((3, 3)), iterations=BACKGROUND_MARGIN)
    return grown


def _pieces(
    mask: NDArray[np.bool_], least: float = 0, most: float = np.inf, inside: bool = False
) -> NDArray[np.bool_]:
    """The connected pieces of `least` to `most` pixels; `inside`: those that do not touch the picture's edge."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    keep = (sizes >= least) & (sizes <= most)
    keep[0] = False
    if inside:
        for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            keep[edge] = False
    kept: NDArray[np.bool_] = keep[labels]
    return kept
