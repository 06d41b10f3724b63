"""Genomic values on one scale, by what the training cases look like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import ndtri

from kemm.modalities.genomics.settings import Transform

MOST_CODES = 10
"""A data type with no more distinct values than this holds codes (mutated or not, copy-number calls)."""
WIDE_TAILS = 6.0
"""Percentiles 1 to 99 over the quartiles' distance: 3.4 for a normal distribution, 11 for a log-normal of unit sigma."""
SHARE_OF_WIDE = 0.1
"""With this share of columns that wide, a data type is heavy-tailed. None of 500 normal columns of 60 cases is."""
MOST_KNOTS = 200
"""Training quantiles kept of a column; the outermost two stand for normal scores of -2.8 and 2.8."""
QUARTILES_TO_SD = 1.349  # distance of the quartiles of a standard normal distribution


@dataclass(frozen=True, kw_only=True, eq=False)
class GenomicsTransform:
    """Brings columns to one scale. Fitted on training cases; a case's result depends on that case only.

    - rank: the normal score of the value's place among the training values. Between two of them it is
      interpolated; beyond the first and the last it stays at theirs.
    - asinh: asinh((value - median) / (interquartile range / 1.349)).
    - z: (value - mean) / standard deviation.
    - none: the value.

    A missing value becomes 0 (the training median; for z the mean), or for "none" the training median.

    Where a data type has no transform set: at most 10 distinct training values are codes and stay as they
    are; heavy tails (see `WIDE_TAILS`) are ranked; anything else gets z.

    Columns that are constant over the training cases are dropped, and so are columns of codes in which fewer
    than `minimum_prevalence` of the training cases differ from the commonest value.
    """

    chosen: Mapping[str, Transform]
    """The transform of each data type."""
    kept: Int[np.ndarray, " kept"]
    """Places of the columns that are kept, ascending."""
    kinds: tuple[Transform, ...]
    """Of each kept column."""
    centre: Float[np.ndarray, " kept"]
    scale: Float[np.ndarray, " kept"]
    missing: Float[np.ndarray, " kept"]
    """What a missing value becomes."""
    knots: Float[np.ndarray, "ranked knot"]
    """Ascending training quantiles of each ranked column."""
    columns_in: int
    constant: Mapping[str, int]
    """How many columns of each data type were dropped as constant."""
    rare: Mapping[str, int]
    """How many as too rarely different."""

    @classmethod
    def fit(
        cls,
        values: Float[np.ndarray, "case column"],
        data_types: Sequence[str],
        *,
        transforms: Mapping[str, Transform] | None = None,
        minimum_prevalence: float = 0.02,
    ) -> GenomicsTransform:
        """Learn from training cases. `data_types` says of each column what it holds."""
        if len(values) == 0 or values.shape[1] != len(data_types):
            raise ValueError(
                f"values of shape {values.shape} do not fit {len(data_types)} columns of some cases"
            )
        # Column by column in memory: everything below works along the cases.
        by_column = np.ascontiguousarray(values.T, dtype=np.float64)
        types = np.array(data_types, dtype=object)
        chosen: dict[str, Transform] = {}
        varies = np.fmin.reduce(by_column, axis=1) < np.fmax.reduce(by_column, axis=1)
        common_enough = np.ones(len(types), dtype=np.bool_)
        ordered = np.sort(by_column, axis=1)  # missing values last
        measured = (~np.isnan(by_column)).sum(axis=1)
        for name in sorted(set(data_types)):
            here = np.flatnonzero((types == name) & varies)
            codes = _codes(by_column[here])
            if codes is not None:
                common_enough[here] = _prevalence(by_column[here], codes) >= minimum_prevalence
            wanted = (transforms or {}).get(name)
            chosen[name] = wanted or _by_its_looks(ordered[here], measured[here], codes)

        kept = np.flatnonzero(varies & common_enough)
        kinds = tuple(chosen[name] for name in types[kept])
        kind_of = np.array(kinds, dtype=object)
        ordered, measured, by_column = ordered[kept], measured[kept], by_column[kept]
        centre, scale = np.zeros(len(kept)), np.ones(len(kept))
        quartiles = _quantiles(ordered, measured, np.array([0.25, 0.5, 0.75]))
        missing = np.where(kind_of == "none", quartiles[:, 1], 0.0)
        robust = kind_of == "asinh"
        centre[robust] = quartiles[robust, 1]
        scale[robust] = (quartiles[robust, 2] - quartiles[robust, 0]) / QUARTILES_TO_SD
        # Half of a column can be one value; its quartiles then have no distance.
        by_spread = (kind_of == "z") | (scale <= 0)
        scale[by_spread] = np.nanstd(by_column[by_spread], axis=1)
        usual = kind_of == "z"
        centre[usual] = np.nanmean(by_column[usual], axis=1)
        ranked = kind_of == "rank"
        knots = _quantiles(ordered[ranked], measured[ranked], _middles(min(len(values), MOST_KNOTS)))
        return cls(
            chosen=chosen,
            kept=kept,
            kinds=kinds,
            centre=centre,
            scale=scale,
            missing=missing,
            knots=knots.astype(np.float32),
            columns_in=len(types),
            constant=_counts(types[~varies]),
            rare=_counts(types[varies & ~common_enough]),
        )

    def transform(self, values: Float[np.ndarray, "case column"]) -> Float[np.ndarray, "case kept"]:
        """The kept columns of any cases on one scale, float32, no value missing."""
        if values.shape[1] != self.columns_in:
            raise ValueError(f"fitted on {self.columns_in} columns, but there are {values.shape[1]}")
        result = np.ascontiguousarray(values.T[self.kept], dtype=np.float64)
        kind_of = np.array(self.kinds, dtype=object)
        scaled = (kind_of == "asinh") | (kind_of == "z")
        result[scaled] = (result[scaled] - self.centre[scaled, None]) / self.scale[scaled, None]
        result[kind_of == "asinh"] = np.arcsinh(result[kind_of == "asinh"])
        ranked = np.flatnonzero(kind_of == "rank")
        for place, knots, scores in zip(ranked, self.knots, _scores(self.knots), strict=True):
            result[place] = np.interp(result[place], knots, scores)
        result = np.where(np.isnan(result), self.missing[:, None], result)
        return np.ascontiguousarray(result.T, dtype=np.float32)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What `from_state` needs, as JSON and as arrays."""
        settings = {
            "chosen": dict(self.chosen),
            "kinds": list(self.kinds),
            "columns_in": self.columns_in,
            "constant": dict(self.constant),
            "rare": dict(self.rare),
        }
        arrays = {name: getattr(self, name) for name in ("kept", "centre", "scale", "missing", "knots")}
        return settings, arrays

    @classmethod
    def from_state(cls, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> GenomicsTransform:
        """The transform whose `state` this is; it gives the same bytes."""
        return cls(
            chosen=settings["chosen"],
            kinds=tuple(settings["kinds"]),
            columns_in=settings["columns_in"],
            constant=settings["constant"],
            rare=settings["rare"],
            **arrays,
        )


def _codes(values: Float[np.ndarray, "column case"]) -> list[float] | None:
    """The distinct values, if they are few."""
    codes: list[float] = []
    for start in range(0, len(values), 256):  # continuous values are known by the first few columns
        left = values[start : start + 256].ravel()
        left = left[~(np.isnan(left) | np.isin(left, codes))]
        while left.size:
            if len(codes) == MOST_CODES:
                return None
            codes.append(float(left[0]))
            left = left[left != left[0]]
    return codes


def _prevalence(
    values: Float[np.ndarray, "column case"], codes: Sequence[float]
) -> Float[np.ndarray, " column"]:
    """Share of the measured cases that differ from the column's commonest value."""
    commonest = np.zeros(len(values), dtype=np.int64)
    for code in codes:
        commonest = np.maximum(commonest, (values == code).sum(axis=1))
    share: np.ndarray = 1 - commonest / (~np.isnan(values)).sum(axis=1)
    return share


