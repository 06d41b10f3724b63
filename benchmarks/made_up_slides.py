"""Slides to measure on: Aperio pyramids of any size, written from a few tiles that are encoded once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

BLOCK = 256
"""Pixels a side of the file's own tiles, as most scanners write them."""
VARIANTS = 8
QUALITY = 80
MARGIN = 20
"""Glass is a twentieth of the side, all around."""
SMALLEST = 1024


def made_up(path: Path, side: int, mpp: float) -> Path:
    """A square slide of `side` pixels, tissue but for a margin.

    Every tile is in the file by itself, so that reading them costs what it does in a scanner's file; the time
    to write it is that of the disk, and memory does not grow with the size.
    """
    tissue, glass = _encoded_blocks()

    def blocks(size: int) -> Iterator[bytes]:
        count = -(-size // BLOCK)
        margin = max(1, count // MARGIN)
        for row in range(count):
            for column in range(count):
                inside = margin <= row < count - margin and margin <= column < count - margin
                yield tissue[(row + column) % VARIANTS] if inside else glass

    said = f"Aperio Image Library v12.0.0\r\n{side}x{side} (256x256) JPEG/YCC Q={QUALITY}|AppMag = 40|MPP = {mpp}"
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        size = side
        while size >= SMALLEST or size == side:
            writer.write(
                blocks(size),
                shape=(size, size, 3),
                dtype=np.uint8,
                tile=(BLOCK, BLOCK),
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
                description=said if size == side else f"{said}\r\n{side}x{side} -> {size}x{size}",
                metadata=None,
            )
            size //= 4
    return path


def _encoded_blocks() -> tuple[list[bytes], bytes]:
    """Tiles of stained tissue, and one of glass."""
    generator = np.random.default_rng(0)
    shape = (VARIANTS, BLOCK, BLOCK)
    stain = np.where(generator.random((*shape, 1)) < 0.3, (112, 76, 148), (226, 146, 184))
    stain = np.clip(stain + generator.normal(0, 6, stain.shape), 0, 255).astype(np.uint8)
    # Nuclei are larger than a pixel; noise of single pixels would be dear to decode.
    large = stain[:, : BLOCK // 4, : BLOCK // 4].repeat(4, axis=1).repeat(4, axis=2)
    glass = np.full((BLOCK, BLOCK, 3), 243, dtype=np.uint8)
    return [_jpeg(tile) for tile in large], _jpeg(glass)


def _jpeg(tile: np.ndarray) -> bytes:
    encoded: bytes = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(tile), level=QUALITY, colorspace="RGB", outcolorspace="YCBCR", subsampling="420"
    )
    return encoded
