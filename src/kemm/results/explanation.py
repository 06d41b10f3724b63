"""What a run's main model stands on: from what each fold found to one record for the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kemm.core.cohort import Case, Cohort
from kemm.core.types import Statement
from kemm.modalities.reports.covariates import COVARIATE_PREFIX
from kemm.results.predictions import Predictions
from kemm.results.records import AttentionPair, CaseStory, Driver, Explanation, StatementEffect
from kemm.training.comparators import ModelSpec

MOST_DRIVERS = 60
MOST_PAIRS = 24
STORIES_EACH = 2
GENE_GROUPS_SHOWN = 6
FEWEST_CASES = 5
"""A driver or an attention pair seen in fewer cases is an anecdote and is not listed."""

NOTES = (
    (
        "Effects are changes of the predicted log risk when one thing is left out and everything else stays, the linear part "
        "included; mean over one network a seed. Things that say the same share their effect."
    ),
    "Attention says where the model looked. Neither effects nor attention say what causes the outcome.",
)


@dataclass(frozen=True)
class Findings:
    """What the units of all folds found, put together."""

    effects: Sequence[Mapping[str, Any]]
    looks: Sequence[Mapping[str, Any]]
    looked_at: Mapping[str, Mapping[str, list[str]]]
    patches: Mapping[str, list[tuple[int, float]]]

    @classmethod
    def of(cls, folds: Sequence[Mapping[str, Any]]) -> Findings:
        """From each fold's explained.json."""
        return cls(
            effects=[effect for fold in folds for effect in fold["effects"]],
            looks=[look for fold in folds for look in fold["looks"]],
            looked_at={case: looked for fold in folds for case, looked in fold["looked_at"].items()},
            patches={case: patches for fold in folds for case, patches in fold["patches"].items()},
        )


def build_explanation(
    findings: Findings,
    predictions: Predictions,
    model: ModelSpec,
    statements: Mapping[str, Sequence[Statement]],
    horizons: Sequence[float],
) -> Explanation:
    """The record. `statements`: of each case, as refined from its report."""
    return Explanation(
        model=model.name,
        drivers=drivers(findings.effects),
        attention=attention_pairs(findings.looks),
        cases=_stories(findings, predictions, model, statements, horizons),
        notes=list(NOTES),
    )


def drivers(effects: Sequence[Mapping[str, Any]]) -> list[Driver]:
    """Mean and mean absolute effect of each thing over all cases that have it, strongest first."""
    grouped: dict[tuple[str, str], list[float]] = defaultdict(list)
    for effect in effects:
        grouped[effect["modality"], effect["name"]].append(effect["effect"])
    found = [
        Driver(
            modality=modality,
            name=name,
            mean_effect=float(np.mean(values)),
            mean_abs_effect=float(np.mean(np.abs(values))),
            cases=len(values),
        )
        for (modality, name), values in grouped.items()
        if len(values) >= FEWEST_CASES
    ]
    return sorted(found, key=lambda driver: (-driver.mean_abs_effect, driver.name))[:MOST_DRIVERS]


def attention_pairs(looks: Sequence[Mapping[str, Any]]) -> list[AttentionPair]:
    """The pairs attended to furthest above an even share; folds weighted by their cases."""
    total: dict[tuple[str, str], float] = defaultdict(float)
    cases: dict[tuple[str, str], int] = defaultdict(int)
    for look in looks:
        pair = (look["query"], look["key"])
        total[pair] += look["weight"] * look["cases"]
        cases[pair] += look["cases"]
    found = [
        AttentionPair(query=query, key=key, weight=total[query, key] / cases[query, key])
        for query, key in total
        if cases[query, key] >= FEWEST_CASES
    ]
    return sorted(found, key=lambda pair: (-pair.weight, pair.query, pair.key))[:MOST_PAIRS]


Certainty = Literal["most certain", "least certain", "highest risk", "lowest risk"]


