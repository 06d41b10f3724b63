"""What attention pools from bags of patches, without a product for each patch that queries could take instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.batch import Bags

LARGEST_SCORES = 2**25
"""Scores that are held at once: rows of queries that look at one bag are taken in groups below it."""
LARGEST_ADAPTED = 2**25
"""Numbers that a bag becomes by way of adapters at once."""
LARGEST_KEPT = 2**29
"""Bytes that a step keeps of adapted patches for its way back; beyond it they are made again there."""


def pool(
    bags: Bags,
    weight: Float[Tensor, "member feature width"],
    bias: Float[Tensor, "member width"],
    query: Float[Tensor, "case row width"],
    *,
    kept: Float[Tensor, "case feature"] | None = None,
    linear: bool = False,
) -> Float[Tensor, "case row width"]:
    """softmax(query hᵀ) h of each case, where h = gelu(patches weight + bias) are its adapted patches.

    Queries are few and patches many. With keys and values folded into the queries and into what is pooled
    (`KECM`), the adapter is all that is left to do for each patch; and if it is linear, not even that: it goes
    into queries and pooled patches too. Zero for a case without patches.

    Args:
        bags: features; their mean and scale are folded into the weights here.
        query: rows of queries, all heads, scaled.
        kept: what dropout makes of a case's features, the same for all its patches.
        linear: h without gelu.

    The members' cases follow one another, as many of each.
    """
    members = weight.shape[0]
    each = len(bags) // members
    if bags.mean is not None and bags.scale is not None:
        weight = weight / bags.scale[..., None]
        shift = bags.mean.expand(members, -1)
        if kept is None:
            bias = bias - torch.einsum("mf,mfw->mw", shift, weight)
        else:
            shifted = kept.view(members, each, -1) * shift[:, None]
            bias = bias[:, None] - torch.einsum("mcf,mfw->mcw", shifted, weight)
    rows = (bias if bias.ndim == 3 else bias[:, None].expand(-1, each, -1)).reshape(len(bags), -1)
    features, width, asked = weight.shape[1], weight.shape[2], query.shape[1]
    # Operations a patch: through the adapter, then scores and sums at its width; or both at the features' width.
    if linear and 2 * asked * features < features * width + 2 * asked * width:
        own = weight.repeat_interleave(each, dim=0)
        if kept is not None:
            own = own * kept[..., None]
        seen = _Look.apply(bags, query @ own.transpose(1, 2))  # type: ignore[no-untyped-call]
        there = bags.case_present[:, None, None]
        folded: Tensor = (seen @ own + rows[:, None]) * there
        return folded
    pooled: Tensor = _Pool.apply(bags, weight, rows, query, kept, linear)  # type: ignore[no-untyped-call]
    return pooled


def looks(
    bags: Bags,
    weight: Float[Tensor, "member feature width"],
    bias: Float[Tensor, "member width"],
    query: Float[Tensor, "case row width"],
    *,
    heads: int,
    linear: bool = False,
) -> list[Float[Tensor, "query patch"]]:
    """The attention that `pool` pays, mean over heads, by case. No gradient."""
    members = weight.shape[0]
    if bags.mean is not None and bags.scale is not None:
        weight = weight / bags.scale[..., None]
        bias = bias - torch.einsum("mf,mfw->mw", bags.mean.expand(members, -1), weight)
    found = []
    for case, bag in enumerate(bags.cases):
        patches = bags.patches[bag] if bag >= 0 else bags.patches[0][:0]
        member = case * members // len(bags)
        adapted = torch.addmm(bias[member], patches.to(weight.dtype), weight[member])
        attention = (query[case] @ (adapted if linear else nn.functional.gelu(adapted)).T).softmax(dim=-1)
        found.append(attention.unflatten(0, (heads, -1)).mean(dim=0))
    return found


def _of_bags(bags: Bags, members: int, width: int = 0) -> list[tuple[int, list[int], list[int]]]:
    """(bag, its cases, the member of each), of bags that hold a patch and that a case has.

    A bag too large for the adapters of all its cases at once comes more than once.
    """
    cases: dict[int, list[int]] = {}
    for case, bag in enumerate(bags.cases):
        if bag >= 0 and len(bags.patches[bag]):
            cases.setdefault(bag, []).append(case)
    each = len(bags) // members
    found = []
    for bag, of in sorted(cases.items()):
        step = max(1, LARGEST_ADAPTED // max(1, width * len(bags.patches[bag])))
        for start in range(0, len(of), step):
            some = of[start : start + step]
            found.append((bag, some, [case // each for case in some]))
    return found


class _Pool(torch.autograd.Function):
    """Bag by bag, for all members that have the bag; the backward is written out, as features need no gradient.

    Kept for it, as far as memory allows: what the adapter gives before its gelu, and the attention.
    """

    @staticmethod
    def forward(
        ctx: Any,
        bags: Bags,
        weight: Tensor,
        bias: Tensor,
        query: Tensor,
        kept: Tensor | None,
        linear: bool,
    ) -> Tensor:
        kind = _kind(bags, weight)
        plan = _of_bags(bags, weight.shape[0], weight.shape[2])
        pooled = torch.zeros_like(query)
        before: list[Tensor] = []
        kept_bytes, ctx.kept_bags = 0, 0
        for bag, cases, members in plan:
            patches = _patches(bags, bag, kind)
            adapted = _adapted(patches, weight, bias, kept, cases, members)
            hidden = adapted if linear else nn.functional.gelu(adapted)
            looked: list[Tensor] = []
            for part, case in zip(_parts(hidden, len(cases)), cases, strict=True):
                attention = _attention(query[case].to(kind), part)
                pooled[case] = (attention @ part).to(query.dtype)
                looked.append(attention)
            kept_bytes += adapted.nbytes + sum(one.nbytes for one in looked)
            if kept_bytes <= LARGEST_KEPT:
                before += [adapted, *looked]
                ctx.kept_bags += 1
        ctx.bags, ctx.plan, ctx.linear = bags, plan, linear
        ctx.save_for_backward(weight, bias, query, pooled, kept, *before)
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        weight, bias, query, pooled, kept, *before = ctx.saved_tensors
        bags, kind = ctx.bags, _kind(ctx.bags, weight)
        to_weight, to_bias = torch.zeros_like(weight), weight.new_zeros(len(bags), weight.shape[2])
        to_query = torch.zeros_like(query)
        for place, (bag, cases, members) in enumerate(ctx.plan):
            patches = _patches(bags, bag, kind)
            known = place < ctx.kept_bags
            adapted = before.pop(0) if known else _adapted(patches, weight, bias, kept, cases, members)
            hidden = adapted if ctx.linear else nn.functional.gelu(adapted)
            to_hidden = torch.empty_like(hidden)
            parts = _parts(hidden, len(cases)), _parts(to_hidden, len(cases))
            for part, to_part, case in zip(*parts, cases, strict=True):
                asks, back = query[case].to(kind), gradient[case].to(kind)
                rounded = before.pop(0) if known else _attention(asks, part)
                attention, scores = _full(rounded), _full(back @ part.T)
                if kind == torch.bfloat16:
                    # What a softmax takes away must be of the rounded gradient, or it does not cancel.
                    correction = (attention * scores).sum(dim=-1, keepdim=True)
                else:
                    correction = (gradient[case] * pooled[case]).sum(dim=-1, keepdim=True)
                scores = (attention * (scores - correction)).to(kind)
                to_query[case] = (scores @ part).to(query.dtype)
                torch.mm(rounded.T, back, out=to_part)
                to_part.addmm_(scores.T, asks)
            if not ctx.linear:
                to_hidden = torch.ops.aten.gelu_backward(to_hidden, adapted)
            made = _parts((patches.T @ to_hidden).to(weight.dtype), len(cases))
            for own, member, case in zip(made, members, cases, strict=True):
                to_weight[member] += own if kept is None else own * kept[case][:, None]
            # A product sums in 32 bits, and faster than a sum over rows does.
            summed = to_hidden.new_ones(1, len(to_hidden)) @ to_hidden
            to_bias[cases] = summed.view(len(cases), -1).to(weight.dtype)
        return None, to_weight, to_bias, to_query, None, None


class _Look(torch.autograd.Function):
    """softmax(query xᵀ) x: attention to the features themselves."""

    @staticmethod
    def forward(ctx: Any, bags: Bags, query: Tensor) -> Tensor:
        kind = _kind(bags, query)
        seen = torch.zeros_like(query)
        for bag, cases, _ in _of_bags(bags, 1):
            patches = _patches(bags, bag, kind)
            for some in _groups(len(cases), query.shape[1] * len(patches)):
                asks = query[cases[some]].to(kind).flatten(0, 1)
                attention = _full(asks @ patches.T).softmax(dim=-1)
                seen[cases[some]] = (attention.to(kind) @ patches).to(query.dtype).view(-1, *query.shape[1:])
        ctx.bags = bags
        ctx.save_for_backward(query, seen)
        return seen

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        query, seen = ctx.saved_tensors
        bags, kind = ctx.bags, _kind(ctx.bags, query)
        to_query = torch.zeros_like(query)
        for bag, cases, _ in _of_bags(bags, 1):
            patches = _patches(bags, bag, kind)
            for some in _groups(len(cases), query.shape[1] * len(patches)):
                at = cases[some]
                asks, back = query[at].to(kind).flatten(0, 1), gradient[at].to(kind).flatten(0, 1)
                attention = _full(asks @ patches.T).softmax(dim=-1)
                scores = _full(back @ patches.T)
                correction = (gradient[at] * seen[at]).flatten(0, 1).sum(dim=-1, keepdim=True)
                if kind == torch.bfloat16:
                    correction = (attention * scores).sum(dim=-1, keepdim=True)
                scores = (attention * (scores - correction)).to(kind)
                to_query[at] = (scores @ patches).to(query.dtype).view(-1, *query.shape[1:])
        return None, to_query


def _patches(bags: Bags, bag: int, kind: torch.dtype) -> Tensor:
    """A bag in the precision of products. By way of 32 bits, which processors convert from and to several at once."""
    patches = bags.patches[bag]
    if kind == torch.bfloat16 and patches.device.type == "cpu":
        patches = patches.float()
    return patches.to(kind)


def _kind(bags: Bags, weight: Tensor) -> torch.dtype:
    """Products are of bfloat16 where bags ask for it, else of the weights' precision."""
    return torch.bfloat16 if bags.precision == torch.bfloat16 else weight.dtype


