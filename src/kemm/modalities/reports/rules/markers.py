"""Hormone receptors and HER2."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.reading import reading_copy
from kemm.modalities.reports.rules.candidate import Candidate

ER = (
    r"(?:\ber(?:\s?\([^()]{0,12}\))?(?![a-z0-9])|\bestrogen(?:[- ]receptors?)?(?: protein"
    r"| activity)?(?:\s?\(er\w?\))?)"
)
PR = (
    r"(?:\bpg?r(?:\s?\([^()]{0,12}\))?(?![a-z0-9])|\bprogesterone(?:[- ]receptors?)?(?: protein"
    r"| activity)?(?:\s?\(pg?r\))?)"
)
HER2 = r"(?:\bher[- ]{0,3}2(?:[ /-]{0,3}neu)?|\bc-?erb ?-?b ?-?2|\bherceptest|\bhercep test)"
_POSITIVE = (
    r"positive|\bpos\b|\+(?!/)|\bpresent\b|strong|favou?rable|\b(?:[1-9]\d?|100)\s?%|reactive|found in"
    r"|immunoreactiv"
)
_NEGATIVE = (
    r"negative|\bneg\b|\babsent\b|not (?:detected|expressed|reactive|seen|identified)|\b0\s?%"
    r"|no (?:nuclear )?(?:staining|expression|reactiv\w*|immunoreactiv\w*)|unfavou?rable|<\s?1\s?%"
    r"|less than 1\s?%|\bnon-?reactive"
)
_RECEPTOR_STATUS = re.compile(rf"(?P<negative>{_NEGATIVE})|(?P<positive>{_POSITIVE})")
_HER2_STATUS = re.compile(
    r"(?P<negative>negative|\bneg\b|not (?:be )?(?:over-?express\w*|amplified|detected)"
    r"|no(?: evidence of)?(?: gene)? (?:over-?expression|amplification)|non-?amplified|unamplified"
    r"|score[\s:=]{0,3}[01]\b(?!\.)|\b[01]\s?\+|:\s?0\b|\b0 ?/ ?3|\b1 ?/ ?3|\bscore of [01]\b|\babsent\b)"
    r"|(?P<equivocal>equivocal|indeterminate|borderline|\b2\s?\+|score[\s:=]{0,3}2\b)"
    r"|(?P<positive>positive|\bpos\b|\b3\s?\+|\bamplified|over-?express|score[\s:=]{0,3}3\b"
    r"|amplification (?:is )?(?:present|detected|identified))"
)
_UNTESTED = re.compile(
    r"\b(?:pending|ordered|requested|to follow|will be|not performed|to be performed|see (?:separate"
    r"|previous|prior|addendum))\b"
)
_REACH = 90


def _status(
    text: str, name: re.Pattern[str], others: re.Pattern[str], status: re.Pattern[str]
) -> Iterator[tuple[str, int, int]]:
    for match in name.finditer(text):
        after = text[match.end() : match.end() + _REACH]
        joined = _JOINED.match(after)
        skip = joined.end() if joined else 0
        other = others.search(after, skip)
        window = after[: other.start()] if other else after
        if name is not _NAMES["her2"] and not joined:
            # A HER2 score often stands in the sentence after the one that names the stain.
            window = re.split(r"[;\n]|\.(?=\s\s?[a-z])(?! ?\d)", window, maxsplit=1)[0]
        if _UNTESTED.search(window):
            continue
        said = status.search(window)
        if said and said.lastgroup:
            yield said.lastgroup, match.start(), match.end() + said.end()
            continue
        before = text[max(0, match.start() - 24) : match.start()]
        if led := re.search(
            r"(positive|negative|not over-?express|no over-?expression of"
            r"|over-?expression of) (?:for )?(?:staining for )?(?:the )?$",
            before,
        ):
            yield (
                "negative" if led[1].startswith("n") else "positive",
                match.start() - (len(before) - led.start()),
                match.end(),
            )


_JOINED = re.compile(rf"\s?(?:/|and|&|,)\s?(?:{PR}|{ER})(?:\s?receptors?)?")
_NAMES = {"er": re.compile(ER), "pr": re.compile(PR), "her2": re.compile(HER2)}
_OTHERS = {
    "er": re.compile(rf"{PR}|{HER2}|\bki-?67|\bp53|\bmib"),
    "pr": re.compile(rf"{ER}|{HER2}|\bki-?67|\bp53|\bmib"),
    "her2": re.compile(rf"{ER}|{PR}|\bki-?67|\bp53|\bmib"),
}


def _parse(quote: str, marker: str) -> str | None:
    status = _HER2_STATUS if marker == "her2" else _RECEPTOR_STATUS
    for value, _, _ in _status(reading_copy(quote), _NAMES[marker], _OTHERS[marker], status):
        return value
    return None


def parse_er(quote: str) -> str | None:
    """ "positive" or "negative"; a share of stained nuclei of 1 % or more is positive."""
    return _parse(quote, "er")


def parse_pr(quote: str) -> str | None:
    """As `parse_er`, for the progesterone receptor."""
    return _parse(quote, "pr")


def parse_her2(quote: str) -> str | None:
    """Scores 0 and 1+ are negative, 2+ equivocal, 3+ and amplified positive."""
    return _parse(quote, "her2")


def _find(layout: Layout, marker: str) -> Iterator[Candidate]:
    status = _HER2_STATUS if marker == "her2" else _RECEPTOR_STATUS
    for _, start, end in _status(layout.text, _NAMES[marker], _OTHERS[marker], status):
        # In-situ hybridisation decides where immunostaining did not.
        rank = 0 if marker == "her2" and re.search(r"amplif|fish", layout.text[start:end]) else 1
        yield Candidate(start, end, rank)


def find_er(layout: Layout) -> Iterator[Candidate]:
    """Statements of the oestrogen receptor."""
    yield from _find(layout, "er")


def find_pr(layout: Layout) -> Iterator[Candidate]:
    """Statements of the progesterone receptor."""
    yield from _find(layout, "pr")


def find_her2(layout: Layout) -> Iterator[Candidate]:
    """Statements of HER2."""
    yield from _find(layout, "her2")
