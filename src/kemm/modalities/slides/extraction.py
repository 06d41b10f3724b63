"""From slides to bags: tiles are decoded by workers, encoded here, and kept a file a slide.

Workers hand over a batch of tiles each and wait until it is taken, so that memory is bounded by the
number of workers, whatever the size of the slides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kemm.core.errors import InputError, KemmError, PartialError
from kemm.core.files.output import cannot_write
from kemm.core.provenance import fingerprint
from kemm.modalities.slides.bag import BagAbout, SlideBag
from kemm.modalities.slides.images import SlideImage
from kemm.modalities.slides.kept import Record, keep
from kemm.modalities.slides.reader import Slide, open_slide
from kemm.modalities.slides.tile_encoder import TileEncoder
from kemm.modalities.slides.tiles import (
    Grid,
    TilesConfig,
    is_usable,
    lay_tiles,
    require_resolution,
    require_tiles,
)
from kemm.modalities.slides.tissue import Tissue, TissueConfig, find_tissue, require_tissue

FORMAT = 1
"""Raised when the same slide and settings would give other tiles than before."""
MOST_UNDER_WAY = 256
"""Batches that are read at once, at most: workers of a large machine."""


class Mapper(Protocol):
    """Has the shape of `map`, except that results come as they are done, each with its task."""

    def __call__(
        self, function: Callable[[Any, Any], Any], context: Any, tasks: Sequence[Any]
    ) -> Generator[tuple[Any, Any], None, None]:
        """Call `function(context, task)` for each task."""
        ...


class Tiling(BaseModel):
    """How slides are cut into tiles: all that decides which pixels the encoder is given."""

    model_config = ConfigDict(frozen=True)

    mpp: float | None
    """Overrules what the files say."""
    side_um: float
    tile_px: int
    batch: int
    tissue: TissueConfig
    tiles: TilesConfig


@dataclass(frozen=True)
class Planned:
    """A slide, opened once: its tiles, not yet read."""

    image: SlideImage
    grid: Grid
    width: int
    height: int
    mpp: float
    power: float | None
    tissue: Tissue


@dataclass(frozen=True)
class Chunk:
    """A batch of tiles of a slide, for a worker."""

    name: str
    path: Path
    number: int
    side: float
    coordinates: NDArray[np.int32]


@dataclass(frozen=True)
class Done:
    """A slide whose bag is written."""

    name: str
    tiles: int
    left_out: int
    seconds: float


@dataclass
class _Growing:
    """A slide under way."""

    planned: Planned
    chunks: int
    features: dict[int, NDArray[np.float16]] = field(default_factory=dict)
    coordinates: dict[int, NDArray[np.int32]] = field(default_factory=dict)
    began: float | None = None


def key_of(image: SlideImage, tiling: Tiling, encoder: TileEncoder) -> str:
    """Changes whenever the slide's bag would."""
    return fingerprint(FORMAT, image.name, image.identity, tiling, encoder.identity)


# --- what workers do ---------------------------------------------------------------------------

_OPEN: dict[tuple[Path, float | None], Slide] = {}
"""The slide a worker is at: opening one for each batch would take longer than reading it."""


def plan_slide(tiling: Tiling, image: SlideImage) -> Planned | KemmError:
    """Find a slide's tissue and lay its tiles. What is wrong with it is returned: others go on."""
    try:
        with open_slide(image.path, tiling.mpp) as slide:
            require_resolution(slide, tiling.side_um, tiling.tile_px)
            tissue = tissue_of(slide, tiling.tissue)
            require_tissue(tissue, image.path)
            grid = lay_tiles(slide.width, slide.height, slide.mpp, tissue, tiling.side_um, tiling.tiles)
            require_tiles(grid, image.path)
            return Planned(image, grid, slide.width, slide.height, slide.mpp, slide.power, tissue)
    except KemmError as error:
        return error


def tissue_of(slide: Slide, config: TissueConfig) -> Tissue:
    """The tissue of an open slide."""
    mpp = max(config.mpp, slide.mpp)
    return find_tissue(slide.thumbnail(mpp), mpp, config)


