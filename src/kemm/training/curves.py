"""From log risks to survival curves, fitted on log risks of cases that their model did not see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from kemm.survival.cox import Baseline, breslow_baseline, survival_at
from kemm.survival.cox_regression import CoxFailure, fit_cox

Array = NDArray[np.float64]

SLOPE_PENALTY = 10.0
"""How firmly a slope is held near 1: about the information in 10 events."""


def survival_curve(log_risk: Array, baseline: Baseline, months: Array) -> Array:
    """Chance to be free of the event, (case, time); NaN after the training cases' follow-up."""
    curve = np.full((len(log_risk), len(months)), np.nan)
    known = months <= baseline.last_month
    curve[:, known] = survival_at(
        torch.from_numpy(log_risk), baseline, torch.from_numpy(months[known])
    ).numpy()
    return curve


@dataclass(frozen=True)
class Calibration:
    """What turns a model's own risk into a log risk that means what it says, and that into a curve.

    A model that was shrunk says too little, one that fitted noise too much. By how much is seen on
    cross-fitted risks (each from a model that did not see the case), and only there.

    References:
        van Houwelingen (2000), Statistics in Medicine 19, 3401-3415.
    """

    slope: float
    """Never negative: risks that point the wrong way have found nothing."""
    baseline: Baseline

    @classmethod
    def fit(cls, crossed: Array, months: Array, event: NDArray[np.bool_]) -> tuple[Calibration, Array]:
        """From cross-fitted risks of training cases, (case,); also these, calibrated.

        Raises:
            ValueError: no case has an event.
        """
        slope = _slope(crossed, months, event)
        calibrated = slope * crossed
        baseline = breslow_baseline(
            torch.from_numpy(calibrated), torch.from_numpy(months), torch.from_numpy(event)
        )
        return cls(slope, baseline), calibrated

    def survival(self, log_risk: Array, months: Array) -> Array:
        """Chance to be free of the event, (case, time); NaN after the training cases' follow-up."""
        return survival_curve(log_risk, self.baseline, months)


def _slope(crossed: Array, months: Array, event: NDArray[np.bool_]) -> float:
    spread = float(crossed.std())
    if not spread > 0 or not event.any():
        return 1.0
    try:
        # A ridge around 1 is a ridge around 0 with the risk itself as offset.
        fit = fit_cox((crossed / spread)[:, None], months, event, ridge=SLOPE_PENALTY, offset=crossed)
    except CoxFailure:
        return 1.0
    return max(0.0, 1.0 + float(fit.coefficients[0]) / spread)
