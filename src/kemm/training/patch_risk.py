"""What the linear part of the log risk makes of each patch: exact, and additive.

The slides' part of a stack is linear in the mean patch of a case (`SlideScaler.pooled`, `RidgeCox.log_risk`,
`Stack.part`), so it is the mean over patches of what it would be if all of them were like one. Zero is a case whose
mean patch is that of the training cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kemm.core.files import read_arrays, read_json
from kemm.model.kemm import TOGETHER
from kemm.training.linear import RidgeCox
from kemm.training.slide_scaler import SlideScaler

VIEW = "slides"


@dataclass(frozen=True)
class PatchRisk:
    """A linear function of a patch's features, as the encoder gave them."""

    slope: NDArray[np.float64]
    """(feature,)"""
    level: float

    @classmethod
    def of(cls, scaler: SlideScaler, models: Sequence[tuple[RidgeCox, float]]) -> PatchRisk:
        """The mean of some ridge Cox models of the slides' components, each with its factor in its stack.

        Only for encoded bags: of measurements whose tails are cut off, the mean patch is not linear.
        """
        components, scale = scaler.components.astype(np.float64), scaler.scale.astype(np.float64)
        slope, level = np.zeros(len(scale)), 0.0
        for model, factor in models:
            # A constant component has an infinite scale, and weighs nothing.
            of_components = factor * model.coefficients / model.scale
            slope += (of_components @ components) / scale / len(models)
            level -= float(of_components @ (components @ scaler.centre + model.mean)) / len(models)
        return cls(slope, level - float(slope @ scaler.mean))

    @property
    def is_zero(self) -> bool:
        """Whether it makes nothing of any patch."""
        return not self.slope.any()

    def __call__(self, patches: NDArray[np.floating]) -> NDArray[np.float64]:
        """The slides' part of the log risk of a case all of whose patches are like this one, (patch,).

        The mean over a case's patches is the part of that case.
        """
        values: NDArray[np.float64] = patches.astype(np.float64) @ self.slope + self.level
        return values


@dataclass(frozen=True, kw_only=True)
class SlidesWeighed:
    """What one fold's model makes of slides."""

    seeds: int
    looking: int
    """Seeds whose networks give them weight; attention of the others is not used in the forecast."""
    trained: bool
    """Whether any seed's epoch is another than 0, the networks as they began."""
    risk: PatchRisk | None
    """Of the linear part, mean over seeds; None where the model has none of slides, or it weighs nothing."""


def seeds_using(about: Sequence[Mapping[str, Any]], modality: str) -> int:
    """How many seeds' networks give weight to a branch that sees the modality; `about`: about.json of a unit."""
    return sum(
        any(one["branch_weights"].get(name, 0.0) > 0 for name in (modality, TOGETHER)) for one in about
    )


def read_slides_weighed(folder: Path) -> SlidesWeighed:
    """From the folder of a network's unit.

    Raises:
        IntegrityError: A file is damaged.
    """
    about = read_json(folder / "about.json")
    return SlidesWeighed(
        seeds=len(about),
        looking=seeds_using(about, "slides"),
        trained=any(one["best_epoch"] > 0 for one in about),
        risk=_read_risk(folder, [one["seed"] for one in about]),
    )


def _read_risk(folder: Path, seeds: Sequence[int]) -> PatchRisk | None:
    transforms = folder / "transforms.safetensors"
    if not transforms.is_file():
        return None
    fitted = {
        name.removeprefix(f"{VIEW}."): value
        for name, value in read_arrays(transforms).items()
        if name.startswith(f"{VIEW}.")
    }
    models = []
    for seed in seeds:
        # Networks of a seed share their stack.
        arrays = read_arrays(folder / f"member-{seed}-0.safetensors")
        if f"stack.{VIEW}.coefficients" not in arrays:
            return None
        mean, scale, coefficients, weight = (
            arrays[f"stack.{VIEW}.{name}"] for name in ("mean", "scale", "coefficients", "weight")
        )
        models.append((RidgeCox(mean, scale, coefficients), float(weight[0]) / float(weight[1])))
    if not fitted or not models:
        return None
    risk = PatchRisk.of(SlideScaler(**fitted), models)
    return None if risk.is_zero else risk
