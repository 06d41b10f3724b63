"""ABMIL against its formula."""

from __future__ import annotations

import numpy as np
import torch
from slide_batches import cases, model, some, standardised

from kemm.model.batch import Bags


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def test_a_case_is_its_patches_weighed_by_gated_attention() -> None:
    network, batch = model("abmil").eval(), cases([7, 4])
    of = {name: value.detach().double().numpy() for name, value in network.named_parameters()}
    said = network.branch_scores(batch).squeeze()
    for case in range(2):
        patches = standardised(batch, case).double().numpy()
        seen = np.maximum(patches @ of["patches.project.weight"].T + of["patches.project.bias"], 0)
        content = np.tanh(seen @ of["pooling.content.weight"].T + of["pooling.content.bias"])
        gate = sigmoid(seen @ of["pooling.gate.weight"].T + of["pooling.gate.bias"])
        drawn = np.exp((content * gate) @ of["pooling.score.weight"][0])
        pooled = (drawn / drawn.sum()) @ seen
        np.testing.assert_allclose(said[case].item(), of["score.weight"][0] @ pooled, rtol=1e-4, atol=1e-5)


def test_the_order_of_patches_does_not_matter() -> None:
    network, batch = model("abmil").eval(), cases([9])
    bags = batch.bags["slides"]
    turned = Bags((bags.patches[0].flip(0),), bags.mean, bags.scale)
    batch_turned = some(batch, [0])
    batch_turned.bags["slides"] = turned
    torch.testing.assert_close(network.branch_scores(batch_turned), network.branch_scores(batch))
