"""The Kaplan-Meier curve with its numbers at risk, and step functions in general."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import norm

from kemm.survival.metrics.undefined import UndefinedMetric, require_cases


@dataclass(frozen=True, kw_only=True, eq=False)
class StepFunction:
    """1 up to the first of `months`, then the value that each of them sets."""

    months: Float[np.ndarray, " time"]
    values: Float[np.ndarray, " time"]

    def at(self, months: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """The value at each time, a step at that time included."""
        return self._after(np.searchsorted(self.months, months, side="right"))

    def just_before(self, months: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """The value at each time, a step at that time not yet made."""
        return self._after(np.searchsorted(self.months, months, side="left"))

    def _after(self, steps: Int[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        values: np.ndarray = np.concatenate([[1.0], self.values])[steps]
        return values


@dataclass(frozen=True, kw_only=True, eq=False)
class KaplanMeier:
    """An estimated survival curve, one entry for each distinct time of follow-up, ascending."""

    months: Float[np.ndarray, " time"]
    survival: Float[np.ndarray, " time"]
    """Chance of being free of the event after each time."""
    lower: Float[np.ndarray, " time"]
    upper: Float[np.ndarray, " time"]
    at_risk: Int[np.ndarray, " time"]
    """Cases followed up to this time or longer."""
    events: Int[np.ndarray, " time"]
    censored: Int[np.ndarray, " time"]

    def at(self, horizons: Float[np.ndarray, " horizon"]) -> Float[np.ndarray, " horizon"]:
        """Survival at each horizon (months).

        Raises:
            UndefinedMetric: a horizon after the last follow-up, unless everyone had the event.
        """
        return self._curve(self.survival).at(self._reached(horizons))

    def interval_at(
        self, horizons: Float[np.ndarray, " horizon"]
    ) -> tuple[Float[np.ndarray, " horizon"], Float[np.ndarray, " horizon"]]:
        """Lower and upper confidence limits at each horizon; refuses what `at` refuses."""
        reached = self._reached(horizons)
        return self._curve(self.lower).at(reached), self._curve(self.upper).at(reached)

    def at_risk_at(self, horizons: Float[np.ndarray, " horizon"]) -> Int[np.ndarray, " horizon"]:
        """Cases followed up to each horizon or longer: the numbers printed below a plot."""
        return np.append(self.at_risk, 0)[np.searchsorted(self.months, horizons, side="left")]

    def median(self) -> float | None:
        """The first time by which half have had the event; None where the curve stays above a half."""
        reached = np.flatnonzero(self.survival <= 0.5)
        return float(self.months[reached[0]]) if len(reached) else None

    def _curve(self, values: Float[np.ndarray, " time"]) -> StepFunction:
        return StepFunction(months=self.months, values=values)

    def _reached(self, horizons: Float[np.ndarray, " horizon"]) -> Float[np.ndarray, " horizon"]:
        if self.survival[-1] > 0 and len(horizons) and horizons.max() > self.months[-1]:
            raise UndefinedMetric(
                f"survival at {horizons.max():g} months: the last of these cases was followed "
                f"for {self.months[-1]:g}"
            )
        return horizons


def kaplan_meier(
    months: Float[np.ndarray, " case"], event: Bool[np.ndarray, " case"], *, level: float = 0.95
) -> KaplanMeier:
    """The product-limit estimate; its interval is Greenwood's, on the log(-log) scale.

    A case censored at the time of an event is at risk of it. Where survival is 1 or 0 the interval
    has no width.

    Raises:
        UndefinedMetric: no cases.

    References:
        Kaplan & Meier (1958), JASA 53; Kalbfleisch & Prentice (2002), section 1.4.
    """
    require_cases("Kaplan-Meier curve", months)
    times, of_time = np.unique(months, return_inverse=True)
    leaving = np.bincount(of_time)
    events = np.bincount(of_time, weights=event).astype(np.int64)
    at_risk = leaving[::-1].cumsum()[::-1]
    survival = np.cumprod(1 - events / at_risk)
    lower, upper = _log_log_interval(survival, events, at_risk, level)
    return KaplanMeier(
        months=times,
        survival=survival,
        lower=lower,
        upper=upper,
        at_risk=at_risk,
        events=events,
        censored=leaving - events,
    )


def _log_log_interval(
    survival: Float[np.ndarray, " time"],
    events: Int[np.ndarray, " time"],
    at_risk: Int[np.ndarray, " time"],
    level: float,
) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"]]:
    inside = (survival > 0) & (survival < 1)
    lower, upper = survival.copy(), survival.copy()
    # Within `inside` nobody has yet emptied the risk set, so no term divides by zero.
    greenwood = np.cumsum(events[survival > 0] / (at_risk * (at_risk - events))[survival > 0])
    log_survival = np.log(survival[inside])
    spread = norm.ppf((1 + level) / 2) * np.sqrt(greenwood[inside[survival > 0]]) / -log_survival
    lower[inside] = np.exp(log_survival * np.exp(spread))
    upper[inside] = np.exp(log_survival * np.exp(-spread))
    return lower, upper
