"""MOTCat: patches are shared out among gene groups by optimal transport."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.baselines.mcat import MCAT
from kemm.model.batch import Inputs, Tokens
from kemm.model.heads import SurvivalHead

ENTROPY = 0.1
"""Weight of the plan's entropy, where costs are between 0 and 2."""
STEPS = 15
"""Scalings of both marginals, before those with a gradient."""
STEPS_WITH_GRADIENT = 3


class TransportAttention(nn.Module):
    """What each gene group takes of the patches, where all patches are given away and all groups get as much."""

    def forward(self, asking: Tokens, asked: Tokens) -> Tokens:
        """A token for each that asks: the mean of the tokens asked, weighed by the plan."""
        plan = transport_plan(cosine_cost(asking.values, asked.values), asking.present, asked.present)
        share = plan.sum(dim=2, keepdim=True)
        seen = _over(plan @ asked.values, share)
        return Tokens(seen, asking.present & asked.case_present[:, None])


def cosine_cost(
    one: Float[Tensor, "case group width"], other: Float[Tensor, "case patch width"]
) -> Float[Tensor, "case group patch"]:
    """1 - cosine: half the squared distance of vectors of length 1."""
    first, second = (nn.functional.normalize(vectors, dim=2) for vectors in (one, other))
    return 1 - first @ second.mT


def transport_plan(
    cost: Float[Tensor, "case group patch"],
    groups: Bool[Tensor, "case group"],
    patches: Bool[Tensor, "case patch"],
) -> Float[Tensor, "case group patch"]:
    """The plan of least cost less `ENTROPY` times its entropy, with even marginals over what is present.

    Rows sum to 1 / groups present, exactly; columns to 1 / patches present, as far as `STEPS` go; nothing goes to or
    from what is absent. The gradient is that of the last scalings: at a fixed point that forgets its start quickly,
    those before hardly add to it (Bolte et al., 2023, arXiv:2305.13768).

    References:
        Cuturi (2013), Sinkhorn Distances, arXiv:1306.0895.
    """
    kernel = torch.exp(cost / -ENTROPY)
    # Marginals of 0 keep what is absent at 0: the kernel needs no mask.
    row, column = _even(groups, kernel.dtype), _even(patches, kernel.dtype)
    to_patch = patches.to(kernel.dtype)
    with torch.no_grad():
        for _ in range(STEPS):
            to_patch = _scaled(kernel, row, column, to_patch)
    for _ in range(STEPS_WITH_GRADIENT):
        to_patch = _scaled(kernel, row, column, to_patch)
    return _over(row, _times(kernel, to_patch))[:, :, None] * kernel * to_patch[:, None, :]


def _scaled(kernel: Tensor, row: Tensor, column: Tensor, to_patch: Tensor) -> Tensor:
    return _over(column, _times(kernel.mT, _over(row, _times(kernel, to_patch))))


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    # The vector on the left: PyTorch is slow with a column on the right.
    return (vector[:, None] @ matrix.mT).squeeze(1)


def _over(mass: Tensor, total: Tensor) -> Tensor:
    return mass / total.masked_fill(total == 0, 1)


def _even(present: Tensor, kind: torch.dtype) -> Tensor:
    return present.to(kind) / present.sum(dim=1, keepdim=True).clamp(min=1)


class MOTCat(MCAT):
    """MCAT, with optimal transport in place of attention.

    Attention lets every group look at the same few patches; here each patch's mass has to go somewhere, and each group
    gets as much. The paper transports small random batches of patches, with marginals relaxed for it (unbalanced
    transport), and averages; here the whole bag is transported at once, with both marginals kept. Choices: the cost is
    1 - cosine, so that entropy weighs the same whatever the embeddings' lengths; groups take the patches as they are,
    without a value layer.

    References:
        Xu & Chen (2023), Multimodal Optimal Transport-based Co-Attention Transformer with Global Structure Consistency for
        Survival Prediction, ICCV, arXiv:2306.08330.
    """

    def __init__(self, config: BaselinesConfig, inputs: Inputs, head: SurvivalHead) -> None:
        super().__init__(config, inputs, head, TransportAttention())


BASELINE = Baseline(
    name="motcat",
    title="MOTCat",
    description="Patches are shared out among gene groups by optimal transport (Xu & Chen, 2023).",
    inputs=("slides", "genes"),
    build=MOTCat,
)