def _by_its_looks(
    ordered: Float[np.ndarray, "column case"], measured: Int[np.ndarray, " column"], codes: list[float] | None
) -> Transform:
    if codes is not None:
        return "none"
    low, lower, upper, high = _quantiles(ordered, measured, np.array([0.01, 0.25, 0.75, 0.99])).T
    wide = high - low > WIDE_TAILS * (upper - lower)
    return "rank" if wide.mean() > SHARE_OF_WIDE else "z"


def _middles(count: int) -> Float[np.ndarray, " part"]:
    """The middles of `count` equal parts of [0, 1]."""
    parts: np.ndarray = (np.arange(count) + 0.5) / count
    return parts


def _quantiles(
    ordered: Float[np.ndarray, "column case"],
    measured: Int[np.ndarray, " column"],
    chances: Float[np.ndarray, " chance"],
) -> Float[np.ndarray, "column chance"]:
    """Quantiles of columns sorted with missing values last. The i-th of n values is that at (i - 1/2) / n.

    References:
        Hyndman & Fan (1996), The American Statistician 50, doi:10.1080/00031305.1996.10473566, type 5.
    """
    quantiles = np.empty((len(ordered), len(chances)))
    for count in np.unique(measured):  # few: mostly cases lack a whole data type
        here = measured == count
        place = np.clip(chances * count - 0.5, 0, count - 1)
        below = place.astype(np.intp)
        above = np.minimum(below + 1, count - 1)
        low = ordered[here][:, below]
        # In this form a quantile between equal values is that value, to the last bit: ties stay ties.
        quantiles[here] = low + (place - below) * (ordered[here][:, above] - low)
    return quantiles


def _scores(knots: Float[np.ndarray, "column knot"]) -> Float[np.ndarray, "column knot"]:
    """Normal scores of sorted knots; equal knots share the score of their middle place."""
    count = knots.shape[1]
    places = np.broadcast_to(np.arange(count), knots.shape)
    rises: Bool[np.ndarray, "column step"] = knots[:, 1:] > knots[:, :-1]
    edge = np.ones((len(knots), 1), dtype=np.bool_)
    first = np.maximum.accumulate(np.where(np.hstack([edge, rises]), places, 0), axis=1)
    last = np.where(np.hstack([rises, edge]), places, count)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    scores: np.ndarray = ndtri(((first + last) / 2 + 0.5) / count)
    return scores


def _counts(data_types: np.ndarray) -> dict[str, int]:
    return dict(sorted(Counter(data_types.tolist()).items()))
