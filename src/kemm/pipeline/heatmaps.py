"""Heatmaps of the slides of one case of a finished run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kemm.config import Study
from kemm.core.errors import Faults, InputError, UsageError, nearest
from kemm.core.files import read_frame, read_json, safe_name, write_bytes, write_json
from kemm.core.store import Store
from kemm.pipeline.inputs import read_inputs
from kemm.pipeline.runs import DEFAULT_RUN, finished_folder, read_run
from kemm.pipeline.slide_attention import (
    NO_COORDINATES,
    attention_of_slides,
    thumbnail_of,
    tile_images_of,
)
from kemm.results.heatmap import draw_heatmap, geojson
from kemm.training.crossval import KIND
from kemm.training.patch_attention import PatchAttention, read_patch_attention

FOLDER = "heatmaps"
"""Below the run's folder."""
TILES_SHOWN = 8


@dataclass(frozen=True)
class HeatmapResult:
    """What was drawn."""

    case: str
    paths: tuple[Path, ...]
    """A PNG and a GeoJSON a slide."""
    without: tuple[Path, ...]
    """Feature files of the case that do not say where their patches lie."""


def draw_case(
    study: Study,
    case: str,
    *,
    name: str = DEFAULT_RUN,
    statement: str | None = None,
    out: Path | None = None,
) -> HeatmapResult:
    """Where the main model looked on the slides of a case, by the fold that did not train on it.

    Args:
        statement: whose attention: a kind of statement of the report ("grade") or a statement of the background, word
            for word; by default the mean over all.
        out: where the files go; by default `heatmaps/` in the run's folder.

    Raises:
        InputError: No such run, or case; or nothing says where its patches lie.
        UsageError: The case has no such statement.
    """
    run = finished_folder(study.folder, name)
    attention = _attention(study, run, case)
    faults = Faults()
    inputs = read_inputs(study, faults)
    faults.raise_if_any()
    source = inputs.slides if inputs is not None else None
    paths = source.files.get(case, ()) if source is not None else ()
    if not paths:
        raise InputError(
            f"case {case}: its slides are not files with patches, so there is nothing to draw on. "
            "A table of slide-level features has no tiles."
        )
    try:
        slides, without = attention_of_slides(paths, attention, statement)
    except KeyError as error:
        raise UsageError(
            f"case {case}: no statement called {statement!r} asked its slides; {error.args[0]}"
        ) from error
    if not slides:
        raise InputError(f"{without[0]}: the file {NO_COORDINATES}")
    written = []
    folder = run / FOLDER if out is None else out
    for slide in slides:
        stem = safe_name(slide.slide if statement is None else f"{slide.slide} {statement}")
        images = tile_images_of(study, slide, slide.strongest(TILES_SHOWN))
        picture, objects = folder / f"{stem}.png", folder / f"{stem}.geojson"
        write_bytes(picture, draw_heatmap(slide, thumbnail_of(study, slide.slide), images))
        write_json(objects, geojson(slide))
        written += [picture, objects]
    return HeatmapResult(case, tuple(written), tuple(without))


def _attention(study: Study, run: Path, case: str) -> PatchAttention:
    """Of the main model's unit in whose test part the case was."""
    explanation = read_run(run).explanation
    predictions = read_frame(run / "predictions.parquet")
    main = explanation.model if explanation is not None else ""
    mine = predictions[(predictions["model"] == main) & (predictions["case_id"] == case)]
    if mine.empty:
        known = predictions.loc[predictions["model"] == main, "case_id"].unique()
        raise InputError(f"{run}: no case of this run is called {case!r}; {nearest(case, known)}")
    fold = int(mine["fold"].iloc[0])
    unit = next(one for one in read_json(run / "units.json") if (one["model"], one["fold"]) == (main, fold))
    found = read_patch_attention(Store(study.store_folder).get(KIND, unit["key"]).folder)
    if case not in found:
        raise InputError(
            f"case {case}: the model of run {run.name} looked at no slide of it. "
            + (
                f"Cases with slides: {nearest(case, found)}"
                if found
                else "A heatmap needs a study with patch features and a model that reads them by attention."
            )
        )
    return found[case]
