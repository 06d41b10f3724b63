"""What every network of slides and genes, or of genes, has to do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from slides_and_genes import CONFIG, awake, cases, network, scores, side_by_side, stacked_and_alone, take

from kemm.model import by_length
from kemm.model.baselines import cmta, concatenation, mcat, motcat, porpoise, snn, survpath
from kemm.model.baselines.baseline import Baseline
from kemm.model.batch import Bags, CaseBatch, Tokens

ALL = [one.BASELINE for one in (snn, concatenation, porpoise, mcat, motcat, cmta, survpath)]
of_each = pytest.mark.parametrize("baseline", ALL, ids=lambda one: one.name)


@of_each
def test_the_score_of_a_case_is_the_same_in_any_company(baseline: Baseline) -> None:
    model, batch = awake(network(baseline)), cases()
    together = scores(model, batch)
    assert together.shape == (5, 1, 1)
    assert torch.isfinite(together).all()
    alone = torch.cat([scores(model, take(batch, [case])) for case in range(5)])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)
    backwards = scores(model, take(batch, [4, 3, 2, 1, 0]))
    torch.testing.assert_close(backwards.flip(0), together, atol=1e-5, rtol=1e-5)


@of_each
def test_whatever_stands_where_a_gene_group_is_absent_is_not_read(baseline: Baseline) -> None:
    model, batch = awake(network(baseline)), cases()
    genes = batch.tokens["genes"]
    scribbled = genes.values.masked_fill(~genes.present[..., None], torch.nan)
    other = CaseBatch({"genes": Tokens(scribbled, genes.present)}, bags=batch.bags)
    assert torch.equal(scores(model, other), scores(model, batch))


@of_each
def test_a_case_with_nothing_is_scored_alike_whoever_it_is(baseline: Baseline) -> None:
    model = awake(network(baseline))
    nothing = cases((0, 0, 5), no_genes=(0, 1))
    said = scores(model, nothing)
    assert torch.equal(said[0], said[1])
    assert not torch.equal(said[0], said[2])


@of_each
def test_every_patch_and_every_gene_group_counts(baseline: Baseline) -> None:
    model, batch = awake(network(baseline)), cases((5, 5), no_genes=())
    before = scores(model, batch)[0]
    genes, bags = batch.tokens["genes"], batch.bags["slides"]
    for group in range(genes.values.shape[1]):
        values = genes.values.clone()
        values[0, group] += torch.linspace(-1, 1, values.shape[2])
        moved = scores(model, CaseBatch({"genes": Tokens(values, genes.present)}, bags=batch.bags))[0]
        assert (moved - before).abs().max() > 1e-5
    if "slides" not in baseline.inputs:
        return
    for patch in range(5):
        changed = bags.patches[0].clone()
        changed[patch] += torch.linspace(-2, 2, changed.shape[1])
        other = replace(bags, patches=(changed, bags.patches[1]))
        assert (scores(model, CaseBatch(batch.tokens, bags={"slides": other}))[0] - before).abs().max() > 1e-5


@of_each
def test_slides_of_a_case_without_genes_count_and_genes_of_one_without_slides(baseline: Baseline) -> None:
    model, batch = awake(network(baseline)), cases()
    other = cases(seed=1)
    only_genes, only_slides = 2, 3
    moved = (scores(model, batch) - scores(model, other)).abs().flatten()
    assert moved[only_genes] > 1e-4
    assert ("slides" not in baseline.inputs) or moved[only_slides] > 1e-4


@of_each
def test_the_order_of_patches_means_nothing(baseline: Baseline) -> None:
    model, batch = awake(network(baseline)), cases()
    bags = replace(batch.bags["slides"], patches=tuple(one.flip(0) for one in batch.bags["slides"].patches))
    shuffled = CaseBatch(batch.tokens, bags={"slides": bags})
    torch.testing.assert_close(scores(model, shuffled), scores(model, batch), atol=1e-5, rtol=1e-5)


@of_each
def test_training_starts_at_a_score_of_zero(baseline: Baseline) -> None:
    assert not scores(network(baseline), cases()).any()


@of_each
def test_networks_side_by_side_say_in_training_what_each_says_alone(baseline: Baseline) -> None:
    models = [awake(network(baseline, seed), seed) for seed in range(3)]
    # The longest bag of one network is not that of another: what dropout draws must not depend on padding.
    parts = [cases((5, 9, 0, 7, 0)), cases((3, 2, 0, 4, 1), seed=1), cases((0, 6, 12, 1, 2), seed=2)]
    together, apart, said, each = stacked_and_alone(models, parts)
    torch.testing.assert_close(said, torch.cat(each), atol=1e-5, rtol=1e-4)
    quiet = together.eval().branch_scores(side_by_side(parts))
    assert (quiet - said).abs().max() > 1e-3, "dropout does something in training"
    said.square().sum().backward()
    for one in each:
        one.square().sum().backward()
    own = [dict(one.named_parameters()) for one in apart]
    for name, parameter in together.named_parameters():
        for place, parameters in enumerate(own):
            alone = parameters[name].grad
            assert alone is not None
            assert parameter.grad is not None
            torch.testing.assert_close(parameter.grad[place], alone, atol=1e-4, rtol=1e-3, msg=name)


@of_each
def test_in_groups_of_a_length_networks_side_by_side_predict_what_they_do_at_once(
    baseline: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [awake(network(baseline, seed), seed) for seed in range(2)]
    parts = [cases((5, 9, 0, 7, 0)), cases((3, 2, 0, 4, 1), seed=1)]
    together = stacked_and_alone(models, parts)[0].eval()
    at_once = together.branch_scores(side_by_side(parts))
    monkeypatch.setattr(by_length, "CASES_OF_A_LENGTH", 2)
    torch.testing.assert_close(together.branch_scores(side_by_side(parts)), at_once, atol=1e-5, rtol=1e-5)


@of_each
def test_gradients_reach_every_parameter(baseline: Baseline) -> None:
    model = awake(network(baseline))
    months, event = torch.tensor([3.0, 12.0, 30.0, 50.0, 7.0]), torch.tensor([True, False, True, False, True])
    model.head.loss(model(cases()).output, months, event).backward()
    idle = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not torch.isfinite(parameter.grad).all() or not parameter.grad.any()
    ]
    assert idle == []


SEEN = [(one, where) for one in ALL for where in one.inputs]


@pytest.mark.parametrize(("baseline", "where"), SEEN, ids=[f"{one.name}-{where}" for one, where in SEEN])
def test_a_signal_planted_in_one_modality_is_learned(baseline: Baseline, where: str) -> None:
    torch.manual_seed(3)
    count = 200
    batch = cases([4] * count, no_genes=())
    signal = torch.randn(count)
    genes, bags = batch.tokens["genes"], batch.bags["slides"]
    if where == "genes":
        genes.values[:, 1, 0] = signal
    else:
        for case, patches in enumerate(bags.patches):
            patches[:, 3] = signal[case] * bags.scale[0, 3] + bags.mean[0, 3]
    months = (20 * torch.exp(-1.5 * signal) * torch.empty(count).exponential_()).clamp(0.5, 59.0)
    event = months < 59
    model = network(baseline, config=CONFIG.model_copy(update={"dropout": 0.1})).train()
    model.head.start_at(months, event)
    steps = torch.optim.AdamW(model.parameters(), lr=1e-2)
    fit, held = list(range(150)), list(range(150, count))
    learning = take(batch, fit)
    for _ in range(20):
        loss = model.head.loss_of_branches(model.branch_scores(learning), None, months[fit], event[fit])
        steps.zero_grad()
        loss.backward()
        steps.step()
    said = scores(model.eval(), take(batch, held)).flatten()
    assert torch.corrcoef(torch.stack([said, signal[held]]))[0, 1] > 0.6


def test_a_bag_shared_by_networks_is_seen_by_each_at_its_own_scale() -> None:
    models = [awake(network(mcat.BASELINE, seed), seed) for seed in range(2)]
    parts = [cases((5, 9), no_genes=()), cases((5, 9), no_genes=())]
    mean, scale = (
        torch.stack([torch.zeros(6), torch.ones(6)]),
        torch.stack([torch.ones(6), 2 * torch.ones(6)]),
    )
    bag = parts[0].bags["slides"].patches
    apart = [
        CaseBatch(part.tokens, bags={"slides": Bags(bag, mean[[place]], scale[[place]])})
        for place, part in enumerate(parts)
    ]
    shared = side_by_side(parts)
    shared.bags["slides"] = Bags(bag, mean, scale, bag_of=(0, 1, 1, -1))
    together, _, _, _ = stacked_and_alone(models, parts)
    said = together.eval().branch_scores(shared)
    torch.testing.assert_close(said[:2], scores(models[0], apart[0]), atol=1e-5, rtol=1e-5)
    # The second network's first case has the second bag, and genes of its own.
    second = Bags((bag[1], bag[1][:0]), mean[[1]], scale[[1]])
    other = CaseBatch(parts[1].tokens, bags={"slides": second})
    torch.testing.assert_close(said[2:], scores(models[1], other), atol=1e-5, rtol=1e-5)


def test_names_are_unique_and_descriptions_name_the_paper() -> None:
    assert len({one.name for one in ALL}) == len(ALL)
    for one in ALL:
        assert one.name == one.name.lower()
        assert one.description.endswith(".")
        assert any(f", {year})" in one.description for year in range(2017, 2025))
