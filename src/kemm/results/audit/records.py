"""What the page is given: refined reports, counted and verified before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kemm.core.types import CaseId
from kemm.modalities.reports import RefinedReport
from kemm.modalities.reports.counting import FieldCoverage, ReportCounts


@dataclass(frozen=True)
class AuditCase:
    """A case on the page."""

    case: CaseId
    cancer_type: str
    report: RefinedReport
    faults: Mapping[int, str]
    """Why a statement does not stand, by its place in the report's statements. Empty where all do."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Everything on the page."""

    study: str
    refiner: str
    version: str
    """Of kemm."""
    cohort_cases: int
    """With and without a report."""
    counts: ReportCounts
    """Of all reports, those left out included."""
    coverage: Sequence[FieldCoverage]
    """Of all reports, too."""
    unverified: int
    """Statements of any report that do not stand when verified again."""
    cases: Sequence[AuditCase]
    left_out: int
    """Cases with a report that are not on the page."""
