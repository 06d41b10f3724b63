"""Reports refined by themselves: tables of what they state, and a page for people who check the reading."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kemm.config import Study
from kemm.core.errors import Faults, InputError, UsageError
from kemm.core.files import locked, write_frame, write_text
from kemm.core.provenance import environment
from kemm.core.store import Store
from kemm.core.types import CaseId
from kemm.execution import Processes, usable_cores
from kemm.modalities.reports import BY_MODEL, FIELDS, RefinedReport, verify
from kemm.modalities.reports.counting import (
    FieldCoverage,
    ReportCounts,
    answers_of,
    count_reports,
    cover_fields,
)
from kemm.pipeline.asking import Plan, plan
from kemm.pipeline.inputs import Inputs, read_inputs
from kemm.pipeline.prepare import refine, with_names_hidden
from kemm.pipeline.progress import Progress, Silent
from kemm.results.audit import Audit, AuditCase, render_audit

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "refined"
TABLE, TYPED_TABLE = "refined.csv", "refined.parquet"
STATEMENTS, COVERAGE = "statements.csv", "coverage.csv"
AUDIT = "audit.html"
MOST_CASES = 200
"""Cases on the page for people, unless told otherwise: some megabytes, which a browser still opens at once."""


@dataclass(frozen=True)
class RefineResult:
    """What was read from the reports, and where it was written."""

    folder: Path
    reports: Mapping[CaseId, RefinedReport]
    """Of each case that has a report, in the order of the cases."""

    @cached_property
    def counts(self) -> ReportCounts:
        """Totals over all reports."""
        return count_reports(self.reports.values())

    @cached_property
    def coverage(self) -> list[FieldCoverage]:
        """How many reports state each field."""
        return cover_fields(self.reports.values())

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row a case: the value of each field, then the quote of each; "" where it is not stated."""
        return refined_frame(self.reports)

    @cached_property
    def statements(self) -> pd.DataFrame:
        """A row a statement."""
        return statements_frame(self.reports)

    @property
    def paths(self) -> list[Path]:
        """The tables that were written."""
        return [self.folder / name for name in (TABLE, TYPED_TABLE, STATEMENTS, COVERAGE)]


@dataclass(frozen=True)
class AuditResult:
    """Where the page for people is, and how many cases it shows."""

    page: Path
    shown: int
    left_out: int


def refine_study(
    study: Study, *, workers: int | None = None, progress: Progress | None = None
) -> RefineResult:
    """Refine every report of a study, and write what they state as tables into its folder `refined`.

    Raises:
        InvalidInput: Anything wrong with the inputs; all faults at once.
        InputError: The study has no reports.
        PolicyError: Another process is at this folder.
    """
    inputs, reports = _refined(study, workers, progress or Silent())
    result = RefineResult(inputs.study.folder / FOLDER, reports)
    with locked(result.folder, otherwise=""):
        write_frame(result.folder / TABLE, result.table)
        write_frame(result.folder / TYPED_TABLE, result.table)
        write_frame(result.folder / STATEMENTS, result.statements)
        write_frame(result.folder / COVERAGE, coverage_frame(result.coverage, len(reports)))
    return result


def plan_refining(study: Study) -> Plan:
    """What refining would send, where, and what it would cost at most. Sends nothing, writes nothing.

    Raises:
        InvalidInput: Anything wrong with the inputs; all faults at once.
        InputError: The study has no reports.
    """
    inputs = _read(study, Silent())
    store = Store(study.store_folder)
    assert study.config.reports is not None
    if study.config.reports.refiner == BY_MODEL:
        return plan(with_names_hidden(inputs, store, Silent()), store)
    return Plan(len(inputs.reports), 0, None, None)


def audit_study(
    study: Study,
    *,
    cases: int = MOST_CASES,
    workers: int | None = None,
    progress: Progress | None = None,
) -> AuditResult:
    """Refine every report of a study, and write one HTML page to check the reading against the reports.

    It shows at most `cases` of them, those with dropped claims first.

    Raises:
        As `refine_study`, and
        UsageError: No case at all is asked for.
    """
    if cases < 1:
        raise UsageError(f"a page of {cases} cases shows nothing. Ask for one or more.")
    inputs, reports = _refined(study, workers, progress or Silent())
    audit = _audit(inputs, reports, cases)
    page = inputs.study.folder / FOLDER / AUDIT
    with locked(page.parent, otherwise=""):
        write_text(page, render_audit(audit))
    return AuditResult(page, len(audit.cases), audit.left_out)


