"""Self-normalising layers: mean 0 and variance 1 stay so, and groups of genes have layers of their own."""

from __future__ import annotations

import pytest
import torch
from slides_and_genes import GROUPS, INPUTS
from torch import nn

from kemm.model.baselines.self_normalising import AlphaDropout, GeneTokens, GeneVector, GroupLinear
from kemm.model.batch import Inputs, Tokens


def everywhere(values: torch.Tensor) -> Tokens:
    return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool))


@pytest.mark.parametrize("training", [False, True], ids=["prediction", "training"])
def test_what_enters_with_mean_0_and_variance_1_leaves_so(training: bool) -> None:
    torch.manual_seed(0)
    wide = Inputs(gene_groups=50, gene_features=8)
    network = GeneVector(wide, 512, dropout=0.25).train(training)
    with torch.no_grad():
        said = network(everywhere(torch.randn(200, 50, 8)))
    assert abs(said.mean().item()) < 0.05
    assert abs(said.var().item() - 1) < 0.1


def test_with_relu_instead_the_same_would_not_be_so() -> None:
    torch.manual_seed(0)
    network = GeneVector(Inputs(gene_groups=50, gene_features=8), 512, dropout=0.0)
    layers = [nn.ReLU() if isinstance(layer, nn.SELU) else layer for layer in network.layers]
    with torch.no_grad():
        assert nn.Sequential(*layers)(torch.randn(200, 400)).var() < 0.5


def test_alpha_dropout_is_that_of_pytorch() -> None:
    """By its two values of a constant: what is kept, and what is dropped."""
    ours, theirs = AlphaDropout(0.3).train(), nn.AlphaDropout(0.3).train()
    torch.manual_seed(0)
    values = torch.full((2000,), 0.7)
    found, expected = ours(values), theirs(values)
    torch.testing.assert_close(found.unique(), expected.unique(), atol=1e-6, rtol=1e-6)
    assert abs((found == found.min()).float().mean().item() - 0.3) < 0.04


def test_alpha_dropout_keeps_mean_and_variance_and_rests_outside_training() -> None:
    torch.manual_seed(0)
    values, layer = torch.randn(400_000), AlphaDropout(0.4)
    dropped = layer.train()(values)
    assert abs(dropped.mean().item()) < 0.01
    assert abs(dropped.var().item() - 1) < 0.01
    assert torch.equal(layer.eval()(values), values)


def test_alpha_dropout_drops_of_each_number_for_itself() -> None:
    torch.manual_seed(0)
    dropped = AlphaDropout(0.5).train()(torch.zeros(100, 40))
    assert dropped.min(dim=0).values.unique().numel() == 1
    assert not torch.equal(dropped[0], dropped[1])


def test_a_groups_token_is_its_own_weights_times_its_features() -> None:
    torch.manual_seed(0)
    layer, values = GroupLinear(3, 2, 4), torch.randn(5, 3, 2)
    for group in range(3):
        by_hand = values[:, group] @ layer.weight[group] + layer.bias[group]
        torch.testing.assert_close(layer(values)[:, group], by_hand)


def test_a_token_depends_on_its_own_group_alone() -> None:
    torch.manual_seed(0)
    network, values = GeneTokens(INPUTS, 8, 0.2).eval(), torch.randn(1, GROUPS, 3)
    changed = values.clone()
    changed[0, 1] += 1.0
    moved = (network(everywhere(changed)).values - network(everywhere(values)).values).abs().amax(dim=2)[0]
    assert (moved > 0).tolist() == [False, True, False, False]


def test_an_absent_group_counts_as_the_average_patients() -> None:
    torch.manual_seed(0)
    values = torch.randn(1, GROUPS, 3)
    lacking = Tokens(values, torch.tensor([[True, False, True, True]]))
    average = values.clone()
    average[0, 1] = 0
    for network in (GeneVector(INPUTS, 8, 0.2).eval(), GeneTokens(INPUTS, 8, 0.2).eval()):
        one, other = network(lacking), network(everywhere(average))
        if isinstance(one, Tokens):
            assert torch.equal(one.present, lacking.present)
            one, other = one.values, other.values
        assert torch.equal(one, other)
