"""Self-normalising layers: what enters with mean 0 and variance 1 leaves so, layer after layer.

References:
    Klambauer, Unterthiner, Mayr & Hochreiter (2017), Self-Normalizing Neural Networks, NeurIPS, arXiv:1706.02515.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.batch import Inputs, Tokens

LOWEST = -1.7580993408473766
"""What SELU goes to: where alpha dropout puts what it drops."""
LAYERS = 2


class AlphaDropout(nn.Module):
    """Dropout to SELU's lowest value, then a scale and a shift that bring mean and variance back.

    PyTorch's own is not drawn by a network's seed where several are trained side by side; this one is, by the usual
    dropout inside it.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.dropout = nn.Dropout(p)

    def forward(self, values: Tensor) -> Tensor:
        """Values, each at the lowest by the chance `p`; all then scaled and shifted. Unchanged outside training."""
        if not self.training or self.p == 0:
            return values
        kept = self.dropout(torch.ones_like(values)) > 0
        scale = ((1 - self.p) * (1 + self.p * LOWEST**2)) ** -0.5
        made: Tensor = scale * (torch.where(kept, values, LOWEST) - self.p * LOWEST)
        return made


class GroupLinear(nn.Module):
    """A linear layer for each group of genes: groups share no weights."""

    side_by_side = True

    def __init__(self, groups: int, features: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(groups, features, width) * features**-0.5)
        # Each group starts with a name of its own, or attention could not tell one without values from another.
        self.bias = nn.Parameter(torch.randn(groups, width) * 0.1)

    def forward(self, values: Float[Tensor, "case group feature"]) -> Float[Tensor, "case group width"]:
        """Each group by its own layer."""
        weight = self.weight.reshape(-1, *self.weight.shape[-3:])
        bias = self.bias.reshape(-1, 1, *self.bias.shape[-2:])
        grouped = values.unflatten(0, (len(weight), -1))
        return (torch.einsum("mcgf,mgfw->mcgw", grouped, weight) + bias).flatten(0, 1)


class GeneVector(nn.Module):
    """All genes of a case as one vector: two self-normalising layers over all groups end to end."""

    def __init__(self, inputs: Inputs, width: int, dropout: float) -> None:
        super().__init__()
        widths = [inputs.gene_groups * inputs.gene_features, *[width] * LAYERS]
        layers: list[nn.Module] = []
        for features, out in pairwise(widths):
            layers += [_normal(nn.Linear(features, out)), nn.SELU(), AlphaDropout(dropout)]
        self.layers = nn.Sequential(*layers)

    def forward(self, genes: Tokens) -> Float[Tensor, "case width"]:
        """The vector. An absent group counts as average; zero for a case without genes."""
        vector: Tensor = self.layers(_average_where_absent(genes).flatten(1))
        return vector * genes.case_present[:, None]


class GeneTokens(nn.Module):
    """A token for each group of genes, by two self-normalising layers of its own."""

    def __init__(self, inputs: Inputs, width: int, dropout: float) -> None:
        super().__init__()
        widths = [inputs.gene_features, *[width] * LAYERS]
        layers: list[nn.Module] = []
        for features, out in pairwise(widths):
            layers += [GroupLinear(inputs.gene_groups, features, out), nn.SELU(), AlphaDropout(dropout)]
        self.layers = nn.Sequential(*layers)

    def forward(self, genes: Tokens) -> Tokens:
        """The tokens; that of an absent group is what its layers make of an average patient."""
        return Tokens(self.layers(_average_where_absent(genes)), genes.present)


def _average_where_absent(genes: Tokens) -> Float[Tensor, "case group feature"]:
    """Features are standardised: 0 is the average."""
    return genes.values.masked_fill(~genes.present[..., None], 0.0)


def _normal(layer: nn.Linear) -> nn.Linear:
    """Weights as the paper draws them: variance 1 / inputs, no bias at first."""
    nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
    nn.init.zeros_(layer.bias)
    return layer
