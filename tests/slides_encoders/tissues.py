"""Invented tissues: what a haematoxylin and eosin slide looks like, roughly, in five places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

SIDE = 128
HAEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.07, 0.99, 0.11])
Image = np.ndarray[Any, np.dtype[np.float64]]
_ROWS, _COLUMNS = np.mgrid[:SIDE, :SIDE].astype(float)


def dots(
    rng: np.random.Generator, count: int, radius: float, stretch: float = 1.0, angle: float = 0.0
) -> Image:
    """Soft discs (or ellipses along an angle) at random places: nuclei."""
    image = np.zeros((SIDE, SIDE))
    for row, column in rng.uniform(0, SIDE, (count, 2)):
        size = radius * rng.uniform(0.85, 1.15)
        along = (_COLUMNS - column) * np.cos(angle) + (_ROWS - row) * np.sin(angle)
        across = (_ROWS - row) * np.cos(angle) - (_COLUMNS - column) * np.sin(angle)
        distance = np.hypot(along / stretch, across * stretch)
        image = np.maximum(image, 1 / (1 + np.exp(2 * (distance - size))))
    return image


def walls(rng: np.random.Generator, count: int, width: float) -> Image:
    """Lines halfway between the nearest two of random points: membranes."""
    points = rng.uniform(0, SIDE, (count, 2))
    distances = np.hypot(_ROWS[..., None] - points[:, 0], _COLUMNS[..., None] - points[:, 1])
    nearest = np.partition(distances, 1, axis=2)
    return np.exp(-(((nearest[..., 1] - nearest[..., 0]) / width) ** 2))


def grain(rng: np.random.Generator, scale: float) -> Image:
    noise = gaussian_filter(rng.standard_normal((SIDE, SIDE)), scale, mode="wrap")
    return noise / noise.std()


def clear_cells(rng: np.random.Generator) -> tuple[Image, Image]:
    return 0.9 * dots(rng, 25, 4), 0.06 + 0.45 * walls(rng, 45, 2.5)


def eosinophilic(rng: np.random.Generator) -> tuple[Image, Image]:
    return 0.1 + 0.8 * dots(rng, 30, 5), 0.6 + 0.06 * grain(rng, 1.0)


def stroma(rng: np.random.Generator) -> tuple[Image, Image]:
    angle = rng.uniform(0, np.pi)
    across = _ROWS * np.cos(angle) - _COLUMNS * np.sin(angle) + 3 * grain(rng, 12.0)
    return 0.8 * dots(rng, 12, 4, stretch=2.0, angle=angle), 0.35 + 0.2 * np.sin(across * 2 * np.pi / 9)


def lymphocytes(rng: np.random.Generator) -> tuple[Image, Image]:
    return 0.15 + 1.1 * dots(rng, 160, 4.5), 0.2 + 0.03 * grain(rng, 2.0)


def fat(rng: np.random.Generator) -> tuple[Image, Image]:
    return 0.5 * dots(rng, 2, 3), 0.02 + 0.4 * walls(rng, 7, 3.0)


TISSUES: dict[str, Callable[[np.random.Generator], tuple[Image, Image]]] = {
    "clear cells": clear_cells,
    "eosinophilic": eosinophilic,
    "stroma": stroma,
    "lymphocytes": lymphocytes,
    "fat": fat,
}


def tile(tissue: str, seed: int, *, stain: float | None = None) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A tile of a tissue; how strongly it is stained differs by a third either way unless said."""
    rng = np.random.default_rng([seed, list(TISSUES).index(tissue)])
    haematoxylin, eosin = TISSUES[tissue](rng)
    strength = rng.uniform(0.7, 1.3, 2) if stain is None else (stain, stain)
    density = strength[0] * haematoxylin[..., None] * HAEMATOXYLIN + strength[1] * eosin[..., None] * EOSIN
    colour = 255 * 10**-density + rng.normal(0, 3, density.shape)
    return np.clip(np.round(colour), 0, 255).astype(np.uint8)
