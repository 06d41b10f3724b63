"""CLAM: its attention branches and its clustering, each spelled out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from slide_batches import cases, model, standardised

from kemm.model.baselines.clam import CLAM, CLUSTERING, extremes
from kemm.model.batch import Bags, Tokens


@pytest.mark.parametrize("head", ["proportional-hazards", "hazards"])
def test_each_score_has_an_attention_and_a_classifier_of_its_own(head: str) -> None:
    network, batch = model("clam", head=head).eval(), cases([7, 4])
    of = {name: value.detach().double().numpy() for name, value in network.named_parameters()}
    said = network.branch_scores(batch)
    for case in range(2):
        patches = standardised(batch, case).double().numpy()
        seen = np.maximum(patches @ of["patches.project.weight"].T + of["patches.project.bias"], 0)
        content = np.tanh(seen @ of["attention.content.weight"].T + of["attention.content.bias"])
        gate = 1 / (1 + np.exp(-seen @ of["attention.gate.weight"].T - of["attention.gate.bias"]))
        for branch, (drawn_to, classifier) in enumerate(
            zip(of["attention.score.weight"], of["score.weight"], strict=True)
        ):
            drawn = np.exp((content * gate) @ drawn_to)
            expected = classifier @ ((drawn / drawn.sum()) @ seen)
            np.testing.assert_allclose(said[case, 0, branch].item(), expected, rtol=1e-4, atol=1e-5)
    assert said.shape[2] == (1 if head == "proportional-hazards" else 3)


def test_the_most_and_the_least_attended_are_chosen_and_no_patch_is_both() -> None:
    attention = torch.tensor([[[0.1, 9.0, 3.0, 2.0, -1.0, 99.0]], [[5.0, 4.0, 3.0, 0.0, 0.0, 0.0]]])
    present = torch.tensor([[True] * 5 + [False], [True] * 3 + [False] * 3])
    most, least = extremes(attention, present, 2)
    assert most.int().tolist() == [[[0, 1, 1, 0, 0, 0]], [[1, 0, 0, 0, 0, 0]]]
    assert least.int().tolist() == [[[1, 0, 0, 0, 1, 0]], [[0, 0, 1, 0, 0, 0]]]
    lonely = torch.tensor([[True] + [False] * 5, [False] * 6])
    assert not torch.stack(extremes(attention, lonely, 2)).any()


def test_the_loss_of_clustering_is_the_smooth_svm_loss_of_two_classes() -> None:
    network = model("clam")
    assert isinstance(network, CLAM)
    values = torch.randn(2, 20, 16, generator=torch.Generator().manual_seed(3))
    present = torch.ones(2, 20, dtype=torch.bool)
    present[1] = False
    attention = torch.linspace(1, 0, 20).expand(2, 1, 20)
    # Class scores are the margin and zero; the loss is log of the sum of exp over classes of
    # (1 unless it is the true class) + score - score of the true class.
    margins = (values[0] @ network.cluster.weight[0] + network.cluster.bias[0]).tolist()
    expected = []
    for patch, margin in enumerate(margins):
        if 8 <= patch < 12:
            continue
        scores = {"most": margin, "least": 0.0}
        true = "most" if patch < 8 else "least"
        terms = [(name != true) + score - scores[true] for name, score in scores.items()]
        expected.append(np.log(np.exp(terms).sum()))
    loss = network.clustering(Tokens(values, present), attention)
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-5)


def test_clustering_joins_the_gradient_in_training_and_no_score() -> None:
    network = model("clam")
    assert isinstance(network, CLAM)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    batch = cases([20, 3, 9])
    asleep = network.eval().branch_scores(batch)
    training = network.train().branch_scores(batch)
    assert torch.equal(asleep, training)
    training.square().sum().backward()
    got = {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}
    network.zero_grad()
    patches = network.patches(batch.bags["slides"])
    attention = network.attention(patches.values).transpose(1, 2)
    outcome = network.eval().branch_scores(batch).square().sum()
    (outcome + CLUSTERING * network.clustering(patches, attention).sum()).backward()
    for name, value in network.named_parameters():
        if value.grad is not None:
            torch.testing.assert_close(got[name], value.grad)
    assert got["cluster.weight"].any()


def test_the_order_of_patches_does_not_matter() -> None:
    network, batch = model("clam").eval(), cases([9])
    before = network.branch_scores(batch)
    bags = batch.bags["slides"]
    batch.bags["slides"] = Bags((bags.patches[0].flip(0),), bags.mean, bags.scale)
    torch.testing.assert_close(network.branch_scores(batch), before)
