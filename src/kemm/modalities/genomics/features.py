"""A few numbers a gene group, from all that was measured of its genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from kemm.core.errors import InputError
from kemm.modalities.genomics.groups import GeneGroup, GroupSelection
from kemm.modalities.genomics.reading import Column, Genomics
from kemm.modalities.genomics.settings import GenomicsConfig, Transform
from kemm.modalities.genomics.transform import GenomicsTransform

SMALLEST_COMPONENT = 1e-3
"""Standard deviation of the last component that is kept, in units of the first: below it is rounding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """The first principal components of one group's columns, each of variance 1 over the training cases.

    All data types of the group are taken together, as scaled. The sign of a component is that of its
    weight furthest from 0.
    """

    mean: Float[np.ndarray, " column"]
    weights: Float[np.ndarray, "column component"]

    @classmethod
    def fit(cls, values: Float[np.ndarray, "case column"], components: int) -> Projection:
        """Learn from training cases; no more components than the values have dimensions."""
        mean = values.mean(axis=0, dtype=np.float64)
        _, sizes, directions = np.linalg.svd(values - mean, full_matrices=False)
        count = min(components, int((sizes > SMALLEST_COMPONENT * sizes.max(initial=0)).sum()))
        furthest = np.abs(directions[:count]).argmax(axis=1)
        signs = np.sign(directions[np.arange(count), furthest])
        deviations = sizes[:count] / np.sqrt(len(values))
        return cls(mean=mean, weights=(directions[:count] * signs[:, None]).T / deviations)

    def __call__(self, values: Float[np.ndarray, "case column"]) -> Float[np.ndarray, "case component"]:
        """Components of any cases."""
        # Row by row: a product of matrices may round a case differently beside other cases.
        components: np.ndarray = np.einsum("ij,jk->ik", values - self.mean, self.weights)
        return components


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupFeatures:
    """Packs the columns of each gene group for one encoder a group. Fitted on training cases.

    values ─► one scale (`GenomicsTransform`) ─► a group's columns ─► principal components, or as they are
    """

    names: tuple[str, ...]
    """Of the groups; the same whatever the training cases. A group that lost all its columns is never present."""
    columns: tuple[Column, ...]
    """The columns that values have, in order."""
    used: Int[np.ndarray, " used"]
    """Places of those in some group."""
    scaling: GenomicsTransform
    """Of the used columns."""
    members: tuple[Int[np.ndarray, " _"], ...]
    """Of each group, places among the columns that `scaling` keeps."""
    projections: tuple[Projection, ...] | None
    """Of each group; None where groups keep their columns."""
    width: int
    """Numbers a group. What a narrower group does not fill is 0."""

    @classmethod
    def fit(
        cls,
        values: Float[np.ndarray, "case column"],
        columns: Sequence[Column],
        groups: Sequence[GeneGroup],
        *,
        reduction: Literal["pca", "none"] = "pca",
        components: int = 8,
        transforms: Mapping[str, Transform] | None = None,
        minimum_prevalence: float = 0.02,
    ) -> GroupFeatures:
        """Learn from the training cases' values as read (NaN where missing); cases with none are passed over.

        Raises:
            InputError: No training case has a value in any group.
        """
        used = np.array(sorted({place for group in groups for place in group.columns}), dtype=np.intp)
        training = values[:, used]
        training = training[~np.isnan(training).all(axis=1)]
        if len(training) == 0:
            raise InputError(
                "no training case has any genomics in a gene group, so nothing can be learned from it. "
                "Take `genomics` out of study.yaml, or use folds whose training parts have it."
            )
        scaling = GenomicsTransform.fit(
            training,
            [columns[place].data_type for place in used],
            transforms=transforms,
            minimum_prevalence=minimum_prevalence,
        )
        place_of = {place: kept for kept, place in enumerate(used[scaling.kept].tolist())}
        members = tuple(
            np.array([place_of[place] for place in group.columns if place in place_of], dtype=np.intp)
            for group in groups
        )
        projections: tuple[Projection, ...] | None = None
        width = max((len(group) for group in members), default=0)
        if reduction == "pca":
            scaled = scaling.transform(training)
            measured = ~np.isnan(training[:, scaling.kept])
            projections = tuple(
                Projection.fit(scaled[measured[:, group].any(axis=1)][:, group], components)
                if len(group)
                else Projection(mean=np.zeros(0), weights=np.zeros((0, 0)))
                for group in members
            )
            width = components
        return cls(
            names=tuple(group.name for group in groups),
            columns=tuple(columns),
            used=used,
            scaling=scaling,
            members=members,
            projections=projections,
            width=width,
        )

    def transform(
        self, values: Float[np.ndarray, "case column"]
    ) -> tuple[Float[np.ndarray, "case group width"], Bool[np.ndarray, "case group"]]:
        """Features of any cases, and whether any kept column of the group was measured in the case.

        `values` as read, NaN where missing. Features of an absent group are 0.
        """
        if values.shape[1] != len(self.columns):
            raise ValueError(f"fitted on {len(self.columns)} columns, but there are {values.shape[1]}")
        used = values[:, self.used]
        scaled = self.scaling.transform(used)
        measured = ~np.isnan(used[:, self.scaling.kept])
        features = np.zeros((len(values), len(self.names), self.width), dtype=np.float32)
        present = np.zeros(features.shape[:2], dtype=np.bool_)
        for place, group in enumerate(self.members):
            here = present[:, place] = measured[:, group].any(axis=1)
            part = scaled[here][:, group]
            if self.projections is not None:
                part = self.projections[place](part)
            features[here, place, : part.shape[1]] = part
        return features, present

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What `from_state` needs, as JSON and as arrays (for safetensors)."""
        settings, arrays = self.scaling.state()
        sizes = [len(group) for group in self.members]
        state = {
            "names": list(self.names),
            "columns": [list(column) for column in self.columns],
            "sizes": sizes,
            "width": self.width,
            "scaling": settings,
            "components": None,
        }
        packed = {f"scaling.{name}": array for name, array in arrays.items()}
        packed |= {"used": self.used, "members": np.concatenate([np.zeros(0, np.intp), *self.members])}
        if self.projections is not None:
            state["components"] = [projection.weights.shape[1] for projection in self.projections]
            packed["mean"] = np.concatenate([np.zeros(0), *(one.mean for one in self.projections)])
            packed["weights"] = np.concatenate(
                [np.zeros(0), *(one.weights.ravel() for one in self.projections)]
            )
        return state, packed

    @classmethod
    def from_state(cls, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> GroupFeatures:
        """The features whose `state` this is; they give the same bytes."""
        sizes = settings["sizes"]
        ends = np.cumsum(sizes)[:-1]
        projections: tuple[Projection, ...] | None = None
        if settings["components"] is not None:
            counts = settings["components"]
            corners = np.cumsum([size * count for size, count in zip(sizes, counts, strict=True)])[:-1]
            projections = tuple(
                Projection(mean=mean, weights=weights.reshape(size, count))
                for mean, weights, size, count in zip(
                    np.split(arrays["mean"], ends),
                    np.split(arrays["weights"], corners),
                    sizes,
                    counts,
                    strict=True,
                )
            )
        scaling = {name.removeprefix("scaling."): array for name, array in arrays.items() if "." in name}
        return cls(
            names=tuple(settings["names"]),
            columns=tuple(Column(*column) for column in settings["columns"]),
            used=arrays["used"],
            scaling=GenomicsTransform.from_state(settings["scaling"], scaling),
            members=tuple(np.split(arrays["members"], ends)),
            projections=projections,
            width=settings["width"],
        )


def fit_group_features(
    training_values: Float[np.ndarray, "case column"],
    genomics: Genomics,
    selection: GroupSelection,
    config: GenomicsConfig,
) -> GroupFeatures:
    """`GroupFeatures` as the settings want them. `training_values`: `genomics.values_of(training cases)`."""
    return GroupFeatures.fit(
        training_values,
        genomics.columns,
        selection.groups,
        reduction=config.reduction,
        components=config.components,
        transforms=config.transforms,
        minimum_prevalence=config.minimum_prevalence,
    )
