"""Patch features of a study's slides: made here, or taken over from another tool; and a page to look at them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kemm.config import Study
from kemm.core.clinical import read_cohort
from kemm.core.errors import Faults, InputError, KemmError, PartialError
from kemm.core.files import locked, write_text
from kemm.core.study_file import FILE_NAME
from kemm.execution import Processes, usable_cores
from kemm.modalities.slides import TILE_ENCODERS, TileEncoder
from kemm.modalities.slides.config import SlidesConfig
from kemm.modalities.slides.extraction import (
    Done,
    Planned,
    Tiling,
    extract,
    key_of,
    plan_slides,
)
from kemm.modalities.slides.images import Images, SlideImage, find_images
from kemm.modalities.slides.importing import find_importable, import_bag
from kemm.modalities.slides.kept import IMPORTED, RECORDS, Record, keep, read_record
from kemm.modalities.slides.reader import open_slide, require_libraries
from kemm.modalities.slides.sources import FEATURE_SUFFIXES
from kemm.pipeline.progress import Progress, Silent
from kemm.results.slides_preview import ShownSlide, SlidesPreview, draw_slide, render_preview

PREVIEW = "preview.html"
SHOWN_FAILURES = 20


@dataclass(frozen=True)
class SlidesResult:
    """What became of a study's slides."""

    folder: Path
    done: tuple[Done, ...]
    """Made now."""
    kept: int
    """Made before."""
    failed: Mapping[str, KemmError]
    """By slide."""

    @property
    def tiles(self) -> int:
        """Encoded now."""
        return sum(one.tiles for one in self.done)

    def raise_if_failed(self) -> None:
        """Raise `PartialError` naming the slides that failed, some of them or all."""
        if not self.failed:
            return
        whole = len(self.done) + self.kept
        lines = [f"- {name}: {error}" for name, error in list(self.failed.items())[:SHOWN_FAILURES]]
        if len(self.failed) > SHOWN_FAILURES:
            lines.append(f"... and {len(self.failed) - SHOWN_FAILURES} more")
        others = (
            f"the others are kept in {self.folder}, and the next run takes up only these"
            if whole
            else f"nothing was added to {self.folder}, and the next run takes up all of them"
        )
        raise PartialError(
            f"{len(self.failed)} of {whole + len(self.failed)} slides failed; {others}:\n" + "\n".join(lines)
        )


