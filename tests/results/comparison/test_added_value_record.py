"""From two models' fold parts to the record of what one adds."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from compared_parts import GRID, half_the_truth, parts_of, survival_at, true_risk

from kemm.results.comparison.added_value import added_value, curve_calibration
from kemm.results.comparison.records import AddedValue
from kemm.survival.metrics import ComparedFold, likelihood_ratio_test

NAMES = ("main", "clinical")
MODEL, REFERENCE = parts_of(true_risk), parts_of(half_the_truth)


def found(model=MODEL, reference=REFERENCE, *, horizon: float | None = 36.0, thresholds=(0.5,)) -> AddedValue:
    return added_value(
        model,
        reference,
        names=NAMES,
        horizon=horizon,
        survival_at=survival_at,
        thresholds=thresholds,
        resamples=100,
        seed=0,
    )


def test_a_model_that_knows_more_adds_on_every_measure() -> None:
    record = found()
    assert (record.model, record.reference, record.cases) == ("main", "clinical", 500)
    assert record.p < 1e-6
    assert record.hazard_ratio.low > 1.3
    # The model has all of the truth, so the reference beside it has nothing left to say.
    assert record.reference_coefficient == pytest.approx(0, abs=0.25)
    assert record.model_coefficient == pytest.approx(1, abs=0.25)
    assert record.c_gain.low > 0
    assert record.c_combined.value - record.c_reference.value == pytest.approx(record.c_gain.value)
    assert record.nri_with_event.low > 0
    assert record.nri_event_free.low > 0
    assert [row.threshold for row in record.net_benefit] == [0.5]
    assert record.net_benefit[0].gain.value == pytest.approx(
        record.net_benefit[0].model - record.net_benefit[0].reference
    )
    json.loads(record.model_dump_json())
    assert AddedValue.model_validate_json(record.model_dump_json()) == record


def test_the_test_is_that_of_the_shared_cases() -> None:
    folds = [
        ComparedFold(
            cases=part.cases[:-20],
            months=part.months[:-20],
            event=part.event[:-20],
            reference=known.risk[:-20],
            new=part.risk[:-20],
        )
        for part, known in zip(MODEL, REFERENCE, strict=True)
    ]
    fewer = [
        replace(
            part,
            cases=part.cases[:-20],
            **{name: getattr(part, name)[:-20] for name in ("months", "event", "risk", "high", "survival")},
        )
        for part in MODEL
    ]
    record = found(fewer)
    assert record.cases == 400
    assert record.chi_squared.value == pytest.approx(likelihood_ratio_test(folds).statistic)


def test_without_a_horizon_only_what_needs_one_is_missing() -> None:
    record = found(horizon=None)
    assert record.chi_squared.value is not None
    reason = "no horizon at which every fold can be measured"
    assert [record.nri.reason, record.net_benefit[0].gain.reason] == [reason, reason]
    assert record.horizon_months is None


def test_few_events_are_a_dash_with_its_reason() -> None:
    record = found(horizon=0.5)
    by_then = sum(int((part.event & (part.months <= 0.5)).sum()) for part in MODEL)
    assert 0 < by_then < 10
    assert record.nri_with_event.reason == f"{by_then} events by 0.5 months, fewer than 10"
    silent = [replace(part, event=np.zeros(100, dtype=bool)) for part in MODEL]
    nothing = found(silent, [replace(part, event=np.zeros(100, dtype=bool)) for part in REFERENCE])
    assert nothing.hazard_ratio.reason == nothing.c_gain.reason == "0 events, fewer than 10"
    assert (nothing.p, nothing.c_gain_p, nothing.model_coefficient) == (None, None, None)


def test_a_measure_that_is_undefined_leaves_the_others() -> None:
    same = found(REFERENCE, REFERENCE, thresholds=(0.5, 0.999999))
    assert "collinear" in same.chi_squared.reason
    assert same.nri.value == 0
    assert same.net_benefit[0].gain.value == 0


def test_true_curves_are_d_calibrated_and_stretched_ones_are_not() -> None:
    record = curve_calibration(MODEL, GRID, model="main")
    assert record.p > 0.05
    assert sum(record.counts) == pytest.approx(500)
    assert (record.degrees_of_freedom, record.statistic.cases) == (9, 500)
    too_hopeful = [replace(part, survival=np.sqrt(part.survival)) for part in MODEL]
    assert curve_calibration(too_hopeful, GRID, model="main").p < 1e-6


def test_d_calibration_of_few_is_a_dash() -> None:
    few = [replace(part, event=part.event & (np.arange(100) < 1)) for part in MODEL]
    record = curve_calibration(few, GRID, model="main")
    assert record.statistic.reason.endswith("events, fewer than 10")
    assert (record.counts, record.p) == ([], None)
    first = MODEL[:1]
    assert curve_calibration(first, GRID, model="main", bins=50).statistic.reason == (
        "D-calibration: 100 cases in 50 bins; 5 are needed in each"
    )
