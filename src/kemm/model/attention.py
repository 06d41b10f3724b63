"""KECM: knowledge-enhanced cross-modal attention. Knowledge asks, a modality answers."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kemm.model.batch import Bags, Tokens
from kemm.model.layers import Adapter
from kemm.model.pooling import looks, pool

VECTOR = 16
"""Tokens that the fused kernel takes at once on a processor; those left over it takes one by one, each as slowly as all
of these."""
COPY = 4
"""What a token costs that is copied, measured in tokens that one query looks at one by one."""


class KECM(nn.Module):
    """Evidence for each statement of knowledge, from the tokens of one modality.

        A = softmax(Q(LN K) Kᵀ(F) / sqrt(d_head))      per head; absent tokens get no attention
        E = K + A V(F), then a feed-forward block       what the modality shows about each statement

    Attention goes to few places in long, redundant modalities: the statements are few and the tokens
    many, so the cost is linear in the number of tokens.

    References:
        Zhao et al. (2025), LLM-driven Knowledge Enhancement for Multimodal Cancer Survival
        Prediction, arXiv:2512.14594. The paper gives no equations; these are this project's reading.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # a bias would cancel in the softmax
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = FeedForward(width, dropout)

    def forward(self, knowledge: Tokens, modality: Tokens) -> Tokens:
        """Evidence: one token a statement.

        A case without any token of the modality has no evidence: its tokens are absent.
        """
        value = split_heads(self.value(modality.values), self.heads)
        seen = attend(*self._query_and_key(knowledge, modality), value, modality.present)
        evidence = self.feed_forward(knowledge.values + self.dropout(self.out(seen)))
        return Tokens(evidence, knowledge.present & modality.case_present[:, None])

    def of_bags(self, knowledge: Tokens, adapter: Adapter, bags: Bags) -> Tokens:
        """The same evidence, from bags of patches that are adapted on the way (`pool`)."""
        pooled = pool(
            bags,
            *adapter.side_by_side(),
            self._folded(knowledge),
            kept=adapter.kept(len(bags)),
            linear=adapter.linear,
        )
        seen = through_heads(self.value.weight, self.value.bias, pooled.unflatten(1, (self.heads, -1)))
        evidence = self.feed_forward(knowledge.values + self.dropout(self.out(seen)))
        return Tokens(evidence, knowledge.present & bags.case_present[:, None])

    def looks_at_bags(
        self, knowledge: Tokens, adapter: Adapter, bags: Bags
    ) -> list[Float[Tensor, "query patch"]]:
        """The attention that `of_bags` pays, mean over heads, by case."""
        weight, bias = adapter.side_by_side()
        return looks(bags, weight, bias, self._folded(knowledge), heads=self.heads, linear=adapter.linear)

    def _folded(self, knowledge: Tokens) -> Float[Tensor, "case row width"]:
        """Queries that look at adapted tokens without a key for each, all heads below one another."""
        query = split_heads(self.query(self.norm(knowledge.values)), self.heads)
        folded = back_through_heads(self.key.weight, query) / math.sqrt(query.shape[-1])
        return folded.flatten(1, 2)

    def looks(self, knowledge: Tokens, modality: Tokens) -> Float[Tensor, "case query token"]:
        """The attention that `forward` pays, mean over heads: who looked at what."""
        query, key = self._query_and_key(knowledge, modality)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        return masked_softmax(scores, modality.present[:, None, None, :]).mean(dim=1)

    def _query_and_key(self, knowledge: Tokens, modality: Tokens) -> tuple[Tensor, Tensor]:
        return (
            split_heads(self.query(self.norm(knowledge.values)), self.heads),
            split_heads(self.key(modality.values), self.heads),
        )


class GatedEvidence(nn.Module):
    """Evidence that nobody asks for: all tokens of one modality pooled to one by gated attention.

    In place of KECM, to see what asking is worth; the feed-forward block behind it is the same.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.pooling = GatedPooling(width)
        self.feed_forward = FeedForward(width, dropout)

    def forward(self, modality: Tokens) -> Tokens:
        """Evidence: one token, absent where the case has none of the modality."""
        evidence = self.feed_forward(self.pooling(modality)[:, None])
        return Tokens(evidence, modality.case_present[:, None])

    def looks(self, modality: Tokens) -> Float[Tensor, "case 1 token"]:
        """The weight of each token in `forward`."""
        return self.pooling.weights(modality)[:, None]


class FeedForward(nn.Module):
    """The feed-forward block of a transformer layer, residual, norm first."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, values: Float[Tensor, "case token width"]) -> Float[Tensor, "case token width"]:
        """Values plus what the block makes of each token by itself."""
        updated: Tensor = values + self.block(values)
        return updated


