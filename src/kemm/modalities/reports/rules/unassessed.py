"""Where a report says of something that it cannot be assessed: neither there, nor absent, nor untold.

"Not assessed", "not applicable" and "pending" are not this: nobody tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from kemm.modalities.reports.reading import loosened

_ADVERB = (
    r"(?:(?:reliably|accurately|adequately|fully|definit(?:iv)?ely|further|properly|clearly|completely) )?"
)
_JUDGE = r"(?:assess|evaluat|determin|ascertain)"
SAID = re.compile(
    rf"\b(?:can ?not|could not|unable to|not possible to|impossible to) (?:be )?{_ADVERB}{_JUDGE}\w*"
    rf"|\bcan't be {_JUDGE}\w*|\b(?:not|non-?) ?(?:assessable|evaluable|determinable|interpretable)"
    r"|\bindeterminate\b|\bprecludes? (?:the )?(?:assessment|evaluation|determination)(?: of)?"
)
# Between the name and the saying: no answer, no end of a clause, not many words.
_BETWEEN = re.compile(
    r"(?:\s?\([^()\n]{0,40}\))?[\s:=-]{0,40}(?:(?!negative|positive|absent|present|involved|free|close|clear"
    r"|not\b|no\b|identified|cannot|can\b|could|indeterm|unable)[a-z0-9/'()²%-]{1,20}[\s:=-]{1,3}){0,5}"
)
# "Cannot assess the margins": the name stands behind.
_ACTIVE = re.compile(r"(?:assess|evaluate|determine|ascertain|assessment of|evaluation of|determination of)$")
_TO_NAME = re.compile(r"\s(?:(?:the|of|status|presence|or|absence|tumor|surgical|resection) ){0,4}$")


def unassessed(text: str, names: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Spans of a reading copy that name something (`names`) and say that it cannot be assessed."""
    for said in SAID.finditer(text):
        before = text[max(0, said.start() - 140) : said.start()]
        for name in names.finditer(before):
            between = _BETWEEN.match(before, name.end())
            if between and between.end() == len(before):
                yield said.start() - len(before) + name.start(), said.end()
                break
        if _ACTIVE.search(said[0]):
            after = text[said.end() : said.end() + 80]
            behind = names.search(after)
            if behind and _TO_NAME.match(after[: behind.start()]):
                yield said.start(), said.end() + behind.end()


@lru_cache(maxsize=256)
def names_of(pattern: str) -> re.Pattern[str]:
    """Compiled once."""
    return re.compile(loosened(pattern))
