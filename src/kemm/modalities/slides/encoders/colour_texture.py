"""Built in, without weights: 64 numbers of a tile's stains and texture.

A floor to compare pretrained encoders with, and a first run without a download. Two stains are separated by the
fixed vectors of Ruifrok and Johnston, so how strongly a laboratory stains is seen, not removed. Turning a tile by
quarter turns or mirroring it changes nothing beyond rounding; nothing else is claimed to leave the numbers alone.

References:
    Ruifrok & Johnston (2001), Analytical and Quantitative Cytology and Histology 23.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kemm.modalities.slides.encoders.given import require_tiles

NAME = "colour-texture"
TILE_PX = 128
TILE_SIDE_UM = 112.0
Images = NDArray[np.floating[Any]]
"""(tile, row, column)"""
Vector = NDArray[np.floating[Any]]
"""(tile,)"""

_HAEMATOXYLIN, _EOSIN = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11)
_EDGES = np.array([-0.1, 0.05, 0.15, 0.3, 0.5, 0.75, 1.1], dtype=np.float32)
"""Edges of optical density between the eight bins of a histogram; the first and last are open."""
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_CLEAR = 0.07
"""Mean optical density below which a pixel is glass, fat or lumen."""
_CHUNK = 32
"""Tiles at once: more do not fit the processor's cache."""


class ColourTexture:
    """Optical densities of haematoxylin, eosin and the rest: moments, histograms, energies at two scales."""

    identity = f"{NAME}/1"
    dim = 64
    tile_px = TILE_PX
    tile_side_um = TILE_SIDE_UM
    interpolation = "bilinear"

    def encode(self, tiles: NDArray[np.uint8]) -> NDArray[np.float16]:
        """(tile, 64) of tiles (tile, 128, 128, 3), RGB.

        Raises:
            InputError: Tiles of another shape or type.
        """
        require_tiles(tiles, TILE_PX, NAME)
        vectors = np.empty((len(tiles), self.dim), dtype=np.float16)
        for start in range(0, len(tiles), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            vectors[chunk] = np.stack([value for _, value in _features(tiles[chunk])], axis=1)
        return vectors


def feature_names() -> list[str]:
    """What each of the 64 numbers is."""
    return [name for name, _ in _features(np.full((1, TILE_PX, TILE_PX, 3), 200, dtype=np.uint8))]


def _features(tiles: NDArray[np.uint8]) -> Iterator[tuple[str, Vector]]:
    """Name and values of each feature."""
    red, green, blue = (_DENSITY.take(np.ascontiguousarray(tiles[..., channel])) for channel in range(3))
    # Written out: a matrix product's rounding depends on how many tiles there are.
    stains = {
        name: red * row[0] + green * row[1] + blue * row[2]
        for name, row in zip(("h", "e", "rest"), _UNMIXING, strict=True)
    }
    for name, image in stains.items():
        mean, spread = _mean(image), _spread(image)
        yield f"{name}: mean", mean
        yield f"{name}: standard deviation", spread
        centred = image - mean[:, None, None]
        third = _mean(centred * centred * centred)
        yield f"{name}: cube root of the third moment", np.cbrt(third)
    brightness = (red + green + blue) / 3
    yield "density: mean", _mean(brightness)
    yield "density: standard deviation", _spread(brightness)
    yield "density: share of clear pixels", _mean((brightness < _CLEAR).astype(np.float32))
    yield "h and e: correlation", _correlation(stains["h"], stains["e"])
    for name in ("h", "e"):
        image = stains[name]
        yield from _distribution(name, image)
        for scale in (1, 4):
            yield from _texture(f"{name} at {scale} px", _pooled(image, scale))
        yield from _blocks(name, image)
    yield from _blobs(stains["h"])


def _distribution(name: str, image: Images) -> Iterator[tuple[str, Vector]]:
    flat = np.sort(image.reshape(len(image), -1), axis=1)
    last = flat.shape[1] - 1
    for quantile in _QUANTILES:
        yield f"{name}: quantile {quantile:g}", flat[:, round(quantile * last)]
    edges = np.stack([np.searchsorted(row, _EDGES) for row in flat], axis=1) / flat.shape[1]
    shares = np.diff(edges, axis=0, prepend=0, append=1).astype(np.float32)
    for place, share in enumerate(shares):
        yield f"{name}: histogram bin {place + 1}", share


def _texture(name: str, image: Images) -> Iterator[tuple[str, Vector]]:
    across = (image[:, 1:-1, 2:] - image[:, 1:-1, :-2]) / 2
    down = (image[:, 2:, 1:-1] - image[:, :-2, 1:-1]) / 2
    slope = np.sqrt(across * across + down * down)
    yield f"{name}: mean gradient", _mean(slope)
    yield f"{name}: spread of gradients", _spread(slope)
    inner = image[:, 1:-1, 1:-1]
    around = (image[:, 1:-1, 2:] + image[:, 1:-1, :-2]) + (image[:, 2:, 1:-1] + image[:, :-2, 1:-1])
    yield f"{name}: mean Laplacian", _mean(np.abs(around / 4 - inner))
    # 0 where gradients point everywhere alike, 1 where all lie on one line.
    xx, yy, xy = _mean(across * across), _mean(down * down), _mean(across * down)
    yield f"{name}: anisotropy", np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy + np.float32(1e-6))


