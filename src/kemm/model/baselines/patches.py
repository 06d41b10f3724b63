"""Patches of slides as the field's networks take them: a layer each, padded only once they are narrow."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.attention import GatedPooling
from kemm.model.batch import Bags, Tokens


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

    def forward(self, bags: Bags) -> Tokens:
        """Tokens of the networks' width; zero where there is no patch."""
        width, features = self.project.weight.shape[-2:]
        weight = self.project.weight.reshape(-1, width, features)
        bias = self.project.bias.reshape(-1, width)
        if bags.mean is not None and bags.scale is not None:
            weight = weight / bags.scale[:, None]
            bias = bias - torch.einsum("mf,mwf->mw", bags.mean.expand(len(weight), -1), weight)
        precision = torch.bfloat16 if bags.precision == torch.bfloat16 else weight.dtype
        weight = weight.to(precision)
        cases, longest = bags.cases, max(1, *bags.lengths)
        each = len(cases) // len(weight)
        of: dict[int, list[int]] = {}
        for case, bag in enumerate(cases):
            if bag >= 0:
                of.setdefault(bag, []).append(case)
        made = [bias.new_zeros(longest, width)] * len(cases)
        for bag, some in of.items():
            patches = bags.patches[bag].to(precision)
            # Each bag once for all networks that look at it.
            members = [case // each for case in some]
            products = (patches @ weight[members].flatten(0, 1).T).to(bias.dtype).split(width, dim=1)
            for case, member, product in zip(some, members, products, strict=True):
                values = torch.relu(product + bias[member])
                made[case] = nn.functional.pad(values, (0, 0, 0, longest - len(patches)))
        return Tokens(self.dropout(torch.stack(made)), present(bags))


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


def present(bags: Bags) -> Tensor:
    """Where a case has a patch, (case, patch), padded to the largest bag."""
    lengths = [bags.lengths[bag] if bag >= 0 else 0 for bag in bags.cases]
    device = bags.patches[0].device
    places = torch.arange(max(1, *bags.lengths), device=device)
    return places < torch.tensor(lengths, device=device)[:, None]
