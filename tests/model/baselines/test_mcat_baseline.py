"""MCAT: gene groups ask, patches answer."""

from __future__ import annotations

import math

import torch
from slides_and_genes import GROUPS, awake, cases, network

from kemm.model.baselines.co_attention import CoAttention, askers
from kemm.model.baselines.mcat import BASELINE, MCAT
from kemm.model.batch import Tokens


def sides(model: MCAT) -> tuple[Tokens, Tokens, Tokens]:
    """Gene tokens, patches, and what gene groups saw of these."""
    batch = cases()
    with torch.no_grad():
        patches, genes = model.patches(batch.bags["slides"]), model.genes(batch.tokens["genes"])
        return genes, patches, model.co_attention(askers(genes), patches)


def mcat() -> MCAT:
    model = awake(network(BASELINE))
    assert isinstance(model, MCAT)
    return model


def test_after_co_attention_there_is_a_token_for_each_gene_group() -> None:
    genes, patches, seen = sides(mcat())
    assert seen.values.shape == genes.values.shape
    assert len(patches) == 9
    assert seen.present.tolist() == [
        [True] * GROUPS,
        [True, True, False, True],  # as the gene groups of this case
        [False] * GROUPS,  # no slides
        [True] * GROUPS,  # no genes: an average patient's groups ask
        [False] * GROUPS,
    ]


def test_attention_is_over_patches_and_sums_to_one() -> None:
    model = mcat()
    genes, patches, _ = sides(model)
    assert isinstance(model.co_attention, CoAttention)
    looks = model.co_attention.looks(genes, patches)
    assert looks.shape == (5, GROUPS, 9)
    torch.testing.assert_close(looks[[0, 1, 3]].sum(dim=2), torch.ones(3, GROUPS))
    assert not looks.masked_select(~patches.present[:, None].expand_as(looks)).any()


def test_co_attention_is_the_papers_equation() -> None:
    model = mcat()
    genes, patches, seen = sides(model)
    layer = model.co_attention
    assert isinstance(layer, CoAttention)
    group, patch = genes.values[0].double(), patches.values[0, :5].double()
    query, key, value = (one.weight.double() for one in (layer.query, layer.key, layer.value))
    asked = group @ query.T + layer.query.bias.double()
    scores = asked @ (patch @ key.T).T / math.sqrt(group.shape[1])
    by_hand = scores.softmax(dim=1) @ (patch @ value.T + layer.value.bias.double())
    torch.testing.assert_close(seen.values[0], by_hand.float(), atol=1e-5, rtol=1e-5)


def test_heads_each_attend_with_a_part_of_the_width() -> None:
    torch.manual_seed(0)
    layer = CoAttention(8, heads=2)
    asking, asked = (Tokens(torch.randn(1, n, 8), torch.ones(1, n, dtype=torch.bool)) for n in (3, 5))
    with torch.no_grad():
        q, k, v = layer.query(asking.values[0]), layer.key(asked.values[0]), layer.value(asked.values[0])
        attention = [(q[:, part] @ k[:, part].T / 2).softmax(dim=1) for part in (slice(0, 4), slice(4, 8))]
        by_hand = torch.cat([attention[0] @ v[:, :4], attention[1] @ v[:, 4:]], dim=1)
        torch.testing.assert_close(layer(asking, asked).values[0], by_hand)
        torch.testing.assert_close(layer.looks(asking, asked)[0], sum(attention) / 2)


def test_an_absent_group_moves_nothing_on_either_side() -> None:
    model = mcat()
    genes, _, seen = sides(model)
    with torch.no_grad():
        for side, tokens in ((model.slide_side, seen), (model.gene_side, genes)):
            scribbled = tokens.values.clone()
            scribbled[1, 2] = 30.0
            other = side(Tokens(scribbled, tokens.present))
            torch.testing.assert_close(other[1], side(tokens)[1])
            shorter = Tokens(tokens.values[1:2, [0, 1, 3]], tokens.present[1:2, [0, 1, 3]])
            torch.testing.assert_close(side(shorter)[0], side(tokens)[1])
