"""Trees with the Cox loss, by XGBoost: boosted ones, and a forest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kemm.core.errors import UsageError
from kemm.survival.cox_regression import log_partial_likelihood
from kemm.training.curves import Calibration
from kemm.training.linear import PARTS, View
from kemm.training.splits import inner_parts

if TYPE_CHECKING:
    import xgboost

Array = NDArray[np.float64]

MOST_ROUNDS = 500
PATIENCE = 40
"""Rounds in a row without a better score, after which boosting ends."""

_ALWAYS: Mapping[str, Any] = {
    "objective": "survival:cox",
    "base_score": 1.0,  # of hazard ratios: log risks begin at 0
    "tree_method": "hist",
    "nthread": 1,  # sums in one order: results repeat
    "verbosity": 0,
}
# Shallow and slow, each tree on part of the cases and columns: with about 100 events each split is unsure.
BOOSTED: Mapping[str, Any] = {
    "max_depth": 2,
    "eta": 0.05,
    "subsample": 0.7,
    "colsample_bytree": 0.6,
    "max_bin": 32,
    "min_child_weight": 3.0,  # expected events in a leaf
    "lambda": 5.0,
}
FOREST: Mapping[str, Any] = {
    "num_parallel_tree": 200,
    "max_depth": 4,
    "eta": 1.0,
    "subsample": 0.632,  # a bootstrap's share of distinct cases
    "colsample_bynode": 0.3,
    "max_bin": 16,  # deep trees cost their bins
    "min_child_weight": 8.0,
    "lambda": 1.0,
}


def require_xgboost() -> None:
    """Refuse trees where they cannot be grown.

    Raises:
        UsageError: XGBoost is not installed.
    """
    try:
        import xgboost  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "boosted trees and forests need the optional part: pip install 'kemm[trees]'"
        ) from error


@dataclass(frozen=True)
class Trees:
    """Trees on the features of all views; they learn where to send a case that lacks a view."""

    views: tuple[str, ...]
    booster: xgboost.Booster | None
    """None where nothing was learned."""
    rounds: int
    centre: float
    """Mean risk in training, by the trees themselves."""
    calibration: Calibration

    def log_risk(self, views: Mapping[str, View]) -> Array:
        """Log risk of each case, (case,); 0 for a case without any of the views."""
        values = _side_by_side(views, self.views)
        if self.booster is None:
            return np.zeros(len(values))
        margin = _margins(self.booster, _matrix(values), self.rounds) - self.centre
        known = np.any([views[name].present for name in self.views], axis=0)
        return np.where(known, self.calibration.slope * margin, 0.0)

    def survival(self, log_risk: Array, months: Array) -> Array:
        """Chance to be free of the event, (case, time); NaN after the training cases' follow-up."""
        return self.calibration.survival(log_risk, months)

    def about(self) -> dict[str, Any]:
        """How many rounds, and the slope."""
        return {"rounds": self.rounds, "slope": self.calibration.slope}


def fit_boosting(
    views: Mapping[str, View], months: Array, event: NDArray[np.bool_], seed: int
) -> tuple[Trees, Array]:
    """Gradient boosted trees of training cases; also the cross-fitted log risk of each of them, (case,).

    The number of rounds is the one with the best partial likelihood of inner parts, each by trees that
    did not see it. Cross-fitted risks are those of that cross-validation: only the number of rounds
    knows the case.

    Raises:
        UsageError: XGBoost is not installed.
        ValueError: no case has an event.

    References:
        Chen & Guestrin (2016), XGBoost, KDD, doi:10.1145/2939672.2939785.
    """
    return _fit(BOOSTED, MOST_ROUNDS, views, months, event, seed)


def fit_forest(
    views: Mapping[str, View], months: Array, event: NDArray[np.bool_], seed: int
) -> tuple[Trees, Array]:
    """A forest of relative-risk trees; otherwise as `fit_boosting`.

    Each tree is one Newton step of the Cox likelihood from equal risks, on a sample of cases and
    columns: it splits by the score of that likelihood and its leaves hold log risks, in the manner of
    LeBlanc & Crowley. A random survival forest it is not: that keeps a cumulative hazard in each leaf.
    It is dropped where it does worse on inner parts than equal risks.

    References:
        LeBlanc & Crowley (1992), Relative risk trees for censored survival data, Biometrics 48, 411-425.
    """
    return _fit(FOREST, 1, views, months, event, seed)


