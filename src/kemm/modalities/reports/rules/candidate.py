"""A stretch of a report that may answer a field."""

from __future__ import annotations

from dataclasses import dataclass

from kemm.modalities.reports.layout import Layout


@dataclass(frozen=True)
class Candidate:
    """The span [start, end) and how good a witness it is: a lower rank is heard first.

    `value` is given only where it cannot be read off the quote alone (a total over specimens).
    """

    start: int
    end: int
    rank: int = 0
    value: str | None = None


# The final diagnosis and the microscopy are heard before the naked eye, and that before what was
# known or thought before the operation.
_SECTION_RANK = {"gross": 2, "clinical": 4, "frozen": 4}


def section_rank(layout: Layout, position: int) -> int:
    """0 for the diagnostic sections, more for what they supersede."""
    return _SECTION_RANK.get(layout.section_at(position)[1], 0)


IN_SITU = r"in[- ]?situ|\bdcis\b|\blcis\b|intraductal|comedo"