def extract_slides(
    study: Study,
    *,
    encoder: TileEncoder | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> SlidesResult:
    """Make patch features of every slide that has none yet, or whose file or settings have changed.

    `encoder` overrules the one that study.yaml names.

    Raises:
        InvalidInput: Anything wrong with the cohort or the folders; all faults at once.
        UsageError: The libraries that read slides are not installed.
        PolicyError: Another process is at this folder.
        InputError: The folder cannot be written.
    """
    progress = progress or Silent()
    config, images = _images(study, progress)
    folder = study.resolve(config.features)
    chosen = encoder or make_tile_encoder(config)
    tiling = tiling_of(config, chosen)
    run = _mapper(workers)
    failed: dict[str, KemmError] = dict(images.failed)
    for name, error in failed.items():
        _tell(progress, name, error)
    with locked(folder, otherwise=""):
        waiting, kept = [], 0
        for image in images.found:
            state = _state(folder, image, tiling, chosen, progress)
            if isinstance(state, KemmError):
                failed[image.name] = state
                _tell(progress, image.name, state)
            elif state:
                kept += 1
            else:
                waiting.append(image)
        if kept:
            progress.say(f"{kept:,} of {len(images.found):,} slides are done already")
        if not waiting:
            return SlidesResult(folder, (), kept, failed)
        with progress.stage("find tissue", len(waiting)) as step:
            planned, unplanned = plan_slides(waiting, tiling, run, lambda image: step.advance(image.name))
        failed |= unplanned
        for name, error in unplanned.items():
            _tell(progress, name, error)
        done, unread = _extracted(planned, tiling, chosen, folder, run, progress)
        failed |= unread
    order = [image.name for image in images.found if image.name in failed]
    in_order = {name: failed[name] for name in dict.fromkeys([*images.failed, *order])}
    return SlidesResult(folder, tuple(done), kept, in_order)


def _extracted(
    planned: Sequence[Planned],
    tiling: Tiling,
    encoder: TileEncoder,
    folder: Path,
    run: Callable[..., Any],
    progress: Progress,
) -> tuple[list[Done], dict[str, KemmError]]:
    total = sum(len(one.grid.coordinates) for one in planned)
    with progress.stage("encode tiles", total) as step:

        def told(one: Done) -> None:
            left_out = f", {one.left_out:,} left out" if one.left_out else ""
            rate = one.tiles / max(one.seconds, 1e-9)
            progress.say(f"{one.name}: {one.tiles:,} tiles{left_out}, {rate:,.0f} a second")

        done, unread = extract(
            planned,
            tiling,
            encoder,
            folder,
            run,
            on_tiles=lambda count: step.advance(count=count),
            on_slide=told,
        )
    for name, error in unread.items():
        _tell(progress, name, error)
    return done, unread


def _tell(progress: Progress, name: str, error: KemmError) -> None:
    # The summary at the end is cut short: this names every slide.
    progress.say(f"warning: slide {name} is left out: {error}")


def preview_slides(
    study: Study,
    *,
    encoder: TileEncoder | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """One HTML page with every slide, its tissue and its tiles, or what is wrong with it. Encodes nothing.

    Raises:
        As `extract_slides`.
    """
    progress = progress or Silent()
    config, images = _images(study, progress)
    tiling = tiling_of(config, encoder or make_tile_encoder(config))
    shown: list[ShownSlide] = [
        ShownSlide(name=name, case="", error=str(error)) for name, error in images.failed.items()
    ]
    with progress.stage("draw slides", len(images.found)) as step:
        for _, one in _mapper(workers)(draw_slide, tiling, images.found):
            shown.append(one)
            step.advance(one.name)
    order = {image.name: place for place, image in enumerate(images.found)}
    shown.sort(key=lambda one: order.get(one.name, -1))
    page = study.resolve(config.features) / PREVIEW
    preview = SlidesPreview(study.name, tuple(shown), tiling.side_um, tiling.tile_px, images.strangers)
    write_text(page, render_preview(preview))
    return page


def import_slides(study: Study, folder: Path, *, progress: Progress | None = None) -> SlidesResult:
    """Take over features that CLAM, TRIDENT or STAMP made, as bags in the study's folder of features.

    Coordinates in micrometres become pixels where the slide itself, or slides.mpp, says how many.

    Raises:
        InputError: No such files; the study's folder cannot be written.
        PolicyError: Another process is at the study's folder.
    """
    progress = progress or Silent()
    config = study.config.slides or SlidesConfig()
    target = study.resolve(config.features)
    if folder.resolve() == target or target.is_relative_to(folder.resolve()):
        raise InputError(
            f"{folder}: features are imported into {target}, which is this folder or within it. "
            "Set slides.features to another, or use the files as they are: slides.folder."
        )
    sources = find_importable(folder)
    images = _images_by_name(study, config)
    done: list[Done] = []
    failed: dict[str, KemmError] = {}
    kept = 0

    def mpp_of(name: str) -> float | None:
        if config.mpp is not None or name not in images:
            return config.mpp
        try:
            with open_slide(images[name].path) as slide:
                return slide.mpp
        except KemmError:
            return None

    with locked(target, otherwise=""), progress.stage("import features", len(sources)) as step:
        for name, path in sources.items():
            try:
                bag = import_bag(path, name, mpp_of)
            except KemmError as error:
                failed[name] = error
                _tell(progress, name, error)
            else:
                key = f"{IMPORTED} {bag.about.source_sha256}"
                record = read_record(target, name)
                if record is not None and record.key == key:
                    kept += 1
                else:
                    keep(target, name, bag, Record(key=key, sha256="", tiles=len(bag.features)))
                    done.append(Done(name, len(bag.features), 0, 0))
            step.advance(name)
    return SlidesResult(target, tuple(done), kept, failed)


def make_tile_encoder(config: SlidesConfig) -> TileEncoder:
    """The encoder that the settings name.

    Raises:
        UnknownName: There is none of that name.
    """
    return TILE_ENCODERS[config.encoder.name](config.encoder)


def tiling_of(config: SlidesConfig, encoder: TileEncoder) -> Tiling:
    """How slides are cut for an encoder."""
    return Tiling(
        mpp=config.mpp,
        side_um=config.tile_side_um or encoder.tile_side_um,
        tile_px=encoder.tile_px,
        batch=config.encoder.batch,
        tissue=config.tissue,
        tiles=config.tiles,
    )


def _images(study: Study, progress: Progress) -> tuple[SlidesConfig, Images]:
    """The study's slides. Nothing else of its inputs is read: features may be made long before those are there."""
    require_libraries()  # once, and not as a fault of each slide
    config = study.config.slides
    faults = Faults()
    if config is None or config.images is None:
        faults.add(
            "the study does not say where its slides are",
            "Set `slides: {images: FOLDER}` to the folder of the scanner's files.",
            file=FILE_NAME,
        )
    reading = read_cohort(study.config.cohort, study.resolve, faults)
    faults.raise_if_any()
    assert config is not None
    assert config.images is not None
    assert reading is not None
    slide_ids = None
    if config.slide_ids is not None:
        if config.slide_ids in reading.table.columns:
            ids = reading.table[study.config.cohort.case]
            slide_ids = dict(zip(ids, reading.table[config.slide_ids], strict=True))
        else:
            faults.add(
                f"there is no column {config.slide_ids!r}",
                "Correct slides.slide_ids, or remove it if slides are named by case.",
                file=study.config.cohort.table,
            )
    images = Images(())
    try:
        place = study.resolve(config.images)
        images = find_images(place, reading.cohort.ids, slide_ids, study.resolve, faults)
    except KemmError as error:
        faults.add_error(error)
    faults.raise_if_any()
    for warning in faults.warnings:
        progress.say(f"warning: {warning}")
    cases = len({image.case for image in images.found})
    strangers = f"; {images.strangers:,} slides of no case are left alone" if images.strangers else ""
    progress.say(f"{len(images.found):,} slides of {cases:,} of {len(reading.cohort):,} cases{strangers}")
    return config, images


def _images_by_name(study: Study, config: SlidesConfig) -> dict[str, SlideImage]:
    """The study's slides, where it has them: only to learn their resolution."""
    if config.images is None:
        return {}
    try:
        return {image.name: image for image in _images(study, Silent())[1].found}
    except KemmError:
        return {}


def _state(
    folder: Path, image: SlideImage, tiling: Tiling, encoder: TileEncoder, progress: Progress
) -> bool | KemmError:
    """Whether a slide's bag is there, as it would be made now; or why none can be."""
    others = [
        folder / f"{image.name}{suffix}"
        for suffix in FEATURE_SUFFIXES
        if suffix != ".safetensors" and (folder / f"{image.name}{suffix}").exists()
    ]
    if others:
        return InputError(
            f"{others[0]}: another tool's features of this slide are there. "
            "Move them away, or set slides.features to another folder."
        )
    record = read_record(folder, image.name)
    if record is not None and record.key.startswith(IMPORTED):
        progress.say(
            f"{image.name}: imported features are kept; delete {folder / RECORDS} to make them again"
        )
        return True
    try:
        return record is not None and record.key == key_of(image, tiling, encoder)
    except OSError as error:
        return InputError(f"{image.path}: cannot be read ({error.strerror}). Mend its permissions.")


def _mapper(workers: int | None) -> Callable[..., Generator[tuple[Any, Any], None, None]]:
    count = workers or usable_cores()
    processes = Processes(count)

    def run(
        function: Callable[[Any, Any], Any], context: Any, tasks: Sequence[Any]
    ) -> Generator[tuple[Any, Any], None, None]:
        in_turn = count == 1 or len(tasks) <= 1
        return (_in_turn if in_turn else processes)(function, context, tasks)

    return run


def _in_turn(
    function: Callable[[Any, Any], Any], context: Any, tasks: Sequence[Any]
) -> Generator[tuple[Any, Any], None, None]:
    # Unlike `run_here` it leaves torch its threads: the encoder computes in this process.
    for task in tasks:
        yield task, function(context, task)
