"""Coefficients that maximise the penalised partial likelihood."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import cho_factor, cho_solve

from kemm.survival.cox_regression.likelihood import (
    WIDEST_LOG_RISKS,
    CoxFailure,
    PartialLikelihood,
    require_finite,
)

MAX_STEPS = 50
"""Newton needs 4 to 8, and about 30 with extreme outliers."""
SLOW = 0.1
"""Near a maximum each step leaves far less of the gain than this; towards infinity, a third or more."""
MAX_HALVINGS = 30
TOLERANCE = 1e-10  # of the log-likelihood still to be gained, per event
COLLINEAR = 1e-9  # share of a feature's information that the features before it leave


@dataclass(frozen=True, kw_only=True, eq=False)
class CoxFit:
    """Coefficients of a fitted Cox regression; `features @ coefficients` is the log risk."""

    coefficients: Float[np.ndarray, " feature"]
    log_likelihood: float
    """The partial likelihood's, without the penalty."""
    standard_errors: Float[np.ndarray, " feature"] | None
    """None where any coefficient was penalised: their spread would say nothing of their error."""
    steps: int

    def log_risk(self, features: Float[np.ndarray, "case feature"]) -> Float[np.ndarray, " case"]:
        """Higher = worse. An offset used in the fit is the caller's to add."""
        risk: np.ndarray = features @ self.coefficients
        return risk


@runtime_checkable
class Likelihood(Protocol):
    """A concave function of the coefficients."""

    @property
    def events(self) -> int:
        """How many cases have an event."""

    def value(self, coefficients: Float[np.ndarray, " feature"]) -> float:
        """The logarithm; -inf where it cannot be computed."""

    def derivatives(
        self, coefficients: Float[np.ndarray, " feature"]
    ) -> tuple[Float[np.ndarray, " feature"], Float[np.ndarray, "feature feature"]]:
        """Gradient, and minus the second derivative."""


def fit_cox(
    features: Float[np.ndarray, "case feature"],
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    *,
    ridge: float,
    offset: Float[np.ndarray, " case"] | None = None,
    penalty_factors: Float[np.ndarray, " feature"] | None = None,
) -> CoxFit:
    """Maximise the log partial likelihood (ties after Efron) less `ridge / 2 * sum(coefficients ** 2)`.

    The penalty is on the coefficients as they are: bring features to one scale first. It counts
    against the sum over cases, so the same ridge weighs less on more cases. `penalty_factors`
    multiply it feature by feature (0: unpenalised). `offset` is a known part of the log risk.

    Raises:
        CoxFailure: no event or no feature; values not finite; collinear features or no maximum with `ridge=0`.

    References:
        Verweij & van Houwelingen (1994), Statistics in Medicine 13, doi:10.1002/sim.4780132307.
    """
    return fit_cox_path(
        features, months, event, ridges=[ridge], offset=offset, penalty_factors=penalty_factors
    )[0]


def fit_cox_path(
    features: Float[np.ndarray, "case feature"],
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    *,
    ridges: Sequence[float] | Float[np.ndarray, " ridge"],
    offset: Float[np.ndarray, " case"] | None = None,
    penalty_factors: Float[np.ndarray, " feature"] | None = None,
) -> list[CoxFit]:
    """`fit_cox` for several ridges, in the order given; each starts where the last one ended."""
    factors = np.ones(features.shape[1]) if penalty_factors is None else penalty_factors
    if min(ridges) < 0 or (factors < 0).any():
        raise ValueError("a ridge and its factors cannot be negative")
    if not features.shape[1]:
        raise CoxFailure("no Cox model without a feature")
    require_finite(features=features, months=months)
    if features.shape[1] > features.shape[0] and min(ridges) > 0 and factors.min() > 0:
        return _fit_wide(features, months, event, ridges, offset, factors)
    return _fit_each(PartialLikelihood(features, months, event, offset), ridges, factors)


