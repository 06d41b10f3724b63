"""What a report states, as numbers a model can weigh: each field is a covariate."""

from __future__ import annotations

import math
from collections.abc import Mapping

from kemm.core.cohort import Covariate
from kemm.core.staging import NotAStage, stage_rank
from kemm.core.types import Statement
from kemm.modalities.reports.fields import CANNOT_BE_ASSESSED, FIELDS
from kemm.modalities.reports.refiner import RefinedReport
from kemm.modalities.reports.rules.organ_types import CLARK_LEVELS, MASAOKA_STAGES, THYMOMA_TYPES

_SCALES = {
    "absent": 0.0,
    "present": 1.0,
    "negative": 0.0,
    "close": 0.5,
    "equivocal": 0.5,
    "positive": 1.0,
    "none": 0.0,
    "<50%": 1.0,
    ">=50%": 2.0,
    "low": 0.0,
    "intermediate": 1.0,
    "high": 2.0,
    "proficient": 0.0,
    "deficient": 1.0,
    "wild type": 0.0,
    "mutant": 1.0,
    "unmethylated": 0.0,
    "methylated": 1.0,
}
# Of single fields, from best to worst.
_ORDERS: Mapping[str, tuple[str, ...]] = {
    "clark_level": CLARK_LEVELS,
    "masaoka_stage": MASAOKA_STAGES,
    "thymoma_type": THYMOMA_TYPES,
    "uveal_cell_type": ("spindle", "mixed", "epithelioid"),
}
_CATEGORIES = ("histologic_type", "laterality", "lauren_type")
_STAGES = ("stage_group", "pT", "pN", "pM")

FIELD_COVARIATES: tuple[Covariate, ...] = tuple(
    Covariate(name=name, kind="categorical" if name in _CATEGORIES else "numeric") for name in FIELDS
)
"""One covariate a field, in the order of the registry."""


def field_values(report: RefinedReport | None) -> dict[str, float | str | None]:
    """The value of each field that the report states, as a number or a category."""
    return {statement.kind: value_of(statement) for statement in report.statements} if report else {}


def value_of(statement: Statement) -> float | str | None:
    """The statement's value: higher = more, larger, worse; None where it has none or cannot be assessed.

    Counts and sizes are taken as logarithms: the tenth positive node adds less than the second.
    Stages and TNM categories are ranked as `core.staging` ranks them.
    """
    kind, value = statement.kind, statement.value
    if value is None or kind not in FIELDS:
        return None
    if value == CANNOT_BE_ASSESSED:
        return None
    if kind in _CATEGORIES:
        return value
    if FIELDS[kind].number:
        return math.log1p(float(value))
    if kind in _STAGES:
        return _rank(value)
    if kind in _ORDERS:
        return float(_ORDERS[kind].index(value))
    return float(value) if value.isdigit() else _SCALES.get(value)


def _rank(value: str) -> float | None:
    try:
        stage = stage_rank(value)
    except NotAStage:
        return None
    return stage.rank if stage else None
