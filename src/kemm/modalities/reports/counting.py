"""What was read from all the reports together: how much was stated, hidden and dropped, field by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from kemm.core.types import Statement
from kemm.modalities.reports.fields import FIELDS
from kemm.modalities.reports.refiner import RefinedReport

OTHER = "other"
"""Where claims that name no field are counted."""
UNASSESSED = "cannot be assessed"
_ABSENT = ("absent", "none")


@dataclass(frozen=True, kw_only=True)
class ReportCounts:
    """Totals over some reports."""

    reports: int
    statements: int
    masked: Mapping[str, int]
    """Hidden identifiers, by kind."""
    removed: int
    """Sentences hidden because they tell the outcome."""
    flagged: int
    """Sentences hidden because they read like instructions."""
    left_out: int
    """Sentences that were not kept."""
    dropped: int
    """Claims that could not be verified."""


@dataclass(frozen=True, kw_only=True)
class FieldCoverage:
    """What reports say of one field, counted in reports; `dropped` in claims."""

    field: str
    title: str
    stated: int
    absent: int
    """Of those stated: the report says that it is not there. A negative test is a result of its own."""
    cannot_be_assessed: int
    """Of those stated: the report says that it could not be told (NX, indeterminate)."""
    not_stated: int
    dropped: int


def count_reports(reports: Collection[RefinedReport]) -> ReportCounts:
    """The totals."""
    masked: Counter[str] = Counter()
    for report in reports:
        masked.update(report.masked)
    return ReportCounts(
        reports=len(reports),
        statements=sum(len(report.statements) for report in reports),
        masked={kind: count for kind, count in sorted(masked.items()) if count},
        removed=sum(len(report.removed) for report in reports),
        flagged=sum(len(report.flagged) for report in reports),
        left_out=sum(report.left_out for report in reports),
        dropped=sum(len(report.dropped) for report in reports),
    )


def cover_fields(reports: Collection[RefinedReport]) -> list[FieldCoverage]:
    """Each field in the order of the registry, and last, where there are any, claims that name no field."""
    answers = [answers_of(report) for report in reports]
    dropped = Counter(kind_of(claim.kind) for report in reports for claim in report.dropped)
    covered = []
    for field in FIELDS.values():
        said = [answer[field.name] for answer in answers if field.name in answer]
        covered.append(
            FieldCoverage(
                field=field.name,
                title=field.title,
                stated=len(said),
                absent=sum(is_absent(one) for one in said),
                cannot_be_assessed=sum(cannot_be_assessed(one) for one in said),
                not_stated=len(answers) - len(said),
                dropped=dropped[field.name],
            )
        )
    if dropped[OTHER]:
        covered.append(
            FieldCoverage(
                field=OTHER,
                title="Claims that name no field",
                stated=0,
                absent=0,
                cannot_be_assessed=0,
                not_stated=0,
                dropped=dropped[OTHER],
            )
        )
    return covered


def answers_of(report: RefinedReport) -> dict[str, Statement]:
    """The statement of each field that the report states; of several, the first."""
    found: dict[str, Statement] = {}
    for statement in report.statements:
        if statement.kind in FIELDS:
            found.setdefault(statement.kind, statement)
    return found


def kind_of(claimed: str) -> str:
    """The field that a claim names, else `OTHER`: what a refiner claims may name anything."""
    return claimed if claimed in FIELDS else OTHER


def is_absent(statement: Statement) -> bool:
    """Whether the report says that the thing is not there."""
    return statement.value in _ABSENT


def cannot_be_assessed(statement: Statement) -> bool:
    """Whether the report says that it could not be told."""
    value = statement.value or ""
    return value in (UNASSESSED, "indeterminate") or (
        statement.kind in ("pT", "pN", "pM", "stage_group") and value.endswith("X")
    )
