"""Corrections for many comparisons, against examples by hand and what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemm.results.comparison.multiplicity import holm, max_t, simultaneous_differences
from kemm.survival.metrics import BootstrappedConcordance


def test_holm_by_hand() -> None:
    # Sorted .005 x 4, .01 x 3, .03 x 2, .04 x 1: the last would fall below the one before, and is held up.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_value_and_bonferronis_and_keeps_the_order(p: list[float]) -> None:
    adjusted = np.array(holm(p))
    assert (adjusted >= np.array(p)).all()
    assert (adjusted <= np.minimum(len(p) * np.array(p), 1) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_what_is_no_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="2 of 3 p-values are not between 0 and 1"):
        holm([0.5, np.nan, 1.5])


def resampled(values: list[float], noise: np.ndarray) -> BootstrappedConcordance:
    return BootstrappedConcordance(
        models=("main", "clinical", "genes", "report")[: len(values)],
        values=np.array(values),
        resampled=np.array(values) + noise,
        dropped=0,
    )


def test_one_difference_is_a_plain_interval_and_independent_ones_are_sidaks() -> None:
    noise = np.random.default_rng(0).normal(size=(200_000, 3)) * [0.5, 1, 2]
    one, _ = max_t(np.zeros(1), noise[:, :1], 0.95)
    assert one == pytest.approx([0.5 * 1.96], rel=0.01)
    three, p = max_t(np.array([0.5 * 2.3877, 0.0, 4.0]), noise + np.array([0.5 * 2.3877, 0.0, 4.0]), 0.95)
    # The largest of three independent normals: 0.95 ** (1 / 3) of each lies within 2.3877 deviations.
    assert three == pytest.approx([0.5 * 2.3877, 2.3877, 2 * 2.3877], rel=0.01)
    assert p == pytest.approx([0.05, 1.0, 1 - 0.9545**3], abs=0.003)


def test_differences_that_move_together_cost_nothing() -> None:
    noise = np.random.default_rng(1).normal(size=(100_000, 1)) * np.ones(5)
    widths, _ = max_t(np.zeros(5), noise, 0.95)
    assert widths == pytest.approx([1.96] * 5, rel=0.01)


def test_intervals_hold_together_as_often_as_promised() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(300):
        cases = rng.normal(size=(60, 4)) + rng.normal(size=(60, 1))
        means = cases.mean(axis=0)
        drawn = rng.multinomial(60, np.full(60, 1 / 60), size=400) @ cases / 60
        widths, _ = max_t(means, drawn, 0.9)
        held += bool((np.abs(means) <= widths).all())
    assert held / 300 == pytest.approx(0.9, abs=0.055)


def test_differences_are_paired_and_wider_together() -> None:
    noise = np.random.default_rng(3).normal(size=(2000, 3)) * 0.01
    found = simultaneous_differences(
        resampled([0.70, 0.65, 0.69], noise), [("main", "clinical"), ("main", "genes")], cases=480
    )
    first, second = found
    assert (first.model, first.baseline, first.cases) == ("main", "clinical", 480)
    assert first.value == pytest.approx(0.05)
    assert first.simultaneous_low < first.low < first.value < first.high < first.simultaneous_high
    assert first.adjusted_p < 0.01 < second.p < second.adjusted_p
    assert second.simultaneous_low < 0 < second.simultaneous_high


def test_a_difference_that_cannot_vary_has_no_width() -> None:
    found = simultaneous_differences(
        resampled([0.7, 0.7, 0.6], np.zeros((99, 3))), [("main", "clinical"), ("main", "genes")], cases=9
    )
    assert [(each.simultaneous_low, each.simultaneous_high) for each in found] == [
        (0, 0),
        (pytest.approx(0.1), pytest.approx(0.1)),
    ]
    assert [each.adjusted_p for each in found] == [1.0, 0.01]


def test_a_model_that_was_not_resampled_is_named() -> None:
    with pytest.raises(ValueError, match=r"not among the resampled models \(main, clinical\): slides"):
        simultaneous_differences(resampled([0.7, 0.6], np.zeros((9, 2))), [("main", "slides")], cases=9)
    with pytest.raises(ValueError, match="at least one pair"):
        simultaneous_differences(resampled([0.7], np.zeros((9, 1))), [], cases=9)