def decode(
    tiling: Tiling, chunk: Chunk | None
) -> tuple[NDArray[np.uint8], NDArray[np.int32]] | KemmError | None:
    """The usable tiles of a chunk, (tile, tile_px, tile_px, 3), and where they are."""
    if chunk is None:
        return None
    try:
        slide = _opened(chunk.path, tiling.mpp)
        tiles = np.empty((len(chunk.coordinates), tiling.tile_px, tiling.tile_px, 3), dtype=np.uint8)
        usable = np.ones(len(tiles), dtype=bool)
        for place, (left, top) in enumerate(chunk.coordinates.tolist()):
            tiles[place] = slide.read_tile(left, top, chunk.side, tiling.tile_px)
            usable[place] = is_usable(tiles[place], tiling.tiles)
        return (tiles, chunk.coordinates) if usable.all() else (tiles[usable], chunk.coordinates[usable])
    except KemmError as error:
        close_slides()
        return error


def _opened(path: Path, mpp: float | None) -> Slide:
    if (path, mpp) not in _OPEN:
        close_slides()
        _OPEN[path, mpp] = open_slide(path, mpp)
    return _OPEN[path, mpp]


def close_slides() -> None:
    """Give back the slide that this process has open."""
    while _OPEN:
        _OPEN.popitem()[1].close()


# --- the way of all slides ---------------------------------------------------------------------


def plan_slides(
    images: Sequence[SlideImage],
    tiling: Tiling,
    run: Mapper,
    on_slide: Callable[[SlideImage], None] = lambda image: None,
) -> tuple[list[Planned], dict[str, KemmError]]:
    """The tiles of each slide, in the order given, and what is wrong with the others."""
    planned: dict[str, Planned] = {}
    failed: dict[str, KemmError] = {}
    waiting = list(images)

    def take(results: Generator[tuple[SlideImage | None, Planned | KemmError], None, None]) -> None:
        for image, result in results:
            if image is None:
                continue
            if isinstance(result, KemmError):
                failed[image.name] = result
            else:
                planned[image.name] = result
            on_slide(image)

    def left() -> list[SlideImage]:
        return [one for one in waiting if one.name not in planned and one.name not in failed]

    try:
        take(run(plan_slide, tiling, waiting))
    except PartialError:
        # A decoder that crashes takes its worker along. Alone, each slide is told from the others.
        for image in left():
            try:
                take(run(_plan_or_nothing, tiling, [image, None]))
            except PartialError:
                failed[image.name] = _killed(image.path)
                on_slide(image)
    return [planned[image.name] for image in images if image.name in planned], failed


def _plan_or_nothing(tiling: Tiling, image: SlideImage | None) -> Planned | KemmError | None:
    return None if image is None else plan_slide(tiling, image)


def _killed(path: Path) -> InputError:
    return InputError(
        f"{path}: reading this slide ends the process that does it: for want of memory, or because the file is damaged "
        "so that its decoder crashes. Copy it again, convert it, or leave it out."
    )


def chunks_of(planned: Planned, batch: int) -> list[Chunk]:
    """A slide's tiles in batches, the same whoever reads them."""
    places = planned.grid.coordinates
    return [
        Chunk(
            planned.image.name, planned.image.path, number, planned.grid.side, places[start : start + batch]
        )
        for number, start in enumerate(range(0, len(places), batch))
    ]


def extract(
    planned: Sequence[Planned],
    tiling: Tiling,
    encoder: TileEncoder,
    folder: Path,
    run: Mapper,
    *,
    on_tiles: Callable[[int], None] = lambda count: None,
    on_slide: Callable[[Done], None] = lambda done: None,
) -> tuple[list[Done], dict[str, KemmError]]:
    """Read and encode the tiles of slides, and write a bag of each; and what is wrong with the others.

    Raises:
        InputError: The folder cannot be written: no slide of them could be kept.
    """
    work = _Work(tiling, encoder, folder, on_tiles, on_slide)
    left = list(planned)
    try:
        while left:
            try:
                work.go(left, run)
            except PartialError:
                # As for plans: a slide of which tiles were being read may be what ends workers.
                for one in [one for one in left if one.image.name in work.under_way]:
                    try:
                        work.go([one], run, alone=True)
                    except PartialError:
                        work.failed[one.image.name] = _killed(one.image.path)
            finished = {one.name for one in work.done} | set(work.failed)
            left = [one for one in left if one.image.name not in finished]
    finally:
        close_slides()
    return work.done, work.failed


