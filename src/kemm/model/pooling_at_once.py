"""`pool` on a card: one attention over all bags, where one after another would keep it waiting for its next order.

The same numbers as `pooling`, up to rounding in bf16.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kemm.model.batch import Bags

MOST_WIDTH = 256
"""Of a head, in the attention that is used (Dao 2023, FlashAttention-2)."""


def fits(bags: Bags, weight: Float[Tensor, "member feature width"]) -> bool:
    """Whether bags are on a card that can, in bf16, and most of them are looked at by most members."""
    members, width = weight.shape[0], weight.shape[2]
    return (
        weight.device.type == "cuda"
        and bags.precision == torch.bfloat16
        and width % 8 == 0
        and width <= MOST_WIDTH
        and torch.cuda.get_device_capability(weight.device) >= (8, 0)
        and 2 * sum(bag >= 0 for bag in bags.cases) > members * len(bags.patches)
    )


def pool_at_once(
    bags: Bags,
    weight: Float[Tensor, "member feature width"],
    bias: Float[Tensor, "case width"],
    query: Float[Tensor, "case row width"],
    kept: Float[Tensor, "case feature"] | None,
    linear: bool,
) -> Float[Tensor, "case row width"]:
    """As `pool`, for features as given.

    Every bag goes through the adapters of all members: those that do not have it ask for nothing.
    """
    members, kind = weight.shape[0], bags.kind(weight)
    each = len(bags) // members
    case_of = [[-1] * members for _ in bags.patches]
    for case, bag in enumerate(bags.cases):
        if bag >= 0:
            case_of[bag][case // each] = case
    pooled = torch.zeros_like(query)
    groups = _groups(bags, case_of, members * weight.shape[2])
    for group in groups:
        table = torch.tensor([case_of[bag] for bag in group], device=query.device)
        there = (table >= 0)[..., None]
        at = table.clamp(min=0)
        given = (
            weight.to(kind),
            (bias[at] * there).to(kind),
            query[at] * there[..., None],
            None if kept is None else kept[at].to(kind),
        )
        patches = [bags.patches[bag] for bag in group]
        compute = partial(_pooled, patches, linear=linear)
        # What a group makes of its patches is kept for the way back; of several groups it would be too much.
        made = (
            compute(*given)
            if len(groups) == 1
            else checkpoint(compute, *given, use_reentrant=False, preserve_rng_state=False)
        )
        pairs = table.flatten() >= 0
        pooled = pooled.index_copy(0, table.flatten()[pairs], made.flatten(0, 1)[pairs].to(pooled.dtype))
    return pooled


def _groups(bags: Bags, case_of: list[list[int]], width: int) -> list[list[int]]:
    """Bags that hold a patch and that a case has, together as long as what becomes of them is within `Bags.keep`."""
    groups: list[list[int]] = []
    patches = 0
    for bag, length in enumerate(bags.lengths):
        if not length or max(case_of[bag]) < 0:
            continue
        if not groups or 2 * (patches + length) * width > bags.keep:
            groups.append([])
            patches = 0
        groups[-1].append(bag)
        patches += length
    return groups


def _pooled(
    patches: list[Tensor],
    weight: Float[Tensor, "member feature width"],
    bias: Float[Tensor, "bag member width"],
    query: Float[Tensor, "bag member row width"],
    kept: Float[Tensor, "bag member feature"] | None,
    *,
    linear: bool,
) -> Float[Tensor, "bag member row width"]:
    adapted: Tensor = _Adapt.apply(patches, weight, bias, kept)  # type: ignore[no-untyped-call]
    hidden = adapted if linear else nn.functional.gelu(adapted)
    count, members, rows, width = query.shape
    asked = query.transpose(1, 2).reshape(count * rows, members, width).to(hidden.dtype)
    lengths = [len(one) for one in patches]
    ends = torch.tensor([0, *lengths], device=query.device).cumsum(0).to(torch.int32)
    seen: Tensor = _Attended.apply(  # type: ignore[no-untyped-call]
        asked,
        hidden.view(-1, members, width),
        torch.arange(0, count * rows + 1, rows, dtype=torch.int32, device=query.device),
        ends,
        rows,
        max(lengths),
    )
    return seen.view(count, rows, members, width).transpose(1, 2)


def _flash(
    query: Tensor, hidden: Tensor, queries: Tensor, patches: Tensor, most_queries: int, most_patches: int
) -> tuple[Tensor, Tensor]:
    """Pooled patches, and the logarithm of what each softmax divided by.

    The queries and patches of each bag lie between two numbers of `queries` and of `patches`.
    """
    from torch.nn.attention.varlen import AuxRequest, varlen_attn

    bounds = queries, patches, most_queries, most_patches
    pooled, sums = varlen_attn(query, hidden, hidden, *bounds, return_aux=AuxRequest(lse=True))
    return pooled, sums


def _flash_back(
    gradient: Tensor,
    query: Tensor,
    hidden: Tensor,
    pooled: Tensor,
    sums: Tensor,
    queries: Tensor,
    patches: Tensor,
    most_queries: int,
    most_patches: int,
) -> tuple[Tensor, Tensor]:
    """The gradients of `_flash` to its queries and patches."""
    no_dropout = torch.zeros(2, dtype=torch.uint64, device=query.device), query.new_empty(0)
    to_query, to_key, to_value = torch.ops.aten._flash_attention_backward(
        gradient.contiguous(),
        query,
        hidden,
        hidden,
        pooled,
        sums,
        queries,
        patches,
        most_queries,
        most_patches,
        0.0,
        False,
        *no_dropout,
    )
    return to_query, to_key.add_(to_value)


class _Attended(torch.autograd.Function):
    """softmax(query hiddenᵀ) hidden of each bag. Its way back adds up in a fixed order: else the same seed would not
    give the same bytes. Torch has a setting of the whole process for that; so the way back is called in here, while
    it is on."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, hidden: Tensor, *bounds: Any) -> Tensor:
        # Scores will be divided by the root of the width; queries are to scale already.
        scale = math.sqrt(query.shape[-1])
        query = query * scale
        pooled, sums = _flash(query, hidden, *bounds)
        ctx.bounds, ctx.scale = bounds, scale
        ctx.save_for_backward(query, hidden, pooled, sums)
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        with _in_fixed_order():
            to_query, to_hidden = _flash_back(gradient, *ctx.saved_tensors, *ctx.bounds)
        return to_query * ctx.scale, to_hidden, *[None] * len(ctx.bounds)


