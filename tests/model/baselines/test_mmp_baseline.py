"""MMP: prototypes and gene groups meet, and each modality is its tokens' mean."""

from __future__ import annotations

import torch
from slide_batches import cases, model, without_genes

from kemm.model.baselines.mmp import MMP, mean_token
from kemm.model.batch import Tokens


def test_slides_and_genes_meet() -> None:
    """With genes another, what the slides' tokens say is another: and not if the genes are absent."""
    network, batch = model("mmp").eval(), cases([9, 6])
    assert isinstance(network, MMP)
    with torch.no_grad():  # only what the slides' tokens say
        network.score.weight[:, 16:] = 0
    genes = batch.tokens["genes"]
    before = network.branch_scores(batch)
    other = cases([9, 6])
    other.tokens["genes"] = Tokens(genes.values.flip(0), genes.present)
    assert (network.branch_scores(other) - before).abs().min() > 1e-4
    absent = network.branch_scores(without_genes(batch, [0, 1]))
    assert torch.equal(network.branch_scores(without_genes(other, [0, 1])), absent)
    assert not torch.equal(absent, before)


def test_a_case_with_one_modality_scores_by_it() -> None:
    network = model("mmp").eval()
    batch = without_genes(cases([9, 0, 0]), [0, 2])
    scores = network.branch_scores(batch).squeeze()
    assert scores.isfinite().all()
    assert scores[0] != 0
    assert scores[1] != 0
    assert scores[2] == 0


def test_the_mean_is_of_the_tokens_that_are_present() -> None:
    values = torch.tensor([[[1.0], [3.0], [100.0]], [[5.0], [5.0], [5.0]]])
    present = torch.tensor([[True, True, False], [False, False, False]])
    assert mean_token(Tokens(values, present)).tolist() == [[2.0], [0.0]]


def test_a_token_is_a_prototypes_component_or_a_gene_group() -> None:
    """Spelled out with a transformer that passes tokens on."""
    network, batch = model("mmp").eval(), cases([9, 6])
    assert isinstance(network, MMP)
    with torch.no_grad():
        for layer in (network.meet.out, network.meet.feed_forward.block[4]):
            layer.weight.zero_()
            layer.bias.zero_()
    summary, genes = network.mixtures(batch.bags["slides"]), batch.tokens["genes"].values
    slides = torch.nn.functional.gelu(network.slides.project(summary)).mean(dim=1)
    groups = [
        torch.nn.functional.gelu(genes[:, group] @ network.genes.weight[group] + network.genes.bias[group])
        for group in range(genes.shape[1])
    ]
    case = torch.cat([slides, torch.stack(groups).mean(dim=0)], dim=1)
    expected = case @ network.score.weight[0]
    torch.testing.assert_close(network.branch_scores(batch).squeeze(), expected)
