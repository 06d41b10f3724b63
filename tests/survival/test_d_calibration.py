"""D-calibration by hand, and the uniformity that it tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from kemm.survival.metrics import UndefinedMetric, at_own_time, d_calibration


def test_counts_and_statistic_of_a_hand_worked_case() -> None:
    # Two bins. 6 events below a half and 3 above; one censored at 0.8 would have had it below a half
    # with chance 0.5 / 0.8 and above with 0.3 / 0.8; one censored at 0.4 surely below; 1 event on the border.
    survival = np.array([0.1, 0.2, 0.3, 0.4, 0.0, 0.45, 0.6, 0.7, 1.0, 0.8, 0.4, 0.5])
    event = np.array([True] * 9 + [False, False, True])
    found = d_calibration(event, survival, bins=2)
    low, high = 6 + 0.625 + 1, 3 + 0.375 + 1
    assert found.counts.tolist() == pytest.approx([low, high])
    assert found.statistic == pytest.approx(((low - 6) ** 2 + (high - 6) ** 2) / 6)
    assert found.degrees_of_freedom == 1
    assert found.p == pytest.approx(chi2.sf(found.statistic, 1))


def test_a_censored_case_is_shared_out_by_the_length_below_it() -> None:
    event = np.array([True] * 25 + [False])
    survival = np.append(np.full(25, 0.95), 0.5)
    found = d_calibration(event, survival, bins=5)
    # 0.5 is half way up the third bin: two whole bins and a half one.
    assert found.counts.tolist() == pytest.approx([0.4, 0.4, 0.2, 0, 25])
    nothing_left = d_calibration(event, np.append(np.full(25, 0.95), 0.0), bins=5)
    assert nothing_left.counts.tolist() == pytest.approx([1, 0, 0, 0, 25])


def simulated(seed: int, cases: int, *, censored: bool, stretch: float = 1.0) -> float:
    rng = np.random.default_rng(seed)
    hazard = np.exp(rng.normal(size=cases)) / 40
    until_event = rng.exponential(1 / hazard)
    until_censored = rng.uniform(5, 80, size=cases) if censored else np.full(cases, np.inf)
    months = np.minimum(until_event, until_censored)
    return d_calibration(until_event <= until_censored, np.exp(-stretch * hazard * months), bins=5).p


def test_without_censoring_p_is_uniform_for_true_curves() -> None:
    p = [simulated(seed, 200, censored=False) for seed in range(300)]
    assert kstest(p, "uniform").pvalue > 0.01


def test_with_censoring_true_curves_are_rejected_less_often_than_promised() -> None:
    p = np.array([simulated(seed, 200, censored=True) for seed in range(300)])
    assert (p < 0.05).mean() < 0.05
    assert p.mean() > 0.5


@pytest.mark.parametrize("censored", [False, True])
def test_hazards_half_as_high_as_the_truth_are_rejected(censored: bool) -> None:
    assert max(simulated(seed, 300, censored=censored, stretch=0.5) for seed in range(20)) < 0.01


def test_survival_at_ones_own_time_lies_on_straight_lines_and_ends_with_the_curve() -> None:
    grid = np.array([10.0, 20, 30])
    survival = np.array([[0.8, 0.6, 0.5]] * 3 + [[0.8, 0.6, np.nan]] * 2)
    months = np.array([15.0, 5, 35, 25, 20])
    event = np.array([True, False, True, True, True])
    reached, still_event = at_own_time(survival, grid, months, event)
    assert reached.tolist() == pytest.approx([0.7, 0.9, 0.5, 0.6, 0.6])
    # Followed beyond the curve: all it says is that they were free of the event at its end.
    assert still_event.tolist() == [True, False, False, False, True]
    from_zero, _ = at_own_time(np.array([[0.9, 0.7]]), np.array([0.0, 10]), np.array([5.0]), np.array([True]))
    assert from_zero.tolist() == pytest.approx([0.8])


def test_where_there_is_nothing_to_test_it_is_refused() -> None:
    half = np.full(20, 0.5)
    with pytest.raises(UndefinedMetric, match="D-calibration: there are no cases"):
        d_calibration(np.empty(0, dtype=bool), np.empty(0))
    with pytest.raises(UndefinedMetric, match="all 20 cases are censored"):
        d_calibration(np.zeros(20, dtype=bool), half, bins=2)
    with pytest.raises(UndefinedMetric, match="20 cases in 10 bins; 5 are needed in each"):
        d_calibration(np.ones(20, dtype=bool), half)
    with pytest.raises(ValueError, match="needs two bins or more, not 1"):
        d_calibration(np.ones(20, dtype=bool), half, bins=1)
    with pytest.raises(ValueError, match="1 of 2 predicted survivals are not between 0 and 1"):
        d_calibration(np.ones(2, dtype=bool), np.array([0.5, 1.5]))
    with pytest.raises(UndefinedMetric, match="1 curves have no value at any time"):
        at_own_time(np.array([[np.nan]]), np.array([1.0]), np.array([1.0]), np.array([True]))
