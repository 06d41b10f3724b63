"""How often the case with the higher risk has the event first: Harrell's and Uno's C."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from kemm.survival.metrics.censoring import censoring_curve, inverse_weights
from kemm.survival.metrics.undefined import UndefinedMetric, require_finite


@dataclass(frozen=True, kw_only=True)
class Concordance:
    """Pairs that could be compared, and how many of them the risk put in the right order."""

    concordant: float
    """A tie in risk counts a half."""
    comparable: float
    """Pairs; for Uno's C the sum of their weights."""

    @property
    def c(self) -> float:
        """The share of comparable pairs in the right order: 1 is perfect, 0.5 is chance."""
        if self.comparable == 0:
            raise UndefinedMetric("C has no value: no case with an event was outlived by another case")
        return self.concordant / self.comparable


def comparable_pairs(
    months: Float[np.ndarray, " case"], event: Bool[np.ndarray, " case"]
) -> Bool[np.ndarray, "event case"]:
    """For each case with an event, in order: which cases are known to have been free of it longer.

    Someone censored at the very time of the event counts as free longer; someone who had the event
    at the same time does not.
    """
    event_months = months[event][:, None]
    longer: np.ndarray = (months > event_months) | ((months == event_months) & ~event)
    return longer


def agreement(
    risk: Float[np.ndarray, " case"], event: Bool[np.ndarray, " case"]
) -> Float[np.ndarray, "event case"]:
    """For each case with an event: 1 where its risk exceeds the other case's, 0.5 where they tie."""
    event_risk = risk[event][:, None]
    agreed: np.ndarray = (event_risk > risk) + 0.5 * (event_risk == risk)
    return agreed


def count_pairs(
    months: Float[np.ndarray, " case"], event: Bool[np.ndarray, " case"], risk: Float[np.ndarray, " case"]
) -> Concordance:
    """The pairs of Harrell's C; possibly none. Higher risk = worse."""
    require_finite(risk)
    pairs = comparable_pairs(months, event)
    return Concordance(
        concordant=float(agreement(risk, event)[pairs].sum()), comparable=float(np.count_nonzero(pairs))
    )


def harrell_c(
    months: Float[np.ndarray, " case"], event: Bool[np.ndarray, " case"], risk: Float[np.ndarray, " case"]
) -> Concordance:
    """Harrell's C, higher risk = worse.

    Raises:
        UndefinedMetric: no comparable pair. ValueError: a risk is not finite.

    References:
        Harrell, Lee & Mark (1996), Statistics in Medicine 15.
    """
    return combined_concordance([count_pairs(months, event, risk)])


def combined_concordance(folds: Sequence[Concordance]) -> Concordance:
    """C of several folds: their pairs together, no pair across folds; a fold may be without pairs.

    Raises:
        UndefinedMetric: no fold has a comparable pair.
    """
    whole = Concordance(
        concordant=sum((fold.concordant for fold in folds), 0.0),
        comparable=sum((fold.comparable for fold in folds), 0.0),
    )
    _ = whole.c
    return whole


def uno_c(
    train_months: Float[np.ndarray, " train"],
    train_event: Bool[np.ndarray, " train"],
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    risk: Float[np.ndarray, " case"],
    tau: float,
) -> Concordance:
    """Uno's C for events before `tau` (months), higher risk = worse.

    Pairs are weighted by 1 / G(event time) squared, G from the training cases, so that the limit
    does not depend on the censoring. `usable_tau` gives the largest sensible `tau`.

    Raises:
        UndefinedMetric: no comparable pair before `tau`, or an event where G is unknown.
        ValueError: a risk is not finite.

    References:
        Uno, Cai, Pencina, D'Agostino & Wei (2011), Statistics in Medicine 30, doi:10.1002/sim.4154.
    """
    require_finite(risk)
    early = months[event] < tau
    pairs = comparable_pairs(months, event)[early]
    curve = censoring_curve(train_months, train_event)
    weights = inverse_weights(curve, months[event][early], strictly_before=True) ** 2
    agreed = np.where(pairs, agreement(risk, event)[early], 0.0)
    whole = Concordance(
        concordant=float(weights @ agreed.sum(axis=1)), comparable=float(weights @ pairs.sum(axis=1))
    )
    if whole.comparable == 0:
        raise UndefinedMetric(f"Uno's C has no value: no comparable pair with an event before {tau:g} months")
    return whole
