"""Whether groups differ in survival by more than chance: the log-rank test."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy.stats import chi2

from kemm.survival.metrics.undefined import UndefinedMetric


@dataclass(frozen=True, kw_only=True)
class LogRank:
    """A log-rank test. `statistic` is chi-squared with `degrees_of_freedom` if groups are alike."""

    statistic: float
    degrees_of_freedom: int
    p: float


def logrank(
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    group: Shaped[np.ndarray, " case"],
) -> LogRank:
    """The log-rank test of two or more groups.

    Raises:
        UndefinedMetric: fewer than two groups, no event, or groups never at risk together.

    References:
        Mantel (1966), Cancer Chemotherapy Reports 50; Peto & Peto (1972), JRSS A 135.
    """
    names, member = np.unique(group, return_inverse=True)
    if len(names) < 2:
        raise UndefinedMetric("a log-rank test needs two groups; all cases are in one")
    if not event.any():
        raise UndefinedMetric("a log-rank test needs events; all cases are censored")
    times = np.unique(months[event])
    belongs = (member[:, None] == np.arange(len(names))).astype(float)
    at_risk = (months >= times[:, None]) @ belongs
    deaths = ((months == times[:, None]) & event) @ belongs
    n, d = at_risk.sum(axis=1, keepdims=True), deaths.sum(axis=1, keepdims=True)
    share = at_risk / n
    excess = (deaths - d * share).sum(axis=0)
    spread = d * (n - d) / np.maximum(n - 1, 1)
    covariance = np.diag((spread * share).sum(axis=0)) - (spread * share).T @ share
    # Excesses sum to zero over the groups, so the covariance is singular by one; more than one only
    # where groups were never at risk together and no comparison exists.
    degrees = int(np.linalg.matrix_rank(covariance, hermitian=True))
    if degrees == 0:
        raise UndefinedMetric("log-rank test: at no event were cases of two groups at risk")
    statistic = max(float(excess @ np.linalg.pinv(covariance, hermitian=True) @ excess), 0.0)
    return LogRank(statistic=statistic, degrees_of_freedom=degrees, p=float(chi2.sf(statistic, degrees)))
