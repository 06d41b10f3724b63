"""Heatmaps of the slides of one case of a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kemm.config import Study
from kemm.core.errors import Faults, InputError, UsageError, nearest
from kemm.core.files import read_frame, read_json, safe_name, write_bytes, write_json
from kemm.core.store import Store
from kemm.pipeline.inputs import read_inputs
from kemm.pipeline.runs import DEFAULT_RUN, finished_folder, read_run
from kemm.pipeline.slide_attention import (
    DRAWN_INSTEAD,
    NO_COORDINATES,
    NO_PART,
    attention_of_slides,
    risk_of_slides,
    thumbnail_of,
    tile_images_of,
)
from kemm.results.heatmap import SlideAttention, SlideRisk, draw_heatmap, geojson, no_weight, some_weight
from kemm.training.crossval import KIND
from kemm.training.patch_attention import PatchAttention, read_patch_attention
from kemm.training.patch_risk import SlidesWeighed, read_slides_weighed

FOLDER = "heatmaps"
"""Below the run's folder."""
TILES_SHOWN = 8


Of = Literal["risk", "attention"]


@dataclass(frozen=True)
class HeatmapResult:
    """What was drawn."""

    case: str
    paths: tuple[Path, ...]
    """A PNG and a GeoJSON a slide."""
    without: tuple[Path, ...]
    """Feature files of the case that do not say where their patches lie."""
    of: Of
    notes: tuple[str, ...]
    """What a reader has to know of the pictures; the last says what they are not."""


def draw_case(
    study: Study,
    case: str,
    *,
    name: str = DEFAULT_RUN,
    of: Of | None = None,
    statement: str | None = None,
    out: Path | None = None,
) -> HeatmapResult:
    """Maps of the slides of a case, of the main model of the fold that did not train on it.

    Args:
        of: "attention", where the network looked; or "risk", what each patch adds to the linear part of the log risk.
            By default attention, or risk where the network gave slides no weight in its forecast.
        statement: whose attention: a kind of statement of the report ("grade") or a statement of the background, word
            for word; by default the mean over all.
        out: where the files go; by default `heatmaps/` in the run's folder.

    Raises:
        InputError: No such run, or case; or nothing says where its patches lie; or the model makes nothing of slides.
        UsageError: The case has no such statement; or attention was asked for that the network made no use of.
    """
    if of == "risk" and statement is not None:
        raise UsageError("a statement has attention and no risk. Leave out --statement or --of risk.")
    run = finished_folder(study.folder, name)
    attention, weighed = _found(study, run, case)
    kind = _kind(case, weighed, of or ("attention" if statement is not None else None))
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
    slides: Sequence[SlideAttention | SlideRisk]
    if kind == "risk":
        assert weighed.risk is not None
        slides, without = risk_of_slides(paths, attention, weighed.risk)
    else:
        try:
            slides, without = attention_of_slides(
                paths, attention, statement, (weighed.looking, weighed.seeds)
            )
        except KeyError as error:
            raise UsageError(
                f"case {case}: no statement called {statement!r} asked its slides; {error.args[0]}"
            ) from error
    if not slides:
        raise InputError(f"{without[0]}: the file {NO_COORDINATES}")
    written = []
    folder = run / FOLDER if out is None else out
    for slide in slides:
        words = [slide.slide, *(["risk"] if kind == "risk" else []), *([statement] if statement else [])]
        stem = safe_name(" ".join(words))
        images = tile_images_of(study, slide, slide.strongest(TILES_SHOWN))
        picture, objects = folder / f"{stem}.png", folder / f"{stem}.geojson"
        write_bytes(picture, draw_heatmap(slide, thumbnail_of(study, slide.slide), images))
        write_json(objects, geojson(slide))
        written += [picture, objects]
    return HeatmapResult(
        case, tuple(written), tuple(without), kind, _notes(weighed, kind, of, slides[0].CAUTION)
    )


def _kind(case: str, weighed: SlidesWeighed, asked: Of | None) -> Of:
    """What is drawn: never attention that the forecast does not rest on."""
    if asked == "attention" and not weighed.looking:
        raise UsageError(
            f"case {case}: {_begun(no_weight(weighed.trained))} A map of it would seem to mean something, and is not drawn. "
            + (
                "Ask for what each patch adds to the linear part of the risk: --of risk."
                if weighed.risk is not None
                else NO_PART
            )
        )
    kind: Of = asked or ("attention" if weighed.looking else "risk")
    if kind == "risk" and weighed.risk is None:
        raise InputError(
            f"case {case}: the linear part of the fold's model makes nothing of slides, so there is no such map. "
            + ("Ask for --of attention." if weighed.looking else no_weight(weighed.trained))
        )
    return kind


def _notes(weighed: SlidesWeighed, kind: Of, asked: Of | None, caution: str) -> tuple[str, ...]:
    if kind == "attention":
        some = weighed.looking < weighed.seeds
        return (*([some_weight(weighed.looking, weighed.seeds)] if some else []), caution)
    instead = (
        [] if weighed.looking else [no_weight(weighed.trained), *([DRAWN_INSTEAD] if asked is None else [])]
    )
    return (*instead, caution)


def _begun(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _found(study: Study, run: Path, case: str) -> tuple[PatchAttention, SlidesWeighed]:
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
    folder = Store(study.store_folder).get(KIND, unit["key"]).folder
    found = read_patch_attention(folder)
    if case not in found:
        raise InputError(
            f"case {case}: the model of run {run.name} looked at no slide of it. "
            + (
                f"Cases with slides: {nearest(case, found)}"
                if found
                else "A heatmap needs a study with patch features and a model that reads them by attention."
            )
        )
    return found[case], read_slides_weighed(folder)
