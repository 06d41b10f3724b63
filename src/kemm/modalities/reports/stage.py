"""A report without its stage: the categories T, N and M and the stage group are hidden wherever it tells them.

What the stage is made from stays: the tumour's size and extension, the counts of nodes, what was found in them and
elsewhere. These are findings, and whoever knows the rules can still derive a stage from them. Hidden is what states it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from kemm.core.types import Statement
from kemm.modalities.reports.deidentify import MASK
from kemm.modalities.reports.fields import FIELDS
from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.refiner import RefinedReport
from kemm.modalities.reports.rules.staging import NOT_OF_WORK, TABLE
from kemm.modalities.reports.rules.unassessed import SAID

STAGE_FIELDS = ("pT", "pN", "pM", "stage_group", "masaoka_stage")
"""Fields whose value is a stage. Gradings, levels of invasion (Clark) and counts are findings."""

# All patterns are for reading copies: lower case, dashes alike, as long as the text.
_LETTERS = r"(?:[ -]?(?:[a-d](?:[1-3]|[il]{1,2})?|mic?)(?![a-z]))?"
_SUFFIX = r"(?: ?\((?:mi?|sn|is|dcis|lcis|paget|i ?[-+]|mol ?[-+]|[0-9]{1,2})\)){0,2}"
_CATEGORY = (
    rf"(?:t ?-?(?:is|iv|[il]{{1,3}}|[0-4x]){_LETTERS}|n ?-?[0-3xo]{_LETTERS}|m ?-?[01xo]{_LETTERS}){_SUFFIX}"
)
# "cT2", "ypN1", "rpT3a"; the "p" may stand apart from its letter.
_PREFIXED = re.compile(rf"(?<![a-z0-9])[yramuc]{{0,3}}[pcu][ (]{{0,2}}{_CATEGORY}(?![a-z0-9])")
# "cT3N1M0", and scanned text that runs on: "pT2N1aL1V0R0", "pNXinterstitial".
_GLUED = re.compile(
    r"(?<![a-z0-9])[yra]{0,2}p(?:t[0-4x](?![0-9])|t [0-4x](?=n))(?:is|[a-d])?m?(?:p?n{1,2}[0-3xo](?:mi|[a-c])?)?"
    r"(?:p?m[01xo])?|(?<![a-z0-9])[yra]{0,2}p(?:n[0-3x]|m[01x])(?![0-9])"
    r"|(?<![a-z0-9])[yra]{0,2}[cu]t[0-4x][a-d]?n[0-3xo][a-c]?(?:m[01xo])?"
)
_BARE = re.compile(
    r"(?<![a-z0-9.])(?:t[0-4x](?:[a-d][1-3]?|mic?)?|tis|n[0-3x](?:[a-c]|mi)?|m[01x][a-c]?)"
    rf"{_SUFFIX}(?![a-z0-9])(?!\.\d)"
    # Nerves and vertebrae, images, cells and hormones bear such names too.
    r"(?![ -](?:weight\w*|flair|signal|hyper\w*|hypo\w*|image\w*|sequence\w*|mri|vertebra\w*|spin\w*|rib|nerve|root"
    r"|level|dermatome|lymphocyt\w*|(?:helper )?cells?|toxicosis|phage))"
)
_NAMED = re.compile(
    r"\b(?:[tnm]|tumor|nodal|nodes?|metasta\w+|p ?[tnm])[ -]{0,2}(?:stage|category|classification|descriptor)"
    r"(?:[, ]{1,3}patholog\w*)?(?: ?\(p?[tnm]\))?(?: is| of| was)? {0,2}[:=]? {0,3}(?:p ?)?[tnm]? ?-?"
    rf"(?:is|iv|[il]{{1,3}}|[0-4x])(?:mi|[a-d][1-3]?)?{_SUFFIX}(?![a-z0-9])(?!\.\d)(?! ?[cm]m\b)"
    # "pT: 2", "T=2 N=0 M=0", "primary tumor (pT): 2"
    r"|(?<![a-z0-9])[yc]?p ?[tnm]\)? ?[:=] ?(?:is|[0-4x])(?:mi|[a-d][1-3]?)?(?![a-z0-9])(?!\.\d)(?! ?[cm]m\b)"
    r"|(?<![a-z0-9])t ?[:=] ?[0-4x][a-d]?[ ,;/]{1,3}n ?[:=] ?[0-3x][a-c]?(?:[ ,;/]{1,3}m ?[:=] ?[01x])?(?![a-z0-9])"
)
_NUMBER = r"(?:iv|[il1|]{1,3}|[0-4x]|one|two|three|four)"
_STEP = rf"(?:[cpy]{{1,2}}(?=i|[1-4]))?{_NUMBER}(?: ?[a-e](?:[1-3]|[il]{{1,2}})?)?(?![a-z0-9])"
_STEPS = rf"{_STEP}(?: ?(?:-|/|to|or|and|&) ?(?:{_STEP}|[a-c](?![a-z0-9])))?(?!\.\d)(?! ?(?:[cm]m\b|%))"
_ABOUT = (
    r"(?:[ ,/]{1,2}(?:is|was|of|as|at least|figo|ajcc|uicc|tnm|who|masaoka|koga|dukes'?|pathologic\w*|clinical\w*"
    r"|anatomic\w*|prognostic|overall|final|group\w*|system|classification|stag(?:e|ing)|modified|disease"
    r"|at (?:diagnosis|presentation|surgery|resection)"
    r"|[5-9](?:th|st)|eighth|seventh|sixth|ed(?:ition|n)?|\(?(?:19|20)\d\d\)?)\.?){0,6}"
    r"(?: ?\([^()\n]{0,40}\))?"
)
_SEPARATOR = r" {0,3}(?:[:=,-]|\. (?=[il|]{2}|i ?[a-c]?\b|iv))? {0,3}(?:stage )?"
# A scan may lose the first letter.
_GROUP = re.compile(rf"(?<![a-z])[pc]?s?tag(?:es?|ing){_ABOUT}{_SEPARATOR}{_STEPS}{NOT_OF_WORK}")
_SYSTEM = re.compile(
    rf"\b(?:figo|ajcc|american joint (?:committee|commission)(?: on cancer)?|uicc|tnm|masaoka(?: ?-? ?koga)?|ann arbor)(?! grade){_ABOUT}{_SEPARATOR}{_STEPS}"
    r"|\b(?:dukes?'?s?'?|(?:modified )?astler ?-? ?coller|bclc)"
    rf"{_ABOUT}{_SEPARATOR}[a-d][1-3]?(?![a-z0-9])"
)
_ROUGHLY = re.compile(r"\b(?:early|late|advanced|low|high)[ -]stage\b")
_PATTERNS = (_PREFIXED, _GLUED, _NAMED, _GROUP, _SYSTEM, _ROUGHLY)

# Hiding one may bring out another that it was a part of; a report needs two rounds, one of them to see that all is done.
_MOST_ROUNDS = 6
_MOST_SAID = 100
_REACH = 140
_WORD = re.compile(r"[^\W_]{2}")


def without_stage(report: RefinedReport) -> RefinedReport:
    """The report as if nobody had staged it: no statement of a stage, its words hidden in the text and in all quotes.

    Lengths stay, so offsets hold. A statement of whose quote no word is left said nothing else, and is dropped.
    """
    text = hide_stage(report.text)
    kept = (_shown(one, text) for one in report.statements if one.kind not in STAGE_FIELDS)
    return replace(report, text=text, statements=tuple(one for one in kept if one is not None))


def hide_stage(text: str) -> str:
    """The text, of the same length, with everything masked that states a T, N or M category or a stage group.

    Besides usual spellings this is all that the rules refiner reads as one, right or wrong; whether a category "cannot
    be assessed" is part of it. Words that only look alike ("T cell", "T2-weighted", "N = 12") stay.
    """
    for _ in range(_MOST_ROUNDS):
        hidden = _masked(text, _spans(Layout(text)))
        if hidden == text:
            break
        text = hidden
    return text


def _shown(statement: Statement, text: str) -> Statement | None:
    if statement.start is None or statement.end is None:
        hidden = hide_stage(statement.text)
        return replace(statement, text=hidden) if _WORD.search(hidden) else None
    quote = text[statement.start : statement.end]
    if quote == statement.quote:
        return statement
    if not _WORD.search(quote.replace(MASK, " ")):
        return None
    # What a field states is worded anew, and not in the report's words.
    worded = " ".join(quote.split()) if statement.kind == "sentence" else statement.text
    return replace(statement, quote=quote, text=worded)


def _spans(layout: Layout) -> Iterator[tuple[int, int]]:
    for table in TABLE.finditer(layout.text):  # its grade and the names of its columns stay
        yield from (table.span(name) for name in "tnm")
    for name in STAGE_FIELDS:
        for found in FIELDS[name].find(layout):
            if not TABLE.search(layout.text, found.start, found.end):
                yield found.start, found.end
    for said in islice(SAID.finditer(layout.text), _MOST_SAID):
        clause = layout.clause_at(said.start())
        start, end = max(clause.start, said.start() - _REACH), min(clause.end, said.end() + _REACH)
        for name in STAGE_FIELDS:
            for found in FIELDS[name].unassessed_in(layout, start, end):
                yield found.start, found.end
    for pattern in _PATTERNS:
        for match in pattern.finditer(layout.text):
            yield match.span()
    for match in _BARE.finditer(layout.text):
        if layout.source[match.start()].isupper():
            yield match.span()


def _masked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    characters = list(text)
    for start, end in spans:
        # Line breaks stay, so that what follows is still the start of a line.
        characters[start:end] = [one if one in "\r\n" else MASK for one in characters[start:end]]
    return "".join(characters)
