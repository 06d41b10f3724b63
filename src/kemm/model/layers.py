"""Adapters that bring each modality to tokens of the model's width."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.batch import Bags, Tokens
from kemm.model.pooling import adapt


class Adapter(nn.Module):
    """Features of one token to the model's width, with an embedding of the token's kind if it has one."""

    def __init__(
        self, features: int, width: int, dropout: float, *, kinds: int = 0, linear: bool = False
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(features, width)
        self.linear = linear
        self.kind = nn.Embedding(kinds, width) if kinds else None
        if self.kind is not None:
            nn.init.normal_(self.kind.weight, std=0.02)

    def forward(self, tokens: Tokens) -> Tokens:
        """Tokens of the model's width."""
        values = self.project(self.dropout(tokens.values))
        if not self.linear:
            values = nn.functional.gelu(values)
        if self.kind is not None and tokens.kind is not None:
            values = values + self.kind(tokens.kind)
        return Tokens(values, tokens.present)

    def of_bags(self, bags: Bags) -> Tokens:
        """The same of bags of patches, padded to the largest; dropout is that of `kept`, however far they are padded."""
        return adapt(bags, *self.side_by_side(), kept=self.kept(len(bags)), linear=self.linear)

    @property
    def members(self) -> int:
        """Networks side by side."""
        return self.project.weight.shape[:-2].numel()

    def side_by_side(self) -> tuple[Float[Tensor, "member feature width"], Float[Tensor, "member width"]]:
        """Weight and bias of the projection, with an axis for networks side by side."""
        width, features = self.project.weight.shape[-2:]
        return self.project.weight.reshape(-1, width, features).mT, self.project.bias.reshape(-1, width)

    def kept(self, cases: int) -> Float[Tensor, "case feature"] | None:
        """What dropout makes of the features of each case's bag: the same of all its patches; None outside training.

        Patches of a case are much alike: what is dropped of one patch alone, the others tell. And one row a case
        costs nothing.
        """
        if not self.training or self.dropout.p == 0:
            return None
        weight = self.project.weight
        kept: Tensor = self.dropout(weight.new_ones(cases, weight.shape[-1]))
        return kept


class GroupAdapter(nn.Module):
    """One encoder a gene group: groups differ in what their features mean, so they share no weights."""

    side_by_side = True

    def __init__(self, groups: int, features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.weight = nn.Parameter(torch.empty(groups, features, width))
        self.bias = nn.Parameter(torch.zeros(groups, width))
        nn.init.normal_(self.weight, std=features**-0.5)
        # Each group starts with a name of its own, or attention could not tell one from another.
        nn.init.normal_(self.bias, std=0.1)

    def forward(self, tokens: Tokens) -> Tokens:
        """Tokens of the model's width, one a group."""
        weight, bias = (
            self.weight.reshape(-1, *self.weight.shape[-3:]),
            self.bias.reshape(-1, 1, *self.bias.shape[-2:]),
        )
        values = self.dropout(tokens.values).unflatten(0, (len(weight), -1))
        projected = (torch.einsum("mcgf,mgfw->mcgw", values, weight) + bias).flatten(0, 1)
        return Tokens(nn.functional.gelu(projected), tokens.present)


class LearnedQueries(nn.Module):
    """Queries that are learned rather than known: what attention does without knowledge."""

    side_by_side = True

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.randn(count, width) * 0.02)

    def forward(self, cases: int) -> Tokens:
        """The same queries for every case."""
        own = self.values.reshape(-1, *self.values.shape[-2:])
        values: Float[Tensor, "case query width"] = own.repeat_interleave(cases // len(own), dim=0)
        return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))
