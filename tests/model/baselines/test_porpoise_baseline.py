"""Porpoise: gates, and the Kronecker product."""

from __future__ import annotations

import numpy as np
import torch
from slides_and_genes import awake, cases, network, scores

from kemm.model.baselines.porpoise import BASELINE, Gate, Porpoise, kronecker


def test_the_product_is_numpys_of_vectors_with_a_one_behind() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(3, 4), torch.randn(3, 5)
    for case in range(3):
        by_hand = np.kron(np.append(one[case].numpy(), 1), np.append(other[case].numpy(), 1))
        np.testing.assert_allclose(kronecker(one, other)[case].numpy(), by_hand, rtol=1e-6)


def test_with_one_vector_absent_the_product_is_the_other() -> None:
    vector = torch.tensor([[2.0, -3.0]])
    product = kronecker(torch.zeros(1, 2), vector)
    assert product.tolist() == [[0, 0, 0, 0, 0, 0, 2, -3, 1]]


def test_a_gate_is_worked_by_hand() -> None:
    torch.manual_seed(0)
    gate, own, other = Gate(3, 2), torch.randn(2, 3), torch.randn(2, 3)
    with torch.no_grad():
        found = gate(own, other, torch.tensor([True, False]))
        let_through = 1 / (1 + torch.exp(-(torch.cat([own, other], 1) @ gate.gate.weight.T + gate.gate.bias)))
        by_hand = let_through * (own @ gate.content.weight.T + gate.content.bias).clamp(min=0)
    torch.testing.assert_close(found[0], by_hand[0])
    assert not found[1].any()


def test_the_score_is_that_of_the_product_of_gated_vectors() -> None:
    model, batch = awake(network(BASELINE)), cases()
    assert isinstance(model, Porpoise)
    bags, profile = batch.bags["slides"], batch.tokens["genes"]
    with torch.no_grad():
        slides, genes = model.slides(bags), model.genes(profile)
        assert (slides.abs().sum(dim=1) > 0).tolist() == [True, True, False, True, False]
        assert (genes.abs().sum(dim=1) > 0).tolist() == [True, True, True, False, False]
        first = model.slide_gate(slides, genes, bags.case_present)
        second = model.gene_gate(genes, slides, profile.case_present)
        products = [
            torch.kron(*(torch.cat([v, torch.ones(1)]) for v in pair))
            for pair in zip(first, second, strict=True)
        ]
        by_hand = model.score.layers(torch.stack(products))
    torch.testing.assert_close(scores(model, batch)[:, 0], by_hand)
