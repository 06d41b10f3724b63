"""How well a risk tells who has the event by a horizon from who is free of it."""

import numpy as np
from jaxtyping import Bool, Float

from kemm.survival.metrics.censoring import censoring_curve, inverse_weights
from kemm.survival.metrics.undefined import UndefinedMetric, require_finite


def dynamic_auc(
    train_months: Float[np.ndarray, " train"],
    train_event: Bool[np.ndarray, " train"],
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    risk: Float[np.ndarray, " case"],
    horizon: float,
) -> float:
    """Cumulative/dynamic AUC at a horizon (months); higher risk = worse, a tie counts a half.

    Cases with the event up to the horizon, each weighted by 1 / G(its time) with G from the
    training cases, against cases followed beyond it. Cases censored before it take no part.

    Raises:
        UndefinedMetric: no event up to the horizon, nobody followed beyond it, or G unknown.
        ValueError: a risk is not finite.

    References:
        Uno, Cai, Tian & Wei (2007), JASA 102, doi:10.1198/016214507000000149.
    """
    require_finite(risk)
    had_event = event & (months <= horizon)
    beyond = months > horizon
    if not had_event.any():
        raise UndefinedMetric(f"AUC at {horizon:g} months: no case has the event by then")
    if not beyond.any():
        raise UndefinedMetric(f"AUC at {horizon:g} months: no case was followed beyond it")
    curve = censoring_curve(train_months, train_event)
    weights = inverse_weights(curve, months[had_event], strictly_before=True)
    lower = np.sort(risk[beyond])
    below = np.searchsorted(lower, risk[had_event], side="left")
    below_or_equal = np.searchsorted(lower, risk[had_event], side="right")
    wins = (below + below_or_equal) / 2
    return float(weights @ wins / (weights.sum() * len(lower)))
