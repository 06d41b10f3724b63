"""Is a finding said to be there, said not to be there, or left open?

"No perineural invasion", "perineural invasion: absent" and "free of perineural invasion" are one
answer; "cannot be assessed", "not applicable" and a label with nothing behind it are none. A finding
that is not spoken of is neither present nor absent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Assertion = Literal["present", "absent", "indeterminate"]


@dataclass(frozen=True)
class Asserted:
    """What is said of a finding, and the span [start, end) of finding and saying together."""

    value: Assertion
    start: int
    end: int


_UNKNOWN = (
    r"not applicable|n/?a\b|not (?:be )?(?:specified|stated|reported|provided|given|known|recorded|done"
    r"|performed"
    r"|assessed|evaluated|evaluable|assessable|determined|available)|unknown|pending|see (?:below|above"
    r"|comment|note)"
    r"|not otherwise|indeterminate|(?:not|cannot|can not|could not) (?:be )?(?:assess|determin|evaluat)\w*"
)
_OPEN = (
    r"equivocal|suspicious|suspected|suggestive|questionable|possible|possibly|probable"
    r"|cannot (?:be )?(?:excluded|ruled out)|can not be excluded|not (?:definitely"
    r"|definitively) (?:identified|excluded)"
)
_ABSENT = (
    r"(?:is |are |was |were )?not (?:definit(?:iv)?ely |clearly |grossly |microscopically |involved"
    r"|identified|seen|present|found"
    r"|detected|appreciated|noted|observed|evident|recognized|demonstrated|infiltrated|invaded|extend\w*"
    r"|invade|involve|unequivocal)"
    r"|absent|absence\b|none\b|negative|\(-\)|uninvolved|un-involved|no\b|free\b|without|nil\b|clear\b|unremarkable"
    r"|not\b"
)
_PRESENT = (
    r"present|identified|positive|yes\b|seen\b|noted|found|involved|extensive|focal(?:ly)?\b|observed"
    r"|detected"
    r"|infiltrated|invaded|prominent|marked|multifocal|\(\+\)|confirmed|evident|minimal|suspect|[1-9]\d?\s?%"
)
_AFTER = re.compile(
    r"(?P<gap>[\s:=,>*_#-]{0,6}(?:\([^()\n]{0,60}\)[\s:=,>*-]{0,5})?(?:(?:status|by tumor|by carcinoma"
    r"|of tumor|tumors?|carcinoma|disease|is|are|was|were"
    r"|has been|been|also|definit\w+|unequivocal(?:ly)?|invasion|involvement|extension)[\s:=,-]{1,5}){0,4})"
    rf"(?:(?P<unknown>{_UNKNOWN})|(?P<open>{_OPEN})|(?P<absent>{_ABSENT})|(?P<present>{_PRESENT}))"
)
_BEFORE_ABSENT = re.compile(
    r"(?:\bno\b|\bnot\b|\bwithout\b|\babsence of\b|\bnegative for\b|\bfree of\b|\black of\b|\black(?:s"
    r"|ing)?\b|\bneither\b|\bnor\b"
    r"|\bfails? to\b|\bdoes not\b|\bdo not\b|\bdid not\b|\babsent\b)(?!\s{0,3}(?:applicable|only))"
)
_BEFORE_OPEN = re.compile(
    rf"\b(?:{_OPEN})\b(?=[\w\s,]{{0,40}}$)|\b(?:suspicious|suggestive|concerning|indefinite"
    r"|equivocal) (?:for|of)\b"
)
# What ends the reach of a negation that stands before the finding.
_TURN = re.compile(
    r"\bbut\b|\bhowever\b|\balthough\b|:|\bwith (?!no\b|out)|\bshows?\b|\bconfirms?\b|\bexcept\b"
)


_REST_OF_LABEL = re.compile(r"[\w\s/,-]{0,40}(?:\([^()\n]{0,60}\)\s{0,2})?:")
_SEEN_ITSELF = frozenset(
    {"identified", "noted", "seen", "found", "observed", "evident", "present", "prominent"}
)


def assertion(clause: str, start: int, end: int, *, default: Assertion | None = "present") -> Asserted | None:
    """What `clause` (a reading copy) says of the finding at [start, end).

    Args:
        default: the answer where the finding is simply told ("with lymphatic invasion"); None where a
            bare mention says nothing (a heading, a block list).
    """
    after = clause[end : end + 140]
    match = _AFTER.match(after)
    # "Multicentricity/multifocality of invasive foci: no": the name of the label goes on.
    label = None if match else _REST_OF_LABEL.match(after)
    if label:
        match = _AFTER.match(after, label.end())
    before = clause[max(0, start - 90) : start]
    turns = [turn.end() for turn in _TURN.finditer(before)]
    reach = before[turns[-1] :] if turns else before
    negations = list(_BEFORE_ABSENT.finditer(reach))
    if negations:
        at = start - len(reach) + negations[-1].start()
        # "No invasion is identified": the verb belongs to the negation before the finding.
        return Asserted("absent", at, end + match.end() if match and match["present"] else end)
    if match:
        stop = end + match.end()
        if match["unknown"]:
            return None
        if match["open"]:
            return Asserted("indeterminate", start, stop)
        if match["absent"]:
            # "Margin free", "no" at the end of a label: said of this finding. "Tumor, no invasion" is not.
            return None if _belongs_to_next(match, after) else Asserted("absent", start, stop)
        if default is None and ":" not in match["gap"] and match["present"] in _SEEN_ITSELF:
            return None  # "the renal vein is identified": the vessel, not tumour in it
        return Asserted("present", start, stop)
    if _BEFORE_OPEN.search(reach):
        return Asserted("indeterminate", start - len(reach) + _first(_BEFORE_OPEN, reach), end)
    # A label with nothing known behind it was not filled in; a line that holds the name alone is a heading.
    if default is None or label or _is_heading(clause, start, end):
        return None
    return Asserted(default, *_with_context(clause, start, end))


# "Extends into the pleura" tells by itself, "pleural invasion" on a line of its own does not.
_VERB = re.compile(r"(?:extend|invad|infiltrat|penetrat|involv|reach|breach)\w*\s")


def _is_heading(clause: str, start: int, end: int) -> bool:
    alone = not clause[end:].strip(" .,;:0123456789") and not re.search(r"[a-z]{3}", clause[:start])
    return alone and not _VERB.match(clause, start)


def _with_context(clause: str, start: int, end: int) -> tuple[int, int]:
    """The mention with the words that make it a statement: those before it, else those behind it."""
    begin = max(0, start - 60)
    if begin:
        begin = clause.find(" ", begin, start) + 1 or start
    if re.search(r"[a-z]{3}", clause[begin:start]):
        return begin + len(clause[begin:]) - len(clause[begin:].lstrip()), end
    stop = min(len(clause), end + 60)
    if stop < len(clause):
        stop = clause.rfind(" ", end, stop) if " " in clause[end:stop] else stop
    return start, max(end, stop)


def _first(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.search(text)
    return found.start() if found else 0


def _belongs_to_next(match: re.Match[str], after: str) -> bool:
    word = match["absent"].strip()
    if "," in match["gap"] and word in {"no", "without", "not", "negative", "none"}:
        return bool(after[match.end() :].strip(" .,)"))
    return False
