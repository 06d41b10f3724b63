"""The last layers of the field's networks."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.heads import SurvivalHead


def score_layer(width: int, head: SurvivalHead) -> nn.Linear:
    """From a vector to the head's score; zero at first, so that training starts at the head's baseline."""
    layer = nn.Linear(width, head.scores, bias=False)
    nn.init.zeros_(layer.weight)
    return layer


class JointScore(nn.Module):
    """Vectors side by side, one hidden layer, the score."""

    def __init__(self, features: int, width: int, dropout: float, head: SurvivalHead) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, width), nn.ReLU(), nn.Dropout(dropout), score_layer(width, head)
        )

    def forward(self, *vectors: Float[Tensor, "case _"]) -> Float[Tensor, "case 1 score"]:
        """The score of the only branch."""
        score: Tensor = self.layers(torch.cat(vectors, dim=1))
        return score[:, None]
