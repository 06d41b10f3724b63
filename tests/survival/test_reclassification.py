"""Reclassification by hand, and its known flaw on display."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from simulated_cases import simulate

from kemm.survival.metrics import (
    ReclassifiedFold,
    UndefinedMetric,
    continuous_nri,
    decision_curve,
    net_benefit_change,
)

HORIZON = 30.0
NOBODY_LOST = {"train_months": np.array([50.0, 60]), "train_event": np.array([True, True])}


def fold_of(months, event, chance_moves, **training) -> ReclassifiedFold:
    """All were given survival 0.5; `chance_moves` is what the new model adds to the chance of the event."""
    return ReclassifiedFold(
        months=np.array(months, dtype=float),
        event=np.array(event, dtype=bool),
        reference=np.full(len(months), 0.5),
        new=0.5 - np.array(chance_moves),
        **(training or NOBODY_LOST),
    )


def test_reclassification_of_a_hand_worked_case() -> None:
    # Four with the event by month 30: two up, one down, one unmoved. Five free of it: three down, two up.
    # Whoever is censored before takes no part; an event after month 30 is freedom at month 30.
    fold = fold_of(
        [1, 2, 3, 30, 31, 40, 40, 40, 40, 12],
        [1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        [0.1, 0.3, -0.2, 0, -0.1, -0.1, -0.01, 0.4, 0.01, 0.4],
    )
    found = continuous_nri([fold], HORIZON, resamples=200, seed=0)
    assert found.with_event.value == pytest.approx((2 - 1) / 4)
    assert found.event_free.value == pytest.approx((3 - 2) / 5)
    assert found.total.value == pytest.approx(0.45)
    assert found.total.lower < 0.45 < found.total.upper


def test_cases_stand_for_those_lost_before_them() -> None:
    # A quarter of the training cases is lost at month 1, so an event after it counts for 4/3.
    training = {
        "train_months": np.array([1.0, 50, 60, 70]),
        "train_event": np.array([False, True, True, True]),
    }
    one = fold_of([0.5, 3, 40, 40] * 2, [1, 1, 0, 0] * 2, [0.1, -0.1, -0.1, -0.1] * 2, **training)
    found = continuous_nri([one], HORIZON, resamples=100, seed=1)
    assert found.with_event.value == pytest.approx((1 - 4 / 3) / (1 + 4 / 3))
    assert found.event_free.value == pytest.approx(1)
    # With a fold in which nobody is lost: one event up, one free case up.
    other = fold_of([2, 40], [1, 0], [0.1, 0.1])
    both = continuous_nri([one, other], HORIZON, resamples=100, seed=1)
    assert both.with_event.value == pytest.approx((2 - 8 / 3 + 1) / (2 + 8 / 3 + 1))
    assert both.event_free.value == pytest.approx((4 * 4 / 3 - 1) / (4 * 4 / 3 + 1))


def simulated(seed: int, cases: int = 400) -> ReclassifiedFold:
    cohort, training = simulate(cases, seed=seed), simulate(400, seed=seed + 500)
    first = cohort.features[:, 0] * cohort.truth[0]
    return ReclassifiedFold(
        months=cohort.months,
        event=cohort.event,
        reference=np.exp(-np.exp(first) * HORIZON / 40),
        new=np.exp(-np.exp(cohort.risk) * HORIZON / 40),
        train_months=training.months,
        train_event=training.event,
    )


def test_the_truth_reclassifies_the_right_way_and_turned_round_the_wrong_way() -> None:
    fold = simulated(1)
    right = continuous_nri([fold], HORIZON, resamples=300, seed=0)
    assert right.with_event.lower > 0
    assert right.event_free.lower > 0
    wrong = continuous_nri(
        [replace(fold, reference=fold.new, new=fold.reference)], HORIZON, resamples=300, seed=0
    )
    assert wrong.total.value == pytest.approx(-right.total.value)
    assert wrong.total.lower == pytest.approx(-right.total.upper)
    assert continuous_nri([fold], HORIZON, resamples=300, seed=0) == right
    assert continuous_nri([fold], HORIZON, resamples=300, seed=1).total.lower != right.total.lower


def test_a_model_that_only_scales_all_chances_up_moves_nobody_in_total() -> None:
    fold = simulated(2)
    found = continuous_nri([replace(fold, new=fold.reference**1.2)], HORIZON, resamples=100, seed=0)
    assert (found.with_event.value, found.event_free.value) == (pytest.approx(1), pytest.approx(-1))
    assert found.total.value == pytest.approx(0)


def test_no_event_or_nobody_free_of_it_has_no_reclassification() -> None:
    with pytest.raises(UndefinedMetric, match="reclassification at 30 months: no case has the event by then"):
        continuous_nri([fold_of([40, 50], [1, 0], [0, 0])], HORIZON, seed=0)
    with pytest.raises(
        UndefinedMetric, match="reclassification at 30 months: no case was followed beyond it"
    ):
        continuous_nri([fold_of([4, 5], [1, 0], [0, 0])], HORIZON, seed=0)
    with pytest.raises(UndefinedMetric, match=r"has no interval: \d+ of 100 resamples"):
        continuous_nri([fold_of([4, 50], [1, 0], [0, 0])], HORIZON, resamples=100, seed=0)
    with pytest.raises(UndefinedMetric, match="reclassification: there are no cases"):
        continuous_nri([], HORIZON, seed=0)
    with pytest.raises(ValueError, match="1 of 2 predicted survivals are not between 0 and 1"):
        continuous_nri([fold_of([4, 50], [1, 0], [-0.6, 0])], HORIZON, seed=0)


def test_change_of_net_benefit_is_that_of_the_two_decision_curves() -> None:
    folds = [simulated(3), simulated(4)]
    rows = net_benefit_change(folds, HORIZON, [0.3, 0.6], resamples=100, seed=0)
    months = np.concatenate([fold.months for fold in folds])
    event = np.concatenate([fold.event for fold in folds])
    curves = [
        decision_curve(
            months, event, np.concatenate([getattr(fold, name) for fold in folds]), HORIZON, [0.3, 0.6]
        )
        for name in ("reference", "new")
    ]
    assert [row.reference for row in rows] == curves[0].model.tolist()
    assert [row.new for row in rows] == curves[1].model.tolist()
    for row in rows:
        assert row.change.value == pytest.approx(row.new - row.reference)
        assert row.change.lower < row.change.value < row.change.upper
    assert rows[1].change.lower > 0
    assert net_benefit_change(folds, HORIZON, [0.3, 0.6], resamples=100, seed=0) == rows


def test_a_threshold_whose_cases_were_not_followed_has_no_change() -> None:
    fold = fold_of([1, 2, 40, 40], [1, 0, 0, 0], [0.3, 0.3, -0.3, -0.3])
    moved = replace(fold, months=np.array([1.0, 2, 40, 40]))
    with pytest.raises(
        UndefinedMetric, match=r"net benefit at a threshold of 0\.7: .* followed to 30 months"
    ):
        net_benefit_change([moved], HORIZON, [0.7], resamples=100, seed=0)
    with pytest.raises(ValueError, match="a threshold is a risk between 0 and 1, not 2"):
        net_benefit_change([fold], HORIZON, [2.0], resamples=100, seed=0)
