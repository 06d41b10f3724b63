"""What a report states, as numbers a model can weigh: each field is a covariate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kemm.core.cohort import Cohort, Covariate
from kemm.core.staging import NotAStage, stage_rank
from kemm.core.types import Statement
from kemm.modalities.reports.fields import FIELDS
from kemm.modalities.reports.refiner import RefinedReport

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
}
_CATEGORIES = ("histologic_type", "laterality")
_COUNTS = ("nodes_examined", "nodes_positive", "tumor_size_cm")

FIELD_COVARIATES: tuple[Covariate, ...] = tuple(
    Covariate(name=name, kind="categorical" if name in _CATEGORIES else "numeric") for name in FIELDS
)
"""One covariate a field, in the order of the registry."""
COVARIATE_PREFIX = "report "
"""Sets what a report states apart from a clinical covariate of the same name."""


def with_field_covariates(
    cohort: Cohort, reports: Mapping[str, RefinedReport], fields: Sequence[str]
) -> Cohort:
    """The cohort with the named fields of the reports as further covariates, "report grade" and so on.

    A field that a report does not state, or says cannot be assessed, is missing. A field with fewer than two
    different values in the cohort tells nothing, and is left out.
    """
    stated = {case: field_values(report) for case, report in reports.items()}
    covariates: list[Covariate] = []
    for one in FIELD_COVARIATES:
        levels = {values.get(one.name) for values in stated.values()} - {None}
        if one.name in fields and len(levels) > 1:
            named = tuple(sorted(map(str, levels))) if one.kind == "categorical" else ()
            covariates.append(replace(one, name=f"{COVARIATE_PREFIX}{one.name}", levels=named))
    if not covariates:
        return cohort
    kinds = {one.name: one.name.removeprefix(COVARIATE_PREFIX) for one in covariates}
    cases = tuple(
        replace(
            case,
            covariates={
                **case.covariates,
                **{name: stated.get(case.id, {}).get(kind) for name, kind in kinds.items()},
            },
        )
        for case in cohort.cases
    )
    return replace(cohort, cases=cases, covariates=(*cohort.covariates, *covariates))


def field_values(report: RefinedReport | None) -> dict[str, float | str | None]:
    """The value of each field that the report states, as a number or a category."""
    return {statement.kind: value_of(statement) for statement in report.statements} if report else {}


def value_of(statement: Statement) -> float | str | None:
    """The statement's value: higher = more, larger, worse; None where it has none.

    Counts and sizes are taken as logarithms: the tenth positive node adds less than the second.
    Stages and TNM categories are ranked as `core.staging` ranks them.
    """
    kind, value = statement.kind, statement.value
    if value is None or kind not in FIELDS:
        return None
    if kind in _CATEGORIES:
        return value
    if kind in _COUNTS:
        return math.log1p(float(value))
    if kind == "grade":
        return float(value)
    if kind in ("stage_group", "pT", "pN", "pM"):
        return _rank(value)
    return _SCALES.get(value)


def _rank(value: str) -> float | None:
    try:
        stage = stage_rank(value)
    except NotAStage:
        return None
    return stage.rank if stage else None
