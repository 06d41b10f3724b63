"""Measure how fast slides become patch features, on made-up slides.

    python benchmarks/slides.py [--tiles 40] [--workers 1 2] [--large 20000] [--encoder colour-texture]

Bare: a loop of OpenSlide's read_region, convert and resize, on one core. Reader: the same tiles through
kemm's. Extraction: all of it, from finding tissue to the bag, per number of workers, with an encoder
that only averages (the cost of all but the network), or with the one named. Memory is the largest of the
main process and of its workers, while a slide of `--large` pixels a side is read.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import tifffile
from numpy.typing import NDArray
from PIL import Image

from kemm.execution import Processes
from kemm.modalities.slides import TILE_ENCODERS, TileEncoder, TileEncoderConfig
from kemm.modalities.slides.extraction import Tiling, extract, plan_slides
from kemm.modalities.slides.images import SlideImage
from kemm.modalities.slides.reader import open_slide
from kemm.modalities.slides.tiles import TilesConfig
from kemm.modalities.slides.tissue import TissueConfig
from kemm.pipeline.slides import _in_turn

ROUNDS = 3
BILINEAR = Image.Resampling.BILINEAR


class Mean:
    """Costs next to nothing."""

    identity, dim, tile_px, tile_side_um = "mean", 3, 224, 112.0

    def encode(self, tiles: NDArray[np.uint8]) -> NDArray[np.float16]:
        mean: NDArray[np.float16] = tiles[:, ::8, ::8].mean(axis=(1, 2)).astype(np.float16)
        return mean


def made_up(path: Path, side: int, mpp: float) -> Path:
    """An Aperio pyramid, written tile by tile, so that its size is not bounded by memory: tissue but for a margin."""
    generator = np.random.default_rng(0)
    block = 256
    stain = np.where(generator.random((8, block, block, 1)) < 0.3, (112, 76, 148), (226, 146, 184))
    stain = np.clip(stain + generator.normal(0, 6, stain.shape), 0, 255).astype(np.uint8)
    # Nuclei are larger than a pixel; noise of single pixels would be dear to decode.
    small = stain[:, ::4, ::4].repeat(4, axis=1).repeat(4, axis=2)

    def blocks(size: int):  # type: ignore[no-untyped-def]
        count = -(-size // block)
        for row in range(count):
            for column in range(count):
                margin = count // 8
                inside = margin <= row < count - margin and margin <= column < count - margin
                yield small[(row + column) % 8] if inside else np.full((block, block, 3), 243, np.uint8)

    said = f"Aperio Image Library v12.0.0\r\n{side}x{side} (256x256) JPEG/RGB Q=80|AppMag = 40|MPP = {mpp}"
    with tifffile.TiffWriter(path, bigtiff=side > 20_000) as writer:
        size = side
        while size >= 1024 or size == side:
            writer.write(
                blocks(size),
                shape=(size, size, 3),
                dtype=np.uint8,
                tile=(block, block),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 80},
                description=said if size == side else f"{said}\r\n{side}x{side} -> {size}x{size}",
                metadata=None,
            )
            size //= 4
    return path


def best(measured: Callable[[], int]) -> float:
    """Items a second, of the fastest of a few rounds."""
    rates = []
    for _ in range(ROUNDS):
        # Time of this process, which other work on the machine does not lengthen.
        began = time.process_time()
        count = measured()
        rates.append(count / (time.process_time() - began))
    return max(rates)


def compare(path: Path, side_um: float, count: int) -> None:
    """Tiles a second, bare and through the reader, in turns on one core."""
    with open_slide(path) as slide:
        side = side_um / slide.mpp
    first = 3000
    places = [
        (first + int(column * side), first + int(row * side))
        for row in range(count)
        for column in range(count)
    ]

    def bare() -> int:
        with openslide.OpenSlide(path) as handle:
            level = handle.get_best_level_for_downsample(side / 224 * 1.02)
            pixels = round(side / handle.level_downsamples[level])
            for place in places:
                region = handle.read_region(place, level, (pixels, pixels)).convert("RGB")
                np.asarray(region if pixels == 224 else region.resize((224, 224), BILINEAR))
        return len(places)

    def through_reader() -> int:
        with open_slide(path) as slide:
            for left, top in places:
                slide.read_tile(left, top, side, 224)
        return len(places)

    rates = best(bare), best(through_reader)
    print(
        f"tiles of {side:.0f} base pixels: bare {rates[0]:,.0f}/s, reader {rates[1]:,.0f}/s "
        f"({rates[1] / rates[0]:.0%})"
    )


def measure_extraction(paths: list[Path], encoder: TileEncoder, workers: int) -> None:
    """Tiles a second of the whole way."""
    tiling = Tiling(
        mpp=None,
        side_um=encoder.tile_side_um,
        tile_px=encoder.tile_px,
        batch=64,
        tissue=TissueConfig(),
        tiles=TilesConfig(),
    )
    run = Processes(workers) if workers > 1 else _in_turn
    images = [SlideImage(path.stem, path, path.stem) for path in paths]
    began = time.perf_counter()
    planned, failed = plan_slides(images, tiling, run)
    found = time.perf_counter()
    first: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        done, unread = extract(
            planned,
            tiling,
            encoder,
            Path(folder),
            run,
            on_tiles=lambda count: first.append(time.perf_counter()) if not first else None,
        )
        ended = time.perf_counter()
    assert not failed, failed
    assert not unread, unread
    tiles = sum(one.tiles for one in done)
    print(
        f"{workers} workers, {len(paths)} slides, {tiles:,} tiles: tissue {found - began:.1f} s, first batch after "
        f"{first[0] - found:.1f} s, then {(tiles - 64) / (ended - first[0]):,.0f} tiles/s, bags included"
    )


def memory() -> str:
    """Largest so far, in GB."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return f"peak memory: main process {own:.2f} GB, largest worker {worker:.2f} GB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tiles", type=int, default=30, help="tiles along a side of the comparison")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--side", type=int, default=16_000, help="pixels of the slides of the comparison")
    parser.add_argument(
        "--large", type=int, default=0, help="pixels a side of a slide to measure memory with"
    )
    parser.add_argument(
        "--encoder", default="", help="a registered encoder, instead of one that only averages"
    )
    asked = parser.parse_args()
    encoder: TileEncoder = Mean()
    if asked.encoder:
        encoder = TILE_ENCODERS[asked.encoder](TileEncoderConfig(name=asked.encoder))
    with tempfile.TemporaryDirectory() as folder:
        fine = made_up(Path(folder) / "fine.svs", asked.side, 0.25)
        half = made_up(Path(folder) / "half.svs", asked.side, 0.5)
        for path in (half, fine):
            compare(path, 112, asked.tiles)
        for workers in asked.workers:
            measure_extraction([half, fine], encoder, workers)
        print(memory())
        if asked.large:
            large = made_up(Path(folder) / "large.svs", asked.large, 0.25)
            print(
                f"a slide of {asked.large:,} x {asked.large:,} pixels, {large.stat().st_size / 2**30:.1f} GB:"
            )
            measure_extraction([large], encoder, max(asked.workers))
            print(memory())


if __name__ == "__main__":
    main()
