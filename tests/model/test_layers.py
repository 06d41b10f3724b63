"""Adapters: each modality at the model's width."""

import numpy as np
import pytest
import torch
from torch import nn

from kemm.model.batch import Tokens
from kemm.model.layers import Adapter, GroupAdapter, LearnedQueries


def everywhere(values: torch.Tensor, kind: torch.Tensor | None = None) -> Tokens:
    return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool), kind)


def test_a_linear_adapter_is_linear() -> None:
    torch.manual_seed(0)
    adapter = Adapter(3, 4, dropout=0.5, linear=True).eval()
    one, other = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    zero = adapter(everywhere(torch.zeros(2, 5, 3))).values
    added = adapter(everywhere(one + other)).values - zero
    apart = adapter(everywhere(one)).values - zero + adapter(everywhere(other)).values - zero
    torch.testing.assert_close(added, apart)


def test_the_usual_adapter_is_not_linear() -> None:
    torch.manual_seed(0)
    adapter = Adapter(3, 4, dropout=0.5).eval()
    one = torch.randn(2, 5, 3)
    double = adapter(everywhere(2 * one)).values
    assert (double - 2 * adapter(everywhere(one)).values).abs().max() > 1e-2


def test_the_kind_of_a_statement_moves_its_token_by_the_kinds_embedding() -> None:
    torch.manual_seed(0)
    adapter = Adapter(3, 4, dropout=0.5, kinds=6).eval()
    values = torch.randn(1, 1, 3)
    first = adapter(everywhere(values, torch.tensor([[1]]))).values
    second = adapter(everywhere(values, torch.tensor([[5]]))).values
    embedding = next(module for module in adapter.modules() if isinstance(module, nn.Embedding)).weight
    torch.testing.assert_close((second - first)[0, 0], embedding[5] - embedding[1])
    assert (embedding[5] != embedding[1]).any()


def test_each_gene_group_has_an_encoder_of_its_own() -> None:
    torch.manual_seed(0)
    adapter = GroupAdapter(3, 2, 4, dropout=0.5).eval()
    same = torch.tensor([0.3, -1.2]).expand(1, 3, 2)
    tokens = adapter(everywhere(same)).values[0]
    assert (tokens[0] - tokens[1]).abs().max() > 1e-2
    assert (tokens[1] - tokens[2]).abs().max() > 1e-2


def test_a_group_is_encoded_from_its_own_features_alone() -> None:
    torch.manual_seed(0)
    adapter = GroupAdapter(3, 2, 4, dropout=0.5).eval()
    values = torch.randn(1, 3, 2)
    changed = values.clone()
    changed[0, 1] += 2.0
    moved = (adapter(everywhere(changed)).values - adapter(everywhere(values)).values).abs().amax(dim=2)[0]
    assert moved[1] > 0
    assert moved[[0, 2]].tolist() == [0, 0]


def test_a_groups_token_is_its_own_weights_times_its_features() -> None:
    torch.manual_seed(1)
    adapter = GroupAdapter(2, 3, 4, dropout=0.0).eval()
    values = torch.randn(1, 2, 3)
    product = np.stack(
        [
            values[0, group].double().numpy() @ adapter.weight[group].detach().double().numpy()
            + adapter.bias[group].detach().double().numpy()
            for group in range(2)
        ]
    )
    expected = nn.functional.gelu(torch.from_numpy(product)).numpy()
    np.testing.assert_allclose(adapter(everywhere(values)).values[0].detach().numpy(), expected, atol=1e-6)


def test_two_groups_with_equal_features_can_be_told_apart_from_the_start() -> None:
    torch.manual_seed(0)
    tokens = GroupAdapter(2, 5, 4, dropout=0.0)(everywhere(torch.zeros(1, 2, 5))).values[0]
    assert (tokens[0] - tokens[1]).abs().max() > 1e-3


@pytest.mark.parametrize("adapter", [Adapter(3, 4, 0.5, kinds=2), GroupAdapter(2, 3, 4, 0.5)])
def test_adapters_keep_who_is_present(adapter: nn.Module) -> None:
    present = torch.tensor([[True, False], [False, False]])
    tokens = adapter(Tokens(torch.randn(2, 2, 3), present, torch.zeros(2, 2, dtype=torch.long)))
    assert torch.equal(tokens.present, present)


def test_learned_queries_are_the_same_for_every_case() -> None:
    torch.manual_seed(0)
    queries = LearnedQueries(5, 4)(3)
    assert queries.values.shape == (3, 5, 4)
    assert queries.present.all()
    assert torch.equal(queries.values[0], queries.values[2])
    assert not torch.equal(queries.values[0, 0], queries.values[0, 1])
