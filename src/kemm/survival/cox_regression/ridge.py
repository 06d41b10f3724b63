"""How much to penalise: the ridge with the best cross-validated likelihood."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from kemm.survival.cox_regression.fit import fit_cox_path
from kemm.survival.cox_regression.likelihood import CoxFailure, PartialLikelihood


@dataclass(frozen=True, kw_only=True, eq=False)
class RidgeChoice:
    """A ridge, and the scores it was chosen by."""

    ridge: float
    grid: Float[np.ndarray, " ridge"]
    """Ascending."""
    scores: Float[np.ndarray, " ridge"]
    """Cross-validated log partial likelihood, higher = better."""


def choose_ridge(
    features: Float[np.ndarray, "case feature"],
    months: Float[np.ndarray, " case"],
    event: Bool[np.ndarray, " case"],
    *,
    grid: Sequence[float] | Float[np.ndarray, " ridge"],
    folds: int = 5,
    seed: int,
    offset: Float[np.ndarray, " case"] | None = None,
    penalty_factors: Float[np.ndarray, " feature"] | None = None,
) -> RidgeChoice:
    """The ridge of the grid with the best cross-validated log partial likelihood.

    A left-out part is scored by what it adds to the likelihood of all: l(all) - l(without it), at
    the coefficients fitted without it. So even a part with a single event counts. The folds are
    balanced in events and depend on `seed` and the order of the cases.

    Raises:
        CoxFailure: fewer than two events, or no ridge can be fitted.

    References:
        Verweij & van Houwelingen (1993), Statistics in Medicine 12, doi:10.1002/sim.4780122407.
    """
    events = int(event.sum())
    if events < 2:
        raise CoxFailure(f"a ridge cannot be chosen by cross-validation on {events} events; 2 are needed")
    descending = np.sort(np.asarray(grid, dtype=float))[::-1]
    known = np.zeros(len(months)) if offset is None else offset
    everyone = PartialLikelihood(features, months, event, offset)
    part_of = _balanced_parts(event, folds, seed)
    scores = np.zeros(len(descending))
    for part in range(folds):
        kept = part_of != part
        fits = fit_cox_path(
            features[kept],
            months[kept],
            event[kept],
            ridges=descending,
            offset=known[kept],
            penalty_factors=penalty_factors,
        )
        scores += [everyone.value(fit.coefficients) - fit.log_likelihood for fit in fits]
    return RidgeChoice(
        ridge=float(descending[scores.argmax()]), grid=descending[::-1].copy(), scores=scores[::-1].copy()
    )


def _balanced_parts(event: Bool[np.ndarray, " case"], folds: int, seed: int) -> Int[np.ndarray, " case"]:
    """A part for each case; events and censored cases are each dealt out in turn."""
    if not 2 <= folds <= len(event):
        raise ValueError(f"{len(event)} cases cannot be divided into {folds} folds")
    shuffled = np.random.default_rng(seed).permutation(len(event))
    dealt = np.concatenate([shuffled[event[shuffled]], shuffled[~event[shuffled]]])
    parts = np.empty(len(event), dtype=np.int64)
    parts[dealt] = np.arange(len(event)) % folds
    return parts
