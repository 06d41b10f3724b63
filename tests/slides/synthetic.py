"""Made-up slides whose tissue is known: files as scanners write them, and what can be wrong with one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

EOSIN, HAEMATOXYLIN = (226, 146, 184), (112, 76, 148)
BLUE_INK, GREEN_INK, BLACK_INK = (35, 60, 170), (20, 130, 70), (25, 25, 28)


def disc(shape: tuple[int, int], row: float, column: float, radius: float) -> Mask:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def glass(shape: tuple[int, int], seed: int = 0, colour: Sequence[int] = (243, 243, 244)) -> Picture:
    """Empty glass with a scanner's noise."""
    noise = np.random.default_rng(seed).normal(0, 1.5, (*shape, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def stained(picture: Picture, mask: Mask, seed: int = 1, strength: float = 1.0) -> Picture:
    """The picture with stroma and nuclei where the mask is; `strength` below 1 is a faint stain."""
    generator = np.random.default_rng(seed)
    nuclei = generator.random(mask.shape) < 0.3
    colour = np.where(nuclei[..., None], HAEMATOXYLIN, EOSIN).astype(float)
    colour = 255 * (colour / 255) ** strength + generator.normal(0, 3, colour.shape)
    out = picture.copy()
    out[mask] = np.clip(colour, 0, 255).astype(np.uint8)[mask]
    return out


def painted(picture: Picture, mask: Mask, colour: Sequence[int]) -> Picture:
    """The picture with ink."""
    out = picture.copy()
    out[mask] = colour
    return out


def overlap(found: Mask, true: Mask) -> float:
    """Intersection over union."""
    return float((found & true).sum() / max((found | true).sum(), 1))


def section(side: int = 2048, seed: int = 0) -> tuple[Picture, Mask]:
    """A slide with one round piece of tissue, of 0.56 of its side across."""
    mask = disc((side, side), side / 2, side / 2, 0.28 * side)
    return stained(glass((side, side), seed), mask, seed + 1), mask


def write_svs(
    path: Path, picture: Picture, *, mpp: float | None = 0.5, power: int = 20, levels: int = 2
) -> Path:
    """A pyramid as Aperio's scanners write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = f"{picture.shape[1]}x{picture.shape[0]}"
    said = f"Aperio Image Library v12.0.0\r\n{size} (256x256) JPEG/RGB Q=90|AppMag = {power}"
    said += "" if mpp is None else f"|MPP = {mpp}"
    options: dict[str, Any] = {
        "tile": (256, 256),
        "photometric": "rgb",
        "compression": "jpeg",
        "compressionargs": {"level": 90},
        "metadata": None,
    }
    with tifffile.TiffWriter(path) as writer:
        writer.write(picture, description=said, **options)
        for level in range(1, levels):
            small = picture[:: 4**level, :: 4**level]
            writer.write(
                small, description=f"{said}\r\n{size} -> {small.shape[1]}x{small.shape[0]}", **options
            )
    return path


def write_ome(path: Path, picture: Picture, *, mpp: float | None = 0.5, levels: int = 2) -> Path:
    """A pyramidal OME-TIFF: lower levels in SubIFDs, resolution in its XML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {"axes": "YXS"}
    if mpp is not None:
        metadata |= {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
        metadata |= {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(picture, tile=(256, 256), photometric="rgb", subifds=levels - 1, metadata=metadata)
        for level in range(1, levels):
            writer.write(picture[:: 4**level, :: 4**level], tile=(256, 256), photometric="rgb", subfiletype=1)
    return path


def break_tiles(path: Path, count: int = 1) -> Path:
    """Overwrite the compressed bytes of tiles in the middle of a slide."""
    with tifffile.TiffFile(path) as handle:
        page = handle.pages[0]
        middle = len(page.dataoffsets) // 2
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))[middle : middle + count]
    with path.open("r+b") as file:
        for offset, size in places:
            file.seek(offset)
            file.write(b"\x00" * size)
    return path


def set_tags(path: Path, level: int, **values: int) -> Path:
    """Overwrite tags of a level of an OME pyramid, as a damaged header has them."""
    with tifffile.TiffFile(path, mode="r+b") as handle:
        page = handle.pages[0] if level == 0 else handle.pages[0].pages[level - 1]
        for name, value in values.items():
            page.tags[name].overwrite(value, dtype="I")
    return path


class MeanColour:
    """An encoder small enough to check by hand: the mean of each channel."""

    dim, tile_px, tile_side_um = 3, 64, 64.0

    def __init__(self, identity: str = "mean-colour/test", side_um: float = 64.0) -> None:
        self.identity, self.tile_side_um = identity, side_um
        self.seen = 0

    def encode(self, tiles: Picture) -> NDArray[np.float16]:
        assert tiles.shape[1:] == (self.tile_px, self.tile_px, 3)
        assert tiles.dtype == np.uint8
        self.seen += len(tiles)
        mean: NDArray[np.float16] = (tiles.mean(axis=(1, 2)) / 255).astype(np.float16)
        return mean
