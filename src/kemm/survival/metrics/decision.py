"""What acting on a prediction would gain: the net benefit at each threshold of risk."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from kemm.survival.metrics.kaplan_meier import kaplan_meier
from kemm.survival.metrics.undefined import UndefinedMetric, require_cases, require_probabilities


@dataclass(frozen=True, kw_only=True, eq=False)
class DecisionCurve:
    """Net benefit per case of treating those at or above each threshold; treating nobody gives 0."""

    thresholds: Float[np.ndarray, " threshold"]
    model: Float[np.ndarray, " threshold"]
    treat_all: Float[np.ndarray, " threshold"]
    treated: Float[np.ndarray, " threshold"]
    """Share of the cases at or above the threshold."""
    undefined: tuple[float, ...]
    """Thresholds left out: none of the cases above them was followed to the horizon."""


def decision_curve(
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    survival: Float[np.ndarray, " case"],
    horizon: float,
    thresholds: Sequence[float] | Float[np.ndarray, " threshold"],
) -> DecisionCurve:
    """Net benefit at the horizon (months) of treating cases whose risk, 1 - `survival`, is high.

    True positives less false positives, these weighted by the odds of the threshold. Both come from
    the Kaplan-Meier curve of the cases above the threshold, so censored cases count.

    Raises:
        UndefinedMetric: nobody was followed to the horizon. ValueError: a threshold outside 0 to 1.

    References:
        Vickers, Cronin, Elkin & Gonen (2008), BMC Medical Informatics and Decision Making 8,
        doi:10.1186/1472-6947-8-53.
    """
    require_cases("decision curve", months)
    require_probabilities(survival)
    for threshold in thresholds:
        if not 0 < threshold < 1:
            raise ValueError(f"a threshold is a risk between 0 and 1, not {threshold:g}")
    everyone = np.ones(len(months), dtype=bool)
    rows: list[tuple[float, float, float, float]] = []
    undefined: list[float] = []
    for threshold in map(float, thresholds):
        treated = 1 - survival >= threshold
        # Outside the try: if even all cases together are not followed to the horizon, nothing is defined.
        of_all = _net_benefit(months, event, everyone, horizon, threshold)
        try:
            rows.append(
                (
                    threshold,
                    _net_benefit(months, event, treated, horizon, threshold),
                    of_all,
                    float(treated.mean()),
                )
            )
        except UndefinedMetric:
            undefined.append(threshold)
    columns = np.array(rows, dtype=float).reshape(-1, 4).T
    return DecisionCurve(
        thresholds=columns[0],
        model=columns[1],
        treat_all=columns[2],
        treated=columns[3],
        undefined=tuple(undefined),
    )


def _net_benefit(
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    treated: Bool[np.ndarray, " case"],
    horizon: float,
    threshold: float,
) -> float:
    if not treated.any():
        return 0.0
    survival = kaplan_meier(months[treated], event[treated]).at(np.array([horizon])).item()
    return float(treated.mean() * ((1 - survival) - survival * threshold / (1 - threshold)))
