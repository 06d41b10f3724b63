"""Refined reports as JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kemm.core.types import Statement
from kemm.modalities.reports.outcome import Removed
from kemm.modalities.reports.refiner import Dropped, RefinedReport


def as_json(report: RefinedReport) -> dict[str, Any]:
    """Plain values only."""
    return asdict(report)


def from_json(stored: Mapping[str, Any]) -> RefinedReport:
    """The report that `as_json` stored."""
    return RefinedReport(
        statements=tuple(Statement(**one) for one in stored["statements"]),
        text=stored["text"],
        masked=stored["masked"],
        removed=tuple(Removed(**one) for one in stored["removed"]),
        flagged=tuple(Removed(**one) for one in stored["flagged"]),
        left_out=stored["left_out"],
        dropped=tuple(Dropped(**one) for one in stored["dropped"]),
    )
