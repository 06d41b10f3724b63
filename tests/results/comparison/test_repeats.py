"""The corrected resampled t-test, by hand and by what it repairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from kemm.results.comparison.repeats import repeated_difference
from kemm.survival.metrics import UndefinedMetric

NAMES = {"model": "main", "baseline": "clinical"}


def test_interval_and_p_of_a_hand_worked_case() -> None:
    # Mean .03, deviation .02, four splits, a test part a quarter of the training part:
    # error .02 * sqrt(1/4 + 1/4) = .014142; t quantile with 3 degrees 3.18245.
    differences = [0.01, 0.03, 0.03, 0.05]
    sd = np.sqrt(0.0008 / 3)
    found = repeated_difference(differences, test_cases=100, train_cases=400, **NAMES)
    width = 3.182446 * sd * np.sqrt(0.5)
    assert found.value == pytest.approx(0.03)
    assert found.sd == pytest.approx(sd)
    assert (found.low, found.high) == (pytest.approx(0.03 - width), pytest.approx(0.03 + width))
    assert found.splits == 4


def test_with_hardly_any_test_cases_it_is_the_plain_t_test() -> None:
    differences = np.random.default_rng(0).normal(0.5, 1, size=25)
    found = repeated_difference(differences.tolist(), test_cases=1, train_cases=1e12, **NAMES)
    oracle = ttest_1samp(differences, 0)
    assert found.p == pytest.approx(oracle.pvalue)
    interval = oracle.confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_repeating_the_folds_does_not_make_the_interval_narrow() -> None:
    once = np.random.default_rng(1).normal(size=5).tolist()
    often = repeated_difference(once * 200, test_cases=20, train_cases=80, **NAMES)
    assert often.high - often.low > 2 * 1.96 * np.std(once) * np.sqrt(0.25) * 0.999
    naive = 2 * 1.96 * np.std(once) / np.sqrt(1000)
    assert often.high - often.low > 10 * naive


def test_what_has_no_error_is_refused() -> None:
    with pytest.raises(UndefinedMetric, match="needs two of them, not 1"):
        repeated_difference([0.1], test_cases=1, train_cases=4, **NAMES)
    with pytest.raises(UndefinedMetric, match=r"it is 0\.1 in all 3"):
        repeated_difference([0.1] * 3, test_cases=1, train_cases=4, **NAMES)
    with pytest.raises(
        ValueError, match="1 of 2 differences are not finite; leave out splits without a value"
    ):
        repeated_difference([0.1, np.nan], test_cases=1, train_cases=4, **NAMES)
    with pytest.raises(ValueError, match="a split needs test and training cases, not 0 and 4"):
        repeated_difference([0.1, 0.2], test_cases=0, train_cases=4, **NAMES)
