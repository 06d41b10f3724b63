"""MOTCat: the plan gives away all patches, evenly to all gene groups."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from slides_and_genes import awake, cases, network

from kemm.model.baselines.co_attention import askers
from kemm.model.baselines.motcat import (
    BASELINE,
    ENTROPY,
    MOTCat,
    TransportAttention,
    cosine_cost,
    transport_plan,
)
from kemm.model.batch import Tokens

GROUPS = torch.tensor([[True] * 4, [True, False, True, True], [False] * 4, [True] * 4])
PATCHES = torch.tensor([[True] * 9, [True] * 6 + [False] * 3, [True] * 9, [False] * 9])


@pytest.fixture
def cost() -> torch.Tensor:
    torch.manual_seed(0)
    return cosine_cost(torch.randn(4, 4, 8), torch.randn(4, 9, 8))


def sinkhorn(cost: NDArray[np.float64]) -> NDArray[np.float64]:
    """In logarithms, to convergence; even marginals."""
    rows, columns = cost.shape
    to_row, to_column = np.zeros(rows), np.zeros(columns)
    for _ in range(5000):
        to_row = -np.log(rows) - np.logaddexp.reduce(to_column - cost / ENTROPY, axis=1)
        to_column = -np.log(columns) - np.logaddexp.reduce(to_row[:, None] - cost / ENTROPY, axis=0)
    plan: NDArray[np.float64] = np.exp(to_row[:, None] + to_column - cost / ENTROPY)
    return plan


def test_marginals_are_even_over_what_is_present(cost: torch.Tensor) -> None:
    plan = transport_plan(cost, GROUPS, PATCHES)
    rows, columns = plan.sum(dim=2), plan.sum(dim=1)
    torch.testing.assert_close(rows[0], torch.full((4,), 1 / 4))
    torch.testing.assert_close(columns[0], torch.full((9,), 1 / 9), atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(rows[1], torch.tensor([1 / 3, 0, 1 / 3, 1 / 3]))
    torch.testing.assert_close(columns[1], torch.tensor([1 / 6] * 6 + [0] * 3), atol=1e-5, rtol=1e-3)
    assert not plan[2:].any()
    assert plan.min() >= 0


def test_the_plan_is_that_of_sinkhorn_run_to_its_end(cost: torch.Tensor) -> None:
    plan = transport_plan(cost, GROUPS, PATCHES)
    exact = sinkhorn(cost[0].double().numpy())
    np.testing.assert_allclose(plan[0].numpy(), exact, atol=1e-4)
    exact = sinkhorn(cost[1][[0, 2, 3], :6].double().numpy())
    np.testing.assert_allclose(plan[1][[0, 2, 3], :6].numpy(), exact, atol=1e-4)


def test_each_patch_goes_where_it_costs_least_if_that_is_even() -> None:
    # Two groups, four patches, two near each: with little entropy the plan keeps to the near ones.
    cost = torch.tensor([[[0.0, 0.0, 2.0, 2.0], [2.0, 2.0, 0.0, 0.0]]])
    plan = transport_plan(cost, torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 4, dtype=torch.bool))
    expected = torch.tensor([[[0.25, 0.25, 0, 0], [0, 0, 0.25, 0.25]]])
    torch.testing.assert_close(plan, expected, atol=1e-6, rtol=1e-6)


def test_groups_that_are_alike_share_the_patches_where_attention_would_pick_the_same() -> None:
    # All groups are nearest to the first patch; still every patch is given away.
    cost = torch.tensor([[[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]])
    plan = transport_plan(cost, torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(plan, torch.full((1, 2, 3), 1 / 6))


def test_cost_is_half_the_squared_distance_of_unit_vectors() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(2, 3, 5), torch.randn(2, 4, 5)
    first, second = one / one.norm(dim=2, keepdim=True), other / other.norm(dim=2, keepdim=True)
    by_hand = torch.cdist(first, second).square() / 2
    torch.testing.assert_close(cosine_cost(one, other), by_hand, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(cosine_cost(10 * one, other), cosine_cost(one, other))


def test_a_group_takes_the_mean_of_patches_weighed_by_the_plan() -> None:
    torch.manual_seed(0)
    groups, patches = Tokens(torch.randn(4, 4, 8), GROUPS), Tokens(torch.randn(4, 9, 8), PATCHES)
    seen = TransportAttention()(groups, patches)
    plan = transport_plan(cosine_cost(groups.values, patches.values), GROUPS, PATCHES)
    torch.testing.assert_close(seen.values[0], 4 * plan[0] @ patches.values[0])
    torch.testing.assert_close(seen.values[1], 3 * plan[1] @ patches.values[1])
    # Groups together have seen every patch alike: their mean is that of the patches.
    torch.testing.assert_close(
        seen.values[0].mean(dim=0), patches.values[0].mean(dim=0), atol=1e-4, rtol=1e-3
    )
    assert seen.present.tolist() == [[True] * 4, [True, False, True, True], [False] * 4, [False] * 4]


def test_the_gradient_of_the_last_steps_is_nearly_that_of_all(
    cost: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = torch.randn(cost.shape)

    def gradient() -> torch.Tensor:
        own = cost.clone().requires_grad_()
        (transport_plan(own, GROUPS, PATCHES) * weight).sum().backward()
        assert own.grad is not None
        return own.grad

    last = gradient()
    monkeypatch.setattr(torch, "no_grad", contextlib.nullcontext)
    every = gradient()
    assert torch.isfinite(last).all()
    assert torch.cosine_similarity(last[:2].flatten(), every[:2].flatten(), dim=0) > 0.99
    assert not last[2:].any()


def test_the_network_transports_between_its_own_tokens() -> None:
    model, batch = awake(network(BASELINE)), cases()
    assert isinstance(model, MOTCat)
    with torch.no_grad():
        patches, genes = model.patches(batch.bags["slides"]), model.genes(batch.tokens["genes"])
        seen = model.co_attention(askers(genes), patches)
        plan = transport_plan(
            cosine_cost(genes.values, patches.values), askers(genes).present, patches.present
        )
    assert isinstance(model.co_attention, TransportAttention)
    # A case without genes is transported to an average patient's groups.
    torch.testing.assert_close(plan[3].sum(dim=1), torch.full((4,), 0.25))
    torch.testing.assert_close(seen.values[3], 4 * plan[3] @ patches.values[3])
