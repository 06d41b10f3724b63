"""CMTA: each modality is translated into the other, and the translation held against the original."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kemm.model.attention import SelfAttention
from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.baselines.carried_loss import carrying
from kemm.model.baselines.co_attention import CoAttention
from kemm.model.baselines.patches import PatchLayer, PatchNetwork
from kemm.model.baselines.scoring import JointScore
from kemm.model.baselines.self_normalising import GeneTokens
from kemm.model.batch import CaseBatch, Inputs, Tokens
from kemm.model.heads import SurvivalHead
from kemm.model.layers import LearnedQueries

ALIGNMENT = 1.0
"""Weight of the alignment loss beside the survival loss."""


class Summary(nn.Module):
    """A transformer layer over tokens and a class token, which sums them up."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.class_token = LearnedQueries(1, width)
        self.layer = SelfAttention(width, heads, dropout)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, tokens: Tokens, *, class_only: bool = False
    ) -> tuple[Float[Tensor, "case width"], Tokens]:
        """The class token, zero for a case without tokens; and the tokens, each with what it took from the others: none,
        where only the class token is asked for."""
        mixed = self.layer(
            Tokens.cat([self.class_token(len(tokens.values)), tokens]), 1 if class_only else None
        )
        values = self.norm(mixed.values)
        return values[:, 0] * tokens.case_present[:, None], Tokens(values[:, 1:], mixed.present[:, 1:])

    @property
    def members(self) -> int:
        """Networks side by side."""
        shape = self.class_token.values.shape
        return shape[0] if len(shape) == 3 else 1


class CMTA(PatchNetwork):
    """Each modality is encoded, and translated into the other.

    patches ─► encoder ─┬─► slides ───────────────────────────────────────────────────┐
                        ├─► gene groups ask patches ─► decoder ─► genes, from slides ─┤ mean of own and translated
                        ├─► patches ask gene groups ─► decoder ─► slides, from genes ─┤ of each ─► hidden layer ─► score
    genes ───► encoder ─┴─► genes ────────────────────────────────────────────────────┘

    What has a name here, slides or genes, is a class token. The alignment loss draws the translated class token to the
    own one, which is held fixed: the mean absolute difference, with weight `ALIGNMENT`, over cases that have both
    modalities. The scores carry it to the training loop (`carrying`); it takes no part in the choice of the epoch.

    Choices: encoders and decoders have one layer each. Attention among patches is exact, where the paper takes Nyström's
    approximation, and patches have no positions. Layers over patches have no dropout but that of the patch layer.
    A translation needs both modalities: where one is absent, so are both translations, and the other's own class
    token stands alone.

    References:
        Zhou & Chen (2023), Cross-Modal Translation and Alignment for Survival Analysis, ICCV, arXiv:2309.12855.
    """

    def __init__(self, config: BaselinesConfig, inputs: Inputs, head: SurvivalHead) -> None:
        super().__init__(["all"], head)
        width, heads, dropout = config.width, config.heads, config.dropout
        self.patches = PatchLayer(inputs.slide_features, width, dropout)
        self.genes = GeneTokens(inputs, width, dropout)
        self.slide_encoder = Summary(width, heads, 0.0)
        self.gene_encoder = Summary(width, heads, dropout)
        self.patches_for_genes = CoAttention(width, heads)
        self.genes_for_patches = CoAttention(width, heads)
        self.gene_decoder = Summary(width, heads, dropout)
        self.slide_decoder = Summary(width, heads, 0.0)
        self.score = JointScore(2 * width, width, dropout, head)

    def scores_of(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """What slides and genes say together."""
        slides, patches = self.slide_encoder(self.patches(batch.bags["slides"]))
        genes, groups = self.gene_encoder(self.genes(batch.tokens["genes"]))
        genes_from_slides, _ = self.gene_decoder(self.patches_for_genes(groups, patches))
        slides_from_genes, _ = self.slide_decoder(self.genes_for_patches(patches, groups), class_only=True)
        both = patches.case_present & groups.case_present
        scores: Tensor = self.score(
            _mean(slides, slides_from_genes, both), _mean(genes, genes_from_slides, both)
        )
        if not self.training:
            return scores
        apart = _difference(slides, slides_from_genes) + _difference(genes, genes_from_slides)
        return carrying(scores, ALIGNMENT * _mean_of_members(apart, both, self.slide_encoder.members))


def _mean(
    own: Float[Tensor, "case width"], translated: Float[Tensor, "case width"], both: Bool[Tensor, " case"]
) -> Float[Tensor, "case width"]:
    return torch.where(both[:, None], (own + translated) / 2, own)


def _difference(
    own: Float[Tensor, "case width"], translated: Float[Tensor, "case width"]
) -> Float[Tensor, " case"]:
    return (own.detach() - translated).abs().mean(dim=1)


def _mean_of_members(
    values: Float[Tensor, " case"], counted: Bool[Tensor, " case"], members: int
) -> Float[Tensor, " member"]:
    """The mean over the cases counted of each network; 0 where there are none."""
    total = (values * counted).view(members, -1).sum(dim=1)
    return total / counted.view(members, -1).sum(dim=1).clamp(min=1)


BASELINE = Baseline(
    name="cmta",
    title="CMTA",
    description="Slides and genes are translated into each other and aligned (Zhou & Chen, 2023).",
    inputs=("slides", "genes"),
    build=CMTA,
)