def _stories(
    findings: Findings,
    predictions: Predictions,
    model: ModelSpec,
    statements: Mapping[str, Sequence[Statement]],
    horizons: Sequence[float],
) -> list[CaseStory]:
    """The cases that seeds agree and disagree on most, and those of highest and lowest risk."""
    frame = predictions.frame[predictions.frame["model"] == model.name]
    spread = frame.groupby("case_id")["risk"].std(ddof=0)
    percentile: dict[str, float] = {}
    risk: dict[str, float] = {}
    for part in predictions.parts(model.name):
        # Risks of different folds' models are on scales of their own: a case is ranked within its fold.
        rank = part.risk.argsort().argsort()
        for case, place, value in zip(part.cases, rank, part.risk, strict=True):
            percentile[case] = 100.0 * float(place) / max(1, len(part.cases) - 1)
            risk[case] = float(value)
    by_percentile = sorted(percentile, key=lambda case: (percentile[case], case))
    by_spread = sorted(percentile, key=lambda case: (float(spread[case]), case))
    chosen: dict[str, Certainty] = {}
    picks: tuple[tuple[Certainty, list[str]], ...] = (
        ("highest risk", by_percentile[::-1]),
        ("lowest risk", by_percentile),
        ("most certain", by_spread),
        ("least certain", by_spread[::-1]),
    )
    for certainty, order in picks:
        new = [case for case in order if case not in chosen][:STORIES_EACH]
        chosen |= dict.fromkeys(new, certainty)
    effects: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for effect in findings.effects:
        if effect["case"] in chosen:
            effects[effect["case"]].append(effect)
    return [
        _story(
            case,
            certainty,
            predictions,
            model,
            percentile[case],
            risk[case],
            float(spread[case]),
            effects[case],
            statements.get(case, ()),
            findings,
            horizons,
        )
        for case, certainty in chosen.items()
    ]


def _story(
    case_id: str,
    certainty: Certainty,
    predictions: Predictions,
    model: ModelSpec,
    percentile: float,
    risk: float,
    spread: float,
    effects: Sequence[Mapping[str, Any]],
    statements: Sequence[Statement],
    findings: Findings,
    horizons: Sequence[float],
) -> CaseStory:
    cohort = predictions.cohort
    case = _case(cohort, case_id)
    part = next(part for part in predictions.parts(model.name) if case_id in part.cases)
    place = part.cases.index(case_id)
    of = {(effect["modality"], effect["name"]): effect["effect"] for effect in effects}
    looked_at = findings.looked_at.get(case_id, {})
    genes = [
        Driver(modality="genes", name=name, mean_effect=value, mean_abs_effect=abs(value), cases=1)
        for (modality, name), value in of.items()
        if modality == "genes"
    ]
    slides = [
        Driver(
            modality="slides",
            name=f"patch {patch} ({weight:.1f} times the even share)",
            mean_effect=0.0,
            mean_abs_effect=0.0,
            cases=1,
        )
        for patch, weight in findings.patches.get(case_id, [])
    ]
    if ("slides", "all patches") in of:
        value = of["slides", "all patches"]
        slides.insert(
            0,
            Driver(
                modality="slides", name="all patches", mean_effect=value, mean_abs_effect=abs(value), cases=1
            ),
        )
    outcome = case.outcomes[cohort.endpoint]
    stated = {f"{COVARIATE_PREFIX}{one.kind}": one.value for one in statements}
    return CaseStory(
        case=case_id,
        months=outcome.months,
        event=outcome.event,
        fold=part.fold,
        risk=risk,
        risk_percentile=percentile,
        spread=spread,
        certainty=certainty,
        survival={f"{month:g}": float(predictions.survival_at(part, month)[place]) for month in horizons},
        # What a report states is shown as it states it, not as the number a model weighs.
        covariates={
            name: stated.get(name) or _shown(cohort, name, value) for name, value in case.covariates.items()
        },
        covariate_effects={name: value for (modality, name), value in of.items() if modality == "covariates"},
        statements=[
            StatementEffect(
                kind=one.kind,
                text=one.text,
                quote=one.quote,
                start=one.start,
                end=one.end,
                effect=of.get(("report", one.kind)) if one.kind != "sentence" else None,
                looked_at=looked_at.get(one.kind, []),
            )
            for one in statements
        ],
        gene_groups=sorted(genes, key=lambda one: -one.mean_abs_effect)[:GENE_GROUPS_SHOWN],
        slide_tokens=slides,
        missing=[
            name
            for name in ("report", "genes", "slides")
            if name in model.inputs and not _has(name, of, statements)
        ],
    )


def _has(name: str, effects: Mapping[tuple[str, str], float], statements: Sequence[Statement]) -> bool:
    # A report from which nothing was refined is still read as a whole.
    return any(modality == name for modality, _ in effects) or (name == "report" and bool(statements))


def _case(cohort: Cohort, case_id: str) -> Case:
    return next(case for case in cohort.cases if case.id == case_id)


def _shown(cohort: Cohort, name: str, value: float | str | None) -> str:
    if value is None:
        return "not known"
    levels = next((one.levels for one in cohort.covariates if one.name == name and one.kind == "ordinal"), ())
    if levels and isinstance(value, float) and value.is_integer() and 0 <= value < len(levels):
        return levels[int(value)]
    return f"{value:g}" if isinstance(value, float) else value
