"""Where the parts of a report are: its sections, its clauses, and the organ it speaks of."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from kemm.modalities.reports.organs import organ_in
from kemm.modalities.reports.reading import reading_copy

# The first alternative that fits names the section, so "frozen section diagnosis" is no diagnosis.
_HEADINGS: tuple[tuple[str, str], ...] = (
    (
        "frozen",
        (
            r"frozen section(?: diagnos[ie]s| consultation| report)?"
            r"|intra ?-? ?operative (?:consultation|diagnosis|consult|frozen|findings|report)(?: diagnosis)?"
            r"|frozen diagnosis|touch prep\w* diagnosis|quick section"
        ),
    ),
    (
        "clinical",
        (
            r"(?:pre|post) ?-? ?op\w*\.?(?: clinical)? (?:diagnosis|impression)"
            r"|clinical (?:history|information|notes?|diagnosis|data|impression|summary|details)[^:.\n]{0,40}"
            r"|(?:patient |past )?(?:medical )?history(?: of present illness)?|indications?(?: for surgery)?"
            r"|previous (?:biopsy|biopsies|specimens?)"
        ),
    ),
    (
        "gross",
        (
            r"gross (?:description|examination|pathology|findings|specimen)|macroscopic(?: (?:description"
            r"|examination))?"
            r"|macroscopy|block summary|summary of sections|section code|ink code|specimen description|gross"
        ),
    ),
    (
        "specimen",
        (
            r"(?:source of )?specimens?(?: ?\(s\))?(?: submitted| received)?|part\(s\) submitted"
            r"|tissues? submitted"
        ),
    ),
    (
        "synoptic",
        (
            r"(?:case )?synop(?:tic|sis)\b[^:.\n]{0,40}|(?:cancer|tissue) (?:case )?(?:checklist|summary)"
            r"|summary"
        ),
    ),
    ("microscopic", r"micro(?:scopic)?(?: (?:description|examination|findings))?|microscopy|histology"),
    (
        "diagnosis",
        (
            r"(?:final|main|surgical|histo\w*|patholog\w*|anatomic|principal|revised|amended|addendum| ){0,4}"
            r"diagnos[ie]s(?: ?/ ?diagnoses)?(?: ?\(es\)| ?\(s\))?(?: based on[^:.\n]{0,60})?|conclusions?"
            r"|opinion|impression"
        ),
    ),
    ("comment", r"comments?(?: ?\(s\))?(?: ?/ ?supplementary remark)?|notes?|remarks?"),
    ("addendum", r"addendum(?: (?:report|diagnosis|comment|\#?\d))*|supplementary report"),
)
_HEADING = re.compile(
    r"(?:(?<=[.:\n] )|(?<=\n)|(?<=[.:\n]  )|^|(?<=  ))(?:"
    + "|".join(f"(?P<{name}>{pattern})" for name, pattern in _HEADINGS)
    + r")\s{0,2}(?::|\.(?=\s)|;|\n|-(?=[ \n]))"
)

_CLAUSE_END = re.compile(r"[.!?](?=\s|$)|[;\n]|\s-{1,2}\s(?=[^\d\s])|\s\*{1,2}\s")


@dataclass(frozen=True)
class Clause:
    """A stretch [start, end) that makes one statement."""

    start: int
    end: int


class Layout:
    """A report's reading copy with its sections, clauses and organ.

    Args:
        text: the de-identified report.
        cancer_type: a hint for the organ; see `organ_in`.
    """

    def __init__(self, text: str, cancer_type: str | None = None) -> None:
        self.source = text
        self.text = reading_copy(text)
        self.cancer_type = cancer_type

    @cached_property
    def organ(self) -> str | None:
        """What the report is about; None where no organ is named."""
        return organ_in(self.text, self.cancer_type)

    @cached_property
    def clauses(self) -> tuple[Clause, ...]:
        """Every stretch between two ends of a sentence, line or list item, without blanks around it."""
        return tuple(self._clauses())

    def _clauses(self) -> Iterator[Clause]:
        at = 0
        ends = [match.span() for match in _CLAUSE_END.finditer(self.text)]
        for stop, after in [*ends, (len(self.text), len(self.text))]:
            piece = self.text[at:stop]
            if stripped := piece.strip():
                start = at + piece.index(stripped[0])
                yield Clause(start, start + len(stripped))
            at = after

    @cached_property
    def _clause_starts(self) -> list[int]:
        return [clause.start for clause in self.clauses]

    def clause_at(self, position: int) -> Clause:
        """The clause that holds a position, or the last one that begins before it."""
        index = max(0, bisect_right(self._clause_starts, position) - 1)
        return self.clauses[index] if self.clauses else Clause(position, position)

    def clauses_before(self, position: int, count: int) -> Clause:
        """From the start of the clause `count` before the one at `position`, up to `position`."""
        index = max(0, bisect_right(self._clause_starts, position) - 1 - count)
        return Clause(self._clause_starts[index] if self._clause_starts else position, position)

    @cached_property
    def _sections(self) -> tuple[list[int], list[str]]:
        starts, names = [0], ["diagnosis"]
        for match in _HEADING.finditer(self.text):
            starts.append(match.start())
            names.append(str(match.lastgroup))
        return starts, names

    def section_at(self, position: int) -> tuple[int, str]:
        """(number, name) of the section that holds a position; before any heading it is "diagnosis"."""
        starts, names = self._sections
        index = bisect_right(starts, position) - 1
        return index, names[index]
