"""The log partial likelihood of a linear log risk, with its derivatives."""

from copy import copy

import numpy as np
from jaxtyping import Bool, Float, Int

WIDEST_LOG_RISKS = 600.0  # exp of it, and of its negative, is still a double


class CoxFailure(ValueError):
    """The regression has no answer for these cases; the message says why and what would help."""


class PartialLikelihood:
    """Log partial likelihood of a linear log risk, ties after Efron, with its derivatives.

    Cases are kept latest first, so a risk set is a prefix and its sums are running sums.
    """

    def __init__(
        self,
        features: Float[np.ndarray, "case feature"],
        months: Float[np.ndarray, " case"],
        event: Bool[np.ndarray, " case"],
        offset: Float[np.ndarray, " case"] | None = None,
    ) -> None:
        if offset is not None:
            require_finite(offset=offset)
        if not event.any():
            raise CoxFailure(f"no Cox model without an event; all {len(months)} cases are censored")
        latest_first = np.argsort(-months, kind="stable")
        months, event = months[latest_first], event[latest_first]
        self.features = features[latest_first].astype(float)
        # The likelihood does not see a constant; without it the sums lose fewer digits. Taking off the
        # first row before the mean leaves exact zeros where a feature does not vary.
        self.features -= self.features[0]
        self.features -= self.features.mean(axis=0)
        self.offset = np.zeros(len(months)) if offset is None else offset[latest_first].astype(float)
        self.dead = np.flatnonzero(event)
        _, first_of_time, self.time_of, tied = np.unique(
            -months[self.dead], return_index=True, return_inverse=True, return_counts=True
        )
        self.first_of_time = first_of_time
        self.last_at_risk = np.searchsorted(-months, -months[self.dead][first_of_time], side="right") - 1
        place = np.arange(len(self.dead)) - first_of_time[self.time_of]
        self.gone = place / tied[self.time_of]  # share of the tied deaths already gone, after Efron
        self.has_ties = bool((tied > 1).any())

    @property
    def events(self) -> int:
        """How many cases have an event."""
        return len(self.dead)

    def value(self, coefficients: Float[np.ndarray, " feature"]) -> float:
        """The log partial likelihood; -inf where the log risks span more than a double can hold."""
        log_risk = self.features @ coefficients + self.offset
        if not np.ptp(log_risk) < WIDEST_LOG_RISKS:
            return -np.inf
        top = log_risk.max()
        at_risk = self._at_risk(np.exp(log_risk - top))
        return float((log_risk[self.dead] - top - np.log(at_risk)).sum())

    def _at_risk(self, risk: Float[np.ndarray, " case"]) -> Float[np.ndarray, " event"]:
        at_risk = risk.cumsum()[self.last_at_risk]
        if not self.has_ties:
            return at_risk
        dying = np.add.reduceat(risk[self.dead], self.first_of_time)
        left: np.ndarray = at_risk[self.time_of] - self.gone * dying[self.time_of]
        return left

    def derivatives(
        self, coefficients: Float[np.ndarray, " feature"]
    ) -> tuple[Float[np.ndarray, " feature"], Float[np.ndarray, "feature feature"]]:
        """Gradient, and minus the second derivative."""
        risk, at_risk, expected = self._expected(coefficients)
        weighted = risk[:, None] * self.features
        means = weighted.cumsum(axis=0)[self.last_at_risk]
        if self.has_ties:
            dying = np.add.reduceat(weighted[self.dead], self.first_of_time, axis=0)
            means = means[self.time_of] - self.gone[:, None] * dying[self.time_of]
        means = means / at_risk[:, None]
        root = np.sqrt(expected)[:, None] * self.features
        return self._gradient(expected), root.T @ root - means.T @ means

    def gradient(self, coefficients: Float[np.ndarray, " feature"]) -> Float[np.ndarray, " feature"]:
        """The gradient alone: time grows as the features, not as their square."""
        return self._gradient(self._expected(coefficients)[2])

    def of_features(self, chosen: Int[np.ndarray, " chosen"]) -> "PartialLikelihood":
        """The likelihood of the same cases by some of the features."""
        part = copy(self)
        part.features = self.features[:, chosen]
        return part

    def _gradient(self, expected: Float[np.ndarray, " case"]) -> Float[np.ndarray, " feature"]:
        gradient: np.ndarray = self.features[self.dead].sum(axis=0) - expected @ self.features
        return gradient

    def _expected(
        self, coefficients: Float[np.ndarray, " feature"]
    ) -> tuple[Float[np.ndarray, " case"], Float[np.ndarray, " event"], Float[np.ndarray, " case"]]:
        """Each case's risk, the risk at each event, and what each case is expected to contribute.

        That is its risk times the hazard it was exposed to.
        """
        log_risk = self.features @ coefficients + self.offset
        risk = np.exp(log_risk - log_risk.max())
        at_risk = self._at_risk(risk)
        hazard = np.zeros(len(risk))
        hazard[self.last_at_risk] = np.add.reduceat(1 / at_risk, self.first_of_time)
        hazard = hazard[::-1].cumsum()[::-1]
        if self.has_ties:
            spared = np.add.reduceat(self.gone / at_risk, self.first_of_time)
            hazard[self.dead] -= spared[self.time_of]
        return risk, at_risk, risk * hazard


def log_partial_likelihood(
    log_risk: Float[np.ndarray, " case"], months: Float[np.ndarray, " case"], event: Bool[np.ndarray, " case"]
) -> float:
    """The log partial likelihood of known log risks, ties after Efron.

    Raises:
        CoxFailure: no case has an event, or a log risk is not finite.
    """
    nothing = np.zeros((len(months), 0))
    return PartialLikelihood(nothing, months, event, log_risk).value(np.zeros(0))


def require_finite(**arrays: Float[np.ndarray, "..."]) -> None:
    """Refuse values no coefficient can be fitted to."""
    for name, values in arrays.items():
        bad = np.count_nonzero(~np.isfinite(values))
        if bad:
            raise CoxFailure(f"not finite: {bad} of the {values.size} values of the {name}")
