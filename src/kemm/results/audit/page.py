"""From refined reports to the page: which words stand under which statement, and what was hidden there."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from kemm.core.types import Statement
from kemm.modalities.reports import FIELDS, MASK, Dropped, RefinedReport, Removed
from kemm.modalities.reports.counting import (
    OTHER,
    UNASSESSED,
    FieldCoverage,
    answers_of,
    cannot_be_assessed,
    is_absent,
    kind_of,
)
from kemm.results.audit.records import Audit, AuditCase
from kemm.results.document import render_document

OUTCOME: Final = "tells the outcome"
ORDER: Final = "reads like an instruction"
BAR_WIDTH: Final = 200
_MASKS: Final = re.compile(f"{MASK}+")


@dataclass(frozen=True)
class Segment:
    """Characters of a report that share everything: no span begins or ends within them."""

    text: str
    anchor: str
    statements: tuple[int, ...] = ()
    """Places of the statements whose quote covers it."""
    is_masked: bool = False
    hidden: Removed | None = None
    """The sentence it belongs to, where that was hidden from the reading."""

    @property
    def numbers(self) -> str:
        """The statements, for an attribute."""
        return " ".join(map(str, self.statements))


@dataclass(frozen=True)
class Said:
    """A statement on the page."""

    number: int
    title: str
    value: str
    quote: str
    anchor: str | None
    """Of the first characters of its quote."""
    remark: str
    fault: str | None


@dataclass(frozen=True)
class Hidden:
    """A sentence that no reader was shown."""

    why: str
    reason: str
    quote: str
    anchor: str | None


@dataclass(frozen=True)
class CaseView:
    """One case: its report in segments, and what was made of it."""

    number: int
    source: AuditCase
    asked: Collection[str] = tuple(FIELDS)
    """Fields that any report of the study states."""

    @property
    def report(self) -> RefinedReport:
        """What was read."""
        return self.source.report

    @cached_property
    def segments(self) -> list[Segment]:
        """The report's text, whole and in order."""
        return list(_segments(self.report, self.number))

    @cached_property
    def fields(self) -> list[Said]:
        """Statements that answer a field."""
        return [self._said(place) for place, one in enumerate(self.report.statements) if one.kind in FIELDS]

    @cached_property
    def sentences(self) -> list[Said]:
        """Sentences that were kept as they are."""
        return [
            self._said(place) for place, one in enumerate(self.report.statements) if one.kind not in FIELDS
        ]

    @cached_property
    def hidden(self) -> list[Hidden]:
        """Sentences hidden before anything was read."""
        spans = [(OUTCOME, one) for one in self.report.removed] + [
            (ORDER, one) for one in self.report.flagged
        ]
        return [
            Hidden(
                why,
                "" if one.reason == why else one.reason,
                # A sentence that borders on one hidden before it begins with what hides that.
                one.quote.strip(f"{MASK}\r\n "),
                self._anchor_of_hidden(one),
            )
            for why, one in spans
        ]

    @cached_property
    def not_stated(self) -> list[str]:
        """Titles of the fields that this report does not state, and others do."""
        stated = answers_of(self.report)
        return [
            field.title for field in FIELDS.values() if field.name in self.asked and field.name not in stated
        ]

    @property
    def dropped(self) -> Sequence[Dropped]:
        """Claims that could not be verified."""
        return self.report.dropped

    @cached_property
    def filters(self) -> dict[str, str]:
        """What the page's filter looks for: fields by what the case has of them."""
        answers = answers_of(self.report)
        return {
            "stated": " ".join(answers),
            "absent": " ".join(name for name, one in answers.items() if is_absent(one)),
            "unassessed": " ".join(name for name, one in answers.items() if cannot_be_assessed(one)),
            "dropped": " ".join(dict.fromkeys(kind_of(claim.kind) for claim in self.report.dropped)),
        }

    def title_of(self, claimed: str) -> str:
        """A field's title; what names no field, as it was claimed."""
        return FIELDS[claimed].title if claimed in FIELDS else claimed

    def _said(self, place: int) -> Said:
        one = self.report.statements[place]
        field = FIELDS.get(one.kind)
        title = field.title if field else "Sentence"
        # Where the value says so itself, there is nothing to explain.
        is_code = cannot_be_assessed(one) and one.value != UNASSESSED
        return Said(
            number=place,
            title=title,
            value=one.text.removeprefix(f"{title}: ") if field else "",
            quote=one.quote if one.quote is not None else one.text,
            anchor=self._anchors.get(place),
            remark=UNASSESSED if is_code else "",
            fault=self.source.faults.get(place),
        )

    @cached_property
    def _anchors(self) -> dict[int, str]:
        anchors: dict[int, str] = {}
        for segment in self.segments:
            for place in segment.statements:
                anchors.setdefault(place, segment.anchor)
        return anchors

    def _anchor_of_hidden(self, hidden: Removed) -> str | None:
        return next((segment.anchor for segment in self.segments if segment.hidden is hidden), None)


