"""A Cox regression in which cases are only ever compared with cases of their own stratum."""

import numpy as np
from jaxtyping import Bool, Float, Int

from kemm.survival.cox_regression.fit import CoxFit, maximise
from kemm.survival.cox_regression.likelihood import CoxFailure, PartialLikelihood, require_finite


class StratifiedLikelihood:
    """The log partial likelihoods of the strata, summed: one coefficient a feature, a baseline a stratum."""

    def __init__(
        self,
        features: Float[np.ndarray, "case feature"],
        months: Float[np.ndarray, " case"],
        event: Bool[np.ndarray, " case"],
        stratum: Int[np.ndarray, " case"],
    ) -> None:
        if not event.any():
            raise CoxFailure(f"no Cox model without an event; all {len(months)} cases are censored")
        # A stratum without an event has no risk set, so it says nothing.
        self.strata = [
            PartialLikelihood(features[here], months[here], event[here])
            for here in (stratum == name for name in np.unique(stratum[event]))
        ]

    @property
    def events(self) -> int:
        """How many cases have an event."""
        return sum(stratum.events for stratum in self.strata)

    def value(self, coefficients: Float[np.ndarray, " feature"]) -> float:
        """The log partial likelihood; -inf where the log risks span more than a double can hold."""
        return sum(stratum.value(coefficients) for stratum in self.strata)

    def derivatives(
        self, coefficients: Float[np.ndarray, " feature"]
    ) -> tuple[Float[np.ndarray, " feature"], Float[np.ndarray, "feature feature"]]:
        """Gradient, and minus the second derivative."""
        gradient = np.zeros(len(coefficients))
        information = np.zeros((len(coefficients), len(coefficients)))
        for stratum in self.strata:
            of_gradient, of_information = stratum.derivatives(coefficients)
            gradient += of_gradient
            information += of_information
        return gradient, information


def fit_stratified_cox(
    features: Float[np.ndarray, "case feature"],
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    stratum: Int[np.ndarray, " case"],
) -> CoxFit:
    """Maximise the stratified log partial likelihood (ties after Efron), unpenalised.

    Raises:
        CoxFailure: no event or no feature; values not finite; collinear features or no maximum.

    References:
        Kalbfleisch & Prentice (2002), The Statistical Analysis of Failure Time Data, section 4.4.
    """
    if not features.shape[1]:
        raise CoxFailure("no Cox model without a feature")
    require_finite(features=features, months=months)
    width = features.shape[1]
    return maximise(StratifiedLikelihood(features, months, event, stratum), np.zeros(width), np.zeros(width))
