"""Concatenation, and the layers of patches that other networks share with it."""

from __future__ import annotations

import torch
from slides_and_genes import MEAN, PATCH_FEATURES, SCALE, awake, cases, network, scores

from kemm.model.baselines.concatenation import BASELINE, Concatenation
from kemm.model.baselines.patches import PatchLayer
from kemm.model.batch import Bags


def test_the_score_is_that_of_both_vectors_side_by_side() -> None:
    model, batch = awake(network(BASELINE)), cases()
    assert isinstance(model, Concatenation)
    hidden, last = model.score.layers[0], model.score.layers[3]
    with torch.no_grad():
        slides, genes = model.slides(batch.bags["slides"]), model.genes(batch.tokens["genes"])
        half = slides.shape[1]
        own = slides @ hidden.weight[:, :half].T + genes @ hidden.weight[:, half:].T + hidden.bias
        by_hand = own.clamp(min=0) @ last.weight.T
    torch.testing.assert_close(scores(model, batch)[:, 0], by_hand)
    assert not slides[2].any()
    assert not genes[3].any()


def test_a_slides_vector_is_a_weighted_mean_of_its_patches() -> None:
    model, batch = awake(network(BASELINE)), cases()
    assert isinstance(model, Concatenation)
    with torch.no_grad():
        vector, patches = model.slides(batch.bags["slides"])[0], model.slides.layer(batch.bags["slides"])
        seen = patches.values[0, :5]
        pooling = model.slides.pooling
        gated = torch.tanh(pooling.content(seen)) * torch.sigmoid(pooling.gate(seen))
        weight = pooling.score(gated).squeeze(1).exp()
    torch.testing.assert_close(vector, weight @ seen / weight.sum())


def test_the_patch_layer_is_of_standardised_patches() -> None:
    torch.manual_seed(0)
    layer, bags = PatchLayer(PATCH_FEATURES, 8, 0.3).eval(), cases().bags["slides"]
    with torch.no_grad():
        found = layer(bags)
        padded = bags.tokens()
        by_hand = layer.project(padded.values).clamp(min=0)
    assert torch.equal(found.present, padded.present)
    torch.testing.assert_close(found.values[found.present], by_hand[padded.present])
    assert torch.equal(layer(Bags(bags.patches)).present, padded.present)


def test_in_half_precision_patches_are_nearly_the_same() -> None:
    torch.manual_seed(0)
    layer, bags = PatchLayer(PATCH_FEATURES, 8, 0.3).eval(), cases().bags["slides"]
    half = Bags(tuple(one.half() for one in bags.patches), MEAN, SCALE, torch.bfloat16)
    with torch.no_grad():
        found, exact = layer(half), layer(bags)
    assert found.values.dtype == torch.float32
    torch.testing.assert_close(found.values[found.present], exact.values[exact.present], atol=0.05, rtol=0.05)


def test_dropout_takes_the_same_numbers_from_all_patches_of_a_case() -> None:
    torch.manual_seed(0)
    layer, bags = PatchLayer(PATCH_FEATURES, 64, 0.5).train(), cases((5, 9), no_genes=()).bags["slides"]
    with torch.no_grad():
        layer.project.bias += 100  # so that no ReLU is at 0
        values = layer(bags).values
    first, second = (values[0, :5] == 0), (values[1] == 0)
    assert torch.equal(first, first[:1].expand_as(first))
    assert torch.equal(second, second[:1].expand_as(second))
    assert 10 < first[0].sum() < 54
    assert not torch.equal(first[0], second[0])
