"""Linear survival models: a ridge Cox for each view of a case, and their stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kemm.survival.cox import Baseline, breslow_baseline
from kemm.survival.cox_regression import CoxFailure, fit_cox
from kemm.training.curves import survival_curve
from kemm.training.splits import inner_parts

Array = NDArray[np.float64]

PARTS = 5
"""Parts of a training set for cross-fitting."""
STACK_PENALTY = 100.0
"""How firmly the weights of a stack are held near their prior: about the information in 100 events."""


@dataclass(frozen=True, kw_only=True)
class ViewKind:
    """How a view is brought to scale, how hard its coefficients are shrunk, and what weight it is expected to earn."""

    ridge: float
    """Penalty 0.5 * ridge * |coefficients|² against the summed log partial likelihood."""
    each_column: bool
    """Scale each column to deviation 1 (a few covariates that are all plausible), or all by one number so that the total
    variance is 1 (many components, of which the small ones are mostly noise)."""
    prior_weight: float
    """Expected weight in a stack, per standard deviation of log risk."""


# The numbers were settled on cross-validation within BRCA, LUAD and KIRC, and moved C little (LOG.md).
COVARIATES = ViewKind(ridge=10.0, each_column=True, prior_weight=0.8)
TEXT = ViewKind(ridge=3.0, each_column=False, prior_weight=0.5)
FIELDS_STATED = ViewKind(ridge=10.0, each_column=True, prior_weight=0.2)
GENES = ViewKind(ridge=1.0, each_column=False, prior_weight=0.3)
SLIDES = ViewKind(ridge=3.0, each_column=False, prior_weight=0.3)


@dataclass(frozen=True)
class View:
    """One linear view of cases: features, and which cases have it. Rows without it are ignored."""

    values: Array
    """(case, feature)"""
    present: NDArray[np.bool_]
    """(case,)"""
    kind: ViewKind

    def take(self, rows: NDArray[np.int64]) -> View:
        """Some of the cases."""
        return View(self.values[rows], self.present[rows], self.kind)


@dataclass(frozen=True)
class RidgeCox:
    """A Cox model with a ridge penalty on one view; a case without the view gets the mean risk, 0."""

    mean: Array
    scale: Array
    coefficients: Array

    @classmethod
    def fit(cls, view: View, months: Array, event: NDArray[np.bool_]) -> RidgeCox:
        """Fit on training cases.

        Where nothing can be learned (no event among the cases that have the view, no feature that varies) all
        risks are 0.
        """
        rows = np.flatnonzero(view.present)
        width = view.values.shape[1]
        if not len(rows) or not event[rows].any():
            return cls(np.zeros(width), np.ones(width), np.zeros(width))
        values = view.values[rows]
        mean, spread = values.mean(axis=0), values.std(axis=0)
        if not view.kind.each_column:
            spread = np.full(width, np.sqrt((spread**2).sum()))
        scale = np.where(spread > 1e-9, spread, np.inf)  # a constant feature weighs nothing
        try:
            fit = fit_cox((values - mean) / scale, months[rows], event[rows], ridge=view.kind.ridge)
        except CoxFailure:
            return cls(mean, scale, np.zeros(width))
        return cls(mean, scale, np.asarray(fit.coefficients))

    def log_risk(self, view: View) -> Array:
        """Log risk of each case, (case,); higher = worse."""
        risk: Array = ((view.values - self.mean) / self.scale) @ self.coefficients
        return np.where(view.present, risk, 0.0)


@dataclass(frozen=True)
class FittedView:
    """A view of the training cases with its model, and the log risk of each from models that did not see it."""

    view: View
    model: RidgeCox
    crossed: Array

    @classmethod
    def fit(cls, view: View, months: Array, event: NDArray[np.bool_], seed: int) -> FittedView:
        """Fit on training cases."""
        return cls(view, RidgeCox.fit(view, months, event), cross_fit(view, months, event, seed))


@dataclass(frozen=True)
class Stack:
    """Views joined late: each has its own ridge Cox, and a Cox model weighs their log risks.

    The weights are fitted on log risks that were cross-fitted (each from models that did not see the
    case), else a view with many features would look better than it is. They are held near their prior,
    and none is negative: a view that points the wrong way has found nothing.

    References:
        Breiman (1996), Stacked regressions, Machine Learning 24.
    """

    models: Mapping[str, RidgeCox]
    scales: Mapping[str, float]
    """Standard deviation of each view's log risk in training."""
    weights: Mapping[str, float]
    baseline: Baseline

    @classmethod
    def fit(
        cls, views: Mapping[str, View], months: Array, event: NDArray[np.bool_], seed: int
    ) -> tuple[Stack, dict[str, Array]]:
        """The stack, and what each view adds to the cross-fitted log risk of each training case, (case,)."""
        fitted = {name: FittedView.fit(view, months, event, seed) for name, view in views.items()}
        return cls.of(fitted, months, event)

    @classmethod
    def of(
        cls, views: Mapping[str, FittedView], months: Array, event: NDArray[np.bool_]
    ) -> tuple[Stack, dict[str, Array]]:
        """As `fit`, of views that were fitted on the same cases before."""
        scales = {name: _spread(one.crossed, one.view) for name, one in views.items()}
        columns = (
            np.stack([one.crossed / scales[name] for name, one in views.items()], axis=1)
            if views
            else np.zeros((len(months), 0))
        )
        prior = np.array([one.view.kind.prior_weight for one in views.values()])
        weights = _weights(columns, prior, months, event)
        stacked: Array = columns @ weights
        baseline = breslow_baseline(
            torch.from_numpy(stacked), torch.from_numpy(months), torch.from_numpy(event)
        )
        models = {name: one.model for name, one in views.items()}
        # The whole fit's risks spread wider than cross-fitted ones; a unit of each is a unit of its own.
        whole = {name: _spread(one.model.log_risk(one.view), one.view) for name, one in views.items()}
        parts = {name: columns[:, place] * weights[place] for place, name in enumerate(views)}
        return cls(models, whole, dict(zip(views, weights.tolist(), strict=True)), baseline), parts

    def log_risk(self, views: Mapping[str, View]) -> Array:
        """Log risk of each case, (case,); a view that a case lacks adds nothing."""
        cases = len(next(iter(views.values())).present)
        total = np.zeros(cases)
        for name in self.models:
            total += self.part(name, views[name])
        return total

    def part(self, name: str, view: View) -> Array:
        """What one view adds to the log risk."""
        return self.models[name].log_risk(view) / self.scales[name] * self.weights[name]

    def survival(self, log_risk: Array, months: Array) -> Array:
        """Chance to be free of the event, (case, time); NaN after the training cases' follow-up."""
        return survival_curve(log_risk, self.baseline, months)

    def about(self) -> dict[str, Any]:
        """The weights, as JSON."""
        return {"weights": dict(self.weights)}


def _spread(risk: Array, view: View) -> float:
    return float(risk[view.present].std()) or 1.0 if view.present.any() else 1.0


def _weights(columns: Array, prior: Array, months: Array, event: NDArray[np.bool_]) -> Array:
    """Weights of the columns: Cox, penalised by their distance from the prior."""
    if not columns.shape[1]:
        return np.zeros(0)
    try:
        # A ridge around the prior is a ridge around 0 with the prior's risk as offset.
        fit = fit_cox(columns, months, event, ridge=STACK_PENALTY, offset=columns @ prior)
    except CoxFailure:
        return prior
    weights: Array = np.maximum(prior + fit.coefficients, 0.0)
    return weights


def cross_fit(view: View, months: Array, event: NDArray[np.bool_], seed: int) -> Array:
    """Log risk of each case from a model fitted on the other parts of the same cases."""
    risk = np.zeros(len(months))
    for held_out in inner_parts(event, PARTS, seed):
        rest = np.setdiff1d(np.arange(len(months)), held_out)
        model = RidgeCox.fit(view.take(rest), months[rest], event[rest])
        risk[held_out] = model.log_risk(view.take(held_out))
    return risk
