"""The layer that takes patches to a network's width, as the field's networks begin."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.attention import GatedPooling
from kemm.model.batch import Bags, Tokens


class PatchLayer(nn.Module):
    """Linear, ReLU, dropout.

    A bag is read once for all networks side by side, and its mean and scale go into the weights: what is padded has the
    network's width, not the encoder's. Dropout takes the same numbers from all patches of a case (as
    `Adapter.kept` does, and for its reasons), so that what it draws does not depend on padding.
    """

    def __init__(self, features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(features, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, bags: Bags) -> Tokens:
        """The patches of each case, padded."""
        width, features = self.project.weight.shape[-2:]
        weight = self.project.weight.reshape(-1, width, features)
        bias = self.project.bias.reshape(-1, width)
        if bags.mean is not None and bags.scale is not None:
            weight = weight / bags.scale[:, None]
            bias = bias - torch.einsum("mf,mwf->mw", bags.mean.expand(len(weight), -1), weight)
        each, longest = len(bags) // len(weight), max(1, *bags.lengths)
        cases_of: dict[int, list[int]] = {}
        for case, bag in enumerate(bags.cases):
            if bag >= 0:
                cases_of.setdefault(bag, []).append(case)
        nothing = weight.new_zeros(longest, width)
        rows, lengths = [nothing] * len(bags), [0] * len(bags)
        for bag, cases in cases_of.items():
            own = weight[[case // each for case in cases]].flatten(0, 1)
            padding = (0, 0, 0, longest - len(bags.patches[bag]))
            for case, seen in zip(cases, _product(bags, bag, own).chunk(len(cases), dim=1), strict=True):
                rows[case] = nn.functional.pad(seen, padding)
                lengths[case] = len(seen)
        values = torch.stack(rows) + bias.repeat_interleave(each, dim=0)[:, None]
        kept = self.dropout(values.new_ones(len(bags), 1, width))
        place = torch.arange(longest, device=values.device)
        present = place < torch.tensor(lengths, device=values.device)[:, None]
        return Tokens(nn.functional.relu(values) * kept, present)


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


def _product(bags: Bags, bag: int, weight: Tensor) -> Tensor:
    """A bag times the weights of all its cases, in the precision bags ask for."""
    patches = bags.patches[bag].to(weight.dtype)
    if bags.precision == torch.bfloat16:
        return (patches.bfloat16() @ weight.bfloat16().T).to(weight.dtype)
    return patches @ weight.T