def _attention(asks: Tensor, keys: Tensor) -> Tensor:
    return _full(asks @ keys.T).softmax(dim=-1).to(asks.dtype)


def _full(values: Tensor) -> Tensor:
    """Softmax and sums are never of half precision."""
    return values.float() if values.dtype == torch.bfloat16 else values


def _adapted(
    patches: Tensor,
    weight: Tensor,
    bias: Tensor,
    kept: Tensor | None,
    cases: Sequence[int],
    members: Sequence[int],
) -> Tensor:
    """A bag through the adapters of all its cases, before gelu, (patch, case times width)."""
    own = weight[members]
    if kept is not None:
        own = own * kept[cases][..., None]
    side_by_side = own.transpose(0, 1).reshape(weight.shape[1], -1).to(patches.dtype)
    return torch.addmm(bias[cases].flatten().to(patches.dtype), patches, side_by_side)


def _parts(values: Tensor, cases: int) -> tuple[Tensor, ...]:
    """Columns of each case: views that a product takes as they are, where an axis of cases would be copied."""
    return values.chunk(cases, dim=1)


def _groups(cases: int, scores: int) -> list[slice]:
    """Cases whose scores fit in memory together."""
    step = max(1, LARGEST_SCORES // max(1, scores))
    return [slice(start, start + step) for start in range(0, cases, step)]
