"""Measure how fast slides become patch features, and in how much memory, on made-up slides.

    python benchmarks/slides.py [--workers 1 2] [--large 100000] [--architecture resnet50 ...]
        [--encoder colour-texture] [--write docs/slides-speed.md]

Bare: a loop of OpenSlide's read_region, convert and resize. Reader: the same tiles through kemm's, in turns with
it, in seconds of the processor, which other work on the machine lengthens less than those of the clock. Scaling: all
from finding tissue to the bag, with an encoder that only averages (the cost of all but the network), in turns for
each number of workers. Large: a slide of that many pixels a side, with the encoder named; its file is made in a
temporary folder (100,000 pixels take 2.7 GB) and removed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import encode
import numpy as np
import openslide
import torch
from made_up_slides import made_up
from measured import PeakMemory, machine, processor_seconds
from numpy.typing import NDArray
from PIL import Image

from kemm.modalities.slides import TILE_ENCODERS, TileEncoder, TileEncoderConfig
from kemm.modalities.slides.extraction import Done, Tiling, extract, plan_slides
from kemm.modalities.slides.images import SlideImage
from kemm.modalities.slides.kept import bag_path
from kemm.modalities.slides.reader import open_slide
from kemm.modalities.slides.tiles import TilesConfig
from kemm.modalities.slides.tissue import TissueConfig
from kemm.pipeline.slides import _mapper

BILINEAR = Image.Resampling.BILINEAR
BATCH = 64
SIDE_UM = 112
SIDE_PX = 224


class Mean:
    """Costs next to nothing."""

    identity, dim, tile_px, tile_side_um = "mean", 3, SIDE_PX, float(SIDE_UM)

    def encode(self, tiles: NDArray[np.uint8]) -> NDArray[np.float16]:
        mean: NDArray[np.float16] = tiles[:, ::8, ::8].mean(axis=(1, 2)).astype(np.float16)
        return mean


# --- one core ----------------------------------------------------------------------------------


def compare_with_bare(path: Path, tiles: int, rounds: int) -> str:
    """A row: tiles a second of the processor, bare and through the reader, and the share."""
    with open_slide(path) as slide:
        side = SIDE_UM / slide.mpp
    first = 3000
    places = [
        (first + int(column * side), first + int(row * side))
        for row in range(tiles)
        for column in range(tiles)
    ]

    def bare() -> None:
        with openslide.OpenSlide(path) as handle:
            level = handle.get_best_level_for_downsample(side / SIDE_PX * 1.02)
            pixels = round(side / handle.level_downsamples[level])
            for place in places:
                region = handle.read_region(place, level, (pixels, pixels)).convert("RGB")
                np.asarray(region if pixels == SIDE_PX else region.resize((SIDE_PX, SIDE_PX), BILINEAR))

    def reader() -> None:
        with open_slide(path) as slide:
            for left, top in places:
                slide.read_tile(left, top, side, SIDE_PX)

    bare()  # so that no round reads from the disk
    pairs = []
    for turn in range(rounds):
        # Who is first changes, so that a busy moment of the machine meets both alike.
        both = {one: _seconds_computed(one) for one in ((bare, reader) if turn % 2 else (reader, bare))}
        pairs.append((both[bare], both[reader]))
    shares = [one / other for one, other in pairs]
    count = len(places)
    return (
        f"| {side:.0f} px | {count / statistics.median(pair[0] for pair in pairs):,.0f} | "
        f"{count / statistics.median(pair[1] for pair in pairs):,.0f} | "
        f"{statistics.median(shares):.0%} ({min(shares):.0%} to {max(shares):.0%}) |"
    )


def _seconds_computed(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


# --- all of it ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Extracted:
    """What one extraction took."""

    tiles: int
    tissue_seconds: float
    seconds: float
    """Of the clock, reading and encoding, from the first batch on: workers have started."""
    computed: float
    """Seconds of the processor, in all processes, of everything."""
    bag_bytes: int


def run_extraction(paths: list[Path], encoder: TileEncoder, workers: int) -> Extracted:
    """The whole way of some slides, as `kemm slides` goes it."""
    tiling = Tiling(
        mpp=None,
        side_um=encoder.tile_side_um,
        tile_px=encoder.tile_px,
        batch=BATCH,
        tissue=TissueConfig(),
        tiles=TilesConfig(),
    )
    run = _mapper(workers)
    images = [SlideImage(path.stem, path, path.stem) for path in paths]
    computed, began = processor_seconds(), time.perf_counter()
    planned, failed = plan_slides(images, tiling, run)
    found = time.perf_counter()
    first: list[float] = []
    done: list[Done] = []
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
        size = sum(bag_path(Path(folder), path.stem).stat().st_size for path in paths)
    assert not failed, failed
    assert not unread, unread
    tiles = sum(one.tiles for one in done)
    return Extracted(tiles, found - began, ended - first[0], processor_seconds() - computed, size)


def compare_workers(paths: list[Path], workers: list[int], rounds: int) -> list[str]:
    """Rows: tiles a second with each number of workers, the median of rounds in turns."""
    runs: dict[int, list[Extracted]] = {count: [] for count in workers}
    for _ in range(rounds):
        for count in workers:
            runs[count].append(run_extraction(paths, Mean(), count))
    rates = {
        count: statistics.median((one.tiles - BATCH) / one.seconds for one in runs[count])
        for count in workers
    }
    rows = []
    for count in workers:
        computed = statistics.median(one.computed / one.tiles for one in runs[count]) * 1000
        rows.append(
            f"| {count} | {rates[count]:,.0f} | {rates[count] / rates[workers[0]]:.2f} | {computed:.1f} ms |"
        )
    return rows


def extract_large(path: Path, encoder: TileEncoder, workers: int) -> tuple[Extracted, PeakMemory]:
    """The whole way of one slide, with all processes watched."""
    with PeakMemory() as memory:
        return run_extraction([path], encoder, workers), memory


# --- the page ----------------------------------------------------------------------------------


def page(asked: argparse.Namespace) -> str:
    """All measurements, as Markdown."""
    command = " ".join(["python", "benchmarks/slides.py", *sys.argv[1:]])
    parts = [
        "# How fast slides are read\n",
        f"Written by `{command}`; change the program, not this page. Measured on {date.today():%d %B %Y} on "
        f"{machine()}, with torch {torch.__version__} and OpenSlide {openslide.__library_version__}. Other work ran on "
        "the machine meanwhile.\n",
    ]
    with tempfile.TemporaryDirectory() as folder:
        wide = made_up(Path(folder) / "wide.svs", asked.wide, 0.25)
        fine = made_up(Path(folder) / "fine.svs", asked.side, 0.25)
        half = made_up(Path(folder) / "half.svs", asked.side, 0.5)
        parts += [
            "## Reading, on one core\n",
            f"Tiles of {SIDE_UM} µm on {SIDE_PX} px, from level 0 of a slide with JPEG tiles of 256 px. Bare is a loop "
            "over `read_region`, `convert` and `resize` of OpenSlide and Pillow. Tiles a second of the processor; median "
            f"of {asked.rounds} rounds in turns, in brackets the least and the largest share.\n",
            "| a tile on the slide | bare | kemm | share |\n| --- | --- | --- | --- |",
            *(compare_with_bare(path, asked.tiles, asked.rounds) for path in (half, fine)),
        ]
        _tell("compared with a bare loop")
        parts += [
            "\n## Workers\n",
            f"A slide of {asked.wide:,} px a side, from finding tissue to the bag, with an encoder that only averages. "
            "Tiles a second of the clock once workers have started, and what a tile takes of the processor in all "
            f"processes; median of {asked.rounds} rounds in turns.\n",
            "| workers | tiles/s | against the first | computed a tile |\n| --- | --- | --- | --- |",
            *compare_workers([wide], asked.workers, asked.rounds),
        ]
        parts.append(_load())
        _tell("compared workers")
    if asked.large:
        parts += _large_section(asked)
    if asked.architecture:
        parts += _encoders_section(asked)
    return "\n".join(parts) + "\n"


def _large_section(asked: argparse.Namespace) -> list[str]:
    encoder = TILE_ENCODERS[asked.encoder](TileEncoderConfig(name=asked.encoder))
    workers = max(asked.workers)
    with tempfile.TemporaryDirectory() as folder:
        path = made_up(Path(folder) / "large.svs", asked.large, 0.25)
        size = path.stat().st_size / 2**30
        _tell(f"wrote a slide of {size:.1f} GB")
        ran, memory = extract_large(path, encoder, workers)
    _tell("extracted the large slide")
    peaks = sorted(memory.workers.values(), reverse=True)[:workers]  # Python's own helper comes last
    load = _load()
    each = ", ".join(f"{peak:.2f}" for peak in peaks) or "none"
    return [
        "\n## A large slide\n",
        f"{asked.large:,} x {asked.large:,} pixels ({size:.1f} GB) at 0.25 µm a pixel, the whole extraction with "
        f"`{asked.encoder}` and {workers} workers.\n",
        "| | |\n| --- | --- |",
        f"| tiles of {encoder.tile_side_um:g} µm on {encoder.tile_px} px | {ran.tiles:,} |",
        f"| finding tissue | {ran.tissue_seconds:.1f} s |",
        f"| reading and encoding | {ran.seconds:.0f} s, {ran.tiles / ran.seconds:,.0f} tiles/s |",
        f"| computed a tile, all processes | {ran.computed / ran.tiles * 1000:.1f} ms |",
        f"| peak memory, main process | {memory.main:.2f} GB |",
        f"| peak memory, each worker | {each} GB |",
        f"| peak memory, all added up | {memory.at_most:.2f} GB |",
        f"| most at one moment, what is shared counted once | {memory.together:.2f} GB |",
        f"| the bag | {ran.bag_bytes:,} bytes, {ran.bag_bytes / ran.tiles:.1f} a tile |",
        load,
    ]


def _encoders_section(asked: argparse.Namespace) -> list[str]:
    device = encode.choose_device(TileEncoderConfig(device="cpu"))
    ceiling = encode.matmul_flops("fp32", device, asked.seconds)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        wanted: list[tuple[str, str, str | None]] = [(asked.encoder, asked.encoder, None)]
        for name in asked.architecture:
            folder = Path(scratch, name)
            folder.mkdir()
            wanted.append((name, encode.saved_architecture(name, folder), str(folder)))
        for label, name, model in wanted:
            config = TileEncoderConfig(name=name, model=model, device="cpu", precision="fp32", batch=16)
            one = encode.measured(config, label, ceiling, asked.seconds)
            share = "-" if one["share_of_matmul"] is None else f"{one['share_of_matmul']:.0%}"
            rows.append(
                f"| `{label}` | {one['tiles_a_second']:,} | {one['gflops_a_tile'] or '-'} | {share} |"
            )
            _tell(f"encoded with {label}")
    return [
        "\n## Encoding\n",
        "Of tiles in memory, in 32 bits, 16 at once; architectures of timm with random weights, which compute as long "
        f"as trained ones. The share is that of a plain matrix product on {torch.get_num_threads()} threads in the same "
        f"run, {ceiling / 1e9:,.0f} GFLOP/s. `python benchmarks/encode.py` measures others, and GPUs.\n",
        "| encoder | tiles/s | GFLOP a tile | share |\n| --- | --- | --- | --- |",
        *rows,
    ]


def _load() -> str:
    return (
        f"\nProcesses that wanted a core meanwhile: {os.getloadavg()[0]:.1f}, on {os.cpu_count()}. Where that is more than "
        "the cores and this program's own, times of the clock say more of the machine's other work than of kemm."
    )


def _tell(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tiles", type=int, default=20, help="tiles along a side of the comparison")
    parser.add_argument("--side", type=int, default=16_000, help="pixels of the slides of the comparison")
    parser.add_argument("--wide", type=int, default=24_000, help="pixels of the slide that compares workers")
    parser.add_argument("--rounds", type=int, default=5, help="of each comparison; the median counts")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--large", type=int, default=0, help="pixels a side of a slide to measure memory with"
    )
    parser.add_argument(
        "--encoder", default="colour-texture", help="a registered encoder, for the large slide"
    )
    parser.add_argument("--architecture", nargs="*", default=[], help="of timm, measured with random weights")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement of an encoder")
    parser.add_argument("--write", type=Path, help="write the page there instead of printing it")
    asked = parser.parse_args()
    written = page(asked)
    if asked.write:
        asked.write.write_text(written, encoding="utf-8")
    else:
        print(written)


if __name__ == "__main__":
    main()
