"""CMTA: two encoders that cross, and a loss that holds translations against originals."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from slides_and_genes import CONFIG, awake, cases, network, scores, side_by_side, take
from torch import nn

from kemm.model.baselines.carried_loss import carrying
from kemm.model.baselines.cmta import ALIGNMENT, BASELINE, CMTA, Summary
from kemm.model.batch import CaseBatch, Tokens
from kemm.training.stacking import Noise, alone, stack


def cmta(seed: int = 0, dropout: float = 0.0) -> CMTA:
    model = awake(network(BASELINE, seed, CONFIG.model_copy(update={"dropout": dropout})), seed)
    assert isinstance(model, CMTA)
    return model


def classes(model: CMTA, batch: CaseBatch) -> dict[str, torch.Tensor]:
    """Class tokens of encoders and decoders, as they are made in a pass."""
    found: dict[str, torch.Tensor] = {}
    hooks = [
        getattr(model, name).register_forward_hook(
            lambda _module, _given, made, name=name: found.__setitem__(name, made[0])
        )
        for name in ("slide_encoder", "gene_encoder", "gene_decoder", "slide_decoder")
    ]
    model.branch_scores(batch)
    for hook in hooks:
        hook.remove()
    return found


def other_genes(batch: CaseBatch) -> CaseBatch:
    genes = batch.tokens["genes"]
    return CaseBatch({"genes": Tokens(genes.values + 1.0, genes.present)}, bags=batch.bags)


def other_slides(batch: CaseBatch) -> CaseBatch:
    bags = batch.bags["slides"]
    return CaseBatch(
        batch.tokens, bags={"slides": replace(bags, patches=tuple(one + 1.0 for one in bags.patches))}
    )


def moved(model: CMTA, one: CaseBatch, other: CaseBatch) -> dict[str, bool]:
    before, after = classes(model, one), classes(model, other)
    return {name: bool((before[name] - after[name]).abs().max() > 1e-5) for name in before}


def test_own_class_tokens_are_of_one_modality_and_translated_ones_of_both() -> None:
    model, batch = cmta(), cases((5, 9), no_genes=())
    assert moved(model, batch, other_genes(batch)) == {
        "slide_encoder": False,
        "gene_encoder": True,
        "gene_decoder": True,
        "slide_decoder": True,
    }
    assert moved(model, batch, other_slides(batch)) == {
        "slide_encoder": True,
        "gene_encoder": False,
        "gene_decoder": True,
        "slide_decoder": True,
    }


@pytest.mark.parametrize(
    ("attention", "decoder", "made_of"),
    [("patches_for_genes", "gene_decoder", "slides"), ("genes_for_patches", "slide_decoder", "genes")],
)
def test_what_a_decoder_is_given_is_made_of_the_other_modality(
    attention: str, decoder: str, made_of: str
) -> None:
    """With even attention, those that ask add nothing: what is decoded is the encoded other modality alone."""
    model, batch = cmta(), cases((5, 5), no_genes=())
    nn.init.zeros_(getattr(model, attention).query.weight)
    nn.init.zeros_(getattr(model, attention).query.bias)
    assert moved(model, batch, other_slides(batch))[decoder] == (made_of == "slides")
    assert moved(model, batch, other_genes(batch))[decoder] == (made_of == "genes")


def test_each_decoder_decodes_as_many_tokens_as_its_modality_has() -> None:
    model, batch = cmta(), cases()
    lengths = {}
    for name in ("gene_decoder", "slide_decoder"):
        getattr(model, name).register_forward_hook(
            lambda _module, given, _made, name=name: lengths.__setitem__(name, given[0].present.sum(dim=1))
        )
    model.branch_scores(batch)
    assert lengths["gene_decoder"].tolist() == [4, 3, 0, 0, 0]
    assert lengths["slide_decoder"].tolist() == [5, 9, 0, 0, 0]


def test_the_score_is_of_means_of_own_and_translated_or_of_the_own_alone() -> None:
    model, batch = cmta(), cases()
    with torch.no_grad():
        found = classes(model, batch)
        slides, genes = found["slide_encoder"].clone(), found["gene_encoder"].clone()
        slides[:2] = (slides[:2] + found["slide_decoder"][:2]) / 2
        genes[:2] = (genes[:2] + found["gene_decoder"][:2]) / 2
        by_hand = model.score.layers(torch.cat([slides, genes], dim=1))
    torch.testing.assert_close(scores(model, batch)[:, 0], by_hand)
    assert not slides[[2, 4]].any()
    assert not genes[[3, 4]].any()


def alignment(model: CMTA, batch: CaseBatch) -> torch.Tensor:
    """By hand, over the cases 0 and 1, which have both modalities."""
    found = classes(model, batch)
    own = torch.cat([found["slide_encoder"][:2], found["gene_encoder"][:2]]).detach()
    translated = torch.cat([found["slide_decoder"][:2], found["gene_decoder"][:2]])
    return 2 * (own - translated).abs().mean()


def gradients(model: CMTA, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def test_in_training_the_gradient_is_of_survival_and_alignment() -> None:
    model, batch = cmta(), cases()
    months, event = torch.tensor([3.0, 12.0, 30.0, 50.0, 7.0]), torch.tensor([True, False, True, False, True])

    def survival() -> torch.Tensor:
        return model.head.loss_of_branches(model.branch_scores(batch), None, months, event)

    carried = gradients(model.train(), survival())
    by_hand = gradients(model.eval(), survival() + ALIGNMENT * alignment(model, batch))
    without = gradients(model, survival())
    torch.testing.assert_close(carried, by_hand)
    assert not torch.allclose(
        carried["gene_decoder.class_token.values"], without["gene_decoder.class_token.values"]
    )
    torch.testing.assert_close(scores(model.train(), batch), scores(model.eval(), batch))


def test_alignment_lessens_the_distance_of_translations() -> None:
    model, batch = cmta(), cases([6] * 12, no_genes=())
    nn.init.zeros_(model.score.layers[3].weight)
    model.train()
    before = alignment(model, batch).item()
    steps = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(30):
        steps.zero_grad()
        (0 * model.branch_scores(batch)).sum().backward()
        steps.step()
    assert alignment(model, batch).item() < 0.7 * before


def test_networks_side_by_side_have_each_the_alignment_of_its_own_cases() -> None:
    models = [cmta(seed, 0.2) for seed in range(2)]
    parts = [cases(), take(cases(seed=1), [3, 0, 1, 4, 2])]
    together = stack(list(models), Noise([0, 1])).train()
    (0 * together.branch_scores(side_by_side(parts))).sum().backward()
    name = "slide_decoder.class_token.values"
    stacked = dict(together.named_parameters())[name].grad
    assert stacked is not None
    for place, (model, part) in enumerate(zip(models, parts, strict=True)):
        one = alone(model, Noise([place])).train()
        (0 * one.branch_scores(part)).sum().backward()
        own = dict(one.named_parameters())[name].grad
        assert own is not None
        assert own.any()
        torch.testing.assert_close(stacked[place], own, atol=1e-6, rtol=1e-4)


def test_a_carried_loss_leaves_scores_and_adds_its_gradient() -> None:
    scores = torch.tensor([[[1.0]], [[2.0]]], requires_grad=True)
    weight = torch.tensor([3.0], requires_grad=True)
    said = carrying(scores, weight.square())
    assert torch.equal(said, scores)
    said.square().sum().backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [[[2.0]], [[4.0]]]
    assert weight.grad is not None
    assert weight.grad.tolist() == [6.0]


def test_a_case_without_tokens_has_a_class_token_of_zero() -> None:
    torch.manual_seed(0)
    summary = Summary(8, 2, 0.0)
    tokens = Tokens(torch.randn(2, 3, 8), torch.tensor([[True, False, True], [False] * 3]))
    vector, made = summary(tokens)
    assert vector[0].any()
    assert not vector[1].any()
    assert torch.equal(made.present, tokens.present)
