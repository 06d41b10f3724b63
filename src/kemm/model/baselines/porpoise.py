"""Porpoise: every number of the slides times every number of the genes."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.baselines.patches import PatchNetwork, PooledPatches
from kemm.model.baselines.scoring import JointScore
from kemm.model.baselines.self_normalising import GeneVector
from kemm.model.batch import CaseBatch, Inputs
from kemm.model.heads import SurvivalHead

COMPRESSION = 4
"""The product is of vectors so many times narrower than the network, else it would have thousands of numbers."""


class Gate(nn.Module):
    """A narrower vector of one modality, each number let through as far as both modalities say: σ(U [h, o]) ReLU(W h)."""

    def __init__(self, width: int, narrow: int) -> None:
        super().__init__()
        self.content = nn.Linear(width, narrow)
        self.gate = nn.Linear(2 * width, narrow)

    def forward(
        self,
        own: Float[Tensor, "case width"],
        other: Float[Tensor, "case width"],
        present: Bool[Tensor, " case"],
    ) -> Float[Tensor, "case narrow"]:
        """The vector; zero where the modality is absent."""
        let_through = torch.sigmoid(self.gate(torch.cat([own, other], dim=1)))
        gated: Tensor = let_through * nn.functional.relu(self.content(own)) * present[:, None]
        return gated


def kronecker(
    one: Float[Tensor, "case first"], other: Float[Tensor, "case second"]
) -> Float[Tensor, "case product"]:
    """[one, 1] ⊗ [other, 1] of each case.

    By the 1 each vector is in the product by itself too: where one modality is absent, what is left is the other.
    """
    first, second = (nn.functional.pad(vector, (0, 1), value=1.0) for vector in (one, other))
    return (first[:, :, None] * second[:, None, :]).flatten(1)


class Porpoise(PatchNetwork):
    """Slides and genes multiplied.

    slides ─► gated attention pooling ──► gate ─┐
                                                ├─► Kronecker product ─► hidden layer ─► score
    genes ──► self-normalising network ─► gate ─┘

    The paper's fusion is that of Pathomic Fusion. Choices: vectors are narrowed to a quarter of the width before the
    product, and one hidden layer follows it.

    References:
        Chen et al. (2022), Pan-cancer integrative histology-genomic analysis via multimodal deep learning, Cancer Cell 40,
        doi:10.1016/j.ccell.2022.07.004. Gates: Chen et al. (2020), Pathomic Fusion, arXiv:1912.08937.
    """

    def __init__(self, config: BaselinesConfig, inputs: Inputs, head: SurvivalHead) -> None:
        super().__init__(["all"], head)
        width, dropout = config.width, config.dropout
        narrow = width // COMPRESSION
        self.slides = PooledPatches(inputs.slide_features, width, dropout)
        self.genes = GeneVector(inputs, width, dropout)
        self.slide_gate = Gate(width, narrow)
        self.gene_gate = Gate(width, narrow)
        self.dropout = nn.Dropout(dropout)
        self.score = JointScore((narrow + 1) ** 2, width, dropout, head)

    def scores_of(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """What slides and genes say together."""
        bags, profile = batch.bags["slides"], batch.tokens["genes"]
        slides, genes = self.slides(bags), self.genes(profile)
        product = kronecker(
            self.slide_gate(slides, genes, bags.case_present),
            self.gene_gate(genes, slides, profile.case_present),
        )
        score: Tensor = self.score(self.dropout(product))
        return score


BASELINE = Baseline(
    name="porpoise",
    title="Porpoise",
    description="Pooled slides and genes, gated and multiplied number by number (Chen et al., 2022).",
    inputs=("slides", "genes"),
    build=Porpoise,
)
