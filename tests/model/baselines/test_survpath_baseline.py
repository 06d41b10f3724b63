"""SurvPath: who attends to whom."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from slides_and_genes import awake, cases, network, scores, take

from kemm.model.baselines.survpath import BASELINE, PathwayAttention, SurvPath
from kemm.model.batch import CaseBatch, Tokens


def tokens(count: int, absent: int, seed: int) -> Tokens:
    values = torch.randn(2, count, 8, generator=torch.Generator().manual_seed(seed))
    present = torch.ones(2, count, dtype=torch.bool)
    present[1, count - absent :] = False
    return Tokens(values, present)


def layer() -> PathwayAttention:
    torch.manual_seed(0)
    made = PathwayAttention(8, heads=2)
    with torch.no_grad():
        made.norm.weight += 0.3 * torch.randn(8)
    return made


def changed(one: Tokens, place: int) -> Tokens:
    values = one.values.clone()
    values[:, place] += torch.linspace(-2, 2, 8)
    return Tokens(values, one.present)


def moved(one: Tokens, other: Tokens) -> list[bool]:
    return ((one.values - other.values).abs().amax(dim=(0, 2)) > 1e-6).tolist()


def test_a_patch_moves_itself_and_all_pathways_and_no_other_patch() -> None:
    attention, pathways, patches = layer(), tokens(3, 0, 1), tokens(5, 0, 2)
    before, after = attention(pathways, patches), attention(pathways, changed(patches, 1))
    assert moved(before[0], after[0]) == [True] * 3
    assert moved(before[1], after[1]) == [False, True, False, False, False]


def test_a_pathway_moves_all_pathways_and_all_patches() -> None:
    attention, pathways, patches = layer(), tokens(3, 0, 1), tokens(5, 0, 2)
    before, after = attention(pathways, patches), attention(changed(pathways, 1), patches)
    assert moved(before[0], after[0]) == [True] * 3
    assert moved(before[1], after[1]) == [True] * 5


def test_it_is_full_attention_with_patch_to_patch_masked() -> None:
    attention, pathways, patches = layer(), tokens(3, 1, 1), tokens(5, 2, 2)
    found = Tokens.cat(list(attention(pathways, patches)))
    every = Tokens.cat([pathways, patches])
    is_patch = torch.arange(8) >= 3
    allowed = ~(is_patch[:, None] & is_patch[None, :]) & every.present[:, None, :]
    with torch.no_grad():
        query, key, value = attention.project(attention.norm(every.values)).chunk(3, dim=2)
        heads = []
        for part in (slice(0, 4), slice(4, 8)):
            scores = query[..., part] @ key[..., part].mT / math.sqrt(4)
            heads.append(scores.masked_fill(~allowed, -torch.inf).softmax(dim=2) @ value[..., part])
        by_hand = attention.feed_forward(every.values + attention.out(torch.cat(heads, dim=2)))
    torch.testing.assert_close(found.values[every.present], by_hand[every.present], atol=1e-5, rtol=1e-5)
    assert torch.equal(found.present, every.present)


def test_patches_without_pathways_keep_what_they_are() -> None:
    attention, patches = layer(), tokens(5, 0, 2)
    nothing = Tokens(torch.randn(2, 3, 8), torch.zeros(2, 3, dtype=torch.bool))
    _, made = attention(nothing, patches)
    by_hand = attention.feed_forward(patches.values + attention.out.bias)
    torch.testing.assert_close(made.values, by_hand)


def test_the_score_is_of_the_means_of_both() -> None:
    model, batch = awake(network(BASELINE)), cases()
    assert isinstance(model, SurvPath)
    with torch.no_grad():
        pathways, patches = model.attention(
            model.pathways(batch.tokens["genes"]), model.patches(batch.bags["slides"])
        )
        own = [
            torch.stack(
                [
                    values[present].mean(dim=0) if present.any() else torch.zeros(values.shape[1])
                    for values, present in zip(one.values, one.present, strict=True)
                ]
            )
            for one in (pathways, patches)
        ]
        by_hand = model.score.layers(torch.cat(own, dim=1))
    torch.testing.assert_close(scores(model, batch)[:, 0], by_hand, atol=1e-5, rtol=1e-5)


def test_a_large_bag_is_no_matter() -> None:
    """Attention among 30,000 patches would be of 900 million pairs: that it is not, memory tells."""
    model, batch = awake(network(BASELINE)), take(cases((5, 5), no_genes=()), [0])
    bags = batch.bags["slides"]
    many, twice = (
        CaseBatch(batch.tokens, bags={"slides": replace(bags, patches=(bags.patches[0].repeat(times, 1),))})
        for times in (3000, 6000)
    )
    # With each patch thousands of times, what pathways see of one another is nothing beside it.
    torch.testing.assert_close(scores(model, many), scores(model, twice), atol=1e-3, rtol=1e-3)
