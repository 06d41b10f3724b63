"""Patch features that CLAM, TRIDENT or STAMP made, as bags of kemm's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kemm.core.errors import InputError
from kemm.core.files import TiledFeatures, read_features, read_tiled_features, sha256_of
from kemm.modalities.slides.bag import UNKNOWN, BagAbout, SlideBag

IMPORTED_SUFFIXES = (".h5", ".hdf5", ".pt", ".pth")
UNKNOWN_ENCODER = "unknown"
ENCODER_NAMES = ("encoder", "extractor", "model_name", "patch_encoder", "feature_extractor")
MAX_HALF = float(np.finfo(np.float16).max)


def find_importable(folder: Path) -> dict[str, Path]:
    """Files of features below a folder, by slide. Where a slide has both, the .h5 knows more than the .pt.

    Raises:
        InputError: No such folder, no such file, or two of one slide.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder. Name the one that holds the .h5 or .pt files.")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if suffix not in IMPORTED_SUFFIXES or not path.is_file():
            continue
        before = found.get(path.stem)
        if before is None or (before.suffix.lower() in (".pt", ".pth") and suffix in (".h5", ".hdf5")):
            found[path.stem] = path
        elif suffix not in (".pt", ".pth"):
            raise InputError(
                f"{folder}: slide {path.stem} has two files, {before.relative_to(folder)} and "
                f"{path.relative_to(folder)}. Import the folder of one encoder, without the patches."
            )
    if not found:
        raise InputError(
            f"{folder}: no file ends in {', '.join(IMPORTED_SUFFIXES)}. Name the folder of features."
        )
    return found


def import_bag(path: Path, name: str, mpp_of: Callable[[str], float | None] = lambda name: None) -> SlideBag:
    """The bag of a file of features. `mpp_of` tells micrometres a pixel of a slide, where known.

    Raises:
        InputError: No features, damaged, or beyond what 16 bits hold.
        PolicyError: Code, or data kept in other files.
    """
    digest = sha256_of(path)
    if path.suffix.lower() in (".pt", ".pth"):
        features = read_features(path)
        about = BagAbout(slide=name, encoder=UNKNOWN_ENCODER, source_sha256=digest, tool="CLAM (.pt)")
        return SlideBag(_halved(features, path), _nowhere(len(features)), about)
    read = read_tiled_features(path)
    tool = _tool_of(read.attributes)
    coordinates, side_px, side_um, mpp = _placed(path, read, tool, mpp_of(name))
    about = BagAbout(
        slide=name,
        encoder=next(
            (str(read.attributes[key]) for key in ENCODER_NAMES if key in read.attributes), UNKNOWN_ENCODER
        ),
        tile_side_px=side_px,
        tile_side_um=side_um,
        mpp=mpp,
        source_sha256=digest,
        tool=tool,
    )
    return SlideBag(_halved(read.features, path), coordinates, about)


def _tool_of(attributes: Mapping[str, str | float]) -> str:
    if "stamp_version" in attributes:
        return f"STAMP {attributes['stamp_version']}"
    if str(attributes.get("unit", "")) == "um":
        return "STAMP"
    if "level0_magnification" in attributes or "patch_size_level0" in attributes:
        return "TRIDENT"
    if "patch_level" in attributes:
        return "CLAM"
    return "unknown"


def _placed(
    path: Path, read: TiledFeatures, tool: str, mpp: float | None
) -> tuple[NDArray[np.int32], float | None, float | None, float | None]:
    """Coordinates in base pixels, side of a tile in pixels and micrometres, and micrometres a pixel."""
    attributes = read.attributes
    if tool.startswith("STAMP"):
        side_um = _number(attributes, "tile_size_um") or _number(attributes, "tile_size")
        if read.coordinates is None or mpp is None:
            # Micrometres are no pixels, and which they are is not guessed.
            return _nowhere(len(read.features)), None, side_um, mpp
        pixels = np.round(np.asarray(read.coordinates, dtype=np.float64) / mpp)
        return _whole(pixels, path), None if side_um is None else side_um / mpp, side_um, mpp
    side = _number(attributes, "patch_size_level0")
    patch = _number(attributes, "patch_size")
    if side is None and patch is not None:
        base, target = (
            _number(attributes, "level0_magnification"),
            _number(attributes, "target_magnification"),
        )
        if base is not None and target is not None:
            side = patch * base / target
        elif (downsample := _number(attributes, "downsample")) is not None:
            side = patch * downsample
        elif attributes.get("patch_level") == 0:
            side = patch
    side_um = None if side is None or mpp is None else side * mpp
    if read.coordinates is None:
        return _nowhere(len(read.features)), side, side_um, mpp
    return _whole(np.asarray(read.coordinates, dtype=np.float64), path), side, side_um, mpp


def _number(attributes: Mapping[str, str | float], name: str) -> float | None:
    value = attributes.get(name)
    return value if isinstance(value, float) and np.isfinite(value) and value > 0 else None


def _whole(values: NDArray[np.float64], path: Path) -> NDArray[np.int32]:
    limit = np.iinfo(np.int32).max
    if not np.isfinite(values).all() or (np.abs(values) > limit).any():
        raise InputError(f"{path}: coordinates are beyond any slide. Extract this slide again.")
    return values.astype(np.int32)


def _nowhere(tiles: int) -> NDArray[np.int32]:
    return np.full((tiles, 2), UNKNOWN, dtype=np.int32)


def _halved(features: NDArray[np.generic], path: Path) -> NDArray[np.float16]:
    values = np.asarray(features, dtype=np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: some features are not finite. Extract this slide again.")
    if np.abs(values).max() > MAX_HALF:
        raise InputError(
            f"{path}: a feature is {np.abs(values).max():g}, beyond what 16 bits hold. Rescale the features, "
            "or use the files as they are: slides.folder."
        )
    return values.astype(np.float16)
