"""What attention pools from bags of patches, without a product for each patch that queries could take instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.batch import Bags, Tokens
from kemm.model.desk import Desk
from kemm.model.pooling_at_once import fits, pool_at_once
from kemm.model.rooms import Rooms, Shelf

LARGEST_SCORES = 2**24
"""Scores that are held at once: rows of queries that look at one bag are taken in groups below it."""
LARGEST_ADAPTED = 2**25
"""Numbers that a bag becomes by way of adapters at once."""


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
    if not torch.is_grad_enabled():
        bags = replace(bags, keep=0)  # nothing goes back
    weight, rows = _of_features_as_given(bags, weight, bias, kept)
    (_, features, width), asked = weight.shape, query.shape[1]
    # Operations a patch: through the adapter, then scores and sums at its width; or both at the features' width.
    if linear and 2 * asked * features < features * width + 2 * asked * width:
        return _pool_features(bags, weight, rows, query, kept)
    if fits(bags, weight):
        return pool_at_once(bags, weight, rows, query, kept, linear)
    pooled: Tensor = _Pool.apply(bags, weight, rows, query, kept, linear)  # type: ignore[no-untyped-call]
    return pooled


def _pool_features(
    bags: Bags,
    weight: Float[Tensor, "member feature width"],
    bias: Float[Tensor, "case width"],
    query: Float[Tensor, "case row width"],
    kept: Float[Tensor, "case feature"] | None,
) -> Float[Tensor, "case row width"]:
    """`pool` with a linear adapter in queries and in what they pool: patches are looked at as they are."""
    # A member's cases are rows of one product: a copy of the weights for each would cost more than looking.
    members, features, width = weight.shape
    own = weight.to(bags.kind(weight))
    side_by_side = query.to(own.dtype).reshape(members, -1, width)
    asks = (side_by_side @ own.transpose(1, 2)).view(*query.shape[:2], features)
    stays = None if kept is None else kept[:, None].to(own.dtype)
    seen: Tensor = _Look.apply(bags, asks if stays is None else asks * stays)  # type: ignore[no-untyped-call]
    seen = seen if stays is None else seen * stays
    made = (seen.view(members, -1, features) @ own).view(query.shape).to(query.dtype)
    pooled: Tensor = (made + bias[:, None]) * bags.case_present[:, None, None]
    return pooled


def adapt(
    bags: Bags,
    weight: Float[Tensor, "member feature width"],
    bias: Float[Tensor, "member width"],
    *,
    kept: Float[Tensor, "case feature"] | None = None,
    linear: bool = False,
) -> Tokens:
    """The adapted patches h of `pool` themselves, for what must see each: padded only once they are narrow.

    Needs memory for the largest bag, times cases, and keeps all of it for the way back.
    """
    weight, rows = _of_features_as_given(bags, weight, bias, kept)
    kind, longest = bags.kind(weight), max(1, *bags.lengths)
    weights = _Weights(weight, kept, kind)
    lengths = torch.tensor(bags.case_lengths, device=rows.device)
    made = [rows.new_zeros(longest, rows.shape[1])] * len(bags)
    for bag, cases, members in _of_bags(bags, weight.shape[0], weight.shape[2]):
        adapted = _adapted(bags.patches[bag].to(kind), weights(cases, members), rows[cases])
        hidden = (adapted if linear else nn.functional.gelu(adapted)).to(rows.dtype)
        for case, part in zip(cases, _by_case(hidden, len(cases)), strict=True):
            made[case] = nn.functional.pad(part, (0, 0, 0, longest - len(part)))
    return Tokens(torch.stack(made), torch.arange(longest, device=rows.device) < lengths[:, None])


def _of_features_as_given(
    bags: Bags,
    weight: Float[Tensor, "member feature width"],
    bias: Float[Tensor, "member width"],
    kept: Float[Tensor, "case feature"] | None,
) -> tuple[Float[Tensor, "member feature width"], Float[Tensor, "case width"]]:
    """Weights for features as the encoder gave them, and the bias of each case: mean and scale are folded in."""
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
    return weight, rows


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
    # Bags of the same members one after another: their weights are brought side by side once, for those that come whole.
    for bag, of in sorted(cases.items(), key=lambda one: [case // each for case in one[1]]):
        step = max(1, LARGEST_ADAPTED // max(1, width * len(bags.patches[bag])))
        for start in range(0, len(of), step):
            some = of[start : start + step]
            found.append((bag, some, [case // each for case in some]))
    return found


def _largest(bags: Bags, plan: Sequence[tuple[int, list[int], *tuple[list[int], ...]]], each: int) -> int:
    """Numbers that a bag of the plan comes to at most, with so many for each patch and case."""
    return max((len(bags.patches[bag]) * len(cases) * each for bag, cases, *_ in plan), default=0)


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
        kind = bags.kind(weight)
        plan, desk = _of_bags(bags, weight.shape[0], weight.shape[2]), Desk(bags, kind)
        rooms = Rooms(kind, weight.device, _largest(bags, plan, max(weight.shape[2], query.shape[1])))
        weights, pooled = _Weights(weight, kept, kind), torch.zeros_like(query)
        per_patch = weight.shape[2] + query.shape[1]
        sizes = [len(bags.patches[bag]) * len(cases) * per_patch for bag, cases, _ in plan]
        shelf = Shelf(sizes if any(ctx.needs_input_grad) else [], bags.keep, kind, weight.device)
        before: list[Tensor] = []
        for place, (bag, cases, members) in enumerate(plan):
            shape = len(bags.patches[bag]), len(cases) * weight.shape[2]
            own = shelf if place < shelf.units else None
            adapted = _adapted(
                desk(bag),
                weights(cases, members),
                bias[cases],
                own(shape) if own else rooms("adapted", shape),
            )
            if own:
                before.append(adapted)
            hidden = _hidden(adapted, len(cases), linear, rooms)
            for some in _groups(len(cases), query.shape[1] * len(adapted)):
                at, keys = cases[some], hidden[some]
                asks = query[at].to(kind)
                attention = _attention(asks, keys, rooms, own)
                pooled[at] = (attention @ keys).to(query.dtype)
                if own:
                    before.append(attention)
        ctx.bags, ctx.plan, ctx.linear, ctx.kept_bags = bags, plan, linear, shelf.units
        ctx.save_for_backward(weight, bias, query, kept, *before)
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        weight, bias, query, kept, *before = ctx.saved_tensors
        bags, kind = ctx.bags, ctx.bags.kind(weight)
        desk, weights = Desk(bags, kind), _Weights(weight, kept, kind)
        rooms = Rooms(kind, weight.device, _largest(bags, ctx.plan, max(weight.shape[2], query.shape[1])))
        to_weight, to_bias = torch.zeros_like(weight.mT), weight.new_zeros(len(bags), weight.shape[2])
        to_query = torch.zeros_like(query)
        for place, (bag, cases, members) in enumerate(ctx.plan):
            patches = desk(bag)
            known, shape = place < ctx.kept_bags, (len(patches), len(cases) * weight.shape[2])
            adapted = (
                before.pop(0)
                if known
                else _adapted(patches, weights(cases, members), bias[cases], rooms("adapted", shape))
            )
            hidden = _hidden(adapted, len(cases), ctx.linear, rooms)
            to_hidden = rooms("to hidden", hidden.shape)
            for some in _groups(len(cases), query.shape[1] * len(patches)):
                at, keys = cases[some], hidden[some]
                asks, back = query[at].to(kind), gradient[at].to(kind)
                attention = before.pop(0) if known else _attention(asks, keys, rooms)
                to_scores = _through_softmax(attention, back, keys, rooms)
                to_query[at] = (to_scores @ keys).to(query.dtype)
                torch.bmm(attention.mT, back, out=to_hidden[some]).baddbmm_(to_scores.mT, asks)
            # In the place of what is hidden, which nobody asks any more.
            to_adapted = rooms("hidden", shape)
            _by_case(to_adapted, len(cases)).copy_(to_hidden)
            if not ctx.linear:
                torch.ops.aten.gelu_backward.grad_input(to_adapted, adapted, grad_input=to_adapted)
            made = (to_adapted.T @ patches).to(weight.dtype).chunk(len(cases))
            for own, member, case in zip(made, members, cases, strict=True):
                to_weight[member] += own if kept is None else own * kept[case]
            # A product sums in 32 bits, and faster than a sum over rows does.
            summed = to_adapted.new_ones(1, len(to_adapted)) @ to_adapted
            to_bias[cases] = summed.view(len(cases), -1).to(weight.dtype)
        return None, to_weight.mT, to_bias, to_query, None, None


class _Look(torch.autograd.Function):
    """softmax(query xᵀ) x: attention to the features themselves; kept for the way back as far as memory allows."""

    @staticmethod
    def forward(ctx: Any, bags: Bags, query: Tensor) -> Tensor:
        kind = bags.kind(query)
        seen, desk, plan = torch.zeros_like(query), Desk(bags, kind), _looked_at(bags, query.shape[1])
        rooms = Rooms(kind, query.device, _largest(bags, plan, query.shape[1]))
        sizes = [len(bags.patches[bag]) * len(at) * query.shape[1] for bag, at in plan]
        shelf = Shelf(sizes if ctx.needs_input_grad[1] else [], bags.keep, kind, query.device)
        before: list[Tensor] = []
        for place, (bag, at) in enumerate(plan):
            patches, own = desk(bag), shelf if place < shelf.units else None
            attention = _attention(query[at].to(kind).flatten(0, 1), patches, rooms, own)
            seen[at] = (attention @ patches).to(query.dtype).view(-1, *query.shape[1:])
            if own:
                before.append(attention)
        ctx.bags, ctx.plan = bags, plan
        ctx.save_for_backward(query, *before)
        return seen

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        query, *before = ctx.saved_tensors
        kind = ctx.bags.kind(query)
        to_query, desk = torch.zeros_like(query), Desk(ctx.bags, kind)
        rooms = Rooms(kind, query.device, _largest(ctx.bags, ctx.plan, query.shape[1]))
        for place, (bag, at) in enumerate(ctx.plan):
            patches, back = desk(bag), gradient[at].to(kind).flatten(0, 1)
            attention = (
                before[place]
                if place < len(before)
                else _attention(query[at].to(kind).flatten(0, 1), patches, rooms)
            )
            scores = _through_softmax(attention, back, patches, rooms)
            to_query[at] = (scores @ patches).to(query.dtype).view(-1, *query.shape[1:])
        return None, to_query


def _looked_at(bags: Bags, rows: int) -> list[tuple[int, list[int]]]:
    """(bag, cases), with so many cases at once as their scores fit in memory."""
    return [
        (bag, cases[some])
        for bag, cases, _ in _of_bags(bags, 1)
        for some in _groups(len(cases), rows * len(bags.patches[bag]))
    ]


def _attention(
    asks: Float[Tensor, "*case row width"],
    keys: Float[Tensor, "*case patch width"],
    rooms: Rooms,
    place: Callable[[Sequence[int]], Tensor] | None = None,
) -> Float[Tensor, "*case row patch"]:
    """To be kept at `place`; else it is written over by the next."""
    shape = *asks.shape[:-1], keys.shape[-2]
    scores = torch.matmul(asks, keys.mT, out=rooms("scores", shape))
    room = place(shape) if place else rooms("attention", shape)
    # In half precision it is computed in full, and rounded once.
    return torch.softmax(scores, dim=-1, out=room)


def _through_softmax(
    attention: Float[Tensor, "*case row patch"],
    back: Float[Tensor, "*case row width"],
    keys: Float[Tensor, "*case patch width"],
    rooms: Rooms,
) -> Float[Tensor, "*case row patch"]:
    """The gradient of the scores, from that of what was pooled.

    What a softmax takes away of its gradient is here of the rounded gradient, or it would not cancel: in half
    precision the gradient of queries would be several times less exact.
    """
    to_attention = torch.matmul(back, keys.mT, out=rooms("scores", attention.shape))
    room = rooms("to scores", attention.shape)
    made: Tensor = torch.ops.aten._softmax_backward_data.out(
        to_attention, attention, -1, attention.dtype, grad_input=room
    )
    return made


def _adapted(
    patches: Float[Tensor, "patch feature"],
    side_by_side: Float[Tensor, "feature columns"],
    bias: Float[Tensor, "case width"],
    out: Tensor | None = None,
) -> Float[Tensor, "patch columns"]:
    """A bag through the adapters of all its cases, before gelu; columns are those of the first case, and so on."""
    return torch.addmm(bias.flatten().to(patches.dtype), patches, side_by_side, out=out)


class _Weights:
    """Adapters of a bag's cases side by side, in the precision of products."""

    def __init__(self, weight: Tensor, kept: Tensor | None, kind: torch.dtype) -> None:
        # As a linear layer has them, features last: here nothing is copied across rows and columns.
        self.weight, self.kept, self.kind = weight.mT, kept, kind
        self.members: list[int] = []
        self.made = weight

    def __call__(self, cases: Sequence[int], members: list[int]) -> Float[Tensor, "feature columns"]:
        """The same as for the bag before, where its members are the same, and dropout makes no difference."""
        if self.kept is not None or members != self.members:
            own = self.weight[members]
            own = own if self.kept is None else own * self.kept[cases][:, None]
            self.members, self.made = members, own.to(self.kind).flatten(0, 1).T
        return self.made


def _hidden(
    adapted: Float[Tensor, "patch columns"], cases: int, linear: bool, rooms: Rooms
) -> Float[Tensor, "case patch width"]:
    """What attention looks at, case after case: copied once, for products that would each copy it."""
    made = adapted if linear else torch.ops.aten.gelu.out(adapted, out=rooms("to hidden", adapted.shape))
    apart = _by_case(made, cases)
    return rooms("hidden", apart.shape).copy_(apart)


def _by_case(values: Float[Tensor, "patch columns"], cases: int) -> Float[Tensor, "case patch width"]:
    """A view."""
    return values.view(len(values), cases, -1).transpose(0, 1)


def _groups(cases: int, scores: int) -> list[slice]:
    """Cases whose scores fit in memory together."""
    step = max(1, LARGEST_SCORES // max(1, scores))
    return [slice(start, start + step) for start in range(0, cases, step)]
