"""What is fitted on held-out cases rather than by gradient: what each branch is worth, and the level of the curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kemm.model.survival_model import SurvivalModel
from kemm.survival.cox_regression import CoxFailure, fit_cox

BRANCH_PENALTY = 10.0
"""Ridge on the weight of a branch, per deviation of its score: a tenth of the information in 100 events."""


@dataclass(frozen=True, eq=False)
class Held:
    """One network's cases that it was not trained on: what its branches say of them, and what happened."""

    model: SurvivalModel
    scores: Tensor
    """(case, branch, score)"""
    offset: Tensor | None
    months: Tensor
    event: Tensor

    def output(self) -> Tensor:
        """What the network as it stands forecasts for them."""
        with torch.inference_mode():
            return self.model.combine(self.scores, self.offset)

    def loss(self) -> float:
        """Summed over the cases."""
        with torch.inference_mode():
            return float(self.model.head.loss(self.output(), self.months, self.event)) * len(self.months)


def settle(held: Sequence[Held]) -> float:
    """Give all networks the branch weights and the level that fit their held-out cases; the mean loss of those cases.

    The loss that is returned is that of each network's cases with weights and level from the others': an epoch
    is not chosen by cases that its weights were fitted to. A single network is judged on what it was fitted to.
    """
    for one in held:
        one.model.usual.copy_(one.scores.mean(dim=0))
    total = 0.0
    for one in held:
        _settle([one], [other for other in held if other is not one] or held)
        total += one.loss()
    _settle(held, held)
    return total / sum(len(one.months) for one in held)


def _settle(those: Sequence[Held], by: Sequence[Held]) -> None:
    """Weights and level of `those`, fitted on the cases of `by`.

    Weights are a Cox model of the branches' scores on top of the offset, held near zero by `BRANCH_PENALTY`;
    none is negative. One set for all networks: a single one's held-out cases have too few events.
    """
    scores = torch.cat([(one.scores - one.model.usual).mean(dim=2) for one in by]).double().numpy()
    offsets = [torch.zeros(len(one.months)) if one.offset is None else one.offset for one in by]
    months, event = torch.cat([one.months for one in by]), torch.cat([one.event for one in by])
    weights = branch_weights(
        scores, torch.cat(offsets).double().numpy(), months.double().numpy(), event.numpy()
    )
    for one in {*those, *by}:
        one.model.weights.copy_(torch.from_numpy(weights))
        one.model.level.zero_()
    level = by[0].model.head.level(torch.cat([one.output() for one in by]), months, event)
    for one in those:
        one.model.level.copy_(level)


def branch_weights(
    scores: NDArray[np.float64],
    known: NDArray[np.float64],
    months: NDArray[np.float64],
    event: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """What each branch's score (case, branch) adds to the known log risk: 0 where nothing, at most 1."""
    spread = scores.std(axis=0)
    weights = np.zeros(scores.shape[1])
    use = np.flatnonzero(spread > 1e-6)
    while len(use):
        try:
            fit = fit_cox(scores[:, use] / spread[use], months, event, ridge=BRANCH_PENALTY, offset=known)
        except CoxFailure:
            break
        if (fit.coefficients >= 0).all():
            # At most 1: a branch that training left faint is not made loud on a few held-out cases.
            weights[use] = np.minimum(fit.coefficients / spread[use], 1.0)
            break
        use = use[fit.coefficients > 0]
    return weights
