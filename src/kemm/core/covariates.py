"""Clinical covariates: numbers, ordered levels, stages and categories, read as declared."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kemm.core.cohort import Covariate, CovariateConfig
from kemm.core.columns import Columns, numbers
from kemm.core.files import MISSING_WORDS
from kemm.core.staging import NotAStage, StageRank, StageSystem, stage_rank

MANY_CATEGORIES = 50

# In a category "none" and "-" are answers ("prior treatment: none", receptor "-"); in a number they are not.
_MISSING_CATEGORIES = MISSING_WORDS - {"None", "none", "-"}
# "GX", "TX": the X of staging and grading means that it could not be assessed.
_NOT_ASSESSED = re.compile(r"(?:[A-Za-z]{0,2}|grade\s*|stage\s*)X|\[.*\]", re.IGNORECASE)


@dataclass(frozen=True)
class CovariateColumn:
    """One covariate with the value of each row of the table."""

    covariate: Covariate
    values: list[float | str | None]
    """Numeric and ordinal: floats. Categorical: text. None where missing."""

    @property
    def ranks(self) -> NDArray[np.float64]:
        """The values of a numeric or ordinal covariate, NaN where missing, (row,)."""
        return np.array([np.nan if value is None else float(value) for value in self.values])


def read_covariate(columns: Columns, name: str, config: CovariateConfig) -> CovariateColumn | None:
    """One covariate, faults collected; None where it is not there, or says nothing about anyone."""
    setting = f"cohort.covariates.{name}"
    column = columns.get(config.column or name, f"{setting}.column")
    if column is None:
        return None
    if config.kind == "numeric":
        read = _numeric(columns, name, column)
    elif config.kind == "categorical":
        read = _categorical(columns, name, column)
    elif isinstance(config.order, str):
        read = _stage(columns, name, column, config.order)
    elif config.order:
        read = _ordinal(columns, name, column, config.order, setting)
    else:
        columns.faults.add(
            f"the ordinal covariate {name!r} has no order",
            f"Set {setting}.order in study.yaml: its values from best to worst, or ajcc or figo.",
            file=columns.file,
            column=str(column.name),
        )
        return None
    present = {value for value in read.values if value is not None}
    if not present and not column.isin(_MISSING_CATEGORIES).all():
        return read  # its cells are faults already
    if not present:
        columns.warn(
            f"the covariate {name!r} is missing in every case, and is left out",
            f"Remove {name} from cohort.covariates in study.yaml.",
            str(column.name),
        )
        return None
    if len(present) == 1:
        columns.warn(
            f"the covariate {name!r} is the same in every case ({column[column != ''].iloc[0]!r}): it tells nothing",
            f"Remove {name} from cohort.covariates in study.yaml.",
            str(column.name),
        )
    return read


def _numeric(columns: Columns, name: str, column: pd.Series[str]) -> CovariateColumn:
    values, wrong = numbers(column)
    columns.refuse(
        column,
        wrong,
        lambda value: f"{value!r} is not a number, and {name!r} is declared numeric",
        f"Correct the cell (decimal point, no units), leave it empty, or set cohort.covariates.{name}.kind: categorical.",
    )
    return CovariateColumn(Covariate(name=name, kind="numeric"), _as_cells(values))


def _categorical(columns: Columns, name: str, column: pd.Series[str]) -> CovariateColumn:
    missing = column.isin(_MISSING_CATEGORIES)
    values = [None if absent else value for value, absent in zip(column, missing, strict=True)]
    levels = sorted({value for value in values if value is not None})
    if len(levels) > MANY_CATEGORIES:
        columns.warn(
            f"the categorical covariate {name!r} has {len(levels)} different values in {len(values) - missing.sum()} cases",
            f"If these are numbers or ids, change or remove cohort.covariates.{name} in study.yaml.",
            str(column.name),
        )
    return CovariateColumn(Covariate(name=name, kind="categorical", levels=tuple(levels)), list(values))


def _ordinal(
    columns: Columns, name: str, column: pd.Series[str], order: list[str], setting: str
) -> CovariateColumn:
    ranks = {_level(level): float(rank) for rank, level in enumerate(order)}
    if len(ranks) < len(order):
        columns.faults.add(
            f"the order of {name!r} has a value twice: {', '.join(order)}",
            f"Give every value once in {setting}.order.",
            file=columns.file,
            column=str(column.name),
        )
    known = {value: ranks.get(_level(value)) for value in column.unique()}
    values: list[float | str | None] = [known[value] for value in column]
    wrong = column.map(
        {
            value: rank is None and value not in MISSING_WORDS and _NOT_ASSESSED.fullmatch(value) is None
            for value, rank in known.items()
        }
    )
    columns.refuse(
        column,
        wrong.to_numpy(dtype=bool),
        lambda value: f"{value!r} is not in the order of {name!r} ({' < '.join(order)})",
        f"Correct the cell, leave it empty, or add the value to {setting}.order in study.yaml.",
    )
    return CovariateColumn(Covariate(name=name, kind="ordinal", levels=tuple(order)), values)


def _stage(columns: Columns, name: str, column: pd.Series[str], system: StageSystem) -> CovariateColumn:
    ranks: dict[str, StageRank | None] = {}
    wrong: set[str] = set()
    for value in column.unique():
        try:
            ranks[value] = None if value in MISSING_WORDS else stage_rank(value, system)
        except NotAStage:
            ranks[value] = None
            wrong.add(value)
    columns.refuse(
        column,
        column.isin(wrong).to_numpy(),
        lambda value: f"{value!r} is not a stage on the {system} order (0 < I < IA ... IV, X = unknown)",
        f"Correct the cell, leave it empty, or list the values from best to worst in cohort.covariates.{name}.order.",
    )
    known = {value: rank for value, rank in ranks.items() if rank is not None}
    ladders = {rank.ladder: value for value, rank in known.items()}
    if len(ladders) > 1:
        shown = " and ".join(repr(value) for value in ladders.values())
        columns.faults.add(
            f"{name!r} mixes stage groups with T, N or M categories ({shown}), which cannot be ranked together",
            "Give each its own column.",
            file=columns.file,
            column=str(column.name),
        )
    levels = tuple(sorted(known, key=lambda value: (known[value].rank, value)))
    cells: list[float | str | None] = [known[value].rank if value in known else None for value in column]
    return CovariateColumn(Covariate(name=name, kind="ordinal", levels=levels), cells)


def doubt_leak(
    columns: Columns, read: CovariateColumn, source: str, outcomes: dict[str, NDArray[np.float64]]
) -> None:
    """Warn where a covariate is an outcome in disguise.

    `outcomes` are months and event (0 or 1) of each row by the name of their column, NaN where unknown.
    """
    name = read.covariate.name
    culprit = source if source in outcomes else None
    for outcome, values in outcomes.items() if culprit is None else ():
        if _tells(read, values):
            culprit = outcome
            break
    if culprit is not None:
        columns.warn(
            f"the covariate {name!r} tells the outcome: it agrees with the column {culprit!r} in every case",
            f"Remove {name} from cohort.covariates in study.yaml, or the result means nothing.",
            source,
        )


def _tells(read: CovariateColumn, outcome: NDArray[np.float64]) -> bool:
    rows = np.array([value is not None for value in read.values]) & ~np.isnan(outcome)
    answer = outcome[rows]
    if rows.sum() < 10 or len(np.unique(answer)) < 2:
        return False
    values = [value for value, used in zip(read.values, rows, strict=True) if used]
    if read.covariate.kind == "numeric" and len(np.unique(answer)) > 2:
        return bool(abs(_correlation(np.array(values, dtype=np.float64), answer)) > 0.9999)
    # One value for each outcome, as in "vital status"; a value for every case tells nothing.
    pairs = set(zip(values, answer.tolist(), strict=True))
    return len(pairs) == len(set(values)) == len(np.unique(answer))


def _correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    spread = float(left.std() * right.std())
    return float(((left - left.mean()) * (right - right.mean())).mean() / spread) if spread > 0 else 0.0


def _level(text: str) -> str:
    """A level as it is compared: spaces and case aside, "2.0" as "2"."""
    plain = " ".join(text.casefold().split())
    return plain.removesuffix(".0") if plain.removesuffix(".0").isdigit() else plain


def _as_cells(values: NDArray[np.float64]) -> list[float | str | None]:
    return [None if np.isnan(value) else float(value) for value in values]
