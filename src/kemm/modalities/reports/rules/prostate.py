"""Gleason score and grade group of prostatic carcinoma."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.reading import reading_copy
from kemm.modalities.reports.rules.candidate import Candidate, section_rank

_SUM = r"(?P<first>[1-5])\s?\+\s?(?P<second>[1-5])(?:\s?=\s?(?P<total>10|[2-9]))?"
_PRIMARY = (
    r"\bprimary (?:gleason )?(?:grade|pattern|score)?[\s:=(]{1,4}(?:grade |pattern )?(?P<p>[1-5])\)?[^\d]{0,60}?"
    r"\bsecondary (?:gleason )?(?:grade|pattern|score)?[\s:=(]{1,4}(?:grade |pattern )?(?P<q>[1-5])(?!\.?\d)"
)
_PATTERNS = re.compile(
    rf"\bgleason(?:'s)?[^\d;\n]{{0,50}}?{_SUM}|{_PRIMARY}"
    rf"|(?<![\d+]){_SUM.replace('first', 'a').replace('second', 'b').replace('total', 'c')}(?=[^\n;]{{0,20}}gleason)"
)
_SCORE = re.compile(
    r"\bgleason(?:'s)?[\s-](?:combined |total |histologic )?(?:score|sum|grade)[\s:=,of-]{1,6}(?P<score>10|[6-9])(?!\d|\s?\+|\.\d)"
)
_GROUP = re.compile(
    r"\b(?:isup |prognostic )?grade group\s?[:=(-]{0,2}\s?(?:is |of )?(?P<group>[1-5])(?![\d.])"
)
_GROUP_OF_SUM = {6: "1", 8: "4", 9: "5", 10: "5"}


def _sum(match: re.Match[str]) -> tuple[int, int] | None:
    first, second = match["first"] or match["a"] or match["p"], match["second"] or match["b"] or match["q"]
    total = match["total"] or match["c"]
    if total and int(total) != int(first) + int(second):
        return None  # one of the three was misread
    return int(first), int(second)


def parse_gleason_score(quote: str) -> str | None:
    """ "Gleason 3+4=7", "Gleason score 9" -> "7", "9"."""
    text = reading_copy(quote)
    for match in _PATTERNS.finditer(text):
        if (pair := _sum(match)) is not None and sum(pair) >= 4:
            return str(sum(pair))
    score = _SCORE.search(text)
    return score["score"] if score else None


def parse_grade_group(quote: str) -> str | None:
    """ "Grade group 2" as written, else from the patterns: 3+4 is group 2, 4+3 group 3."""
    text = reading_copy(quote)
    if group := _GROUP.search(text):
        return group["group"]
    for match in _PATTERNS.finditer(text):
        pair = _sum(match)
        if pair is None or sum(pair) < 6:
            continue
        if sum(pair) == 7:
            return {3: "2", 4: "3"}.get(pair[0])
        return _GROUP_OF_SUM[sum(pair)]
    score = _SCORE.search(text)
    # A bare sum of 7 is group 2 or 3.
    return _GROUP_OF_SUM.get(int(score["score"])) if score else None


def _find(layout: Layout, *patterns: re.Pattern[str]) -> Iterator[Candidate]:
    for rank, pattern in enumerate(patterns):
        for match in pattern.finditer(layout.text):
            yield Candidate(match.start(), match.end(), rank + section_rank(layout, match.start()))


def find_gleason_score(layout: Layout) -> Iterator[Candidate]:
    """Sums of patterns, then bare scores."""
    yield from _find(layout, _PATTERNS, _SCORE)


def find_grade_group(layout: Layout) -> Iterator[Candidate]:
    """Groups as written, then what patterns and scores come to."""
    yield from _find(layout, _GROUP, _PATTERNS, _SCORE)
