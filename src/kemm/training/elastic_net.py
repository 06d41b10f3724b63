"""A Cox model that keeps few of the features of all views together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kemm.survival.cox_regression import CoxFailure, ElasticNetPath, PartialLikelihood, penalty_grid
from kemm.training.curves import Calibration
from kemm.training.linear import PARTS, View
from kemm.training.splits import inner_parts

Array = NDArray[np.float64]

PATIENCE = 10
"""Penalties in a row without a better score, after which smaller ones are not tried: they cost most."""


@dataclass(frozen=True)
class Scaler:
    """A view at training scale. A case without the view gets the mean, 0."""

    mean: Array
    scale: Array

    @classmethod
    def fit(cls, view: View) -> Scaler:
        """Fit on the training cases that have the view."""
        width = view.values.shape[1]
        if not view.present.any():
            return cls(np.zeros(width), np.full(width, np.inf))
        values = view.values[view.present]
        mean, spread = values.mean(axis=0), values.std(axis=0)
        # Components keep their proportions, so that small ones are shrunk more; their mean variance is 1.
        common = spread if view.kind.each_column else np.full(width, np.sqrt((spread**2).mean()))
        return cls(mean, np.where(spread > 1e-9, common, np.inf))  # a constant feature weighs nothing

    def apply(self, view: View) -> Array:
        """(case, feature)"""
        scaled: Array = (view.values - self.mean) / self.scale
        return np.where(view.present[:, None], scaled, 0.0)


@dataclass(frozen=True)
class Design:
    """All views side by side."""

    scalers: Mapping[str, Scaler]

    @classmethod
    def fit(cls, views: Mapping[str, View]) -> Design:
        """Fit on training cases."""
        return cls({name: Scaler.fit(view) for name, view in views.items()})

    def apply(self, views: Mapping[str, View]) -> Array:
        """(case, feature)"""
        return np.concatenate([scaler.apply(views[name]) for name, scaler in self.scalers.items()], axis=1)

    @property
    def widths(self) -> dict[str, int]:
        """Features of each view, in their order."""
        return {name: len(scaler.mean) for name, scaler in self.scalers.items()}


@dataclass(frozen=True)
class ElasticNet:
    """A Cox model with an elastic-net penalty on the features of all views."""

    design: Design
    coefficients: Array
    """Of the design's columns."""
    penalty: float | None
    """None where nothing could be learned."""
    calibration: Calibration

    def log_risk(self, views: Mapping[str, View]) -> Array:
        """Log risk of each case, (case,); a view that a case lacks adds nothing."""
        risk: Array = self.design.apply(views) @ self.coefficients
        return self.calibration.slope * risk

    def survival(self, log_risk: Array, months: Array) -> Array:
        """Chance to be free of the event, (case, time); NaN after the training cases' follow-up."""
        return self.calibration.survival(log_risk, months)

    def about(self) -> dict[str, Any]:
        """The penalty, the slope, and of each view how many features were kept."""
        kept, start = {}, 0
        for name, width in self.design.widths.items():
            kept[name] = int(np.count_nonzero(self.coefficients[start : start + width]))
            start += width
        return {"penalty": self.penalty, "slope": self.calibration.slope, "kept": kept}


def fit_elastic_net(
    views: Mapping[str, View], months: Array, event: NDArray[np.bool_], seed: int
) -> tuple[ElasticNet, Array]:
    """Fit on training cases; also the cross-fitted log risk of each of them, (case,).

    The penalty is the one with the best (not: the largest within one standard error of the best)
    cross-validated partial likelihood. Cross-fitted risks are those of that cross-validation: from
    models that did not see the case, but at a penalty whose choice did, one number of all cases.
    Where nothing can be learned all risks are 0.

    Raises:
        ValueError: no case has an event.

    References:
        Verweij & van Houwelingen (1993), Statistics in Medicine 12, doi:10.1002/sim.4780122407.
    """
    design = Design.fit(views)
    coefficients, penalty = np.zeros(sum(design.widths.values())), None
    crossed = np.zeros(len(months))
    if len(coefficients) and event.sum() > 1:
        path = ElasticNetPath(design.apply(views), months, event)
        parts = [
            _Part(views, months, event, held_out)
            for held_out in inner_parts(event, PARTS, seed)
            if len(held_out)
        ]
        penalties = penalty_grid(path.largest_penalty) if path.largest_penalty > 0 else np.zeros(0)
        best, risks = _best(parts, penalties)
        try:
            for penalty in penalties[: best + 1].tolist():
                coefficients = path.fit(penalty).coefficients
        except CoxFailure:
            # Extreme outliers: what was fitted at the larger penalties stands.
            pass
        for part, risk in zip(parts, risks, strict=False):
            crossed[part.held_out] = risk
    calibration, crossed = Calibration.fit(crossed, months, event)
    return ElasticNet(design, coefficients, penalty, calibration), crossed


class _Part:
    """The path of the cases outside a held-out part, and how it does on that part."""

    def __init__(
        self,
        views: Mapping[str, View],
        months: Array,
        event: NDArray[np.bool_],
        held_out: NDArray[np.int64],
    ) -> None:
        self.held_out = held_out
        rest = np.setdiff1d(np.arange(len(months)), held_out)
        design = Design.fit({name: view.take(rest) for name, view in views.items()})
        features = design.apply(views)
        self.path = ElasticNetPath(features[rest], months[rest], event[rest])
        self.everyone = PartialLikelihood(features, months, event)
        self.features = features[held_out]

    def fit(self, penalty: float) -> tuple[float, Array]:
        """What the held-out part adds to the log partial likelihood of all, and its log risks."""
        fit = self.path.fit(penalty)
        return self.everyone.value(fit.coefficients) - fit.log_likelihood, fit.log_risk(self.features)


def _best(parts: Sequence[_Part], penalties: Array) -> tuple[int, list[Array]]:
    """The place of the penalty with the best score, the largest of equals, and each part's risks there."""
    best, score, found = -1, -np.inf, []
    for place, penalty in enumerate(penalties.tolist()):
        try:
            tried = [part.fit(penalty) for part in parts]
        except CoxFailure:
            break
        reached = sum(one for one, _ in tried)
        if reached > score:
            best, score, found = place, reached, [risk for _, risk in tried]
        elif place - best >= PATIENCE:
            break
    return best, found