class _Work:
    """Bags under way, and what became of those before."""

    def __init__(
        self,
        tiling: Tiling,
        encoder: TileEncoder,
        folder: Path,
        on_tiles: Callable[[int], None],
        on_slide: Callable[[Done], None],
    ) -> None:
        self.tiling, self.encoder, self.folder = tiling, encoder, folder
        self.on_tiles, self.on_slide = on_tiles, on_slide
        self.done: list[Done] = []
        self.failed: dict[str, KemmError] = {}
        self._left: dict[tuple[str, int], Chunk] = {}

    @property
    def under_way(self) -> set[str]:
        """Slides of which tiles may be being read: tasks are dealt in order."""
        return {name for name, _ in list(self._left)[:MOST_UNDER_WAY]}

    def go(self, planned: Sequence[Planned], run: Mapper, alone: bool = False) -> None:
        chunks = [chunk for one in planned for chunk in chunks_of(one, self.tiling.batch)]
        growing = {
            one.image.name: _Growing(one, -(-len(one.grid.coordinates) // self.tiling.batch))
            for one in planned
        }
        self._left = {(chunk.name, chunk.number): chunk for chunk in chunks}
        # A second task, so that even a single batch is read by a worker: it may end it.
        tasks: list[Chunk | None] = [*chunks, None] if alone else list(chunks)
        for chunk, result in run(decode, self.tiling, tasks):
            if chunk is None:
                continue
            del self._left[chunk.name, chunk.number]
            self.on_tiles(len(chunk.coordinates))
            slide = growing.get(chunk.name)
            if slide is None:
                continue  # it has failed before
            try:
                if isinstance(result, KemmError):
                    raise result
                self._take(slide, chunk, *result)
            except KemmError as error:
                if getattr(error, "is_of_folder", False):
                    raise
                self.failed[chunk.name] = error
                del growing[chunk.name]
            else:
                if len(slide.features) == slide.chunks:
                    del growing[chunk.name]

    def _take(
        self, slide: _Growing, chunk: Chunk, tiles: NDArray[np.uint8], coordinates: NDArray[np.int32]
    ) -> None:
        slide.began = slide.began or time.perf_counter()
        slide.features[chunk.number] = encoded(self.encoder, tiles, chunk.path)
        slide.coordinates[chunk.number] = coordinates
        if len(slide.features) == slide.chunks:
            self._finish(slide)

    def _finish(self, slide: _Growing) -> None:
        planned = slide.planned
        order = sorted(slide.features)
        bag = SlideBag(
            np.concatenate([slide.features[number] for number in order]),
            np.concatenate([slide.coordinates[number] for number in order]),
            BagAbout(
                slide=planned.image.name,
                encoder=self.encoder.identity,
                tile_side_px=planned.grid.side,
                tile_side_um=planned.grid.side_um,
                mpp=planned.mpp,
                tissue_fraction=planned.tissue.fraction,
            ),
        )
        left_out = len(planned.grid.coordinates) - len(bag.features)
        if not len(bag.features):
            raise InputError(
                f"{planned.image.path}: all {left_out:,} tiles on tissue are ink or blurred. Look at it with "
                "`kemm slides --preview`, and set slides.tiles.most_ink or least_sharpness, or leave it out."
            )
        seconds = time.perf_counter() - (slide.began or 0)
        key = key_of(planned.image, self.tiling, self.encoder)
        record = Record(key=key, sha256="", tiles=len(bag.features), left_out=left_out, seconds=seconds)
        try:
            keep(self.folder, planned.image.name, bag, record)
        except OSError as error:
            raise _of_folder(cannot_write(self.folder, error)) from error
        except KemmError as error:
            raise _of_folder(error) from error
        made = Done(planned.image.name, len(bag.features), left_out, seconds)
        self.done.append(made)
        self.on_slide(made)


def _of_folder(error: KemmError) -> KemmError:
    # Where one bag cannot be written no other can: to go on would only read in vain.
    error.is_of_folder = True  # type: ignore[attr-defined]
    return error


def encoded(encoder: TileEncoder, tiles: NDArray[np.uint8], path: Path) -> NDArray[np.float16]:
    """Features of tiles, (tile, dim).

    Raises:
        InputError: The encoder gave a number that 16 bits do not hold.
    """
    if not len(tiles):
        return np.empty((0, encoder.dim), dtype=np.float16)
    features = encoder.encode(tiles)
    if features.shape != (len(tiles), encoder.dim):
        raise ValueError(
            f"the encoder gave {features.shape} for {len(tiles)} tiles, not (tile, {encoder.dim})"
        )
    if not np.isfinite(features).all():
        raise InputError(
            f"{path}: the encoder gave a feature that is not finite or beyond 16 bits. "
            "Set slides.encoder.precision to fp32."
        )
    return features
