"""SurvPath: pathways and patches attend to each other, and pathways to pathways; patches never to patches."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.attention import FeedForward, attend, split_heads
from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.baselines.patches import PatchLayer, PatchNetwork
from kemm.model.baselines.scoring import JointScore
from kemm.model.baselines.self_normalising import GeneTokens
from kemm.model.batch import CaseBatch, Inputs, Tokens
from kemm.model.heads import SurvivalHead


class PathwayAttention(nn.Module):
    """A transformer layer over pathways and patches, without attention of patches to patches: linear in patches."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        # One block for both sorts. Its dropout would depend on how patches are padded, so there is none.
        self.feed_forward = FeedForward(width, 0.0)

    def forward(self, pathways: Tokens, patches: Tokens) -> tuple[Tokens, Tokens]:
        """Both, with what each token took from those it may look at."""
        count, every = len(pathways), Tokens.cat([pathways, patches])
        query, key, value = (
            split_heads(part, self.heads) for part in self.project(self.norm(every.values)).chunk(3, dim=-1)
        )
        by_pathways = attend(query[:, :, :count], key, value, every.present)
        by_patches = attend(query[:, :, count:], key[:, :, :count], value[:, :, :count], pathways.present)
        taken = self.out(torch.cat([by_pathways, by_patches], dim=1))
        made = self.feed_forward(every.values + taken)
        return Tokens(made[:, :count], pathways.present), Tokens(made[:, count:], patches.present)


class SurvPath(PatchNetwork):
    """Pathways and patches meet in one transformer layer.

    pathways ─► network of each ─┐                       ┌─► mean ─┐
                                 ├─► pathway attention ──┤         ├─► hidden layer ─► score
    patches ──► layer ───────────┘                       └─► mean ─┘

    Pathways are the study's gene groups. Residuals and norms are as in this package's transformers, so that the patches
    of a case without genes, which have nobody to look at, still count. An absent modality's mean is zero.

    References:
        Jaume et al. (2024), Modeling Dense Multimodal Interactions Between Biological Pathways and Histology for Survival
        Prediction, CVPR, arXiv:2304.06819.
    """

    def __init__(self, config: BaselinesConfig, inputs: Inputs, head: SurvivalHead) -> None:
        super().__init__(["all"], head)
        width, dropout = config.width, config.dropout
        self.pathways = GeneTokens(inputs, width, dropout)
        self.patches = PatchLayer(inputs.slide_features, width, dropout)
        self.attention = PathwayAttention(width, config.heads)
        self.score = JointScore(2 * width, width, dropout, head)

    def scores_of(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """What slides and genes say together."""
        pathways, patches = self.attention(
            self.pathways(batch.tokens["genes"]), self.patches(batch.bags["slides"])
        )
        score: Tensor = self.score(_mean(pathways), _mean(patches))
        return score


def _mean(tokens: Tokens) -> Float[Tensor, "case width"]:
    """Over the tokens present; zero where there are none."""
    weight = tokens.present.to(tokens.values.dtype)
    weight = weight / weight.sum(dim=1, keepdim=True).clamp(min=1)
    return (weight[:, None] @ tokens.values).squeeze(1)


BASELINE = Baseline(
    name="survpath",
    title="SurvPath",
    description="A transformer of pathways and patches without attention among patches (Jaume et al., 2024).",
    inputs=("slides", "genes"),
    build=SurvPath,
)
