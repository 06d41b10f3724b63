"""What the audit for leaks found, as plain records."""

from __future__ import annotations

from collections.abc import Sequence

from kemm.results.records import Record
from kemm.training.leaks import Finding, Kind, Severity


class Leak(Record):
    """One finding, with all the places where it is."""

    kind: Kind
    severity: Severity
    told: str
    """One sentence, without a word of any report."""
    remedy: str
    cases: list[str]
    columns: list[str]
    folds: list[int]


class LeakAudit(Record):
    """All findings, the gravest first; empty where nothing was found."""

    leaks: list[Leak]

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> LeakAudit:
        """The record of what `audit_leaks` returned."""
        return cls(
            leaks=[
                Leak(
                    kind=one.kind,
                    severity=one.severity,
                    told=one.told,
                    remedy=one.remedy,
                    cases=list(one.where.cases),
                    columns=list(one.where.columns),
                    folds=list(one.where.folds),
                )
                for one in findings
            ]
        )

    @property
    def errors(self) -> list[Leak]:
        """Those that make results worthless."""
        return [one for one in self.leaks if one.severity == "error"]
