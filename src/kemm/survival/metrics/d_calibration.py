"""Whether whole survival curves are calibrated: at one's own end they should read any height equally often."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import chi2

from kemm.survival.metrics.undefined import UndefinedMetric, require_cases, require_probabilities

FEWEST_EXPECTED = 5.0
"""Cases in each bin, below which the statistic is not chi-squared."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DCalibration:
    """Cases in equal bins of predicted survival at their own time; calibrated curves fill them evenly."""

    counts: Float[np.ndarray, " bin"]
    """From survival 0 to 1. A censored case is shared out over its bin and those below."""
    statistic: float
    """Chi-squared with `degrees_of_freedom` if the curves are calibrated and nobody is censored."""
    degrees_of_freedom: int
    p: float


def d_calibration(
    event: Bool[np.ndarray, " case"], survival: Float[np.ndarray, " case"], *, bins: int = 10
) -> DCalibration:
    """Pearson's test that predicted survival at the cases' own times is uniform.

    `survival` is what was predicted for each case at its time of event or censoring (`at_own_time`).
    Someone censored at survival s would have had the event at any height below s alike, so he counts in
    each bin by the share of 0 to s in it. Such even sharing makes the counts steadier than chance: with
    much censoring the test rejects too seldom, and a high p is no proof of calibration.

    Raises:
        UndefinedMetric: no event, or fewer than 5 cases a bin. ValueError: fewer than two bins, or a
            survival outside 0 to 1.

    References:
        Haider, Hoehn, Davis & Greiner (2020), Journal of Machine Learning Research 21 (85).
    """
    require_cases("D-calibration", survival)
    require_probabilities(survival)
    if bins < 2:
        raise ValueError(f"D-calibration needs two bins or more, not {bins}")
    if not event.any():
        raise UndefinedMetric(f"D-calibration: all {len(event)} cases are censored")
    expected = len(survival) / bins
    if expected < FEWEST_EXPECTED:
        raise UndefinedMetric(
            f"D-calibration: {len(survival)} cases in {bins} bins; {FEWEST_EXPECTED:g} are needed in each"
        )
    counts = _in_bins(survival[event], bins) + _shared_out(survival[~event], bins)
    statistic = float(np.square(counts - expected).sum() / expected)
    return DCalibration(
        counts=counts,
        statistic=statistic,
        degrees_of_freedom=bins - 1,
        p=float(chi2.sf(statistic, bins - 1)),
    )


def at_own_time(
    survival: Float[np.ndarray, "case time"],
    grid: Float[np.ndarray, " time"],
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
) -> tuple[Float[np.ndarray, " case"], Bool[np.ndarray, " case"]]:
    """Predicted survival at each case's own time, and whether it had the event then.

    Between grid times (months, ascending) curves are straight lines, and 1 at month 0. Curves end where
    they turn NaN, or at the last time; someone followed longer counts as censored there.

    Raises:
        UndefinedMetric: a curve that is NaN from the start.
    """
    known = np.isfinite(survival)
    last = np.array([grid[row].max(initial=-np.inf) for row in known])
    if not np.isfinite(last).all():
        raise UndefinedMetric(
            f"D-calibration: {np.count_nonzero(~np.isfinite(last))} curves have no value at any time"
        )
    time = np.minimum(months, last)
    reached = [
        np.interp(at, np.concatenate([[0.0], grid[row]]), np.concatenate([[1.0], curve[row]]))
        if grid[row][0] > 0
        else np.interp(at, grid[row], curve[row])
        for at, curve, row in zip(time, survival, known, strict=True)
    ]
    return np.array(reached, dtype=float), event & (months <= last)


def _in_bins(survival: Float[np.ndarray, " case"], bins: int) -> Float[np.ndarray, " bin"]:
    """A height on a border belongs to the bin above it."""
    counts, _ = np.histogram(survival, bins=bins, range=(0, 1))
    return counts.astype(float)


def _shared_out(survival: Float[np.ndarray, " case"], bins: int) -> Float[np.ndarray, " bin"]:
    starts = np.arange(bins) / bins
    below = np.clip(survival[:, None] - starts, 0, 1 / bins)
    # Survival 0 leaves nothing to share: all of the case is in the lowest bin.
    shares = np.divide(
        below,
        survival[:, None],
        out=np.eye(bins)[:1].repeat(len(survival), axis=0),
        where=survival[:, None] > 0,
    )
    total: np.ndarray = shares.sum(axis=0)
    return total
