"""What a field of a report is, and what all fields share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from kemm.core.types import Statement
from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.reading import reading_copy
from kemm.modalities.reports.rules import choosing
from kemm.modalities.reports.rules.candidate import Candidate
from kemm.modalities.reports.rules.unassessed import names_of, unassessed

CANNOT_BE_ASSESSED = "cannot be assessed"
"""The value of any field of which the report says so. Not told at all is no statement; denied is "absent"."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One question put to a report.

    Attributes:
        name: the `kind` of its statements.
        title: how the statement begins: "Tumour grade: G3".
        asks: what the value means; for documentation and for prompts.
        parse: derives the value from a quote; None where the quote does not answer the field.
        find: where the rules look for it; of no concern to other refiners.
        choose: which of equally good answers the rules take.
        named: pattern of its name in a reading copy, for "cannot be assessed".
        values: the only values it can take; empty where it is a number, a stage or a term.
        organs: those whose reports are asked it; empty where all are.
        prefix, suffix: printed around the value.
        adds_up: the value is a total over specimens of which the quote shows one, so it may exceed
            what the quote alone says.
        number: the value is a count or a measure.
    """

    name: str
    title: str
    asks: str
    parse: Callable[[str], str | None]
    find: Callable[[Layout], Iterator[Candidate]]
    choose: Callable[[Sequence[str]], str] = choosing.first
    named: str
    values: tuple[str, ...] = ()
    organs: tuple[str, ...] = ()
    prefix: str = ""
    suffix: str = ""
    adds_up: bool = False
    number: bool = False

    def asked_of(self, organ: str | None) -> bool:
        """Whether reports on this organ are asked it; where the organ is unknown, only what all are asked."""
        return not self.organs or organ in self.organs

    def cannot_be_assessed(self, quote: str) -> bool:
        """Whether the quote names the field and says so, and gives no value besides."""
        return self.parse(quote) is None and any(unassessed(reading_copy(quote), names_of(self.named)))

    def unassessed_in(self, layout: Layout, start: int, end: int) -> Iterator[Candidate]:
        """Where in [start, end) the field is said not to be assessable."""
        for begin, stop in unassessed(layout.text[start:end], names_of(self.named)):
            yield Candidate(start + begin, start + stop)

    def statement(self, value: str, quote: str, start: int) -> Statement:
        """The statement of a value with the span it stands on."""
        told = value if value == CANNOT_BE_ASSESSED else f"{self.prefix}{value}{self.suffix}"
        return Statement(
            kind=self.name,
            text=f"{self.title}: {told}",
            value=value,
            quote=quote,
            start=start,
            end=start + len(quote),
        )
