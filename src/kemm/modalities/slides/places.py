"""Where the patches of a slide lie, as far as the file of its features says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kemm.core.errors import InputError
from kemm.core.files import read_coordinates
from kemm.modalities.slides.bag import UNKNOWN, read_bag

H5_SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True)
class Places:
    """The tiles of one slide, in the order of its features."""

    slide: str
    coordinates: NDArray[np.int32]
    """Left and top in pixels of the slide's full resolution, (patch, 2)."""
    tile_side: float
    """In the same pixels; where no file says it, the step of the grid."""
    mpp: float | None = None
    """Micrometres a pixel at full resolution."""


def read_places(path: Path) -> Places | None:
    """The places of a bag of kemm's, or of an .h5 with "coords" as CLAM and TRIDENT write it; else None.

    Where one tile's place is unknown it is None too: a map with a hole would be read as a map.

    Raises:
        InputError: Damaged.
    """
    if path.suffix.lower() == ".safetensors":
        return _of_bag(path)
    if path.suffix.lower() not in H5_SUFFIXES:
        return None
    found = read_coordinates(path)
    if found is None:
        return None
    coordinates, about = found
    # STAMP keeps micrometres, and not how many a pixel is.
    if _text(about.get("unit")) not in (None, "px", "pixel", "pixels"):
        return None
    places = _whole(coordinates)
    if _some_unknown(places):
        return None
    return Places(path.stem, places, _tile_side(about) or grid_step(places))


def _of_bag(path: Path) -> Places | None:
    try:
        bag = read_bag(path)
    except InputError:
        return None  # features alone, which other tools write as well
    if _some_unknown(bag.coordinates):
        return None
    about = bag.about
    side = about.tile_side_px
    if side is None and about.tile_side_um is not None and about.mpp:
        side = about.tile_side_um / about.mpp
    return Places(about.slide, bag.coordinates, side or grid_step(bag.coordinates), about.mpp)


def _some_unknown(coordinates: NDArray[np.int32]) -> bool:
    return bool((coordinates == UNKNOWN).all(axis=1).any())


def grid_step(coordinates: NDArray[np.integer]) -> float:
    """The smallest step between tiles in a column or in a row; a lone tile is taken to be 256 pixels wide."""
    steps = np.concatenate([np.diff(np.unique(coordinates[:, axis])) for axis in (0, 1)])
    return float(steps.min()) if len(steps) else 256.0


def _tile_side(about: Mapping[str, Any]) -> float | None:
    """At full resolution: TRIDENT says it, CLAM gives the side at a level and what that is scaled down by."""
    if (side := _number(about.get("patch_size_level0"))) is not None:
        return side
    side, level, by = (_number(about.get(name)) for name in ("patch_size", "patch_level", "downsample"))
    if side is None or (by is None and level != 0):
        return None
    return side * (1.0 if by is None else by)


def _number(value: Any) -> float | None:
    if value is None or isinstance(value, (str, bytes)):
        return None
    try:
        first = float(np.ravel(value)[0])
    except (TypeError, ValueError, IndexError):
        return None
    return first if np.isfinite(first) and first >= 0 else None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value if isinstance(value, str) else None


def _whole(coordinates: NDArray[np.float64]) -> NDArray[np.int32]:
    limits = np.iinfo(np.int32)
    return np.asarray(np.clip(np.rint(coordinates), limits.min, limits.max), dtype=np.int32)
