"""TransMIL: patches attend to one another, on a square grid, and to a class token that forecasts."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.baselines.nystrom import NystromAttention, made_again
from kemm.model.baselines.patches import PatchLayer, PatchNetwork
from kemm.model.baselines.scoring import score_layer
from kemm.model.batch import CaseBatch, Inputs, Tokens
from kemm.model.heads import SurvivalHead
from kemm.model.layers import LearnedQueries


class PyramidEncoding(nn.Module):
    """PPEG: tokens plus depthwise convolutions of three sizes over the square they lie on."""

    side_by_side = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seven = _kernel(width, 7)
        self.five = _kernel(width, 5)
        self.three = _kernel(width, 3)
        self.bias = nn.Parameter(torch.zeros(width))

    @property
    def members(self) -> int:
        """Networks side by side."""
        return self.bias.numel() // self.bias.shape[-1]

    def forward(
        self,
        values: Float[Tensor, "case token width"],
        present: Bool[Tensor, "case token"],
        sides: Int[Tensor, " case"],
    ) -> Float[Tensor, "case token width"]:
        """The tokens with what lies around them; beyond a case's own square is nothing."""
        longest = max(1, int(sides.max()))
        number = torch.arange(values.shape[1], device=values.device)
        side = sides.clamp(min=1)[:, None]
        # Absent tokens go to a place of their own behind the largest square.
        place = torch.where(present, number // side * longest + number % side, longest**2)
        at = place[..., None].expand_as(values)
        grid = values.new_zeros(len(values), longest**2 + 1, values.shape[2]).scatter(1, at, values)
        around = self._around(grid[:, :-1].unflatten(1, (longest, longest)))
        found = nn.functional.pad(around.flatten(1, 2), (0, 0, 0, 1)).gather(1, at)
        placed: Tensor = (values + found) * present[..., None]
        return placed

    def _around(self, grid: Float[Tensor, "case row column width"]) -> Float[Tensor, "case row column width"]:
        # Convolutions add up: three kernels are one.
        pad = nn.functional.pad
        kernel = self.seven + pad(self.five, (1, 1, 1, 1)) + pad(self.three, (2, 2, 2, 2))
        kernel = kernel.reshape(-1, *kernel.shape[-3:])
        members, width = kernel.shape[:2]
        # Channels last in memory: on a processor the way back is then twice as fast.
        channels = grid.unflatten(0, (members, -1)).permute(1, 2, 3, 0, 4).flatten(3).permute(0, 3, 1, 2)
        summed = nn.functional.conv2d(
            channels, kernel.flatten(0, 1)[:, None], self.bias.flatten(), padding=3, groups=members * width
        )
        around: Tensor = summed.unflatten(1, (members, width)).permute(1, 0, 3, 4, 2).flatten(0, 1)
        return around


def _kernel(width: int, side: int) -> nn.Parameter:
    # As torch begins its convolutions.
    return nn.Parameter(torch.empty(width, side, side).uniform_(-1 / side, 1 / side))


class TransMIL(PatchNetwork):
    """Transformer-based correlated multiple instance learning.

    patches ─► linear, ReLU ─► squared ─► + class token ─► attention ─► PPEG ─► attention ─► norm ─► class token ─► score

    Patches are squared in the order they are read, the first once more at the end until they fill a square: so the
    order matters here, as in the paper. Each case has a square, and landmarks, of its own size, whatever it is
    batched with.

    Open in the paper, or other than there: attention as Nyströmformer has it, with its convolution of values, by half as
    many landmarks as the width (`NystromAttention`); dropout after the first layer and in attention, the same for
    all patches of a case (`CaseDropout`). A case without patches scores 0.

    References:
        Shao et al. (2021), TransMIL: Transformer based Correlated Multiple Instance Learning for Whole Slide Image
        Classification, NeurIPS.
    """

    def __init__(
        self,
        patches: PatchLayer,
        asks: LearnedQueries,
        first: NystromAttention,
        places: PyramidEncoding,
        second: NystromAttention,
        norm: nn.LayerNorm,
        score: nn.Linear,
        head: SurvivalHead,
    ) -> None:
        super().__init__(["all"], head)
        self.patches = patches
        self.asks = asks
        self.first = first
        self.places = places
        self.second = second
        self.norm = norm
        self.score = score

    def scores_of(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """What the class token has taken from the patches."""
        patches = self.patches(batch.bags["slides"])
        square, sides = squared(patches)
        tokens = self.first(Tokens.cat([self.asks(len(batch)), square]))
        placed = made_again(self.places, self.places.members, tokens.values[:, 1:], square.present, sides)
        # Of the last layer only the class token is asked for.
        last = self.second(Tokens(torch.cat([tokens.values[:, :1], placed], dim=1), tokens.present), first=1)
        seen = self.norm(last.values) * patches.case_present[:, None, None]
        scores: Tensor = self.score(seen)
        return scores


def squared(patches: Tokens) -> tuple[Tokens, Int[Tensor, " case"]]:
    """Tokens that fill a square, and its side: the first once more at the end, as many as it takes."""
    count = patches.present.sum(dim=1)
    sides = count.double().sqrt().ceil().long()
    longest = max(1, int(sides.max()) ** 2)
    places = torch.arange(longest, device=count.device)
    again = places % count.clamp(min=1)[:, None]
    values = patches.values.gather(1, again[..., None].expand(-1, -1, patches.values.shape[2]))
    present = places < sides[:, None].square()
    return Tokens(values * present[..., None], present), sides


def build(config: BaselinesConfig, inputs: Inputs, head: SurvivalHead) -> TransMIL:
    """The network for a study's inputs."""
    width = config.width
    return TransMIL(
        patches=PatchLayer(inputs.slide_features, width, config.dropout),
        asks=LearnedQueries(1, width),
        first=NystromAttention(width, config.heads, width // 2, config.dropout),
        places=PyramidEncoding(width),
        second=NystromAttention(width, config.heads, width // 2, config.dropout),
        norm=nn.LayerNorm(width),
        score=score_layer(width, head),
        head=head,
    )


BASELINE = Baseline(
    name="transmil",
    title="TransMIL",
    description="Slides: patches on a square grid attend to one another by way of landmarks (Shao et al. 2021).",
    inputs=("slides",),
    build=build,
)
