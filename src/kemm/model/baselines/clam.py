"""CLAM: attention over patches, which must also tell the most from the least attended ones."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kemm.model.attention import masked_softmax
from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.baselines.carried_loss import carrying
from kemm.model.baselines.patches import CaseDropout, PatchLayer, PatchNetwork
from kemm.model.baselines.scoring import score_layer
from kemm.model.batch import CaseBatch, Inputs, Tokens
from kemm.model.heads import SurvivalHead

CLUSTERED = 8
"""So many of the most, and of the least, attended patches are clustered; the paper's number."""
CLUSTERING = 0.3 / 0.7
"""What the loss of the clustering counts against that of the outcome; the paper's weights."""


class GatedAttention(nn.Module):
    """Attention of a given number of branches, half as wide as the patches, with dropout within."""

    def __init__(self, width: int, branches: int, dropout: float) -> None:
        super().__init__()
        self.content = nn.Linear(width, width // 2)
        self.gate = nn.Linear(width, width // 2)
        self.content_dropout = CaseDropout(dropout)
        self.gate_dropout = CaseDropout(dropout)
        self.score = nn.Linear(width // 2, branches, bias=False)  # a bias would cancel in the softmax

    def forward(self, values: Float[Tensor, "case patch width"]) -> Float[Tensor, "case patch branch"]:
        """How much each branch is drawn to each patch, before the softmax."""
        content = self.content_dropout(torch.tanh(self.content(values)))
        scores: Tensor = self.score(content * self.gate_dropout(torch.sigmoid(self.gate(values))))
        return scores


class CLAM(PatchNetwork):
    """Clustering-constrained attention multiple instance learning.

    patches ─► linear, ReLU, dropout ─┬─► gated attention, one branch a score ─► weighted mean ─► score of the branch
                                      └─► cluster: among the most attended, or the least?   (in training)

    With one score (proportional hazards, Cox) this is the paper's CLAM-SB, with a score for each interval CLAM-MB:
    an interval stands for a class, with an attention and a classifier of its own.

    The paper clusters by the class a slide is of: patches that the attention of its class ranks highest should be
    told from those it ranks lowest. Survival knows no class; so each branch's clustering is asked of every case, as of
    a class that all are of. What is left out is what needs other classes: calling the most attended patches of
    a class that a slide is not of negative. The loss is the paper's smooth SVM loss (temperature 1, margin 1), and
    joins the gradient in training; scores, and what epochs are chosen by, do not hold it.

    Of a case with fewer than 16 patches the upper and the lower half are clustered. Dropout is the same for all patches
    of a case (`CaseDropout`). A case without patches scores 0.

    References:
        Lu et al. (2021), Data-efficient and weakly supervised computational pathology on whole-slide images,
        Nature Biomedical Engineering 5, doi:10.1038/s41551-020-00682-w.
    """

    def __init__(
        self,
        patches: PatchLayer,
        attention: GatedAttention,
        score: nn.Linear,
        cluster: nn.Linear,
        head: SurvivalHead,
    ) -> None:
        super().__init__(["all"], head)
        self.patches = patches
        self.attention = attention
        self.score = score
        self.cluster = cluster

    def scores_of(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """What each attention branch's pooled patches say."""
        patches = self.patches(batch.bags["slides"])
        attention = self.attention(patches.values).transpose(1, 2)
        pooled = masked_softmax(attention, patches.present[:, None]) @ patches.values
        # Each branch by its own row of the last layer.
        scores: Tensor = self.score(pooled).diagonal(dim1=1, dim2=2)[:, None]
        if not self.training:
            return scores
        return carrying(scores, CLUSTERING * self.clustering(patches, attention))

    def clustering(
        self, patches: Tokens, attention: Float[Tensor, "case branch patch"]
    ) -> Float[Tensor, " member"]:
        """The loss of the clustering: mean over each network's cases."""
        most, least = extremes(attention, patches.present, CLUSTERED)
        margin = self.cluster(patches.values).transpose(1, 2)
        losses = nn.functional.softplus(1 - margin) * most + nn.functional.softplus(1 + margin) * least
        chosen = (most | least).sum(dim=(1, 2))
        of_case = losses.sum(dim=(1, 2)) / chosen.clamp(min=1)
        members = self.cluster.weight.reshape(-1, *self.cluster.weight.shape[-2:]).shape[0]
        counted = (chosen > 0).view(members, -1).sum(dim=1)
        return of_case.view(members, -1).sum(dim=1) / counted.clamp(min=1)


def extremes(
    attention: Float[Tensor, "case branch patch"], present: Bool[Tensor, "case patch"], count: int
) -> tuple[Bool[Tensor, "case branch patch"], Bool[Tensor, "case branch patch"]]:
    """The `count` most, and the `count` least attended patches: of few patches the upper and the lower half."""
    falling = attention.detach().masked_fill(~present[:, None], -torch.inf)
    rank = falling.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    total = present.sum(dim=1)[:, None, None]
    wanted = (total // 2).clamp(max=count)
    return rank < wanted, (rank >= total - wanted) & (rank < total)


def build(config: BaselinesConfig, inputs: Inputs, head: SurvivalHead) -> CLAM:
    """The network for a study's inputs."""
    return CLAM(
        PatchLayer(inputs.slide_features, config.width, config.dropout),
        GatedAttention(config.width, head.scores, config.dropout),
        score_layer(config.width, head),
        nn.Linear(config.width, head.scores),
        head,
    )


BASELINE = Baseline(
    name="clam",
    title="CLAM",
    description="Slides: gated attention that must also tell the most from the least attended patches (Lu et al. 2021).",
    inputs=("slides",),
    build=build,
)