class SelfAttention(nn.Module):
    """A transformer layer over all tokens of a case: where modalities meet."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = FeedForward(width, dropout)

    def forward(self, tokens: Tokens, first: int | None = None) -> Tokens:
        """The first tokens, or all, each with what it took from all others. Absent ones are not looked at."""
        query, key, value = (
            split_heads(part, self.heads) for part in self.project(self.norm(tokens.values)).chunk(3, dim=-1)
        )
        mixed = self.out(attend(query[:, :, :first], key, value, tokens.present))
        made = self.feed_forward(tokens.values[:, :first] + self.dropout(mixed))
        return Tokens(made, tokens.present[:, :first])


def back_through_heads(
    weight: Float[Tensor, "*member out width"], values: Float[Tensor, "case head query part"]
) -> Float[Tensor, "case head query width"]:
    """For each head, its part times the rows of the weight that made the part: (Wx)·v = x·(Wᵀv).

    Here and in `through_heads` a weight may have one more axis, for networks side by side, each with as many cases.
    """
    heads, part = values.shape[1], values.shape[3]
    weight = weight.reshape(-1, heads, part, weight.shape[-1])
    grouped = values.unflatten(0, (len(weight), -1))
    return torch.einsum("mchqp,mhpw->mchqw", grouped, weight).flatten(0, 1)


def through_heads(
    weight: Float[Tensor, "*member out width"],
    bias: Float[Tensor, "*member out"],
    values: Float[Tensor, "case head query width"],
) -> Float[Tensor, "case query width"]:
    """What a linear layer makes of each head's own values, heads side by side."""
    heads = values.shape[1]
    weight = weight.reshape(-1, heads, weight.shape[-2] // heads, weight.shape[-1])
    grouped = values.unflatten(0, (len(weight), -1))
    made = torch.einsum("mchqw,mhpw->mcqhp", grouped, weight).flatten(3)
    return (made + bias.reshape(len(weight), 1, 1, -1)).flatten(0, 1)


def split_heads(
    values: Float[Tensor, "case token width"], heads: int
) -> Float[Tensor, "case head token part"]:
    """A part of the width for each head."""
    cases, tokens, width = values.shape
    return values.view(cases, tokens, heads, width // heads).transpose(1, 2)


def attend(
    query: Float[Tensor, "case head query part"],
    key: Float[Tensor, "case head token part"],
    value: Float[Tensor, "case head token part"],
    present: Bool[Tensor, "case token"],
) -> Float[Tensor, "case query width"]:
    """What each query takes from the tokens that are present, heads side by side; zero where none is."""
    return attend_by_head(query, key, value, present).transpose(1, 2).flatten(2)


def attend_by_head(
    query: Float[Tensor, "case head query part"],
    key: Float[Tensor, "case head token part"],
    value: Float[Tensor, "case head token part"],
    present: Bool[Tensor, "case token"],
) -> Float[Tensor, "case head query part"]:
    """What each query takes from the tokens that are present, by head; zero where none is.

    The fused kernel never holds the whole attention matrix: memory does not grow with queries times tokens.
    """
    key, value, present = _in_whole_vectors(query.shape[2], key, value, present)
    lowest = torch.finfo(query.dtype).min
    bias = torch.zeros_like(present, dtype=query.dtype).masked_fill(~present, lowest)
    bias = bias[:, None, None, :].expand(-1, 1, query.shape[2], -1)
    seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    # Among tokens that are all absent the softmax is even; the case has seen nothing.
    return seen * present.any(dim=1)[:, None, None, None]


def _in_whole_vectors(
    queries: int,
    key: Float[Tensor, "case head token part"],
    value: Float[Tensor, "case head token part"],
    present: Bool[Tensor, "case token"],
) -> tuple[
    Float[Tensor, "case head filled part"],
    Float[Tensor, "case head filled part"],
    Bool[Tensor, "case filled"],
]:
    """The same with absent tokens behind, where a processor would spend more on tokens one by one than on the copy."""
    tokens = present.shape[1]
    over = tokens % VECTOR
    if key.device.type != "cpu" or queries * over <= COPY * tokens:
        return key, value, present
    pad, behind = nn.functional.pad, VECTOR - over
    return pad(key, (0, 0, 0, behind)), pad(value, (0, 0, 0, behind)), pad(present, (0, behind))


class GatedPooling(nn.Module):
    """One vector a case: a weighted mean of its tokens, the weights learned and gated.

    References:
        Ilse, Tomczak & Welling (2018), Attention-based Deep Multiple Instance Learning, eq. 9.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.content = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, tokens: Tokens) -> Float[Tensor, "case width"]:
        """The pooled vector; zero for a case with no token at all."""
        pooled: Tensor = (self.weights(tokens)[..., None] * tokens.values).sum(dim=1)
        return pooled

    def weights(self, tokens: Tokens) -> Float[Tensor, "case token"]:
        """The weight of each token: they add up to 1, or to 0 for a case with no token at all."""
        values = tokens.values
        score = self.score(torch.tanh(self.content(values)) * torch.sigmoid(self.gate(values)))
        return masked_softmax(score.squeeze(-1), tokens.present)


class OneToken(nn.Module):
    """What pooling comes to where a case has one token: the token, or zero where it is absent."""

    def forward(self, tokens: Tokens) -> Float[Tensor, "case width"]:
        """The only token."""
        return tokens.values[:, 0] * tokens.present[:, :1]


def masked_softmax(
    scores: Float[Tensor, "*row token"], present: Bool[Tensor, "*#row token"]
) -> Float[Tensor, "*row token"]:
    """Softmax over the last axis among what is present; all zero where nothing is."""
    scores = scores.masked_fill(~present, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=-1) * present
