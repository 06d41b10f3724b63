"""Principal components of everything measured: the whole tumour in some numbers, for linear models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from kemm.modalities.genomics.reading import Column
from kemm.modalities.genomics.settings import Transform
from kemm.modalities.genomics.transform import GenomicsTransform


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectrum:
    """Components of the continuous data types (expression, methylation), fitted on training cases.

    Codes (mutations, copy-number calls) take part only where nothing continuous was measured: their
    variance says how often something was called, not how much it matters.
    """

    scaling: GenomicsTransform
    used: Int[np.ndarray, " used"]
    """Places among the columns that `scaling` keeps."""
    mean: Float[np.ndarray, " used"]
    weights: Float[np.ndarray, "used component"]

    @classmethod
    def fit(
        cls,
        training: Float[np.ndarray, "case column"],
        columns: Sequence[Column],
        *,
        components: int,
        transforms: Mapping[str, Transform],
        minimum_prevalence: float,
    ) -> Spectrum:
        """Learn from training cases' values as read; cases without any are passed over."""
        measured = training[~np.isnan(training).all(axis=1)]
        scaling = GenomicsTransform.fit(
            measured,
            [column.data_type for column in columns],
            transforms=transforms,
            minimum_prevalence=minimum_prevalence,
        )
        continuous = [place for place, kind in enumerate(scaling.kinds) if kind != "none"]
        used = np.array(continuous or range(len(scaling.kept)), dtype=np.intp)
        scaled = scaling.transform(measured)[:, used].astype(np.float64)
        mean = scaled.mean(axis=0)
        # Cases are fewer than genes: the small side of the product has the same components.
        _, sizes, directions = np.linalg.svd(scaled - mean, full_matrices=False)
        real = int((sizes > 1e-6 * sizes[0]).sum()) if len(sizes) and sizes[0] > 0 else 0
        directions = directions[: min(components, real)]
        # Where no column varies there is no direction.
        furthest = np.abs(directions).argmax(axis=1) if directions.size else np.zeros(0, dtype=np.intp)
        signs = np.sign(directions[np.arange(len(directions)), furthest])
        return cls(scaling=scaling, used=used, mean=mean, weights=(directions * signs[:, None]).T)

    def transform(
        self, values: Float[np.ndarray, "case column"], hidden: Sequence[int] = ()
    ) -> Float[np.ndarray, "case component"]:
        """Components of any cases; `hidden` columns are taken as if they were at the training mean."""
        centred = self.scaling.transform(values)[:, self.used] - self.mean
        if hidden:
            centred[:, np.isin(self.scaling.kept[self.used], list(hidden))] = 0.0
        components: np.ndarray = np.einsum("ij,jk->ik", centred, self.weights)
        return components

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What `from_state` needs, as JSON and as arrays."""
        settings, arrays = self.scaling.state()
        own = {"used": self.used, "mean": self.mean, "weights": self.weights}
        return settings, own | {f"scaling.{name}": array for name, array in arrays.items()}

    @classmethod
    def from_state(cls, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Spectrum:
        """The spectrum whose `state` this is."""
        scaling = {name[8:]: array for name, array in arrays.items() if name.startswith("scaling.")}
        return cls(
            scaling=GenomicsTransform.from_state(settings, scaling),
            used=arrays["used"],
            mean=arrays["mean"],
            weights=arrays["weights"],
        )
