"""What holds for each network of slides: a case's score is its own, alone or in company, and it can learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from slide_batches import EVERY, FEATURES, cases, model, small_head, some, standardised, without_genes
from torch import Tensor

from kemm.model.baselines.baseline import BaselinesConfig
from kemm.model.batch import Bags, CaseBatch, Inputs
from kemm.model.survival_model import SurvivalModel
from kemm.training.stacking import Noise, alone, stack

NAMES = list(EVERY)
HEADS = ("proportional-hazards", "hazards", "cox")
LENGTHS = (40, 1, 3, 0, 9, 17, 2, 26)

every_network = pytest.mark.parametrize("name", NAMES)


def scores_of(network: SurvivalModel, batch: CaseBatch) -> Tensor:
    with torch.no_grad():
        return network.eval().branch_scores(batch)


@every_network
@pytest.mark.parametrize("head", HEADS)
def test_a_score_for_each_case_and_a_beginning_at_the_heads_baseline(name: str, head: str) -> None:
    network = model(name, head=head)
    scores = scores_of(network, cases(LENGTHS))
    assert scores.shape == (len(LENGTHS), 1, small_head(head).scores)
    assert scores.isfinite().all()
    assert scores.squeeze(1).std(dim=0).min() > 1e-3
    assert torch.equal(scores_of(model(name, asleep=True), cases(LENGTHS)), torch.zeros(len(LENGTHS), 1, 1))


@every_network
def test_a_case_scores_the_same_in_any_company(name: str) -> None:
    network, batch = model(name), cases(LENGTHS)
    whole = scores_of(network, batch)
    for row in range(len(LENGTHS)):
        torch.testing.assert_close(
            scores_of(network, some(batch, [row]))[0], whole[row], atol=1e-5, rtol=1e-5
        )
    order = [5, 2, 7, 3]
    torch.testing.assert_close(scores_of(network, some(batch, order)), whole[order], atol=1e-5, rtol=1e-5)


@every_network
def test_no_patch_at_all_is_no_score_and_no_gradient(name: str) -> None:
    network = model(name)
    nobody = without_genes(cases([0, 0, 0]), range(3))
    scores = network.train().branch_scores(nobody)
    assert torch.equal(scores, torch.zeros(3, 1, 1))
    scores.sum().backward()
    assert all(one.grad is None or not one.grad.any() for one in network.parameters())


@every_network
def test_a_case_that_is_not_there_changes_no_gradient(name: str) -> None:
    gradients = []
    for lengths in ((6, 12), (6, 12, 0, 0)):
        network, batch = (
            model(name),
            without_genes(cases(lengths, seed=3), [2, 3] if len(lengths) > 2 else []),
        )
        two = some(cases((6, 12), seed=3), [0, 1])
        batch.tokens["genes"].values[:2] = two.tokens["genes"].values
        batch = replace(batch, bags={"slides": replace(batch.bags["slides"], mean=two.bags["slides"].mean)})
        batch = replace(batch, bags={"slides": replace(batch.bags["slides"], scale=two.bags["slides"].scale)})
        made = alone(network, Noise([4])).train()
        made.branch_scores(batch)[:2].square().sum().backward()
        gradients.append([one.grad for one in made.parameters() if one.requires_grad])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-4)


@every_network
def test_gradients_reach_every_parameter(name: str) -> None:
    network = model(name).train()
    network.branch_scores(cases(LENGTHS)).square().sum().backward()
    for parameter, value in network.named_parameters():
        if value.requires_grad and not parameter.startswith("head"):
            assert value.grad is not None, parameter
            assert value.grad.any(), parameter


@every_network
@pytest.mark.parametrize("training", [False, True], ids=["forecasting", "training"])
def test_several_networks_in_one_pass_are_each_as_alone(name: str, training: bool) -> None:
    members, each = 3, 4
    networks = [model(name, seed=seed) for seed in range(members)]
    drawn = cases(LENGTHS, members=members)
    # They share bags, and two have less cases than the third; the largest bag is not each one's.
    shared = (0, 1, 2, 6, 4, 3, 5, -1, 7, 2, -1, -1)
    genes = cases([1] * len(shared), seed=8).tokens["genes"]
    batch = CaseBatch({"genes": genes}, bags={"slides": replace(drawn.bags["slides"], bag_of=shared)})
    together = stack(networks, Noise([3, 4, 5])).train(training)
    said = together.branch_scores(batch)
    factors = torch.randn(said.shape, generator=torch.Generator().manual_seed(1))
    (said * factors).sum().backward()
    own = dict(together.named_parameters())
    for member, network in enumerate(networks):
        rows = range(member * each, (member + 1) * each)
        lonely = alone(network, Noise([3 + member])).train(training)
        scores = lonely.branch_scores(some(batch, rows, member))
        torch.testing.assert_close(said[list(rows)], scores, atol=1e-5, rtol=1e-4)
        (scores * factors[list(rows)]).sum().backward()
        for parameter, value in lonely.named_parameters():
            if value.grad is None:
                assert own[parameter].grad is None, parameter
                continue
            theirs = own[parameter].grad
            assert theirs is not None
            torch.testing.assert_close(theirs[member], value.grad, atol=2e-5, rtol=1e-3)


@every_network
def test_patches_may_come_without_a_scale_and_in_half_precision(name: str) -> None:
    network, batch = model(name), cases([12, 5])
    bags = batch.bags["slides"]
    assert bags.mean is not None
    assert bags.scale is not None
    flat = replace(batch, bags={"slides": Bags(tuple(standardised(batch, case) for case in range(2)))})
    if not EVERY[name].needs_prototypes:
        torch.testing.assert_close(scores_of(network, flat), scores_of(network, batch), atol=1e-5, rtol=1e-5)
    halves = Bags(tuple(one.half() for one in bags.patches), bags.mean, bags.scale, torch.bfloat16)
    rough = scores_of(network, replace(batch, bags={"slides": halves}))
    torch.testing.assert_close(rough, scores_of(network, batch), atol=0.1, rtol=0.1)


@every_network
def test_a_planted_signal_is_learned(name: str) -> None:
    """Those whose patches lie to one side have the event early."""
    torch.manual_seed(2)
    bad = torch.arange(24) % 2 == 0
    bags = tuple(torch.randn(12, FEATURES) + (1.5 if worse else 0.0) for worse in bad.tolist())
    months = torch.where(bad, 5.0, 50.0)
    event = torch.ones(24, dtype=torch.bool)
    genes = cases([1] * 24).tokens["genes"]
    batch = CaseBatch({"genes": genes}, bags={"slides": Bags(bags)})
    head = small_head()
    head.start_at(months, event)
    inputs = Inputs(
        slide_features=FEATURES,
        gene_groups=genes.values.shape[1],
        gene_features=genes.values.shape[2],
        prototypes=torch.stack([torch.zeros(FEATURES), torch.ones(FEATURES)]),
    )
    network = EVERY[name].build(BaselinesConfig(width=16, heads=2, dropout=0.1), inputs, head)
    optimiser = torch.optim.AdamW([one for one in network.parameters() if one.requires_grad], lr=5e-3)
    losses = []
    for _ in range(40):
        loss = head.loss_of_branches(network.train().branch_scores(batch), None, months, event)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    risk = head.risk(network.eval()(batch).output)
    assert risk[bad].min() > risk[~bad].max()
