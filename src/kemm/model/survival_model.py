"""What all networks have in common: branches that score a case, weighed and added to an offset, and a survival head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.batch import CaseBatch, Forecast
from kemm.model.heads import SurvivalHead


class SurvivalModel(nn.Module):
    """A network that forecasts survival.

    A subclass says in `branch_scores` what each of its branches makes of a case; most have one. The weights of
    branches and the level of the output are not trained by gradient: they are fitted on cases that the network was
    not trained on.

    A subclass is written for one network. Where its parameters are those of linear layers, layer norms and
    embeddings, or of modules marked `side_by_side`, networks of several folds and seeds are trained in one pass.
    """

    side_by_side = True
    """Own parameters and buffers take no part in `branch_scores`."""
    weights: Tensor
    usual: Tensor
    level: Tensor

    def __init__(self, branches: Sequence[str], head: SurvivalHead) -> None:
        super().__init__()
        self.branches = tuple(branches)
        self.head = head
        self.register_buffer("weights", torch.ones(len(self.branches)))
        self.register_buffer("usual", torch.zeros(len(self.branches), head.scores))
        self.register_buffer("level", torch.zeros(head.outputs))

    def branch_scores(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """What each branch says of each case, before it is weighed."""
        raise NotImplementedError

    def forward(self, batch: CaseBatch) -> Forecast:
        """The head's output, and the score of each branch."""
        scores = self.branch_scores(batch)
        return Forecast(self.combine(scores, batch.offset), scores)

    def combine(
        self,
        scores: Float[Tensor, "case branch score"],
        offset: Float[Tensor, " case"] | None,
    ) -> Float[Tensor, "case output"]:
        """The head's output from what each branch says of a case against its usual, weighed, and the offset."""
        weighed = (self.weights[:, None] * (scores - self.usual)).sum(dim=1)
        output: Tensor = self.head(weighed, offset) + self.level
        return output
