"""SNN: a self-normalising network of the genes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.baselines.scoring import score_layer
from kemm.model.baselines.self_normalising import GeneVector
from kemm.model.batch import CaseBatch, Inputs
from kemm.model.heads import SurvivalHead
from kemm.model.survival_model import SurvivalModel


class SNN(SurvivalModel):
    """Genes alone.

    genes ─► linear, SELU, alpha dropout, twice ─► score

    The usual genes-only network of multimodal papers. It sees the features of the study's gene groups, end to end. The
    paper's layer count is a choice of each task; two is what multimodal papers take.

    References:
        Klambauer, Unterthiner, Mayr & Hochreiter (2017), Self-Normalizing Neural Networks, NeurIPS, arXiv:1706.02515.
    """

    def __init__(self, config: BaselinesConfig, inputs: Inputs, head: SurvivalHead) -> None:
        super().__init__(["genes"], head)
        self.genes = GeneVector(inputs, config.width, config.dropout)
        self.score = score_layer(config.width, head)

    def branch_scores(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """What the genes say; 0 for a case without."""
        score: Tensor = self.score(self.genes(batch.tokens["genes"]))
        return score[:, None]


BASELINE = Baseline(
    name="snn",
    title="SNN",
    description="A self-normalising network of the genes alone (Klambauer et al., 2017).",
    inputs=("genes",),
    build=SNN,
)
