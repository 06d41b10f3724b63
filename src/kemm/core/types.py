"""Words the whole package shares. Imports nothing from kemm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType

CaseId = NewType("CaseId", str)
"""One patient. Always text: "001", "NA" and "1e5" are ids."""
Months = NewType("Months", float)
Micrometres = NewType("Micrometres", float)  # on the tissue
BasePixels = NewType("BasePixels", int)  # at the scanner's full resolution

DAYS_PER_MONTH = 30.4375
"""365.25 / 12: one month, wherever days become months."""

Risk = Literal["high", "low"]
"""Which direction a piece of background knowledge points to."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One sentence of knowledge, and where it stands in its source.

    `kind` is the field it answers ("grade", "pT", ...), "sentence" for prose no field covers, or
    "background". `value` is the normalised value ("3", "T2a", "present", "4.5"), None for prose.
    `quote` is a verbatim substring of the source at [start, end); None where the statement has no
    source text (background knowledge).
    """

    kind: str
    text: str
    value: str | None = None
    quote: str | None = None
    start: int | None = None
    end: int | None = None
