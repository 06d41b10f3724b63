"""One slide's patch features on disk: a safetensors file that is mapped, not read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kemm.core.errors import InputError
from kemm.core.files import read_arrays, write_arrays

UNKNOWN = -1
"""Stands for both coordinates of a tile of which nobody says where it is."""


class BagAbout(BaseModel):
    """Where a bag comes from. What is not known of features that another tool made is None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slide: str
    encoder: str
    """Identity of the encoder; of imported features what the file says, or "unknown"."""
    tile_side_px: float | None = None
    """Side of a tile in pixels of the slide's full resolution."""
    tile_side_um: float | None = None
    mpp: float | None = None
    """Micrometres a pixel at full resolution."""
    tissue_fraction: float | None = None
    """Share of the slide's area that is tissue."""
    source_sha256: str | None = None
    """Of the file the features were imported from."""
    tool: str = "kemm"
    """Who laid the tiles and made the features."""


@dataclass(frozen=True)
class SlideBag:
    """Patch features of one slide."""

    features: NDArray[np.float16]
    """(patch, width)"""
    coordinates: NDArray[np.int32]
    """Left and top of each tile in pixels of the slide's full resolution, or `UNKNOWN`, (patch, 2)."""
    about: BagAbout

    def __post_init__(self) -> None:
        if len(self.features) != len(self.coordinates):
            raise ValueError(f"{len(self.features)} features and {len(self.coordinates)} coordinates")


def write_bag(path: Path, bag: SlideBag) -> None:
    """Write it, whole or not at all. `path` ends in .safetensors."""
    about = np.frombuffer(bag.about.model_dump_json().encode(), dtype=np.uint8)
    write_arrays(
        path,
        {
            "features": np.ascontiguousarray(bag.features, dtype=np.float16),
            "coordinates": np.ascontiguousarray(bag.coordinates, dtype=np.int32),
            "about": about,
        },
    )


def read_bag(path: Path) -> SlideBag:
    """A bag that `write_bag` wrote.

    Raises:
        InputError: Another file, or damaged.
    """
    arrays = read_arrays(path)
    if missing := {"features", "coordinates", "about"} - set(arrays):
        raise InputError(f"{path}: no bag of patch features: {', '.join(sorted(missing))} is missing.")
    about = BagAbout.model_validate_json(arrays["about"].tobytes())
    return SlideBag(arrays["features"], arrays["coordinates"], about)


def peek_about(path: Path) -> BagAbout | None:
    """Where a bag comes from, without reading it; None of a file that is no bag of kemm's."""
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="np") as handle:
            if "about" not in handle.keys():  # noqa: SIM118  not a dictionary
                return None
            return BagAbout.model_validate_json(handle.get_tensor("about").tobytes())
    except (SafetensorError, OSError, ValueError):
        return None
