"""Reports that tell what became of the patient: how many sentences were hidden, and whether any was left."""

from __future__ import annotations

from kemm.modalities.reports import RefinedReport
from kemm.modalities.reports.outcome import hide_outcomes
from kemm.training.dataset import StudyData
from kemm.training.leaks.finding import Finding, Where, named


def told_outcomes(data: StudyData) -> list[Finding]:
    """What the rules that hide outcomes still find in the texts as models get them; and what they hid before."""
    reports = [
        (data.cohort.ids[row], report) for row, report in enumerate(data.reports) if report is not None
    ]
    left = tuple(case for case, report in reports if _tells(report))
    hidden = {case: len(report.removed) for case, report in reports if report.removed}
    found = []
    if left:
        found.append(
            Finding(
                kind="report tells the outcome",
                severity="error",
                told=f"{len(left)} of {len(reports)} reports still tell the outcome in what models see: {named(left)}.",
                remedy="Refine the reports again with `kemm refine`, and look at these cases with `kemm audit`.",
                where=Where(cases=left),
            )
        )
    if hidden:
        total = sum(hidden.values())
        found.append(
            Finding(
                kind="report tells the outcome",
                severity="note",
                told=f"{total} sentence{'' if total == 1 else 's'} of {len(hidden)} of {len(reports)} reports told the "
                f"outcome and {'was' if total == 1 else 'were'} hidden before use; "
                + (f"{len(left)} reports still tell it." if left else "none remained."),
                remedy="Nothing: no model has seen them.",
                where=Where(cases=tuple(hidden)),
            )
        )
    return found


def _tells(report: RefinedReport) -> bool:
    return any(hide_outcomes(text)[1] for text in (report.text, *(one.text for one in report.statements)))
