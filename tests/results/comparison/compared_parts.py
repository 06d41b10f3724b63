"""Invented predictions of two models: one knows half of the truth, the other more of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kemm.results.predictions import FoldPart

GRID = np.arange(0.0, 121.0, 6.0)
HAZARD = 1 / 40


def parts_of(
    risk_of: Callable[[np.ndarray], np.ndarray], *, seed: int = 0, cases: int = 500, folds: int = 5
) -> list[FoldPart]:
    """Exponential event times with three features; `risk_of` is what a model makes of them."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(cases, 3))
    until_event = rng.exponential(np.exp(-true_risk(features)) / HAZARD)
    until_censored = rng.uniform(5, 130, size=cases)
    months, event = np.minimum(until_event, until_censored), until_event <= until_censored
    risk = risk_of(features)
    survival = np.exp(-HAZARD * GRID * np.exp(risk)[:, None])
    found = []
    for fold in range(folds):
        test = np.arange(cases) % folds == fold
        found.append(
            FoldPart(
                fold=fold,
                cases=tuple(f"case-{row:04d}" for row in np.flatnonzero(test)),
                months=months[test],
                event=event[test],
                risk=risk[test],
                high=risk[test] > 0,
                survival=survival[test],
                train_months=months[~test],
                train_event=event[~test],
            )
        )
    return found


def true_risk(features: np.ndarray) -> np.ndarray:
    return features @ np.array([0.7, 0.6, 0.0])


def half_the_truth(features: np.ndarray) -> np.ndarray:
    return 0.7 * features[:, 0]


def survival_at(part: FoldPart, month: float) -> np.ndarray:
    return np.array([np.interp(month, GRID, row) for row in part.survival])