def _fit_each(
    likelihood: PartialLikelihood,
    ridges: Sequence[float] | Float[np.ndarray, " ridge"],
    factors: Float[np.ndarray, " feature"],
) -> list[CoxFit]:
    fits: list[CoxFit] = []
    start = np.zeros(len(factors))
    for ridge in ridges:
        fits.append(maximise(likelihood, ridge * factors, start))
        start = fits[-1].coefficients
    return fits


def _fit_wide(
    features: Float[np.ndarray, "case feature"],
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    ridges: Sequence[float] | Float[np.ndarray, " ridge"],
    offset: Float[np.ndarray, " case"] | None,
    factors: Float[np.ndarray, " feature"],
) -> list[CoxFit]:
    """The same with as many coefficients as cases: a ridge keeps them in the span of the cases."""
    root = np.sqrt(factors)
    directions, rotated = np.linalg.qr(((features - features.mean(axis=0)) / root).T)
    likelihood = PartialLikelihood(rotated.T, months, event, offset)
    return [
        replace(fit, coefficients=directions @ fit.coefficients / root)
        for fit in _fit_each(likelihood, ridges, np.ones(len(rotated)))
    ]


def maximise(
    likelihood: Likelihood,
    penalty: Float[np.ndarray, " feature"],
    start: Float[np.ndarray, " feature"],
) -> CoxFit:
    """Newton's method from `start`, halving steps that overshoot; `penalty` is the ridge of each coefficient.

    Raises:
        CoxFailure: no maximum, or collinear features.
    """

    def objective(coefficients: np.ndarray) -> float:
        return likelihood.value(coefficients) - 0.5 * float(penalty @ coefficients**2)

    coefficients, value = start, objective(start)
    if value == -np.inf:
        raise CoxFailure(f"the offset spans more than {WIDEST_LOG_RISKS:g} on the log scale")
    last_gain = np.inf
    for steps in range(MAX_STEPS):
        gradient, information = likelihood.derivatives(coefficients)
        gradient = gradient - penalty * coefficients
        information[np.diag_indices_from(information)] += penalty
        step = _solve(information, gradient)
        gain = 0.5 * float(gradient @ step)
        if gain <= TOLERANCE * likelihood.events:
            if gain > SLOW * last_gain and not penalty.all():
                break
            return CoxFit(
                coefficients=coefficients,
                log_likelihood=likelihood.value(coefficients),
                standard_errors=None if penalty.any() else np.sqrt(np.diag(np.linalg.inv(information))),
                steps=steps,
            )
        last_gain = gain
        for _ in range(MAX_HALVINGS):
            candidate = coefficients + step
            reached = objective(candidate)
            if reached >= value:
                break
            step = step / 2
        else:
            break
        coefficients, value = candidate, reached
    raise CoxFailure(
        "the coefficients have no finite value: a feature, or a combination of them, tells the order of "
        "the events perfectly (use ridge > 0), or has extreme outliers (transform it: ranks, asinh)"
    )


def _solve(
    information: Float[np.ndarray, "feature feature"], gradient: Float[np.ndarray, " feature"]
) -> Float[np.ndarray, " feature"]:
    constant = np.flatnonzero(~(np.diag(information) > 0))
    if len(constant):
        raise CoxFailure(
            f"feature {constant[0]} does not vary among the cases at risk; drop it, or use ridge > 0"
        )
    # To unit diagonal: whether features are collinear must not depend on their units.
    scale = 1 / np.sqrt(np.diag(information))
    try:
        factor, lower = cho_factor(information * np.outer(scale, scale), lower=True)
        left = np.diag(factor) ** 2
    except np.linalg.LinAlgError:
        left = np.zeros(1)
    if left.min() < COLLINEAR:
        raise CoxFailure("the features are collinear: some tell exactly what others tell; use ridge > 0")
    step: np.ndarray = scale * cho_solve((factor, lower), scale * gradient)
    return step
