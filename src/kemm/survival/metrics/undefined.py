"""The refusal to give a number where there is none."""

import numpy as np
from jaxtyping import Float


class UndefinedMetric(ValueError):
    """A measure has no value for these cases; the message says why."""


def require_cases(what: str, months: Float[np.ndarray, " case"]) -> None:
    """Refuse a measure of nobody."""
    if not len(months):
        raise UndefinedMetric(f"{what}: there are no cases")


def require_finite(risk: Float[np.ndarray, " case"]) -> None:
    """Refuse risks that cannot be ranked."""
    bad = np.count_nonzero(~np.isfinite(risk))
    if bad:
        raise ValueError(f"the risk of {bad} of {risk.size} cases is not a finite number")


def require_probabilities(survival: Float[np.ndarray, "*any"]) -> None:
    """Refuse predicted survival that is no probability."""
    bad = np.count_nonzero(~((survival >= 0) & (survival <= 1)))
    if bad:
        raise ValueError(f"{bad} of {survival.size} predicted survivals are not between 0 and 1")
