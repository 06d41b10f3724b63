"""Pooling of bags against the same thing spelled out patch by patch, forward and backward."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from made_up_bags import BAG_OF, CASES, LENGTHS, MEMBERS, made_up, spelled_out

from kemm.model import pooling
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
