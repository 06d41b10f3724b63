from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Simulated:
    """Cases whose log hazard is known: `features @ truth`."""

    features: np.ndarray
    truth: np.ndarray
    months: np.ndarray
    event: np.ndarray

    @property
    def risk(self) -> np.ndarray:
        return self.features @ self.truth


def simulate(cases: int, seed: int, *, features: int = 3, whole_months: bool = False) -> Simulated:
    """Exponential event times, uniform censoring; about half the cases have the event."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(cases, features))
    truth = np.linspace(0.8, -0.5, features)
    until_event = rng.exponential(40 * np.exp(-values @ truth))
    until_censored = rng.uniform(5, 100, size=cases)
    months = np.minimum(until_event, until_censored)
    if whole_months:
        months = np.ceil(months)
    return Simulated(values, truth, months, until_event <= until_censored)
