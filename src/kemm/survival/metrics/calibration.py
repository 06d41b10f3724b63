"""Whether as many cases have the event by a horizon as were predicted to."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.stats import norm

from kemm.survival.cox import breslow_baseline, survival_at
from kemm.survival.cox_regression import CoxFailure, CoxFit, fit_cox
from kemm.survival.metrics.kaplan_meier import kaplan_meier
from kemm.survival.metrics.undefined import UndefinedMetric, require_cases, require_probabilities

NEAREST_TO_CERTAIN = 1e-6
"""Predictions nearer to 0 or 1 are taken as this near: a log(-log) of certainty is infinite."""
KNOTS = (0.1, 0.5, 0.9)  # quantiles; Harrell's for a spline of three knots


@dataclass(frozen=True, kw_only=True)
class CalibrationGroup:
    """Cases of similar predicted risk: chance of the event by the horizon, predicted and observed."""

    cases: int
    events: int
    """By the horizon."""
    predicted: float
    observed: float | None
    """One minus Kaplan-Meier; None where nobody in the group was followed to the horizon."""
    lower: float | None
    upper: float | None


@dataclass(frozen=True, kw_only=True)
class CalibrationSlope:
    """1 is ideal; below 1 the predictions are too extreme, as after overfitting."""

    slope: float
    lower: float
    upper: float


def calibration_groups(
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    survival: Float[np.ndarray, " case"],
    horizon: float,
    *,
    groups: int = 5,
) -> list[CalibrationGroup]:
    """Observed beside predicted in equal groups of predicted risk, lowest risk first.

    `survival` is predicted for the horizon (months). Equal predictions stay in one group, so there
    may be fewer than `groups`. The intervals are 95 %, Greenwood's.

    Raises:
        UndefinedMetric: no cases. ValueError: a survival outside 0 to 1.
    """
    require_cases("calibration", months)
    require_probabilities(survival)
    risk = 1 - survival
    cuts = np.unique(np.quantile(risk, np.arange(1, groups) / groups))
    member = np.searchsorted(cuts, risk, side="left")
    return [
        _group(months[member == k], event[member == k], risk[member == k], horizon) for k in np.unique(member)
    ]


def _group(
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    risk: Float[np.ndarray, " case"],
    horizon: float,
) -> CalibrationGroup:
    curve = kaplan_meier(months, event)
    at = np.array([horizon])
    observed: float | None
    lower: float | None
    upper: float | None
    try:
        observed = 1 - curve.at(at).item()
        least, most = curve.interval_at(at)
        lower, upper = 1 - most.item(), 1 - least.item()
    except UndefinedMetric:
        observed = lower = upper = None
    return CalibrationGroup(
        cases=len(months),
        events=int(np.count_nonzero(event & (months <= horizon))),
        predicted=float(risk.mean()),
        observed=observed,
        lower=lower,
        upper=upper,
    )


def observed_over_expected(
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    survival: Float[np.ndarray, " case"],
    horizon: float,
) -> float:
    """Chance of the event by the horizon, Kaplan-Meier over mean prediction: above 1, too hopeful.

    Raises:
        UndefinedMetric: nobody followed to the horizon, or no event predicted for anybody.
    """
    require_cases("observed over expected", months)
    require_probabilities(survival)
    expected = float((1 - survival).mean())
    if expected == 0:
        raise UndefinedMetric("observed over expected: the event is predicted for nobody")
    observed = 1 - float(kaplan_meier(months, event).at(np.array([horizon]))[0])
    return observed / expected


def calibration_slope(
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    survival: Float[np.ndarray, " case"],
    horizon: float,
    *,
    level: float = 0.95,
) -> CalibrationSlope:
    """Cox coefficient of log(-log `survival`), the follow-up cut at the horizon (months).

    Raises:
        UndefinedMetric: the same prediction for everyone, no event by the horizon, or no estimate.

    References:
        Crowson, Atkinson & Therneau (2016), Statistical Methods in Medical Research 25,
        doi:10.1177/0962280213497434.
    """
    require_cases("calibration slope", months)
    fit = _fit("calibration slope", _log_minus_log(survival)[:, None], *_cut(months, event, horizon))
    assert fit.standard_errors is not None  # no ridge
    slope, error = float(fit.coefficients[0]), float(fit.standard_errors[0])
    width = float(norm.ppf((1 + level) / 2)) * error
    return CalibrationSlope(slope=slope, lower=slope - width, upper=slope + width)


def integrated_calibration_index(
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    survival: Float[np.ndarray, " case"],
    horizon: float,
) -> float:
    """Mean absolute difference of predicted from smoothly observed chance of the event; 0 is ideal.

    The smooth observation is a Cox model on a natural cubic spline (three knots) of
    log(-log `survival`), the follow-up cut at the horizon (months).

    Raises:
        UndefinedMetric: the same prediction for everyone, nobody followed to the horizon, no event
            by it, or no estimate.

    References:
        Austin, Harrell & van Klaveren (2020), Statistics in Medicine 39, doi:10.1002/sim.8570.
    """
    require_cases("calibration index", months)
    if months.max() < horizon:
        raise UndefinedMetric(f"calibration index: no case was followed to {horizon:g} months")
    months, event = _cut(months, event, horizon)
    basis = _natural_spline(_log_minus_log(survival))
    log_risk = torch.from_numpy(_fit("calibration index", basis, months, event).log_risk(basis))
    baseline = breslow_baseline(log_risk, torch.from_numpy(months), torch.from_numpy(event))
    at = torch.tensor([baseline.last_month], dtype=log_risk.dtype)
    observed = 1 - survival_at(log_risk, baseline, at)[:, 0].numpy()
    return float(np.abs(observed - (1 - survival)).mean())


def _cut(
    months: Float[np.ndarray, " case"], event: Bool[np.ndarray, " case"], horizon: float
) -> tuple[Float[np.ndarray, " case"], Bool[np.ndarray, " case"]]:
    return np.minimum(months, horizon), event & (months <= horizon)


def _log_minus_log(survival: Float[np.ndarray, " case"]) -> Float[np.ndarray, " case"]:
    require_probabilities(survival)
    kept = np.clip(survival, NEAREST_TO_CERTAIN, 1 - NEAREST_TO_CERTAIN)
    transformed: np.ndarray = np.log(-np.log(kept))
    return transformed


def _natural_spline(values: Float[np.ndarray, " case"]) -> Float[np.ndarray, "case term"]:
    """Linear, plus one cubic term that bends between the knots only (none if knots coincide)."""
    low, middle, high = np.quantile(values, KNOTS, method="inverted_cdf")
    if not low < middle < high:
        return values[:, None]

    def cube(knot: float) -> Float[np.ndarray, " case"]:
        return np.maximum(values - knot, 0) ** 3

    bend = (
        cube(low)
        - cube(middle) * (high - low) / (high - middle)
        + cube(high) * (middle - low) / (high - middle)
    )
    return np.stack([values, bend / (high - low) ** 2], axis=1)


def _fit(
    what: str,
    features: Float[np.ndarray, "case term"],
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
) -> CoxFit:
    if np.ptp(features[:, 0]) == 0:
        raise UndefinedMetric(f"{what}: the same survival is predicted for everyone")
    try:
        return fit_cox(features, months, event, ridge=0.0)
    except CoxFailure as failure:
        raise UndefinedMetric(f"{what}: {failure}") from failure
