"""Holding the models of one cohort against each other, and cohorts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from kemm.core.cohort import Cohort
from kemm.results.comparison.added_value import added_value, curve_calibration
from kemm.results.comparison.controls_record import Controls
from kemm.results.comparison.groupings import usual_groupings
from kemm.results.comparison.leaks_record import LeakAudit
from kemm.results.comparison.multiplicity import simultaneous_differences
from kemm.results.comparison.ranking import FEWEST_BLOCKS, rank_models
from kemm.results.comparison.records import (
    Ablated,
    AddedValue,
    LeftOut,
    MeanRow,
    ModelCost,
    Ranking,
    RepeatedDifference,
    SimultaneousDifference,
    StudyComparison,
    Subgroups,
)
from kemm.results.comparison.subgroups import subgroups
from kemm.results.evaluation import Evaluator
from kemm.results.records import Cell, Evaluation, RunRecord
from kemm.survival.metrics import BootstrappedConcordance, UndefinedMetric
from kemm.training.comparators import CLINICAL, ModelSpec

THRESHOLDS: Final = (0.1, 0.2, 0.3, 0.5)
"""Predicted chances of the event at which acting on one model or another is compared."""
ADDING: Final = ("kemm", "clinical+report", "linear")
"""Besides the main model, those of whom it is asked what they add to the clinical one."""


@dataclass(frozen=True)
class Held:
    """A cohort's record, and the resampled numbers that a mean over cohorts needs."""

    record: StudyComparison
    evaluator: Evaluator


def hold(
    evaluator: Evaluator,
    evaluation: Evaluation,
    cohort: Cohort,
    *,
    run: RunRecord,
    ablations: Sequence[tuple[str, str, Literal["part", "modalities"]]],
    costs: Sequence[ModelCost],
    repeats: Sequence[RepeatedDifference],
    left_out: Sequence[LeftOut],
    leaks: LeakAudit,
    controls: Controls | None,
) -> Held:
    """Everything a comparison says of one cohort. The evaluator's last model is the main one.

    `ablations`: model, what was changed, family.
    """
    main, names = evaluator.main.name, [spec.name for spec in evaluator.models]
    reference = CLINICAL if CLINICAL in names and main != CLINICAL else None
    others = [
        spec for spec in evaluator.models if spec.role not in ("ablation", "control") and spec.name != main
    ]
    ranking, note = _ranking(evaluator, [*others, evaluator.main])
    changed = list(dict.fromkeys(model for model, _, _ in ablations))
    record = StudyComparison(
        evaluation=evaluation,
        run=run,
        main=main,
        reference=reference,
        added_value=_added(evaluator, main, reference, names),
        differences=family(evaluator, [(main, spec.name) for spec in others]),
        against_reference=family(
            evaluator,
            [(spec.name, reference) for spec in (evaluator.main, *others) if spec.name != reference]
            if reference
            else [],
        ),
        ablations=[Ablated(model=model, change=change, family=kind) for model, change, kind in ablations],
        ablation_differences=family(evaluator, [(model, main) for model in changed]),
        ranking=ranking,
        ranking_note=note,
        subgroups=_subgroups(evaluator, main, reference, cohort),
        curve_calibration=[
            curve_calibration(evaluator.parts[name], evaluator.predictions.grid, model=name)
            for name in dict.fromkeys((main, *ADDING, CLINICAL))
            if name in evaluator.parts
        ],
        costs=list(costs),
        repeats=list(repeats),
        left_out=list(left_out),
        leaks=leaks,
        controls=controls,
    )
    return Held(record, evaluator)


def family(evaluator: Evaluator, pairs: Sequence[tuple[str, str]]) -> list[SimultaneousDifference]:
    """Paired differences of C that are judged together; pairs that have no value are left out.

    Not all models predict the same cases: pairs of the same cases are judged by how they move together, and the
    error that is allowed is shared out between such groups by their size (Bonferroni).
    """
    groups: dict[frozenset[str], list[tuple[str, str]]] = {}
    for model, baseline in pairs:
        cases = evaluator.cases_of(model) & evaluator.cases_of(baseline)
        if evaluator.concordances(cases) is not None:
            groups.setdefault(cases, []).append((model, baseline))
    total = sum(map(len, groups.values()))
    found: dict[tuple[str, str], SimultaneousDifference] = {}
    for cases, group in groups.items():
        resampled = evaluator.concordances(cases)
        assert resampled is not None
        share = len(group) / total
        for one in simultaneous_differences(resampled, group, cases=len(cases), level=1 - 0.05 * share):
            alone = resampled.difference(one.model, one.baseline)
            found[one.model, one.baseline] = one.model_copy(
                update={
                    "low": alone.lower,
                    "high": alone.upper,
                    "adjusted_p": min(1.0, one.adjusted_p / share),
                }
            )
    return [found[pair] for pair in pairs if pair in found]