def facts_of(counts: ReportCounts) -> dict[str, str]:
    """What a person wants to know of the reading, a line each."""
    masked = ", ".join(f"{count:,} {kind}" for kind, count in counts.masked.items())
    facts = {
        "statements a report": f"{counts.statements / max(counts.reports, 1):.1f} on average",
        "masked in reports": masked or "nothing",
        "sentences removed because they tell the outcome": f"{counts.removed:,}",
        "instruction-like sentences hidden": f"{counts.flagged:,}",
        "sentences left out": f"{counts.left_out:,} beyond the most telling of each report",
    }
    if counts.dropped:
        facts["claims dropped because they could not be verified"] = f"{counts.dropped:,}"
    return facts


# --- tables ------------------------------------------------------------------------------------


def refined_frame(reports: Mapping[CaseId, RefinedReport]) -> pd.DataFrame:
    """A row a case: its id, the value of each field, then the quote of each. All text; "" is not stated."""
    import pandas as pd

    rows = []
    for case, report in reports.items():
        answers = answers_of(report)
        values = {name: answers[name].value or "" if name in answers else "" for name in FIELDS}
        quotes = {f"{name}_quote": answers[name].quote or "" if name in answers else "" for name in FIELDS}
        rows.append({"case_id": case, **values, **quotes})
    columns = ["case_id", *FIELDS, *(f"{name}_quote" for name in FIELDS)]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def statements_frame(reports: Mapping[CaseId, RefinedReport]) -> pd.DataFrame:
    """A row a statement, with the span of the report that it stands on."""
    import pandas as pd

    rows = [
        {
            "case_id": case,
            "kind": one.kind,
            "text": one.text,
            "value": one.value or "",
            "quote": one.quote or "",
            "start": one.start,
            "end": one.end,
        }
        for case, report in reports.items()
        for one in report.statements
    ]
    columns = ["case_id", "kind", "text", "value", "quote", "start", "end"]
    return pd.DataFrame(rows, columns=columns).astype({"start": "Int64", "end": "Int64"})


def coverage_frame(coverage: Sequence[FieldCoverage], reports: int) -> pd.DataFrame:
    """A row a field: how many of the reports state it, and how."""
    import pandas as pd

    frame = pd.DataFrame([asdict(one) for one in coverage])
    frame.insert(2, "reports", reports)
    return frame


# --- the page for people -----------------------------------------------------------------------


def choose_cases(reports: Mapping[CaseId, RefinedReport], most: int) -> list[CaseId]:
    """At most so many cases: those with most dropped claims first, then a sample that is always the same."""
    doubtful = sorted(
        (case for case, report in reports.items() if report.dropped),
        key=lambda case: (-len(reports[case].dropped), case),
    )
    others = sorted((case for case in reports if not reports[case].dropped), key=_shuffled)
    chosen = doubtful[:most]
    return chosen + sorted(others[: most - len(chosen)])


def _shuffled(case: CaseId) -> str:
    # No order of the ids: that of one hospital's cases may be the order of their operations.
    return hashlib.sha256(case.encode()).hexdigest()


def _audit(inputs: Inputs, reports: Mapping[CaseId, RefinedReport], most: int) -> Audit:
    config = inputs.study.config.reports
    assert config is not None
    type_of = {case.id: case.cancer_type for case in inputs.cohort.cases}
    faults = {
        case: {
            place: why
            for place, statement in enumerate(report.statements)
            if (why := verify(statement, report.text)) is not None
        }
        for case, report in reports.items()
    }
    chosen = choose_cases(reports, most)
    return Audit(
        study=inputs.study.name,
        refiner=config.refiner,
        version=environment().get("kemm", ""),
        cohort_cases=len(inputs.cohort),
        counts=count_reports(reports.values()),
        coverage=cover_fields(reports.values()),
        unverified=sum(map(len, faults.values())),
        cases=[AuditCase(case, type_of[case], reports[case], faults[case]) for case in chosen],
        left_out=len(reports) - len(chosen),
    )


def _refined(
    study: Study, workers: int | None, progress: Progress
) -> tuple[Inputs, Mapping[CaseId, RefinedReport]]:
    """The study's inputs, checked, and its refined reports in the order of the cases."""
    inputs = _read(study, progress)
    refined = refine(inputs, Store(study.store_folder), Processes(workers or usable_cores()), progress)
    return inputs, {case: refined[case] for case in inputs.cohort.ids if case in refined}


def _read(study: Study, progress: Progress) -> Inputs:
    faults = Faults()
    if study.config.reports is None:
        faults.add(
            "the study has no reports",
            "Give reports.folder or reports.table.",
            file="study.yaml",
        )
    inputs = read_inputs(study, faults)
    faults.raise_if_any()
    if inputs is None:
        raise InputError("the cohort could not be read")
    if not inputs.reports:
        raise InputError(f"{study.name}: no case has a report. Look at the ids of the cases and the reports.")
    progress.say(inputs.first_line)
    for warning in inputs.warnings:
        progress.say(f"warning: {warning}")
    return inputs
