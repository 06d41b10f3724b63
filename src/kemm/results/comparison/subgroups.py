"""Whether a model gains more among some patients than among others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kemm.results.comparison.groupings import Grouping
from kemm.results.comparison.matching import MatchedPart, matched, only
from kemm.results.comparison.records import SubgroupRow, Subgroups, SubgroupTable
from kemm.results.evaluation import FEWEST_EVENTS
from kemm.results.predictions import FoldPart
from kemm.results.records import Cell
from kemm.survival.metrics import BootstrappedConcordance, FoldRisks, UndefinedMetric, bootstrap_concordance

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Gain:
    """C of the model less that of the reference, on the cases and on resamples."""

    value: float
    resampled: Array


def subgroups(
    model: Sequence[FoldPart],
    reference: Sequence[FoldPart],
    groupings: Sequence[Grouping],
    *,
    names: tuple[str, str],
    resamples: int = 1000,
    seed: int,
) -> Subgroups:
    """Harrell's C of both models within each level, the paired gain, and how gains differ between levels.

    Pairs are of one fold and one level. Levels are different patients, so each is resampled by itself
    (within folds) with a seed of its own, and gains of two levels are subtracted resample by resample.
    A level with fewer than 10 events has no numbers. `names` are those of model and reference. None of
    the intervals knows of the others: with twenty levels, one leaves out zero by chance.
    """
    parts = matched(model, reference)
    everyone = {case for part in parts for case in part.model.cases}
    whole, _ = _row("all patients", parts, resamples, seed)
    tables = []
    for grouping in groupings:
        rows: list[SubgroupRow] = []
        first: _Gain | None = None
        for level in grouping.levels:
            seed += 1
            cases = {case for case in everyone if grouping.level_of.get(case) == level}
            row, gain = _row(level, _cut(parts, cases), resamples, seed)
            if gain is not None and first is not None:
                row = row.model_copy(update={"interaction": _interaction(row, gain, first)})
            elif gain is not None:
                first = gain
            rows.append(row)
        missing = sum(case not in grouping.level_of for case in everyone)
        tables.append(SubgroupTable(variable=grouping.variable, rows=rows, missing=missing))
    return Subgroups(model=names[0], reference=names[1], whole=whole, tables=tables)


def _cut(parts: Sequence[MatchedPart], cases: Collection[str]) -> list[MatchedPart]:
    cut = [MatchedPart(only(part.model, cases), only(part.reference, cases)) for part in parts]
    return [part for part in cut if part.model.cases]


def _row(
    level: str, parts: Sequence[MatchedPart], resamples: int, seed: int
) -> tuple[SubgroupRow, _Gain | None]:
    cases = sum(len(part.model.cases) for part in parts)
    events = sum(int(part.model.event.sum()) for part in parts)
    try:
        if events < FEWEST_EVENTS:
            raise UndefinedMetric(f"{events} events, fewer than {FEWEST_EVENTS}")
        found = _resampled(parts, resamples, seed)
    except UndefinedMetric as undefined:
        dash = Cell(reason=str(undefined), cases=cases, events=events)
        return SubgroupRow(
            level=level, cases=cases, events=events, model=dash, reference=dash, gain=dash
        ), None
    one, other = (found.estimate(name) for name in ("model", "reference"))
    difference = found.difference("model", "reference")
    cells = [
        Cell(value=each.value, low=each.lower, high=each.upper, cases=cases, events=events)
        for each in (one, other, difference)
    ]
    row = SubgroupRow(
        level=level, cases=cases, events=events, model=cells[0], reference=cells[1], gain=cells[2]
    )
    columns = [found.models.index(name) for name in ("model", "reference")]
    return row, _Gain(difference.value, found.resampled[:, columns[0]] - found.resampled[:, columns[1]])


def _resampled(parts: Sequence[MatchedPart], resamples: int, seed: int) -> BootstrappedConcordance:
    return bootstrap_concordance(
        [
            FoldRisks(
                cases=part.model.cases,
                months=part.model.months,
                event=part.model.event,
                risks={"model": part.model.risk, "reference": part.reference.risk},
            )
            for part in parts
        ],
        resamples=resamples,
        seed=seed,
    )


def _interaction(row: SubgroupRow, gain: _Gain, first: _Gain) -> Cell:
    # Either may have lost a few resamples; they are independent, so any can be set beside any.
    kept = min(len(gain.resampled), len(first.resampled))
    low, high = np.quantile(gain.resampled[:kept] - first.resampled[:kept], [0.025, 0.975])
    return Cell(
        value=gain.value - first.value,
        low=float(low),
        high=float(high),
        cases=row.cases,
        events=row.events,
    )
