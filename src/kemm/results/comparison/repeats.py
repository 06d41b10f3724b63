"""A difference over repeated cross-validation, whose splits share most of their training cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t

from kemm.results.comparison.records import RepeatedDifference
from kemm.survival.metrics import UndefinedMetric


def repeated_difference(
    differences: Sequence[float],
    *,
    model: str,
    baseline: str,
    test_cases: float,
    train_cases: float,
    metric: str = "harrell_c",
    level: float = 0.95,
) -> RepeatedDifference:
    """The mean of `model` minus `baseline` over all folds of all repeats, by the corrected resampled t-test.

    `test_cases` and `train_cases` are those of a split, on average. Splits are correlated by what they
    share: the variance of their mean is (1 / splits + test / train) times that of one, not 1 / splits.
    So many repeats do not make an interval narrow: only more patients do.

    Raises:
        UndefinedMetric: fewer than two splits, or the same difference in all.
        ValueError: a difference that is not finite, or no test or training cases.

    References:
        Nadeau & Bengio (2003), Machine Learning 52, doi:10.1023/A:1024068626366.
        Bouckaert & Frank (2004), PAKDD, for repeated folds.
    """
    values = np.array(differences, dtype=np.float64)
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise ValueError(
            f"{bad} of {values.size} differences are not finite; leave out splits without a value"
        )
    if test_cases <= 0 or train_cases <= 0:
        raise ValueError(f"a split needs test and training cases, not {test_cases:g} and {train_cases:g}")
    if len(values) < 2:
        raise UndefinedMetric(f"a difference over splits needs two of them, not {len(values)}")
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    if np.ptp(values) == 0:  # their deviation need not be 0 to the last digit
        raise UndefinedMetric(f"a difference over splits has no error: it is {mean:g} in all {len(values)}")
    error = sd * float(np.sqrt(1 / len(values) + test_cases / train_cases))
    freedom = len(values) - 1
    width = float(t.ppf((1 + level) / 2, freedom)) * error
    return RepeatedDifference(
        model=model,
        baseline=baseline,
        metric=metric,
        value=mean,
        low=mean - width,
        high=mean + width,
        p=float(2 * t.sf(abs(mean) / error, freedom)),
        sd=sd,
        splits=len(values),
    )
