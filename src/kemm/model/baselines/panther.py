"""PANTHER: a case is the mixture of prototypes that its patches are."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.baselines.mixtures import PrototypeMixtures
from kemm.model.baselines.scoring import score_layer
from kemm.model.batch import CaseBatch, Inputs, Tokens
from kemm.model.heads import SurvivalHead
from kemm.model.layers import GroupAdapter
from kemm.model.survival_model import SurvivalModel


class PANTHER(SurvivalModel):
    """A predictor on a slide representation that is found without outcomes.

    patches ─► Gaussian mixture from prototypes ─► weight, mean, variance of each ─► layer of its own ─► all end to end ─► score

    Open in the paper, or other than there: features are at mean 0 and deviation 1, so that components may begin with
    variance 1 whatever the encoder; one step of EM; each prototype counts as one patch of its component
    (`mixtures`). What forecasts is a layer of its own for each prototype (GELU, dropout), and a linear one of all of
    them. The prototypes are fitted outside, on the training part. A case without patches scores 0.

    References:
        Song et al. (2024), Morphological Prototyping for Unsupervised Slide Representation Learning in Computational
        Pathology, CVPR, arXiv:2405.11643.
    """

    def __init__(
        self,
        mixtures: PrototypeMixtures,
        layers: GroupAdapter,
        dropout: nn.Dropout,
        score: nn.Linear,
        head: SurvivalHead,
    ) -> None:
        super().__init__(["all"], head)
        self.mixtures = mixtures
        self.layers = layers
        self.dropout = dropout
        self.score = score

    def branch_scores(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """What the mixture says."""
        bags = batch.bags["slides"]
        there = bags.case_present[:, None]
        summary = self.mixtures(bags)
        prototypes = self.layers(Tokens(summary, there.expand(summary.shape[:2]))).values
        case = self.dropout(prototypes).flatten(1) * there
        scores: Tensor = self.score(case)
        return scores[:, None]


def build(config: BaselinesConfig, inputs: Inputs, head: SurvivalHead) -> PANTHER:
    """The network for a study's inputs.

    Raises:
        ValueError: No prototypes are given.
    """
    if inputs.prototypes is None:
        raise ValueError("PANTHER needs Inputs.prototypes: typical patches of the training part")
    count, features = inputs.prototypes.shape
    return PANTHER(
        PrototypeMixtures(inputs.prototypes),
        GroupAdapter(count, 1 + 2 * features, config.width, dropout=0.0),
        nn.Dropout(config.dropout),
        score_layer(count * config.width, head),
        head,
    )


BASELINE = Baseline(
    name="panther",
    title="PANTHER",
    description="Slides: the Gaussian mixture of prototypes that a case's patches are (Song et al. 2024).",
    inputs=("slides",),
    build=build,
    needs_prototypes=True,
)