def _fit(
    kind: Mapping[str, Any],
    most: int,
    views: Mapping[str, View],
    months: Array,
    event: NDArray[np.bool_],
    seed: int,
) -> tuple[Trees, Array]:
    require_xgboost()
    names = tuple(views)
    rounds, booster, centre, crossed = 0, None, 0.0, np.zeros(len(months))
    if names and event.sum() > 1:
        settings = {**_ALWAYS, **kind, "seed": seed}
        values = _side_by_side(views, names)
        parts = [
            _Part(settings, values, months, event, held_out)
            for held_out in inner_parts(event, PARTS, seed)
            if len(held_out)
        ]
        rounds, risks = _best(parts, most)
        for part, risk in zip(parts, risks, strict=False):
            crossed[part.held_out] = risk
        if rounds:
            training = _matrix(values, _label(months, event))
            booster = _begun(settings, training)
            for turn in range(rounds):
                booster.update(training, turn)
            centre = float(_margins(booster, training, rounds).mean())
    calibration, crossed = Calibration.fit(crossed, months, event)
    return Trees(names, booster, rounds, centre, calibration), crossed


class _Part:
    """Trees of the cases outside a held-out part, and how they do on that part."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        values: Array,
        months: Array,
        event: NDArray[np.bool_],
        held_out: NDArray[np.int64],
    ) -> None:
        self.held_out = held_out
        rest = np.setdiff1d(np.arange(len(months)), held_out)
        self.training = _matrix(values[rest], _label(months[rest], event[rest]))
        self.unseen = _matrix(values[held_out])
        self.months, self.event = months[held_out], event[held_out]
        self.booster = _begun(settings, self.training, self.unseen)

    def grow(self, turn: int) -> tuple[float, Array]:
        """One round more: the log partial likelihood within the held-out part, and its log risks.

        Within it, for trees know the cases they grew on too well to compare others with them.
        """
        self.booster.update(self.training, turn)
        centre = _margins(self.booster, self.training, turn + 1).mean()
        risk = _margins(self.booster, self.unseen, turn + 1) - centre
        return self.score(risk), risk

    def score(self, risk: Array) -> float:
        """The log partial likelihood within the held-out part."""
        return log_partial_likelihood(risk, self.months, self.event) if self.event.any() else 0.0


def _best(parts: Sequence[_Part], most: int) -> tuple[int, list[Array]]:
    """How many rounds score best, perhaps none, and each part's risks there."""
    best, found = 0, [np.zeros(len(part.held_out)) for part in parts]
    score = sum(part.score(risk) for part, risk in zip(parts, found, strict=True))
    for turn in range(most):
        grown = [part.grow(turn) for part in parts]
        reached = sum(one for one, _ in grown)
        if reached > score:
            best, score, found = turn + 1, reached, [risk for _, risk in grown]
        elif turn + 1 - best >= PATIENCE:
            break
    return best, found


def _side_by_side(views: Mapping[str, View], names: Sequence[str]) -> Array:
    """(case, feature), NaN where a case lacks the view."""
    return np.concatenate(
        [np.where(views[name].present[:, None], views[name].values, np.nan) for name in names], axis=1
    )


def _label(months: Array, event: NDArray[np.bool_]) -> Array:
    """XGBoost's way to write an outcome: the time, negative where censored.

    Ranks stand for times: the likelihood knows no more of them, and a zero has no sign.
    """
    rank = np.unique(months, return_inverse=True)[1] + 1.0
    return np.where(event, rank, -rank)


def _matrix(values: Array, label: Array | None = None) -> xgboost.DMatrix:
    import xgboost

    return xgboost.DMatrix(values, label=label, missing=np.nan, nthread=1)


def _begun(settings: Mapping[str, Any], *known: xgboost.DMatrix) -> xgboost.Booster:
    """No tree yet. Predictions for `known` are kept from round to round."""
    import xgboost

    return xgboost.Booster(dict(settings), list(known))


def _margins(booster: xgboost.Booster, matrix: xgboost.DMatrix, rounds: int) -> Array:
    return np.asarray(
        booster.predict(matrix, output_margin=True, iteration_range=(0, rounds)), dtype=np.float64
    )