@contextmanager
def _in_fixed_order() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filling = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # all of it is written to here
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
        memory.fill_uninitialized_memory = filling


class _Adapt(torch.autograd.Function):
    """Bags end to end, each through the adapters of all members: (patch, member times width) before gelu.

    Patches have no gradient.
    """

    @staticmethod
    def forward(ctx: Any, patches: list[Tensor], weight: Tensor, bias: Tensor, kept: Tensor | None) -> Tensor:
        by_feature = weight.transpose(0, 1)
        lengths = [len(one) for one in patches]
        made = bias.new_empty(sum(lengths), bias.shape[1] * bias.shape[2])
        for place, (bag, part) in enumerate(zip(patches, made.split(lengths), strict=True)):
            own = by_feature if kept is None else by_feature * kept[place].T[..., None]
            torch.addmm(bias[place].flatten(), bag.to(weight.dtype), own.reshape(len(own), -1), out=part)
        ctx.patches, ctx.lengths = patches, lengths
        ctx.save_for_backward(weight, kept)
        return made

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        weight, kept = ctx.saved_tensors
        members, features, width = weight.shape
        to_weight = torch.zeros(features, members, width, device=weight.device)
        to_bias = gradient.new_empty(len(ctx.patches), members, width)
        ones = gradient.new_ones(1, max(ctx.lengths))
        for place, (bag, part) in enumerate(zip(ctx.patches, gradient.split(ctx.lengths), strict=True)):
            made = (bag.to(part.dtype).T @ part).view(to_weight.shape)
            to_weight += made if kept is None else made * kept[place].T[..., None]
            torch.mm(ones[:, : len(bag)], part, out=to_bias[place].view(1, -1))
        return None, to_weight.transpose(0, 1).to(weight.dtype), to_bias, None