@dataclass(frozen=True)
class Page:
    """What the template shows beyond the records themselves."""

    audit: Audit

    contents: tuple[tuple[str, str], ...] = (
        ("overview", "Overview"),
        ("fields", "Fields"),
        ("cases", "Cases"),
        ("reading", "How to read this"),
    )

    @cached_property
    def cases(self) -> list[CaseView]:
        """The cases, numbered."""
        asked = {row.field for row in self.audit.coverage if row.stated}
        return [CaseView(number, case, asked) for number, case in enumerate(self.audit.cases, start=1)]

    @property
    def fields(self) -> list[FieldCoverage]:
        """Rows of the table: fields that a report states, or that were claimed."""
        return [row for row in self.audit.coverage if row.field != OTHER and (row.stated or row.dropped)]

    @property
    def silent(self) -> list[str]:
        """Titles of the fields that no report states: most are asked of other organs."""
        return [row.title for row in self.audit.coverage if not (row.stated or row.dropped)]

    @property
    def others(self) -> int:
        """Dropped claims that name no field."""
        return sum(row.dropped for row in self.audit.coverage if row.field == OTHER)

    @property
    def masked(self) -> int:
        """Hidden identifiers of all kinds."""
        return sum(self.audit.counts.masked.values())

    def share(self, count: int) -> float:
        """Of all reports."""
        return count / max(self.audit.counts.reports, 1)

    def bar(self, row: FieldCoverage) -> list[tuple[str, float, float]]:
        """Paint, left edge and width of the parts of a field's bar."""
        found = row.stated - row.absent - row.cannot_be_assessed
        parts = [("main", found), ("third", row.absent), ("muted", row.cannot_be_assessed)]
        bars, left = [], 0.0
        for paint, count in parts:
            width = round(BAR_WIDTH * self.share(count), 2)
            if count:
                bars.append((paint, round(left, 2), width))
            left += width
        return bars


def render_audit(audit: Audit) -> str:
    """The whole page as one HTML document; the same records give the same bytes."""
    return render_document(
        "kemm.results.audit", "audit.html.j2", page=Page(audit), audit=audit, bar_width=BAR_WIDTH
    )


def _segments(report: RefinedReport, case: int) -> Iterator[Segment]:
    text = report.text
    hidden = sorted((*report.removed, *report.flagged), key=lambda one: one.start)
    spans = [(place, *span) for place, one in enumerate(report.statements) if (span := _span(one, text))]
    masks = [match.span() for match in _MASKS.finditer(text)]
    edges = {0, len(text)}
    edges.update(edge for _, *span in spans for edge in span)
    edges.update(edge for one in hidden for edge in (one.start, one.end))
    # A hidden sentence is one piece, though line breaks stand between its masked characters.
    edges.update(
        edge for span in masks for edge in span if not any(one.start < edge < one.end for one in hidden)
    )
    places = sorted(edge for edge in edges if 0 <= edge <= len(text))
    for number, (start, end) in enumerate(pairwise(places)):
        sentence = next((one for one in hidden if one.start <= start < one.end), None)
        yield Segment(
            text=text[start:end]
            if sentence is None
            else sentence.quote[start - sentence.start :][: end - start],
            anchor=f"c{case}s{number}",
            statements=tuple(place for place, left, right in spans if left <= start < right),
            is_masked=sentence is None and text[start] == MASK,
            hidden=sentence,
        )


def _span(statement: Statement, text: str) -> tuple[int, int] | None:
    """Where the quote stands; None where it stands nowhere in the text."""
    start, end = statement.start, statement.end
    if start is None or end is None or not 0 <= start < end <= len(text):
        return None
    return start, end
