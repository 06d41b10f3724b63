"""Fields of reports as covariates of the cohort, beside those of the clinical table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from kemm.core.cohort import Cohort, Covariate
from kemm.core.errors import Faults, nearest
from kemm.core.types import CaseId
from kemm.modalities.reports.fields import FIELDS
from kemm.modalities.reports.refiner import RefinedReport
from kemm.modalities.reports.values import FIELD_COVARIATES, field_values

COVARIATE_PREFIX = "report "
"""Sets what a report states apart from a clinical covariate of the same name."""


def with_field_covariates(
    cohort: Cohort, reports: Mapping[CaseId, RefinedReport], fields: Sequence[str]
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


def check_covariates(fields: Sequence[str], clinical: Collection[str], faults: Faults) -> None:
    """Each of `reports.covariates` is a field, named once, and no clinical covariate has its name already."""
    for name in dict.fromkeys(fields):
        if name not in FIELDS:
            hint = nearest(name, FIELDS)
            faults.add(
                f"reports.covariates: {name!r} is no field that is read from reports",
                f"{hint[0].upper()}{hint[1:]}",
                file="study.yaml",
            )
        elif fields.count(name) > 1:
            faults.add(f"reports.covariates names {name!r} twice", "Keep one.", file="study.yaml")
        elif f"{COVARIATE_PREFIX}{name}" in clinical:
            faults.add(
                f"cohort.covariates has a {COVARIATE_PREFIX + name!r} already, "
                f"as the covariate that reports.covariates makes of {name!r} is called",
                "Rename it in cohort.covariates.",
                file="study.yaml",
            )
