"""Clinical covariates as numbers: scaled, coded and imputed by what the training part holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kemm.core.cohort import Case, Covariate

MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class FittedCovariate:
    """One covariate, as the training part has it."""

    covariate: Covariate
    mean: float = 0.0
    scale: float = 1.0
    """Of numbers and ordinal ranks: training mean and standard deviation."""
    levels: tuple[str, ...] = ()
    """Of a categorical one: the training part's levels, most frequent first."""
    has_missing: bool = False
    """Whether a training case lacks it: then there is a column that says so."""

    @property
    def columns(self) -> list[str]:
        """Names of its columns of the design matrix."""
        name = self.covariate.name
        # The most frequent level is the reference: a column for it would be the others' sum.
        names = [f"{name}: {level}" for level in self.levels[1:]] if self.levels else [name]
        return names + ([f"{name}: {MISSING}"] if self.has_missing else [])

    @property
    def width(self) -> int:
        """Numbers of its token."""
        return len(self.levels) or 1

    def token(self, value: float | str | None) -> NDArray[np.float32]:
        """The token's features; zeros for a level that training did not have."""
        if isinstance(value, str):
            return np.array([level == value for level in self.levels], dtype=np.float32)
        return np.array([0.0 if value is None else (value - self.mean) / self.scale], dtype=np.float32)

    def design(self, value: float | str | None) -> list[float]:
        """The design matrix' row: a missing value is the training mean (or the reference level)."""
        if self.levels:
            row = [float(value == level) for level in self.levels[1:]]
        else:
            row = [0.0 if value is None or isinstance(value, str) else (value - self.mean) / self.scale]
        return row + ([float(value is None)] if self.has_missing else [])


@dataclass(frozen=True)
class CovariateTransform:
    """All covariates that say something in the training part."""

    fitted: tuple[FittedCovariate, ...]

    @classmethod
    def fit(cls, covariates: Sequence[Covariate], training: Sequence[Case]) -> CovariateTransform:
        """Fit on training cases. A covariate that is constant or missing in all of them is left out."""
        fitted = [
            _fit(covariate, [case.covariates.get(covariate.name) for case in training])
            for covariate in covariates
        ]
        return cls(tuple(one for one in fitted if one is not None))

    @property
    def names(self) -> list[str]:
        """The covariates, one token each."""
        return [one.covariate.name for one in self.fitted]

    @property
    def columns(self) -> list[str]:
        """Columns of the design matrix."""
        return [column for one in self.fitted for column in one.columns]

    def tokens(self, cases: Sequence[Case]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Features (case, covariate, width) padded with zeros, and which are known (case, covariate)."""
        width = max((one.width for one in self.fitted), default=1)
        values = np.zeros((len(cases), len(self.fitted), width), dtype=np.float32)
        present = np.zeros(values.shape[:2], dtype=bool)
        for row, case in enumerate(cases):
            for column, one in enumerate(self.fitted):
                value = case.covariates.get(one.covariate.name)
                values[row, column, : one.width] = one.token(value)
                present[row, column] = value is not None
        return values, present

    def design(self, cases: Sequence[Case], only: Sequence[str] | None = None) -> NDArray[np.float64]:
        """Design matrix (case, column) of all covariates, or of those named."""
        return self.design_of([case.covariates for case in cases], only)

    def design_of(
        self, known: Sequence[Mapping[str, float | str | None]], only: Sequence[str] | None = None
    ) -> NDArray[np.float64]:
        """Design matrix of cases of whom this is known, by covariate."""
        chosen = [one for one in self.fitted if only is None or one.covariate.name in only]
        rows = [
            [number for one in chosen for number in one.design(values.get(one.covariate.name))]
            for values in known
        ]
        width = sum(len(one.columns) for one in chosen)
        return np.array(rows, dtype=np.float64).reshape(len(known), width)

    def state(self) -> list[dict[str, Any]]:
        """As JSON."""
        return [
            {
                "name": one.covariate.name,
                "kind": one.covariate.kind,
                "order": list(one.covariate.levels),
                "mean": one.mean,
                "scale": one.scale,
                "levels": list(one.levels),
                "has_missing": one.has_missing,
            }
            for one in self.fitted
        ]

    @classmethod
    def from_state(cls, state: Sequence[Mapping[str, Any]]) -> CovariateTransform:
        """The transform whose `state` this is."""
        return cls(
            tuple(
                FittedCovariate(
                    covariate=Covariate(name=one["name"], kind=one["kind"], levels=tuple(one["order"])),
                    mean=one["mean"],
                    scale=one["scale"],
                    levels=tuple(one["levels"]),
                    has_missing=one["has_missing"],
                )
                for one in state
            )
        )


def _fit(covariate: Covariate, values: Sequence[float | str | None]) -> FittedCovariate | None:
    known = [value for value in values if value is not None]
    has_missing = 0 < len(known) < len(values)
    if len(set(known)) < 2:
        return None
    if covariate.kind == "categorical":
        counts = {level: known.count(level) for level in sorted(map(str, set(known)))}
        levels = tuple(sorted(counts, key=lambda level: (-counts[level], level)))
        return FittedCovariate(covariate=covariate, levels=levels, has_missing=has_missing)
    numbers = np.array(known, dtype=np.float64)
    return FittedCovariate(
        covariate=covariate, mean=float(numbers.mean()), scale=float(numbers.std()), has_missing=has_missing
    )
