"""Self-attention over many tokens by way of a few landmarks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kemm.model.attention import attend_by_head, masked_softmax, split_heads
from kemm.model.baselines.patches import CaseDropout
from kemm.model.batch import Tokens

INVERSION_STEPS = 6
"""As in the paper."""
MOST_TOKENS = 2**15
"""What a layer computes of more tokens, absent ones included, is not held at once, unless one case has them."""
KERNEL = 33
"""Tokens that the convolution of values spans."""
BLOCK = 32
"""Tokens that it is computed of at once; with as many more it reaches no further than the next block."""


class NystromAttention(nn.Module):
    """Self-attention by landmarks, residual, norm first; cost linear in the number of tokens.

    Tokens that are present come first, without gaps. As many landmarks as given, or as a case has tokens.

    References:
        Xiong et al. (2021), Nyströmformer: A Nyström-Based Algorithm for Approximating Self-Attention, AAAI.
    """

    def __init__(self, width: int, heads: int, landmarks: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.landmarks, self.steps = heads, landmarks, INVERSION_STEPS
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.nearby = NearbyValues(heads)
        self.out = nn.Linear(width, width)
        self.dropout = CaseDropout(dropout)

    def forward(self, tokens: Tokens, first: int | None = None) -> Tokens:
        """The first tokens, or all, each with what it took from all others. Absent ones are not looked at."""
        # Kept for the way back, what a layer computes of thousands of tokens would be most of a step's memory.
        members = self.nearby.weight.reshape(-1, self.heads, KERNEL).shape[0]
        mixed = made_again(partial(self._mixed, first), members, tokens.values, tokens.present)
        return Tokens(tokens.values[:, :first] + self.dropout(mixed), tokens.present[:, :first])

    def _mixed(
        self,
        first: int | None,
        values: Float[Tensor, "case token width"],
        present: Bool[Tensor, "case token"],
    ) -> Float[Tensor, "case first width"]:
        query, key, value = (
            split_heads(part, self.heads) for part in self.project(self.norm(values)).chunk(3, dim=-1)
        )
        seen = attend_by_landmarks(query, key, value, present, self.landmarks, self.steps, first=first)
        near = slice(None if first is None else first + KERNEL // 2)
        seen = seen + self.nearby(value[:, :, near] * present[:, None, near, None])[:, :, :first]
        mixed: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return mixed


def made_again(compute: Callable[..., Tensor], members: int, *given: Tensor) -> Tensor:
    """What is computed of cases. Of many tokens it is computed of some cases of each network at a time, and in training
    once more on the way back rather than kept. For what draws no noise, and looks at no other case."""
    if given[0].shape[:2].numel() <= MOST_TOKENS:
        made: Tensor = compute(*given)
        return made
    grouped = [one.unflatten(0, (members, -1)) for one in given]
    each = grouped[0].shape[1]
    step = max(1, MOST_TOKENS // (members * given[0].shape[1]))
    parts: list[Tensor] = []
    for start in range(0, each, step):
        some = [one[:, start : start + step].flatten(0, 1) for one in grouped]
        made = checkpoint(compute, *some, use_reentrant=False, preserve_rng_state=False)
        parts.append(made.unflatten(0, (members, -1)))
    return torch.cat(parts, dim=1).flatten(0, 1)


class NearbyValues(nn.Module):
    """Sums of the values of tokens nearby in their order, weighed by head."""

    side_by_side = True

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(heads, KERNEL).uniform_(-(KERNEL**-0.5), KERNEL**-0.5))

    def forward(self, value: Float[Tensor, "case head token part"]) -> Float[Tensor, "case head token part"]:
        """The sums; beyond the ends of a case is nothing, so absent values must be zero."""
        weight = self.weight.reshape(-1, *self.weight.shape[-2:])
        members, tokens = weight.shape[0], value.shape[2]
        # A kernel is a network's and a head's: it goes over rows of tokens, of each case and each part of a value.
        rows = value.unflatten(0, (members, -1)).permute(0, 2, 1, 4, 3)
        blocks = -(-tokens // BLOCK)
        behind = (blocks + 1) * BLOCK - tokens - KERNEL // 2
        rows = nn.functional.pad(rows, (KERNEL // 2, behind)).unflatten(-1, (blocks + 1, BLOCK))
        first, second = band(weight.flatten(0, 1)).split(BLOCK, dim=2)
        flat = rows.flatten(0, 1)
        summed = torch.baddbmm(
            flat[..., :-1, :].flatten(1, -2) @ first.mT, flat[..., 1:, :].flatten(1, -2), second.mT
        )
        back = summed.view(*rows.shape[:-2], blocks * BLOCK)[..., :tokens]
        nearby: Tensor = back.permute(0, 2, 1, 4, 3).flatten(0, 1)
        return nearby


def band(kernel: Float[Tensor, "row kernel"]) -> Float[Tensor, "row block twice"]:
    """Each kernel as a matrix that sums a block of tokens from two: a product is faster than a convolution.

    Row i is the kernel, i places further to the right.
    """
    one_more = nn.functional.pad(kernel, (0, 2 * BLOCK + 1 - KERNEL))
    # Rows one number longer than they are cut begin one place later each.
    made: Tensor = one_more.repeat(1, BLOCK)[:, : 2 * BLOCK**2].unflatten(1, (BLOCK, 2 * BLOCK))
    return made


def attend_by_landmarks(
    query: Float[Tensor, "case head token part"],
    key: Float[Tensor, "case head token part"],
    value: Float[Tensor, "case head token part"],
    present: Bool[Tensor, "case token"],
    landmarks: int,
    steps: int,
    *,
    first: int | None = None,
) -> Float[Tensor, "case head first part"]:
    """softmax(Q K̃ᵀ) pinv(softmax(Q̃ K̃ᵀ)) softmax(Q̃ Kᵀ) V, where Q̃ and K̃ are means of segments of tokens.

    Exact up to the pseudoinverse where each token is a landmark. Tokens that are present come first.

    Args:
        first: so many tokens' rows of it are asked for; by default all.
    """
    segment, there = segments(present, landmarks)
    share = segment.to(query.dtype)
    near_query, near_key = _means(share, query), _means(share, key)
    scores = near_query @ near_key.mT * query.shape[-1] ** -0.5
    between = masked_softmax(scores, there[:, None, None, :]) * there[:, None, :, None]
    from_tokens = attend_by_head(near_query, key, value, present)
    return attend_by_head(query[:, :, :first], near_key, pseudoinverse(between, steps) @ from_tokens, there)


def _means(
    share: Float[Tensor, "case landmark token"], values: Float[Tensor, "case head token part"]
) -> Float[Tensor, "case head landmark part"]:
    """All heads in one product: each alone would have a copy of the shares."""
    return split_heads(share @ values.transpose(1, 2).flatten(2), values.shape[1])


def segments(
    present: Bool[Tensor, "case token"], landmarks: int
) -> tuple[Float[Tensor, "case landmark token"], Bool[Tensor, "case landmark"]]:
    """The share of each token in each landmark, a mean of tokens that follow one another; and which landmarks are.

    By a case's own number of tokens: segments of a case do not depend on how far a batch is padded.
    """
    tokens = present.sum(dim=1)[:, None]
    count = tokens.clamp(max=landmarks)
    places = torch.arange(present.shape[1], device=present.device)
    numbers = torch.arange(landmarks, device=present.device)
    of = places * count // tokens.clamp(min=1)
    within = (of[:, None] == numbers[:, None]) & present[:, None]
    return within / within.sum(dim=2, keepdim=True).clamp(min=1), numbers < count


def pseudoinverse(matrix: Float[Tensor, "*batch n n"], steps: int) -> Float[Tensor, "*batch n n"]:
    """The Moore-Penrose inverse by iteration, each matrix from its own norms; rows and columns of zeros stay such.

    References:
        Razavi et al. (2014), A New Iterative Method for Finding Approximate Inverses of Complex Matrices,
        doi:10.1155/2014/563787, as Nyströmformer uses it.
    """
    absolute = matrix.abs()
    norms = absolute.sum(dim=-1).amax(dim=-1) * absolute.sum(dim=-2).amax(dim=-1)
    start = matrix.mT / norms.clamp(min=torch.finfo(matrix.dtype).tiny)[..., None, None]
    # The matrix with its sign changed: then all terms are added, and sums go into products.
    inverse, turned = start.flatten(0, -3), -matrix.flatten(0, -3)
    once = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    for _ in range(steps):
        product = turned @ inverse
        inner = torch.baddbmm(15 * once, product, product + 7 * once)
        inverse = inverse @ (torch.baddbmm(13 * once, product, inner) / 4)
    return inverse.view_as(matrix)