def _blocks(name: str, image: Images) -> Iterator[tuple[str, Vector]]:
    """How unlike the tile's parts of 8 x 8 pixels, a nucleus' size, are within and among themselves."""
    within = np.sqrt(np.maximum(_pooled(image * image, 8) - _pooled(image, 8) ** 2, 0))
    yield f"{name}: spread within blocks", _mean(within)
    yield f"{name}: spread of the spread within blocks", _spread(within)
    yield f"{name}: spread among blocks", _spread(_pooled(image, 8))


def _blobs(image: Images) -> Iterator[tuple[str, Vector]]:
    """Energy of differences of box means: dark spots of about 5, 11 and 23 pixels."""
    total = np.zeros((len(image), TILE_PX + 1, TILE_PX + 1))
    np.cumsum(image, axis=1, out=total[:, 1:, 1:])
    np.cumsum(total[:, 1:, 1:], axis=2, out=total[:, 1:, 1:])
    smooth = {side: _box(total, side) for side in (3, 7, 15, 31)}
    for small, large in ((3, 7), (7, 15), (15, 31)):
        edge = (large - small) // 2
        difference = smooth[small][:, edge:-edge, edge:-edge] - smooth[large]
        yield f"h: spots of {small} to {large} px", np.sqrt(_mean(difference * difference))


def _box(total: NDArray[np.float64], side: int) -> Images:
    """Means over squares of an odd side, where they fit, of sums from the top left corner on."""
    low, high = slice(None, -side), slice(side, None)
    sums = (total[:, high, high] - total[:, low, high]) - (total[:, high, low] - total[:, low, low])
    return np.asarray(sums / side**2, dtype=np.float32)


def _pooled(image: Images, side: int) -> Images:
    """Means over squares side by side."""
    if side == 1:
        return image
    tiles, rows, columns = image.shape
    down = image.reshape(tiles, rows // side, side, columns).mean(axis=2)
    means: Images = down.reshape(tiles, rows // side, columns // side, side).mean(axis=3)
    return means


def _correlation(one: Images, other: Images) -> Vector:
    covariance = _mean(one * other) - _mean(one) * _mean(other)
    # Where one hardly varies (blank glass), what little it does is rounding.
    return covariance / (_spread(one) * _spread(other) + np.float32(1e-4))


def _mean(image: Images) -> Vector:
    means: Vector = image.reshape(len(image), -1).mean(axis=1)
    return means


def _spread(image: Images) -> Vector:
    centred = image - _mean(image)[:, None, None]
    return np.sqrt(_mean(centred * centred))


def _unmixing() -> NDArray[np.float32]:
    """Rows that give the amounts of haematoxylin, eosin and what is neither, of optical densities (r, g, b)."""
    stains = np.array([_HAEMATOXYLIN, _EOSIN, np.cross(_HAEMATOXYLIN, _EOSIN)])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    return np.linalg.inv(stains).T.astype(np.float32)


_UNMIXING = _unmixing()
_DENSITY = -np.log10((np.arange(256) + 1) / 256).astype(np.float32)
"""Optical density of each value of a pixel: 0 for white, 2.4 for black."""
