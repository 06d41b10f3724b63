"""Patches of slides as the field's networks take them: a layer each, padded only once they are narrow."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.attention import GatedPooling
from kemm.model.batch import Bags, CaseBatch, Tokens
from kemm.model.by_length import scores_by_length
from kemm.model.pooling import adapt
from kemm.model.survival_model import SurvivalModel


class CaseDropout(nn.Module):
    """Dropout that drops the same numbers of all tokens of a case.

    Patches of a case are much alike: what is dropped of one alone, the others tell. And what is drawn does not depend
    on how far a batch is padded.
    """

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(chance)

    def forward(self, values: Float[Tensor, "case token width"]) -> Float[Tensor, "case token width"]:
        """The values, some zero, the others raised to make up for it."""
        if not self.training:
            return values
        kept: Tensor = self.dropout(values.new_ones(len(values), 1, values.shape[-1]))
        return values * kept


class PatchLayer(nn.Module):
    """The layer that all networks of patches begin with: linear, ReLU, dropout.

    Bag by bag, before anything is padded: patches are many times as wide as what becomes of them. Their mean and
    scale go into the weights.
    """

    def __init__(self, features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(features, width)
        self.dropout = CaseDropout(dropout)

    @property
    def members(self) -> int:
        """Networks side by side."""
        return self.project.weight.shape[:-2].numel()

    def forward(self, bags: Bags) -> Tokens:
        """Tokens of the networks' width; zero where there is no patch."""
        width, features = self.project.weight.shape[-2:]
        weight, bias = (
            self.project.weight.reshape(-1, width, features).mT,
            self.project.bias.reshape(-1, width),
        )
        projected = adapt(bags, weight, bias, linear=True)
        return Tokens(self.dropout(torch.relu(projected.values)), projected.present)


class PooledPatches(nn.Module):
    """A slide as one vector: the patch layer, then gated attention pooling (ABMIL)."""

    def __init__(self, features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.layer = PatchLayer(features, width, dropout)
        self.pooling = GatedPooling(width)

    def forward(self, bags: Bags) -> Float[Tensor, "case width"]:
        """The vector; zero for a case without slides."""
        vector: Tensor = self.pooling(self.layer(bags))
        return vector


class PatchNetwork(SurvivalModel):
    """A network that pads the tokens its patch layer makes: cases are predicted beside others of about their length.

    A subclass says in `scores_of` what each branch makes of a case, whatever it is batched with.
    """

    def branch_scores(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """What each branch says of each case, before it is weighed."""
        if self.training:
            return self.scores_of(batch)
        layer = next(module for module in self.modules() if isinstance(module, PatchLayer))
        return scores_by_length(self.scores_of, batch, layer.members)

    def scores_of(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """The same of cases that are padded to the longest."""
        raise NotImplementedError
