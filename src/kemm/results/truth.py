"""Synthetic cohorts only: how close the models came to what was planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kemm.results import records
from kemm.results.predictions import Predictions
from kemm.survival.metrics import combined_concordance, count_pairs
from kemm.training.comparators import ModelSpec

SURE = 1.96
"""Standard errors that an estimate must lie from zero to count as found."""
ALL_PATCHES = "all patches"
FEWEST_CASES = 10


def compare_with_truth(
    predictions: Predictions,
    models: Sequence[ModelSpec],
    truth: Mapping[str, float],
    planted: Sequence[records.PlantedSignal],
) -> records.Truth:
    """How close each model's risk is to the planted log hazard: Spearman correlation, mean over folds."""
    from scipy.stats import spearmanr

    correlation, pairs = {}, []
    for spec in models:
        values = []
        for part in predictions.parts(spec.name):
            true = np.array([truth[case] for case in part.cases])
            if np.ptp(part.risk) > 0:
                values.append(float(spearmanr(part.risk, true).statistic))
            if spec == models[-1]:
                pairs.append(count_pairs(part.months, part.event, true))
        if values:
            correlation[spec.name] = float(np.mean(values))
    return records.Truth(true_c=combined_concordance(pairs).c, correlation=correlation, planted=list(planted))


def planted_signal(
    signal: Mapping[str, Any],
    values: Mapping[str, float],
    effects: Sequence[Mapping[str, Any]],
    noise: Sequence[str] = (),
) -> records.PlantedSignal:
    """One planted signal beside what the model makes of it in cases it was not trained on.

    `values`: what was planted, by case. `effects`: change of each case's log risk by each thing (`Effect`). The
    estimate is the slope of the first in the second: how much the model's log risk rises by that thing for one
    standard deviation of what was planted. A patch has no name of its own: of slides, all patches count together.
    `noise`: things of the same modality where nothing was planted; what is found has to move the risk more.
    """
    name = ALL_PATCHES if signal["modality"] == "slides" else signal["token"]
    mine = [one for one in effects if (one["modality"], one["name"]) == (signal["modality"], name)]
    spread = float(np.std(list(values.values())))
    estimate = error = None
    if len(mine) >= FEWEST_CASES and spread > 0:
        x = np.array([values[one["case"]] for one in mine]) / spread
        y = np.array([one["effect"] for one in mine])
        x, y = x - x.mean(), y - y.mean()
        if (square := float((x**2).sum())) > 0:
            estimate = float((x * y).sum()) / square
            error = float(np.sqrt(((y - estimate * x) ** 2).sum() / (len(x) - 2) / square))
    loudest = max((_strength(effects, signal["modality"], token) for token in noise), default=0.0)
    return records.PlantedSignal(
        name=signal["name"],
        modality=signal["modality"],
        true_effect=signal["true_effect"],
        estimated_effect=estimate,
        error=error,
        found=estimate is not None
        and error is not None
        and estimate * signal["true_effect"] > 0
        and abs(estimate) > SURE * error
        and _strength(effects, signal["modality"], name) > loudest,
    )


def _strength(effects: Sequence[Mapping[str, Any]], modality: str, name: str) -> float:
    """How much a thing moves the risk, from one case to another."""
    mine = [one["effect"] for one in effects if (one["modality"], one["name"]) == (modality, name)]
    return float(np.std(mine)) if mine else 0.0
