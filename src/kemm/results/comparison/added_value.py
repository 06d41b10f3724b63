"""The question a clinician asks: what does this model tell me that age, sex, stage and grade do not?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kemm.results.comparison.matching import MatchedPart, matched
from kemm.results.comparison.records import AddedValue, CurveCalibration, NetBenefitGain
from kemm.results.evaluation import FEWEST_EVENTS
from kemm.results.predictions import FoldPart
from kemm.results.records import Cell
from kemm.survival.metrics import (
    AddedInformation,
    ComparedFold,
    ConcordanceGain,
    Difference,
    Estimate,
    ReclassifiedFold,
    UndefinedMetric,
    at_own_time,
    concordance_gain,
    continuous_nri,
    d_calibration,
    likelihood_ratio_test,
    net_benefit_change,
)

Array = NDArray[np.float64]
Found = TypeVar("Found")

NO_HORIZON = "no horizon at which every fold can be measured"


def added_value(
    model: Sequence[FoldPart],
    reference: Sequence[FoldPart],
    *,
    names: tuple[str, str],
    horizon: float | None,
    survival_at: Callable[[FoldPart, float], Array],
    thresholds: Sequence[float] = (),
    resamples: int = 1000,
    seed: int,
) -> AddedValue:
    """All measures of what `model` adds to `reference`, on the cases that both predict.

    `names` are those of model and reference; `survival_at` reads a part's predicted survival at the
    horizon (months). A measure without a value, or with fewer than 10 events (by the horizon, if it has
    one), is a dash with its reason.
    """
    parts = matched(model, reference)
    dash = _Dash(parts, horizon)
    test = _or_reason(lambda: likelihood_ratio_test(_compared(parts)), dash.reason())
    gain = _or_reason(
        lambda: concordance_gain(_compared(parts), resamples=resamples, seed=seed), dash.reason()
    )
    too_few = dash.reason_by_horizon()
    month = 0.0 if horizon is None else horizon  # without a horizon nothing is computed at it
    moved = _or_reason(
        lambda: continuous_nri(
            _reclassified(parts, survival_at, month), month, resamples=resamples, seed=seed
        ),
        too_few,
    )

    def net_benefit(threshold: float) -> NetBenefitGain:
        # One threshold at a time: one that has no value must not take the others with it.
        rows = _or_reason(
            lambda: net_benefit_change(
                _reclassified(parts, survival_at, month), month, [threshold], resamples=resamples, seed=seed
            ),
            too_few,
        )
        if isinstance(rows, str):
            return NetBenefitGain(threshold=threshold, reference=None, model=None, gain=dash(rows))
        row = rows[0]
        return NetBenefitGain(
            threshold=threshold, reference=row.reference, model=row.new, gain=dash.estimate(row.change)
        )

    return AddedValue(
        model=names[0],
        reference=names[1],
        cases=dash.cases,
        events=dash.events,
        chi_squared=dash(test) if isinstance(test, str) else dash.number(test.statistic),
        inflation=test.inflation if isinstance(test, AddedInformation) else None,
        p=test.p if isinstance(test, AddedInformation) else None,
        hazard_ratio=dash(test) if isinstance(test, str) else dash.estimate(test.hazard_ratio),
        reference_coefficient=None if isinstance(test, str) else test.reference_coefficient,
        model_coefficient=None if isinstance(test, str) else test.new_coefficient,
        new_share=dash(test) if isinstance(test, str) else dash.number(test.new_share),
        c_reference=dash(gain) if isinstance(gain, str) else dash.estimate(gain.reference),
        c_combined=dash(gain) if isinstance(gain, str) else dash.estimate(gain.combined),
        c_gain=dash(gain) if isinstance(gain, str) else dash.estimate(gain.change),
        c_gain_p=gain.change.p if isinstance(gain, ConcordanceGain) else None,
        horizon_months=horizon,
        nri_with_event=dash(moved) if isinstance(moved, str) else dash.estimate(moved.with_event),
        nri_event_free=dash(moved) if isinstance(moved, str) else dash.estimate(moved.event_free),
        nri=dash(moved) if isinstance(moved, str) else dash.estimate(moved.total),
        net_benefit=[net_benefit(threshold) for threshold in thresholds],
    )


def curve_calibration(
    parts: Sequence[FoldPart], grid: Array, *, model: str, bins: int = 10
) -> CurveCalibration:
    """D-calibration of a model's curves (on the months of `grid`), all folds together.

    A case followed beyond the end of its curve counts as censored there.
    """
    cases = sum(len(part.cases) for part in parts)
    events = sum(int(part.event.sum()) for part in parts)
    try:
        if events < FEWEST_EVENTS:
            raise UndefinedMetric(f"{events} events, fewer than {FEWEST_EVENTS}")
        reached = [at_own_time(part.survival, grid, part.months, part.event) for part in parts]
        found = d_calibration(
            np.concatenate([event for _, event in reached]),
            np.concatenate([survival for survival, _ in reached]),
            bins=bins,
        )
    except UndefinedMetric as undefined:
        dash = Cell(reason=str(undefined), cases=cases, events=events)
        return CurveCalibration(model=model, counts=[], statistic=dash, degrees_of_freedom=bins - 1, p=None)
    return CurveCalibration(
        model=model,
        counts=found.counts.tolist(),
        statistic=Cell(value=found.statistic, cases=cases, events=events),
        degrees_of_freedom=found.degrees_of_freedom,
        p=found.p,
    )


class _Dash:
    """Cells on the cases compared: with a number, or with the reason why there is none."""

    def __init__(self, parts: Sequence[MatchedPart], horizon: float | None) -> None:
        self.horizon = horizon
        self.cases = sum(len(part.model.cases) for part in parts)
        self.events = sum(int(part.model.event.sum()) for part in parts)
        self.by_horizon = sum(
            int((part.model.event & (part.model.months <= (horizon or 0))).sum()) for part in parts
        )

    def __call__(self, reason: str) -> Cell:
        return Cell(reason=reason, cases=self.cases, events=self.events)

    def number(self, value: float) -> Cell:
        return Cell(value=value, cases=self.cases, events=self.events)

    def estimate(self, found: Estimate | Difference) -> Cell:
        return Cell(
            value=found.value, low=found.lower, high=found.upper, cases=self.cases, events=self.events
        )

    def reason(self) -> str | None:
        return f"{self.events} events, fewer than {FEWEST_EVENTS}" if self.events < FEWEST_EVENTS else None

    def reason_by_horizon(self) -> str | None:
        if self.horizon is None:
            return NO_HORIZON
        if self.by_horizon < FEWEST_EVENTS:
            return f"{self.by_horizon} events by {self.horizon:g} months, fewer than {FEWEST_EVENTS}"
        return None


def _or_reason(compute: Callable[[], Found], reason: str | None) -> Found | str:
    if reason is not None:
        return reason
    try:
        return compute()
    except UndefinedMetric as undefined:
        return str(undefined)


def _compared(parts: Sequence[MatchedPart]) -> list[ComparedFold]:
    return [
        ComparedFold(
            cases=part.model.cases,
            months=part.model.months,
            event=part.model.event,
            reference=part.reference.risk,
            new=part.model.risk,
        )
        for part in parts
    ]


def _reclassified(
    parts: Sequence[MatchedPart], survival_at: Callable[[FoldPart, float], Array], month: float
) -> list[ReclassifiedFold]:
    return [
        ReclassifiedFold(
            months=part.model.months,
            event=part.model.event,
            reference=survival_at(part.reference, month),
            new=survival_at(part.model, month),
            train_months=part.reference.train_months,
            train_event=part.reference.train_event,
        )
        for part in parts
    ]
