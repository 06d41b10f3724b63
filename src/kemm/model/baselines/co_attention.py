"""Co-attention: tokens of one modality ask, tokens of the other answer."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.attention import attend, masked_softmax, split_heads
from kemm.model.batch import Tokens


class CoAttention(nn.Module):
    """softmax(Q(asking) Kᵀ(asked) / sqrt(d_head)) V(asked): a token for each that asks, made of what it saw."""

    def __init__(self, width: int, heads: int = 1) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # a bias would cancel in the softmax
        self.value = nn.Linear(width, width)

    def forward(self, asking: Tokens, asked: Tokens) -> Tokens:
        """What each that asks saw; absent where nobody answers."""
        value = split_heads(self.value(asked.values), self.heads)
        seen = attend(*self._query_and_key(asking, asked), value, asked.present)
        return Tokens(seen, asking.present & asked.case_present[:, None])

    def looks(self, asking: Tokens, asked: Tokens) -> Float[Tensor, "case query token"]:
        """The attention that `forward` pays, mean over heads."""
        query, key = self._query_and_key(asking, asked)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        return masked_softmax(scores, asked.present[:, None, None, :]).mean(dim=1)

    def _query_and_key(self, asking: Tokens, asked: Tokens) -> tuple[Tensor, Tensor]:
        query, key = self.query(asking.values), self.key(asked.values)
        return split_heads(query, self.heads), split_heads(key, self.heads)


def askers(genes: Tokens) -> Tokens:
    """The gene groups that ask: those present; of a case without genes all, as an average patient's.

    Else nobody would look at the slides of a case without genes.
    """
    return Tokens(genes.values, genes.present | ~genes.case_present[:, None])
