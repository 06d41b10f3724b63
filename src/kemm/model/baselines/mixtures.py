"""A bag of patches summed up by a Gaussian mixture that begins at prototypes."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kemm.model.batch import Bags

STEPS = 1
"""Of EM. Few, so that a component still means the prototype it began at, in every case the same."""
PRIOR = 1.0
"""Patches that each prototype counts as: what a component without patches of the case is left with."""
SMALLEST_VARIANCE = 1e-6


class PrototypeMixtures(nn.Module):
    """The mixture of each case: of each prototype's component the weight, the mean, and the variance.

    Prototypes are typical patches as the encoder gives them, and are brought to the scale that bags carry; where those
    carry none, as tables of measurements, prototypes must come in the scale of the patches. They are given, not
    learned: kept as a parameter, so that networks side by side have their own, but without a gradient.
    """

    side_by_side = True

    def __init__(self, prototypes: Float[Tensor, "prototype feature"]) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(prototypes.detach().clone().float(), requires_grad=False)

    @torch.no_grad()
    def forward(self, bags: Bags) -> Float[Tensor, "case prototype summary"]:
        """Weight, means and variances of the features, in the scale of the bags; zero for a case without patches."""
        raw = self.prototypes.reshape(-1, *self.prototypes.shape[-2:]).detach()
        each = len(bags) // len(raw)
        mean, scale = torch.zeros_like(raw[:, 0]), torch.ones_like(raw[:, 0])
        if bags.mean is not None and bags.scale is not None:
            mean, scale = bags.mean.expand_as(mean), bags.scale.expand_as(scale)
        prototypes = (raw - mean[:, None]) / scale[:, None]
        # Networks of one fold see a bag alike: its mixture is fitted once for them.
        seen_by = (
            torch.cat([mean, scale, raw.flatten(1)], dim=1).unique(dim=0, return_inverse=True)[1].tolist()
        )
        nothing = raw.new_zeros(raw.shape[1], 1 + 2 * raw.shape[2])
        known: dict[tuple[int, int], Tensor] = {}
        found = []
        for case, bag in enumerate(bags.cases):
            if bag < 0 or not len(bags.patches[bag]):
                found.append(nothing)
                continue
            member = case // each
            key = seen_by[member], bag
            if key not in known:
                patches = (bags.patches[bag].to(raw.dtype) - mean[member]) / scale[member]
                known[key] = torch.cat(fit_mixture(patches, prototypes[member]), dim=1)
            found.append(known[key])
        return torch.stack(found)


def fit_mixture(
    patches: Float[Tensor, "patch feature"],
    prototypes: Float[Tensor, "prototype feature"],
    *,
    steps: int = STEPS,
    prior: float = PRIOR,
) -> tuple[
    Float[Tensor, "prototype 1"], Float[Tensor, "prototype feature"], Float[Tensor, "prototype feature"]
]:
    """Weights, means and diagonal variances after some steps of EM from even weights, the prototypes, and ones.

    `prior`: that many patches more belong to each component, spread about its prototype by a variance of 1.
    """
    count = len(prototypes)
    weights = prototypes.new_full((count, 1), 1 / count)
    means, variances = prototypes, torch.ones_like(prototypes)
    squares = patches.square()
    for _ in range(steps):
        share = responsibilities(patches, weights, means, variances)
        mass = share.sum(dim=0)[:, None] + prior
        # Without a prior a component may have no patch at all: it then has no mean to speak of.
        safe = mass.clamp(min=torch.finfo(mass.dtype).tiny)
        weights = mass / mass.sum()
        means = (share.T @ patches + prior * prototypes) / safe
        second = (share.T @ squares + prior * (prototypes.square() + 1)) / safe
        variances = (second - means.square()).clamp(min=SMALLEST_VARIANCE)
    return weights, means, variances


def responsibilities(
    patches: Float[Tensor, "patch feature"],
    weights: Float[Tensor, "prototype 1"],
    means: Float[Tensor, "prototype feature"],
    variances: Float[Tensor, "prototype feature"],
) -> Float[Tensor, "patch prototype"]:
    """The chance that each patch is of each component."""
    precision = 1 / variances
    distance = (
        patches.square() @ precision.T
        - 2 * patches @ (means * precision).T
        + (means.square() * precision).sum(dim=1)
    )
    spread = variances.log().sum(dim=1) + patches.shape[1] * math.log(2 * math.pi)
    return torch.softmax(weights.log().squeeze(1) - (distance + spread) / 2, dim=1)
