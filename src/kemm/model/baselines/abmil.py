"""ABMIL: a case is the mean of its patches, weighed by a gated attention."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.attention import GatedPooling
from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.baselines.patches import PatchLayer, PatchNetwork
from kemm.model.baselines.scoring import score_layer
from kemm.model.batch import CaseBatch, Inputs
from kemm.model.heads import SurvivalHead


class ABMIL(PatchNetwork):
    """Attention-based multiple instance learning.

    patches ─► linear, ReLU, dropout ─► gated attention ─► weighted mean ─► score

        a_k = softmax_k wᵀ(tanh(V h_k) ⊙ sigmoid(U h_k)),   z = Σ a_k h_k

    Open in the paper: the attention is as wide as the patches here; dropout is the same for all patches of a case
    (`CaseDropout`). A case without patches scores 0.

    References:
        Ilse, Tomczak & Welling (2018), Attention-based Deep Multiple Instance Learning, ICML, eq. 7 and 9.
    """

    def __init__(
        self, patches: PatchLayer, pooling: GatedPooling, score: nn.Linear, head: SurvivalHead
    ) -> None:
        super().__init__(["all"], head)
        self.patches = patches
        self.pooling = pooling
        self.score = score

    def scores_of(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """What the pooled patches say."""
        scores: Tensor = self.score(self.pooling(self.patches(batch.bags["slides"])))
        return scores[:, None]


def build(config: BaselinesConfig, inputs: Inputs, head: SurvivalHead) -> ABMIL:
    """The network for a study's inputs."""
    return ABMIL(
        PatchLayer(inputs.slide_features, config.width, config.dropout),
        GatedPooling(config.width),
        score_layer(config.width, head),
        head,
    )


BASELINE = Baseline(
    name="abmil",
    title="ABMIL",
    description="Slides: the mean of a case's patches, weighed by a gated attention (Ilse et al. 2018).",
    inputs=("slides",),
    build=build,
)
