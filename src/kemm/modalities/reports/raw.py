"""A report as it was written: what there is without refining."""

from __future__ import annotations

from dataclasses import replace

from kemm.core.types import Statement
from kemm.modalities.reports.layout import Clause, Layout
from kemm.modalities.reports.refiner import RefinedReport
from kemm.modalities.reports.sentences import LONGEST


def as_written(report: RefinedReport) -> RefinedReport:
    """The same text cut into pieces in place of what was refined from it: nothing chosen, no field, no value.

    Pieces end where sentences, lines or list items do, and have at most 360 characters unless one sentence has more.
    """
    pieces: list[Clause] = []
    for clause in Layout(report.text).clauses:
        if pieces and clause.end - pieces[-1].start <= LONGEST:
            pieces[-1] = Clause(pieces[-1].start, clause.end)
        else:
            pieces.append(Clause(clause.start, clause.end))
    statements = tuple(
        Statement(
            kind="sentence",
            text=" ".join(report.text[piece.start : piece.end].split()),
            quote=report.text[piece.start : piece.end],
            start=piece.start,
            end=piece.end,
        )
        for piece in pieces
    )
    return replace(report, statements=statements, left_out=0, dropped=())
