"""From what a fold's model looked at to the tiles of slides, and the images of these where they can be opened."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kemm.config import Study
from kemm.core.errors import InputError, KemmError
from kemm.core.files import read_features
from kemm.modalities.slides import PackedSlide, SlideSource, read_places
from kemm.results.heatmap import CAUTION, NEARLY_EVEN, SlideAttention, Thumbnail, small_heatmap
from kemm.results.records import Explanation, SlideHeatmap
from kemm.training.patch_attention import PatchAttention

READER = "kemm.modalities.slides.reader"
THUMBNAIL_SIDE = 1024
MOST_IN_REPORT = 8
NAMED = 5
"""Slides without a heatmap that the report names."""
NO_COORDINATES = (
    "does not say where its patches lie, so no heatmap can be drawn. Make the features with `kemm slides`, or with "
    'a tool that writes their coordinates beside them ("coords", as CLAM and TRIDENT do); those of STAMP, in '
    "micrometres, need slides.images or slides.mpp when `kemm slides --import` takes them over."
)


def attention_of_slides(
    paths: Sequence[Path], attention: PatchAttention, statement: str | None = None
) -> tuple[list[SlideAttention], list[Path]]:
    """Of each slide of a case, in the order in which its patches were packed; and the files without coordinates.

    Raises:
        InputError: The files hold other patches than the model saw.
        KeyError: No statement is called so.
    """
    weights = attention.row(statement)
    _require_seen(paths, attention)
    slides, without, start = [], [], 0
    for path, seen in zip(paths, attention.slides, strict=True):
        places = read_places(path)
        if places is None:
            without.append(path)
        else:
            slides.append(
                SlideAttention(
                    slide=places.slide,
                    coordinates=places.coordinates,
                    tile_side=places.tile_side,
                    weights=weights[start : start + seen.patches],
                    asked_by=statement or "all statements",
                    mpp=places.mpp,
                )
            )
        start += seen.patches
    return slides, without


def _require_seen(paths: Sequence[Path], attention: PatchAttention) -> None:
    """Raise `InputError` unless the files have the very patches that the model saw, in their order."""
    again = "The features were changed since the run: run again."
    if not attention.slides:
        raise InputError(
            f"{', '.join(path.name for path in paths)}: the run did not keep which patches the model saw. Run again."
        )
    names, before = [path.stem for path in paths], [one.slide for one in attention.slides]
    if names != before:
        raise InputError(
            f"{paths[0].parent}: the slides are {', '.join(names)}, and the model saw {', '.join(before)}. {again}"
        )
    for path, seen in zip(paths, attention.slides, strict=True):
        there = PackedSlide.of(path, read_features(path))
        if there.patches != seen.patches:
            raise InputError(
                f"{path.name}: {there.patches:,} patches are there, and the model saw {seen.patches:,}. {again}"
            )
        if there != seen:
            raise InputError(
                f"{path.name}: {there.patches:,} patches are there, but not those that the model saw. {again}"
            )


def with_heatmaps(
    explanation: Explanation,
    study: Study,
    source: SlideSource | None,
    attention: Mapping[str, PatchAttention],
) -> Explanation:
    """The same record, with a small heatmap for each story whose slides say where their tiles are.

    Of which slides there is none, and why, is said in its notes.
    """
    if source is None:
        return explanation
    cases, nowhere, notes, drawn = [], list[str](), list[str](), 0
    for story in explanation.cases:
        paths, of_case = source.files.get(story.case, ()), attention.get(story.case)
        slides: list[SlideAttention] = []
        if paths and of_case is not None and drawn < MOST_IN_REPORT:
            try:
                slides, without = attention_of_slides(paths, of_case)
            except InputError as error:
                # A run that has done its work is not lost for want of a picture.
                notes.append(f"No heatmap of case {story.case}. {error}")
            else:
                nowhere += [path.name for path in without]
        if slides:
            # Of several slides, the one with the tile that was looked at most.
            best = max(slides, key=lambda one: float(one.weights.max()))
            story = story.model_copy(update={"heatmaps": [_small(study, best, len(slides))]})
            drawn += 1
        cases.append(story)
    if nowhere:
        names = list(dict.fromkeys(nowhere))
        shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        notes.append(f"No heatmap of {shown}: such a file {NO_COORDINATES}")
    return explanation.model_copy(
        update={"cases": cases, "notes": [*explanation.notes, *dict.fromkeys(notes)]}
    )


def _small(study: Study, slide: SlideAttention, slides: int) -> SlideHeatmap:
    png = small_heatmap(slide, thumbnail_of(study, slide.slide))
    several = f", of {slides} slides the one with the tile looked at most" if slides > 1 else ""
    even = f"{NEARLY_EVEN} " if slide.nearly_even else ""
    return SlideHeatmap(
        slide=slide.slide,
        png=base64.b64encode(png).decode("ascii"),
        caption=f"{len(slide.weights):,} tiles{several}. A tile's colour is its rank; 1× is the even share of all tiles "
        f"of this patient. {even}{CAUTION}",
    )


def thumbnail_of(study: Study, slide: str) -> Thumbnail | None:
    """A small image of a whole slide; None where its image is not there or cannot be opened."""
    with_image = _opened(study, slide)
    if with_image is None:
        return None
    try:
        with with_image as image:
            scale = max(1.0, max(image.width, image.height) / THUMBNAIL_SIDE)
            return Thumbnail(np.ascontiguousarray(image.thumbnail(scale * image.mpp)), scale)
    except KemmError:
        return None  # a picture of tiles alone is worth more than none


def tile_images_of(
    study: Study, attention: SlideAttention, tiles: Sequence[int], pixels: int = 128
) -> dict[int, NDArray[np.uint8]]:
    """Images of some tiles, by their number; empty where the slide's image cannot be opened."""
    with_image = _opened(study, attention.slide)
    if with_image is None:
        return {}
    try:
        with with_image as image:
            return {
                tile: image.read_tile(
                    *(int(value) for value in attention.coordinates[tile]), attention.tile_side, pixels
                )
                for tile in tiles
            }
    except KemmError:
        return {}


def _opened(study: Study, slide: str) -> Any | None:
    """The slide's image, opened; the reader is an optional part."""
    images = getattr(study.config.slides, "images", None)
    if images is None:
        return None
    try:
        reader = import_module(READER)
        folder = study.resolve(str(images))
        path = next(
            (
                path
                for path in sorted(folder.iterdir())
                if slide in (path.name, path.stem) and path.suffix.lower() in reader.SLIDE_SUFFIXES
            ),
            None,
        )
        return None if path is None else reader.open_slide(path, getattr(study.config.slides, "mpp", None))
    except (ImportError, KemmError, OSError):
        return None
