"""Pooling of bags against the same thing spelled out patch by patch, forward and backward."""

from __future__ import annotations

import mmap
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from made_up_bags import BAG_OF, CASES, LENGTHS, MEMBERS, made_up, spelled_out

from kemm.model import pooling, rooms
from kemm.model.batch import Bags
from kemm.model.pooling import looks, pool


@pytest.mark.parametrize(
    ("linear", "rows", "scaled", "dropped"),
    list(product((False, True), (2, 9), (False, True), (False, True))),
)
def test_pooling_and_its_gradients_are_those_of_the_formula(
    linear: bool, rows: int, scaled: bool, dropped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bags, weight, bias, query, kept = made_up(rows, scaled, dropped)
    expected = spelled_out(bags, weight, bias, query, kept, linear)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = torch.autograd.grad(expected, (weight, bias, query), upstream)
    # At once, and one case after another, adapting patches again on the way back.
    for scores, adapted, keep in ((pooling.LARGEST_SCORES, pooling.LARGEST_ADAPTED, bags.keep), (1, 1, 1)):
        monkeypatch.setattr(pooling, "LARGEST_SCORES", scores)
        monkeypatch.setattr(pooling, "LARGEST_ADAPTED", adapted)
        pooled = pool(replace(bags, keep=keep), weight, bias, query, kept=kept, linear=linear)
        torch.testing.assert_close(pooled, expected)
        torch.testing.assert_close(torch.autograd.grad(pooled, (weight, bias, query), upstream), wanted)


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="no large pages on this system")
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("rows", [2, 9])
def test_memory_that_waits_or_is_shared_changes_no_number(
    linear: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bags, weight, bias, query, kept = made_up(rows, True, False)
    upstream = torch.randn(query.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = spelled_out(bags, weight, bias, query, kept, linear)
    wanted = torch.autograd.grad(expected, (weight, bias, query), upstream)
    monkeypatch.setattr(rooms, "HUGE_PAGE", 1)  # also what is small waits
    for keep in (1, 2000, bags.keep):
        two = [pool(replace(bags, keep=keep), weight, bias, query, linear=linear) for _ in range(2)]
        assert rooms._left  # of the first, and the second had it
        for waiting in rooms._left.values():
            waiting[:] = b"\xff" * len(waiting)  # NaN
        for pooled in two:
            torch.testing.assert_close(pooled, expected)
            torch.testing.assert_close(torch.autograd.grad(pooled, (weight, bias, query), upstream), wanted)
    rooms.give_back()


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="no large pages on this system")
def test_bags_that_grow_ask_for_new_memory_once(monkeypatch: pytest.MonkeyPatch) -> None:
    new: list[int] = []

    class Counting(mmap.mmap):
        def __new__(cls, place: int, size: int, *how: Any, **named: Any) -> Any:
            new.append(size)
            return super().__new__(cls, place, size, *how, **named)

    monkeypatch.setattr(rooms, "HUGE_PAGE", 1)
    monkeypatch.setattr(mmap, "mmap", Counting)
    rooms.give_back()
    bags = Bags(tuple(torch.ones(patches, 3) for patches in (5, 10, 20, 40)))
    weight, query = torch.ones(1, 3, 4, requires_grad=True), torch.ones(4, 2, 4)
    pool(bags, weight, torch.zeros(1, 4), query).sum().backward()
    # Kept; hidden, there and back; scores, attention's own on the way there, and its gradient.
    assert len(new) <= 6
    first = len(new)
    pool(bags, weight, torch.zeros(1, 4), query).sum().backward()
    assert len(new) == first
    rooms.give_back()


def test_a_prediction_keeps_nothing_for_a_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    bags, weight, bias, query, _ = made_up(2, False, False)
    kept: list[int] = []
    shelf = pooling.Shelf

    def watched(sizes: list[int], keep: int, *how: Any) -> Any:
        made = shelf(sizes, keep, *how)
        kept.append(made.units)
        return made

    monkeypatch.setattr(pooling, "Shelf", watched)
    with torch.inference_mode():
        pool(bags, weight, bias, query)
    pool(bags, weight, bias, query)
    assert kept[0] == 0
    assert kept[1] > 0


@pytest.mark.parametrize("linear", [False, True])
def test_half_precision_is_near_and_does_not_lean_to_one_side(linear: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(600, 64, generator=generator)
    weight = 0.2 * torch.randn(1, 64, 16, generator=generator)
    bias, query = torch.zeros(1, 16), 0.5 * torch.randn(2, 8, 16, generator=generator)
    upstream = torch.randn(2, 8, 16, generator=generator)
    said = []
    for kind in (torch.float32, torch.bfloat16):
        mine = weight.clone().requires_grad_(), query.clone().requires_grad_()
        pooled = pool(Bags(values.split((400, 200)), precision=kind), mine[0], bias, mine[1], linear=linear)
        said.append((pooled, *torch.autograd.grad(pooled, mine, upstream)))
    for exact, rounded in zip(*said, strict=True):
        assert rounded.dtype == torch.float32
        assert (exact - rounded).norm() < 0.02 * exact.norm()


def test_looks_are_the_attention_of_each_head_in_the_mean() -> None:
    bags, weight, bias, query, _ = made_up(4, True, False)
    with torch.no_grad():
        found = looks(bags, weight, bias, query, heads=2)
        for case, bag in enumerate(BAG_OF):
            if bag < 0 or not LENGTHS[bag]:
                assert found[case].shape == (2, 0)
                continue
            member = case * MEMBERS // CASES
            assert bags.mean is not None
            assert bags.scale is not None
            patches = (bags.patches[bag] - bags.mean[member]) / bags.scale[member]
            adapted = torch.nn.functional.gelu(patches @ weight[member] + bias[member])
            attention = (query[case] @ adapted.T).softmax(dim=-1)
            torch.testing.assert_close(found[case], (attention[:2] + attention[2:]) / 2)


def test_bags_without_any_patch_pool_to_zero_and_have_a_gradient() -> None:
    weight = torch.randn(1, 3, 4).requires_grad_()
    query = torch.randn(2, 2, 4).requires_grad_()
    pooled = pool(Bags((torch.zeros(0, 3), torch.zeros(0, 3))), weight, torch.zeros(1, 4), query)
    assert not pooled.any()
    pooled.sum().backward()
    assert weight.grad is not None
    assert not weight.grad.any()
