"""From what a fold's model looked at, or made of patches, to the tiles of slides, and images where they can be opened."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kemm.config import Study
from kemm.core.errors import InputError, KemmError
from kemm.core.files import read_features
from kemm.modalities.slides import PackedSlide, SlideSource, read_places
from kemm.modalities.slides.places import Places
from kemm.results.heatmap import (
    SlideAttention,
    SlideMap,
    SlideRisk,
    Thumbnail,
    limit_of,
    no_weight,
    small_heatmap,
)
from kemm.results.records import Explanation, SlideHeatmap
from kemm.training.patch_attention import PatchAttention
from kemm.training.patch_risk import PatchRisk, SlidesWeighed

READER = "kemm.modalities.slides.reader"
THUMBNAIL_SIDE = 1024
MOST_IN_REPORT = 8
NAMED = 5
"""Slides without a heatmap that the report names."""
NO_PART = "Its linear part makes nothing of the slides either."
DRAWN_INSTEAD = "Drawn instead: what each tile adds to the linear part of the risk."
NO_COORDINATES = (
    "does not say where its patches lie, so no heatmap can be drawn. Make the features with `kemm slides`, or with "
    'a tool that writes their coordinates beside them ("coords", as CLAM and TRIDENT do); those of STAMP, in '
    "micrometres, need slides.images or slides.mpp when `kemm slides --import` takes them over."
)


def attention_of_slides(
    paths: Sequence[Path],
    attention: PatchAttention,
    statement: str | None = None,
    of_seeds: tuple[int, int] | None = None,
) -> tuple[list[SlideAttention], list[Path]]:
    """Of each slide of a case, in the order in which its patches were packed; and the files without coordinates.

    `of_seeds`: of how many seeds' networks the slides have weight, and of how many there are.

    Raises:
        InputError: The files hold other patches than the model saw.
        KeyError: No statement is called so.
    """
    weights = attention.row(statement)
    _require_seen(paths, attention)
    placed, without = _placed(paths, attention)
    return [
        SlideAttention(
            slide=places.slide,
            coordinates=places.coordinates,
            tile_side=places.tile_side,
            weights=weights[start : start + len(places.coordinates)],
            asked_by=statement or "all statements",
            mpp=places.mpp,
            of_seeds=of_seeds,
        )
        for places, start in placed
    ], without


def risk_of_slides(
    paths: Sequence[Path], attention: PatchAttention, risk: PatchRisk
) -> tuple[list[SlideRisk], list[Path]]:
    """What the linear part makes of each patch of a case, slide by slide; and the files without coordinates.

    Raises:
        InputError: The files hold other patches than the model saw.
    """
    _require_seen(paths, attention)
    values = np.concatenate([risk(read_features(path)) for path in paths])
    placed, without = _placed(paths, attention)
    return [
        SlideRisk(
            slide=places.slide,
            coordinates=places.coordinates,
            tile_side=places.tile_side,
            weights=values[start : start + len(places.coordinates)].astype(np.float32),
            mpp=places.mpp,
            case_tiles=len(values),
            case_sum=float(values.mean()),
            limit=limit_of(values),
        )
        for places, start in placed
    ], without


def _placed(paths: Sequence[Path], attention: PatchAttention) -> tuple[list[tuple[Places, int]], list[Path]]:
    """Slides that say where their patches lie, each with the place of its first in the bag; and those that do not."""
    placed, without, start = [], [], 0
    for path, seen in zip(paths, attention.slides, strict=True):
        places = read_places(path)
        if places is None:
            without.append(path)
        else:
            placed.append((places, start))
        start += seen.patches
    return placed, without


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
    weighed: Mapping[str, SlidesWeighed],
) -> Explanation:
    """The same record, with small heatmaps for each story whose slides say where their tiles are.

    One shows where the network looked, unless it gave slides no weight: then that is said instead. One shows what
    the linear part makes of each tile. Of which slides there is none, and why, is said in its notes.
    `weighed`: by case, of its fold's model.
    """
    if source is None:
        return explanation
    cases, nowhere, notes, drawn = [], list[str](), list[str](), 0
    for story in explanation.cases:
        paths, of_case = source.files.get(story.case, ()), attention.get(story.case)
        by = weighed.get(story.case)
        maps: list[SlideHeatmap] = []
        if paths and of_case is not None and drawn < MOST_IN_REPORT:
            try:
                maps, without = _small_maps(study, paths, of_case, by)
            except InputError as error:
                # A run that has done its work is not lost for want of a picture.
                notes.append(f"No heatmap of case {story.case}. {error}")
            else:
                nowhere += [path.name for path in without]
        if of_case is not None and by is not None and not by.looking:
            more = DRAWN_INSTEAD if maps else NO_PART if by.risk is None else ""
            note = f"{no_weight(by.trained)} {more}".rstrip()
            story = story.model_copy(update={"slides_note": note})
        if maps:
            story = story.model_copy(update={"heatmaps": maps})
            drawn += 1
        cases.append(story)
    if nowhere:
        names = list(dict.fromkeys(nowhere))
        shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        notes.append(f"No heatmap of {shown}: such a file {NO_COORDINATES}")
    return explanation.model_copy(
        update={"cases": cases, "notes": [*explanation.notes, *dict.fromkeys(notes)]}
    )


def _small_maps(
    study: Study, paths: Sequence[Path], attention: PatchAttention, weighed: SlidesWeighed | None
) -> tuple[list[SlideHeatmap], list[Path]]:
    """At most one of each kind; and the files without coordinates."""
    found, without = [], list[Path]()
    if weighed is None or weighed.looking:
        of_seeds = None if weighed is None else (weighed.looking, weighed.seeds)
        slides, without = attention_of_slides(paths, attention, of_seeds=of_seeds)
        if slides:
            best = max(slides, key=lambda one: float(one.weights.max()))
            several = (
                f", of {len(slides)} slides the one with the tile looked at most" if len(slides) > 1 else ""
            )
            remarks = f"{best.remarks} " if best.remarks else ""
            caption = (
                f"{len(best.weights):,} tiles{several}. A tile's colour is its rank; 1× is the even share of all tiles "
                f"of this patient. {remarks}{best.CAUTION}"
            )
            found.append(_small(study, best, "attention", caption))
    if weighed is not None and weighed.risk is not None:
        risks, without = risk_of_slides(paths, attention, weighed.risk)
        if risks:
            strong = max(risks, key=lambda one: float(np.abs(one.weights).max()))
            several = (
                f", of {len(risks)} slides the one with the tile furthest from zero" if len(risks) > 1 else ""
            )
            caption = f"{len(strong.weights):,} tiles{several}. {strong.heading} {strong.CAUTION}"
            found.append(_small(study, strong, "risk", caption))
    return found, without


def _small(study: Study, slide: SlideMap, of: Literal["attention", "risk"], caption: str) -> SlideHeatmap:
    png = small_heatmap(slide, thumbnail_of(study, slide.slide))
    return SlideHeatmap(slide=slide.slide, of=of, png=base64.b64encode(png).decode("ascii"), caption=caption)


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
    study: Study, slide: SlideMap, tiles: Sequence[int], pixels: int = 128
) -> dict[int, NDArray[np.uint8]]:
    """Images of some tiles, by their number; empty where the slide's image cannot be opened."""
    with_image = _opened(study, slide.slide)
    if with_image is None:
        return {}
    try:
        with with_image as image:
            return {
                tile: image.read_tile(
                    *(int(value) for value in slide.coordinates[tile]), slide.tile_side, pixels
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
