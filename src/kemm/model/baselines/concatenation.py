"""Concatenation: a vector of the slides beside a vector of the genes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.baselines.patches import PatchNetwork, PooledPatches
from kemm.model.baselines.scoring import JointScore
from kemm.model.baselines.self_normalising import GeneVector
from kemm.model.batch import CaseBatch, Inputs
from kemm.model.heads import SurvivalHead


class Concatenation(PatchNetwork):
    """Slides and genes side by side.

    slides ─► gated attention pooling ──┐
                                        ├─► hidden layer ─► score
    genes ──► self-normalising network ─┘

    The plainest way to use both, which every multimodal paper compares with. An absent modality is a vector of zeros.

    References:
        Mobadersany et al. (2018), Predicting cancer outcomes from histology and genomics using convolutional networks,
        PNAS 115, doi:10.1073/pnas.1717139115 (genes beside a slide's features). Pooling: Ilse et al. (2018),
        arXiv:1802.04712. Genes: Klambauer et al. (2017), arXiv:1706.02515.
    """

    def __init__(self, config: BaselinesConfig, inputs: Inputs, head: SurvivalHead) -> None:
        super().__init__(["all"], head)
        width, dropout = config.width, config.dropout
        self.slides = PooledPatches(inputs.slide_features, width, dropout)
        self.genes = GeneVector(inputs, width, dropout)
        self.score = JointScore(2 * width, width, dropout, head)

    def scores_of(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """What slides and genes say together."""
        score: Tensor = self.score(self.slides(batch.bags["slides"]), self.genes(batch.tokens["genes"]))
        return score


BASELINE = Baseline(
    name="concatenation",
    title="Concatenation",
    description="Attention-pooled slides and a network of the genes, side by side (Mobadersany et al., 2018).",
    inputs=("slides", "genes"),
    build=Concatenation,
)
