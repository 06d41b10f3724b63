"""How files are told to be a case's: by their name, or by a column that lists them."""

from __future__ import annotations

from collections.abc import Collection

SHOWN_SLIDES = 5


def case_of_name(name: str, cases: Collection[str]) -> str | None:
    """The case whose id is the name, or begins it before a separator; the longest such id counts."""
    ends = [place for place, character in enumerate(name) if character in "-_. "]
    for end in (len(name), *reversed(ends)):
        if name[:end] in cases:
            return name[:end]
    return None


def listed_names(cell: str) -> list[str]:
    """The slides that a cell of the clinical table lists, separated by ";"."""
    return list(dict.fromkeys(name.strip() for name in cell.split(";") if name.strip()))