def _added(evaluator: Evaluator, main: str, reference: str | None, names: Sequence[str]) -> list[AddedValue]:
    if reference is None:
        return []
    return [
        added_value(
            evaluator.parts[name],
            evaluator.parts[reference],
            names=(name, reference),
            horizon=evaluator.main_horizon(),
            survival_at=evaluator.predictions.survival_at,
            thresholds=THRESHOLDS,
            resamples=evaluator.config.bootstraps,
            seed=evaluator.seed,
        )
        for name in dict.fromkeys((main, *ADDING))
        if name in names
    ]


def _subgroups(evaluator: Evaluator, main: str, reference: str | None, cohort: Cohort) -> Subgroups | None:
    groupings = usual_groupings(cohort)
    if reference is None or not groupings:
        return None
    return subgroups(
        evaluator.parts[main],
        evaluator.parts[reference],
        groupings,
        names=(main, reference),
        resamples=evaluator.config.bootstraps,
        seed=evaluator.seed,
    )


def _ranking(evaluator: Evaluator, specs: Sequence[ModelSpec]) -> tuple[Ranking | None, str]:
    """Over folds, of the models that predict the same cases as the main one and have a C in every fold."""
    cases = evaluator.cases_of(evaluator.main.name)
    scores = {
        spec.name: [value for value in evaluator.fold_cs(spec.name) if value is not None]
        for spec in specs
        if evaluator.cases_of(spec.name) == cases
    }
    whole = {
        name: values for name, values in scores.items() if len(values) == len(evaluator.predictions.folds)
    }
    try:
        return rank_models(whole, independent=False), ""
    except UndefinedMetric as undefined:
        return None, str(undefined)


def over_cohorts(held: Sequence[Held]) -> tuple[list[MeanRow], Ranking | None]:
    """Means over cohorts of the models that all of them have, and their ranks; nothing of a single cohort."""
    if len(held) < 2:
        return [], None
    first = held[0].evaluator
    shared = [
        spec
        for spec in first.models
        if spec.role != "ablation" and all(spec.name in one.evaluator.parts for one in held)
    ]
    rows = [row for spec in shared if (row := _mean_row(spec, held)) is not None]
    if len(held) < FEWEST_BLOCKS:
        return rows, None
    scores = {
        row.model: [_whole(one.evaluator, row.model).values[_place(one.evaluator, row.model)] for one in held]
        for row in rows
        if row.model not in [spec.name for spec in shared if spec.role == "control"]
    }
    try:
        return rows, rank_models(scores, independent=True)
    except UndefinedMetric:
        return rows, None


def _mean_row(spec: ModelSpec, held: Sequence[Held]) -> MeanRow | None:
    try:
        every = [_whole(one.evaluator, spec.name) for one in held]
    except UndefinedMetric:
        return None
    columns = [resampled.models.index(spec.name) for resampled in every]
    c = _mean(
        [float(one.values[column]) for one, column in zip(every, columns, strict=True)],
        [one.resampled[:, column] for one, column in zip(every, columns, strict=True)],
        held,
        spec.name,
    )
    gain = None
    if spec.name != CLINICAL and all(one.record.reference == CLINICAL for one in held):
        pairs = [
            one.evaluator.concordances(one.evaluator.cases_of(spec.name) & one.evaluator.cases_of(CLINICAL))
            for one in held
        ]
        known = [pair for pair in pairs if pair is not None]
        if len(known) == len(pairs):
            places = [(pair.models.index(spec.name), pair.models.index(CLINICAL)) for pair in known]
            gain = _mean(
                [
                    float(pair.values[one] - pair.values[other])
                    for pair, (one, other) in zip(known, places, strict=True)
                ],
                [
                    pair.resampled[:, one] - pair.resampled[:, other]
                    for pair, (one, other) in zip(known, places, strict=True)
                ],
                held,
                spec.name,
            )
    return MeanRow(model=spec.name, title=spec.title, c=c, gain=gain, cohorts=len(held))


def _mean(values: Sequence[float], resampled: Sequence[np.ndarray], held: Sequence[Held], model: str) -> Cell:
    # Cohorts are different patients: any resample of one may stand beside any of another.
    kept = min(map(len, resampled))
    means = np.mean([one[:kept] for one in resampled], axis=0)
    low, high = np.quantile(means, [0.025, 0.975])
    parts = [part for one in held for part in one.evaluator.parts[model]]
    return Cell(
        value=float(np.mean(values)),
        low=float(low),
        high=float(high),
        cases=sum(len(part.cases) for part in parts),
        events=sum(int(part.event.sum()) for part in parts),
    )


def _whole(evaluator: Evaluator, model: str) -> BootstrappedConcordance:
    found = evaluator.concordances(evaluator.cases_of(model))
    if found is None:
        raise UndefinedMetric(f"{model} has no C on one of the cohorts")
    return found


def _place(evaluator: Evaluator, model: str) -> int:
    return _whole(evaluator, model).models.index(model)
