"""MMP: prototypes of a case's slides and its gene groups meet in a transformer."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.attention import SelfAttention
from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.baselines.mixtures import PrototypeMixtures
from kemm.model.baselines.scoring import score_layer
from kemm.model.batch import CaseBatch, Inputs, Tokens
from kemm.model.heads import SurvivalHead
from kemm.model.layers import Adapter, GroupAdapter
from kemm.model.survival_model import SurvivalModel


class MMP(SurvivalModel):
    """Multimodal prototyping.

    slides ─► mixture of prototypes, as PANTHER ─► layer of all ─┬─► transformer ─┬─► mean of slides' tokens ─┬─► score
    genes  ─► a layer for each gene group ───────────────────────┘                └─► mean of genes' tokens ──┘

    The paper's variant with a transformer, in which all tokens attend to all; not the one with optimal transport. Its
    pathways are the study's gene groups. Open in the paper, or other than there: one transformer layer, norm first,
    as wide as the other networks; dropout of what enters each modality's layer; what `PANTHER` says of mixtures.

    A modality that a case lacks is not attended to, and its mean is zero; a case that lacks both scores 0.

    References:
        Song et al. (2024), Multimodal Prototyping for Cancer Survival Prediction, ICML, arXiv:2407.00224.
    """

    def __init__(
        self,
        mixtures: PrototypeMixtures,
        slides: Adapter,
        genes: GroupAdapter,
        meet: SelfAttention,
        score: nn.Linear,
        head: SurvivalHead,
    ) -> None:
        super().__init__(["all"], head)
        self.mixtures = mixtures
        self.slides = slides
        self.genes = genes
        self.meet = meet
        self.score = score

    def branch_scores(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """What the tokens of slides and of genes say after they met."""
        bags = batch.bags["slides"]
        summary = self.mixtures(bags)
        slides = self.slides(Tokens(summary, bags.case_present[:, None].expand(summary.shape[:2])))
        genes = self.genes(batch.tokens["genes"])
        met = self.meet(Tokens.cat([slides, genes]))
        count = len(slides)
        case = torch.cat(
            [
                mean_token(Tokens(met.values[:, :count], met.present[:, :count])),
                mean_token(Tokens(met.values[:, count:], met.present[:, count:])),
            ],
            dim=1,
        )
        scores: Tensor = self.score(case)
        return scores[:, None]


def mean_token(tokens: Tokens) -> Float[Tensor, "case width"]:
    """The mean of the tokens that are present; zero where none is."""
    there = tokens.present[..., None]
    return (tokens.values * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)


def build(config: BaselinesConfig, inputs: Inputs, head: SurvivalHead) -> MMP:
    """The network for a study's inputs.

    Raises:
        ValueError: No prototypes are given.
    """
    if inputs.prototypes is None:
        raise ValueError("MMP needs Inputs.prototypes: typical patches of the training part")
    width, dropout = config.width, config.dropout
    return MMP(
        PrototypeMixtures(inputs.prototypes),
        Adapter(1 + 2 * inputs.prototypes.shape[1], width, dropout),
        GroupAdapter(inputs.gene_groups, inputs.gene_features, width, dropout),
        SelfAttention(width, config.heads, dropout),
        score_layer(2 * width, head),
        head,
    )


BASELINE = Baseline(
    name="mmp",
    title="MMP",
    description="Slides and genes: prototypes and gene groups meet in a transformer (Song et al. 2024).",
    inputs=("slides", "genes"),
    build=build,
    needs_prototypes=True,
)
