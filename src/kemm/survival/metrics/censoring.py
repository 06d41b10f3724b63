"""The censoring curve G: the chance of still being followed, and how far it can be leant on."""

import numpy as np
from jaxtyping import Bool, Float

from kemm.survival.metrics.kaplan_meier import StepFunction
from kemm.survival.metrics.undefined import UndefinedMetric, require_cases

LEAST_G = 0.05
"""A case seen where G is below this would stand for more than twenty."""
FEWEST_AT_RISK = 10


def censoring_curve(months: Float[np.ndarray, " case"], event: Bool[np.ndarray, " case"]) -> StepFunction:
    """Kaplan-Meier of the censoring times: `at(t)` estimates the chance of being followed beyond t.

    At equal times events come first, so a case that has had its event is no longer at risk of
    being censored then.

    Raises:
        UndefinedMetric: no cases.
    """
    require_cases("censoring curve", months)
    times, of_time = np.unique(months, return_inverse=True)
    leaving = np.bincount(of_time)
    events = np.bincount(of_time, weights=event)
    at_risk = leaving[::-1].cumsum()[::-1] - events
    share = np.divide(leaving - events, at_risk, out=np.zeros(len(times)), where=at_risk > 0)
    return StepFunction(months=times, values=np.cumprod(1 - share))


def usable_tau(
    train_months: Float[np.ndarray, " train"],
    train_event: Bool[np.ndarray, " train"],
    test_months: Float[np.ndarray, " test"],
) -> float:
    """The last month at which measures that weight by 1 / G may be taken.

    G of the training cases is at least 0.05 there, the training cases' follow-up reaches it, and
    at least 10 test cases are still at risk.

    Raises:
        UndefinedMetric: fewer than 10 test cases, or G below 0.05 from the start.
    """
    if len(test_months) < FEWEST_AT_RISK:
        raise UndefinedMetric(
            f"no usable horizon: {len(test_months)} test cases, and {FEWEST_AT_RISK} must be at risk"
        )
    curve = censoring_curve(train_months, train_event)
    # A product of fractions may fall short of a round number in its last digit.
    supported = curve.months[curve.values >= LEAST_G * (1 - 1e-9)]
    if not len(supported):
        raise UndefinedMetric(f"no usable horizon: the training cases' censoring curve is never >= {LEAST_G}")
    return float(min(supported[-1], np.sort(test_months)[-FEWEST_AT_RISK]))


def inverse_weights(
    curve: StepFunction, months: Float[np.ndarray, " case"], *, strictly_before: bool
) -> Float[np.ndarray, " case"]:
    """How many cases each one stands for: 1 / G.

    `strictly_before` for a case whose event was seen at that time (it was followed up to it, not
    necessarily beyond); otherwise for a case known to be free of the event at that time.

    Raises:
        UndefinedMetric: a time that no training case was followed to.

    References:
        Gerds & Schumacher (2006), Biometrical Journal 48, doi:10.1002/bimj.200610301.
    """
    followed = curve.just_before(months) if strictly_before else curve.at(months)
    lost = (followed <= 0) | (months > curve.months[-1])
    if lost.any():
        raise UndefinedMetric(
            f"no training case was followed to {months[lost].max():g} months, so G is unknown there; "
            "choose an earlier tau or horizon"
        )
    weights: np.ndarray = 1 / followed
    return weights
