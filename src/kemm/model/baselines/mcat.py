"""MCAT: gene groups look at the patches; what they saw and what they are is summed up side by side."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.attention import GatedPooling, SelfAttention
from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.baselines.co_attention import CoAttention, askers
from kemm.model.baselines.patches import PatchLayer, PatchNetwork
from kemm.model.baselines.scoring import JointScore
from kemm.model.baselines.self_normalising import GeneTokens
from kemm.model.batch import CaseBatch, Inputs, Tokens
from kemm.model.heads import SurvivalHead

LAYERS = 2
"""Transformer layers of each side."""


class SummedUp(nn.Module):
    """One vector of a set of tokens: a transformer, then gated attention pooling."""

    def __init__(self, config: BaselinesConfig) -> None:
        super().__init__()
        self.transformer = nn.ModuleList(
            [SelfAttention(config.width, config.heads, config.dropout) for _ in range(LAYERS)]
        )
        self.pooling = GatedPooling(config.width)

    def forward(self, tokens: Tokens) -> Float[Tensor, "case width"]:
        """The vector; zero for a case without tokens."""
        for layer in self.transformer:
            tokens = layer(tokens)
        vector: Tensor = self.pooling(tokens)
        return vector


class MCAT(PatchNetwork):
    """Gene groups look at the patches.

    patches ─► layer ─────────────────┐
                                      ├─► co-attention ─► transformer ─► pooling ─┐
    gene groups ─► network of each ───┤                                           ├─► hidden layer ─► score
                                      └─────────────────► transformer ─► pooling ─┘

    After co-attention there are as many tokens as gene groups: the study's, where the paper has six. Co-attention has
    one head, as in the paper's equation. Transformer layers are this package's (norm first, GELU), and none stands
    between pooling and the hidden layer. For a case without genes an average patient's groups ask, and its gene side
    is zero; a case without slides has zero on the slides' side.

    References:
        Chen et al. (2021), Multimodal Co-Attention Transformer for Survival Prediction in Gigapixel Whole Slide Images,
        ICCV, doi:10.1109/ICCV48922.2021.00398.
    """

    def __init__(
        self,
        config: BaselinesConfig,
        inputs: Inputs,
        head: SurvivalHead,
        co_attention: nn.Module | None = None,
    ) -> None:
        super().__init__(["all"], head)
        width, dropout = config.width, config.dropout
        self.patches = PatchLayer(inputs.slide_features, width, dropout)
        self.genes = GeneTokens(inputs, width, dropout)
        self.co_attention = CoAttention(width) if co_attention is None else co_attention
        self.slide_side = SummedUp(config)
        self.gene_side = SummedUp(config)
        self.score = JointScore(2 * width, width, dropout, head)

    def scores_of(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """What slides and genes say together."""
        patches, genes = self.patches(batch.bags["slides"]), self.genes(batch.tokens["genes"])
        seen = self.co_attention(askers(genes), patches)
        score: Tensor = self.score(self.slide_side(seen), self.gene_side(genes))
        return score


BASELINE = Baseline(
    name="mcat",
    title="MCAT",
    description="Gene groups attend to patches, then a transformer for each side (Chen et al., 2021).",
    inputs=("slides", "genes"),
    build=MCAT,
)
