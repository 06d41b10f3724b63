"""Pooling of all bags at once, as on a card, against the same thing spelled out; the attention itself is torch's."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from made_up_bags import made_up, spelled_out
from torch import Tensor

from kemm.model import pooling, pooling_at_once
from kemm.model.batch import Bags
from kemm.model.pooling import pool

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def bag_by_bag(
    query: Tensor, hidden: Tensor, queries: Tensor, patches: Tensor, *most: int
) -> tuple[Tensor, Tensor]:
    sizes = [(ends[1:] - ends[:-1]).tolist() for ends in (queries, patches)]
    assert list(map(max, sizes)) == list(most)
    found, sums = [], []
    for asked, own in zip(query.split(sizes[0]), hidden.split(sizes[1]), strict=True):
        scores = torch.einsum("qmw,pmw->mqp", asked, own) / math.sqrt(own.shape[-1])
        found.append(torch.einsum("mqp,pmw->qmw", scores.softmax(dim=-1), own))
        sums.append(scores.logsumexp(dim=-1).T)
    return torch.cat(found), torch.cat(sums)


def back_bag_by_bag(
    gradient: Tensor, query: Tensor, hidden: Tensor, pooled: Tensor, sums: Tensor, *bounds: Any
) -> tuple[Tensor, Tensor]:
    query, hidden = query.detach().requires_grad_(), hidden.detach().requires_grad_()
    with torch.enable_grad():
        found = bag_by_bag(query, hidden, *bounds)
        assert torch.equal(found[0], pooled)
        assert torch.equal(found[1], sums)
        return torch.autograd.grad(found[0], (query, hidden), gradient)


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a card would do, on the processor."""
    monkeypatch.setattr(pooling, "fits", lambda bags, weight: True)
    monkeypatch.setattr(pooling_at_once, "_flash", bag_by_bag)
    monkeypatch.setattr(pooling_at_once, "_flash_back", back_bag_by_bag)


@pytest.mark.parametrize(
    ("linear", "scaled", "dropped", "keep"),
    list(product((False, True), (False, True), (False, True), (2**29, 1))),
)
@pytest.mark.usefixtures("no_card")
def test_all_bags_at_once_or_in_groups_are_pooled_as_the_formula_says(
    linear: bool, scaled: bool, dropped: bool, keep: int
) -> None:
    bags, weight, bias, query, kept = made_up(2, scaled, dropped)
    expected = spelled_out(bags, weight, bias, query, kept, linear)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = torch.autograd.grad(expected, (weight, bias, query), upstream)
    pooled = pool(replace(bags, keep=keep), weight, bias, query, kept=kept, linear=linear)
    torch.testing.assert_close(pooled, expected)
    got = torch.autograd.grad(pooled, (weight, bias, query), upstream)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("no_card")
def test_the_way_back_of_attention_and_nothing_else_is_in_a_fixed_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fixed = []

    def noting(call: Any) -> Any:
        def noted(*given: Any) -> Any:
            fixed.append((call.__name__, torch.are_deterministic_algorithms_enabled()))
            return call(*given)

        return noted

    bags, weight, bias, query, _ = made_up(2, False, False)
    monkeypatch.setattr(pooling_at_once, "_flash", noting(bag_by_bag))
    monkeypatch.setattr(pooling_at_once, "_flash_back", noting(back_bag_by_bag))
    pool(bags, weight, bias, query).sum().backward()
    assert fixed == [("bag_by_bag", False), ("back_bag_by_bag", True)]
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_the_processor_takes_bags_one_by_one() -> None:
    bags, weight, *_ = made_up(2, False, False)
    assert not pooling_at_once.fits(replace(bags, precision=torch.bfloat16), weight)


@GPU
@pytest.mark.parametrize(("linear", "dropped"), list(product((False, True), (False, True))))
def test_on_a_card_it_is_the_formula_up_to_rounding(linear: bool, dropped: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    lengths, members, each, rows, width = (300, 1, 0, 2000), 3, 3, 8, 64

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).double()

    bag_of = (0, 1, 3, 3, 2, 0, 1, -1, 3)
    bags = Bags(normal(sum(lengths), 96).bfloat16().double().split(lengths), bag_of=bag_of)
    weights = normal(members, 96, width) / 10, normal(members, width), normal(members * each, rows, width) / 8
    for one in weights:
        one.requires_grad_()
    kept = (2 * (torch.rand(9, 96, generator=generator) < 0.5)).double() if dropped else None
    expected = spelled_out(bags, *weights, kept, linear)
    upstream = normal(*expected.shape)
    wanted = torch.autograd.grad(expected, weights, upstream)
    sent = replace(
        bags, patches=tuple(one.bfloat16().cuda() for one in bags.patches), precision=torch.bfloat16
    )
    own = [one.detach().float().cuda().requires_grad_() for one in weights]
    assert pooling_at_once.fits(sent, own[0])
    pooled = pool(sent, *own, kept=None if kept is None else kept.float().cuda(), linear=linear)
    got = torch.autograd.grad(pooled, own, upstream.float().cuda(), retain_graph=True)
    again = torch.autograd.grad(pooled, own, upstream.float().cuda())
    assert all(torch.equal(one, other) for one, other in zip(got, again, strict=True))
    for one, other in zip((pooled, *got), (expected, *wanted), strict=True):
        assert (one.cpu() - other).norm() < 0.02 * other.norm()
