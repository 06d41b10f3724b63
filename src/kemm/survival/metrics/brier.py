"""The squared error of predicted survival, and its skill against knowing nothing of the case."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.integrate import trapezoid

from kemm.survival.metrics.censoring import censoring_curve, inverse_weights
from kemm.survival.metrics.kaplan_meier import kaplan_meier
from kemm.survival.metrics.undefined import UndefinedMetric, require_cases, require_probabilities


@dataclass(frozen=True, kw_only=True)
class BrierSkill:
    """Integrated Brier scores of a model and of the training cases' Kaplan-Meier curve."""

    model: float
    kaplan_meier: float

    @property
    def skill(self) -> float:
        """1 is perfect; 0 or less is no better than the same curve for everyone."""
        return 1 - self.model / self.kaplan_meier


def brier(
    train_months: Float[np.ndarray, " train"],
    train_event: Bool[np.ndarray, " train"],
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    survival: Float[np.ndarray, "case horizon"],
    horizons: Float[np.ndarray, " horizon"],
) -> Float[np.ndarray, " horizon"]:
    """Mean squared error of `survival` at each horizon (months): 0 is best, 0.25 is a coin.

    Censored cases are made up for by weighting the others by 1 / G, G from the training cases.

    Raises:
        UndefinedMetric: no cases, or a horizon where G is unknown.
        ValueError: a survival outside 0 to 1.

    References:
        Graf, Schmoor, Sauerbrei & Schumacher (1999), Statistics in Medicine 18.
    """
    require_cases("Brier score", months)
    require_probabilities(survival)
    curve = censoring_curve(train_months, train_event)
    had_event = event[:, None] & (months[:, None] <= horizons)
    beyond = months[:, None] > horizons
    seen = had_event.any(axis=1)
    weight_of_event = np.zeros((len(months), 1))
    weight_of_event[seen, 0] = inverse_weights(curve, months[seen], strictly_before=True)
    weight_beyond = inverse_weights(curve, horizons, strictly_before=False)
    error = had_event * survival**2 * weight_of_event + beyond * (1 - survival) ** 2 * weight_beyond
    scores: np.ndarray = error.mean(axis=0)
    return scores


def integrated_brier(
    train_months: Float[np.ndarray, " train"],
    train_event: Bool[np.ndarray, " train"],
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    survival: Float[np.ndarray, "case horizon"],
    horizons: Float[np.ndarray, " horizon"],
) -> float:
    """`brier` averaged over the time between the first and the last horizon (trapezoids).

    Raises:
        UndefinedMetric: fewer than two horizons, or one where G is unknown.
    """
    if len(horizons) < 2 or not (np.diff(horizons) > 0).all():
        raise UndefinedMetric("an integrated Brier score needs two or more horizons in ascending order")
    scores = brier(train_months, train_event, months, event, survival, horizons)
    return float(trapezoid(scores, horizons) / (horizons[-1] - horizons[0]))


def brier_skill(
    train_months: Float[np.ndarray, " train"],
    train_event: Bool[np.ndarray, " train"],
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    survival: Float[np.ndarray, "case horizon"],
    horizons: Float[np.ndarray, " horizon"],
) -> BrierSkill:
    """`integrated_brier` beside that of the training cases' Kaplan-Meier curve given to everyone.

    Raises:
        UndefinedMetric: as `integrated_brier`; or the curve is never wrong, so there is no skill to gain.
    """
    same_for_all = np.broadcast_to(kaplan_meier(train_months, train_event).at(horizons), survival.shape)
    reference = integrated_brier(train_months, train_event, months, event, same_for_all, horizons)
    if reference == 0:
        raise UndefinedMetric("Brier skill: the Kaplan-Meier curve is already without error on these cases")
    model = integrated_brier(train_months, train_event, months, event, survival, horizons)
    return BrierSkill(model=model, kaplan_meier=reference)
