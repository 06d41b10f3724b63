"""Mask what names a patient, a person or a hospital, without moving a single character.

Every mask is as long as what it hides, so an offset in the masked text is an offset in the source.
Patterns, not a trained model: what no pattern describes (a name without a title, a street) stays.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MASK = "█"
"""Stands for each hidden character; no tokenizer takes it for a word."""


@dataclass(frozen=True, kw_only=True)
class Deidentified:
    """A text of the same length as its source, and how many spans of each kind were hidden in it."""

    text: str
    masked: Mapping[str, int]


_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_YEAR = r"(?:19|20)\d{2}"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH_NUMBER = r"(?:0?[1-9]|1[0-2])"
_ROUND = r"[ ]{0,2}"

# A number is hidden only behind a label: "A1-A10" is a tissue block, "10/23" a count of nodes, and
# "weight of specimen: 300" no number of a record.
_RECORD = r"(?:accession|mrn|med(?:ical|\.)?\s?rec(?:ord|\.)?|account|acct|encounter|ssn)"
_NUMBERED = (
    r"(?:hosp(?:ital|\.)?|chart|specimen|case|patient|visit|copy|ref"
    r"|(?:surg(?:ical)?\.?\s?)?path(?:ology|\.)?)"
)
_NUMBER_SIGN = r"(?:(?:no|num|number|id)\b\.?|\#)"
_IDENTIFIER_LABEL = (
    rf"(?:{_RECORD}\s{{0,2}}{_NUMBER_SIGN}?\s{{0,2}}[:#]"
    rf"|{_NUMBERED}\s{{0,2}}{_NUMBER_SIGN}\s{{0,2}}:?)\s{{0,3}}"
)

# What stands behind a doctor's title in reports whose names were already taken out.
_NO_NAME = (
    r"(?!(?i:the|this|these|a|an|at|in|on|of|and|for|is|was|with|by|to|no|specimens?|sections?|sectioning"
    r"|final|gross|micro\w*"
    r"|diagnos\w*|clinical|attending|patholog\w*|hematopathology|received|frozen|revised|intra\w*"
    r"|operative|part|page|note"
    r"|comment|left|right|sentinel|lymph|breast|lung|kidney|uterus|tumou?r|margins?|report\w*"
    r"|electronic\w*|signed|date|fs"
    r"|addendum|procedure|summary|results?|review\w*|department|carcinomas?|therefore|printed|renal"
    r"|revision|fs[a-z]|tp[a-z]|surg\w*|consult\w*|case|patient|xx+)\b)"
)

_NAME = rf"{_NO_NAME}[A-Z][A-Za-z'-]{{2,20}}"

# In order: an earlier kind takes its characters before a later one looks at them.
_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "uuid",
        re.compile(
            r"(?<![0-9a-z])[0-9a-f]{8}(?:\s?-\s?[0-9a-f]{4}){3}\s?-\s?[0-9a-f]{12}"
            # Scanned forms print it after its label, with dashes and digits misread.
            r"|\buuid\s{0,2}:\s{0,2}(?:[0-9a-zO][\s.:-]{0,2})(?:[0-9a-fosl][\s.:-]{0,2}){19,39}[0-9a-fosl]",
            re.IGNORECASE,
        ),
    ),
    (
        "barcode",
        re.compile(
            r"T[CG6]GA\s?[-_.–—~ ]\s?[A-Z0-9]{2}\s?[-_.–—~ ]\s?[A-Z0-9]{4}"
            r"(?:\s?[-_.–—]\s?[A-Z0-9]{2,4}){0,5}(?![a-z])"
            r"|T[CG6]GA\s{0,2}[-_.–—~]\s{0,2}[A-Z0-9]{2,4}(?:[-_.–—][A-Z0-9]{2,4}){0,5}\b|TCGA",
            re.IGNORECASE,
        ),
    ),
    (
        "date",
        re.compile(
            rf"\b(?:(?:{_MONTH_NUMBER}{_ROUND}/{_ROUND}{_DAY}"
            rf"|{_DAY}{_ROUND}/{_ROUND}{_MONTH_NUMBER}){_ROUND}/{_ROUND}(?:{_YEAR}|\d{{2}})"
            rf"|{_DAY}-{_DAY}-(?:{_YEAR}|\d{{2}})|{_DAY}\.{_DAY}\.(?:{_YEAR}|\d{{2}})"
            rf"|{_YEAR}{_ROUND}[/.-]{_ROUND}{_DAY}{_ROUND}[/.-]{_ROUND}{_DAY}"
            rf"|{_DAY}(?:st|nd|rd|th)?[\s.,-]{{1,3}}(?:of )?{_MONTH}[\s.,-]{{1,3}}(?:{_YEAR}|\d{{2}})"
            rf"|{_MONTH}[\s.-]{{1,3}}{_DAY}(?:st|nd|rd|th)?[\s.,-]{{1,3}}(?:{_YEAR}|'\d{{2}})"
            rf"|{_MONTH}[\s.,-]{{1,3}}{_YEAR}|(?:0?[1-9]|1[0-2])/{_YEAR})\b",
        ),
    ),
    ("email", re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}")),
    (
        "phone",
        re.compile(r"(?<![\d.])(?:\+?1[\s.-]?)?\(?\d{3}\)?[\s.-]{1,2}\d{3}[\s.-]\d{4}(?![\d.])"),
    ),
    (
        "record number",
        re.compile(
            rf"\b{_IDENTIFIER_LABEL}(?P<hide>[A-Z]{{0,4}}\d{{0,4}}-?[A-Z]{{0,3}}-?\d[\d-]{{1,14}})"
            r"|(?<![\w.-])(?P<bare>[A-Z]{1,3}-?\d{2}-\d{3,7})(?![\w-])"
            r"|\b(?P<ssn>\d{3}-\d{2}-\d{4})\b",
            re.IGNORECASE,
        ),
    ),
    # Ages above 89 identify people (US "safe harbor"); younger ages are a covariate and stay.
    (
        "age over 89",
        re.compile(
            r"\b(?P<hide>9\d|1[01]\d)(?=[\s-]{0,2}(?:years?\b|yrs?\b|y[\s./]{0,2}o\b))"
            r"|\baged?\s{0,2}:?\s{0,2}(?P<bare>9\d|1[01]\d)\b(?!\s?(?:%|cm|mm|days))",
            re.IGNORECASE,
        ),
    ),
    (
        "person",
        re.compile(
            rf"\b(?:Dr|Drs|DR|Mr|Mrs|Ms)\.?[ ]{{1,2}}(?P<hide>(?:[A-Z]\.[ ]?(?=[A-Z][a-z])){{0,2}}{_NAME}"
            rf"(?:[ ]{_NAME})?)"
            rf"|\b(?P<bare>{_NAME}(?:[ ][A-Z]\.?)?[ ]{_NAME})(?=,?[ ]?(?:M\.\s?D\.|MD\b))"
        ),
    ),
    (
        "institution",
        re.compile(
            r"\b(?:[A-Z][A-Za-z'&-]{1,20}[ ]){1,4}(?:Hospitals?|HOSPITALS?|Medical Center|MEDICAL CENTER"
            r"|Clinics?|CLINICS?"
            r"|Cancer Cent(?:er|re)|CANCER CENT(?:ER|RE)|University|UNIVERSITY|Infirmary)\b"
            r"|\b(?:University|UNIVERSITY|Hospital|HOSPITAL)[ ](?:of"
            r"|OF)[ ](?!Origi)(?:[A-Z][A-Za-z'-]{1,20}[ ]?){1,3}"
        ),
    ),
)


_LOWER = frozenset({"date"})
"""Kinds whose patterns are for lower-case text: half the time of a pattern that ignores case."""
_TOLD_BY = {"person": re.compile(r"\bD[rR]s?\b|\bM(?:rs?|s)\b|\bM\.?\s?D\b")}
"""Looked for first, where what a pattern hangs on stands at its end: most reports have it nowhere."""


def deidentify(text: str, *, site_names: Sequence[str] = ()) -> Deidentified:
    """Hide barcodes, UUIDs, dates, record numbers, ages over 89, titled persons and institutions.

    Invisible and control characters (zero width, directional, byte order, NUL) become spaces. The
    result has exactly the length of `text`: masks repeat `MASK`, neutralised characters are one space.

    Args:
        text: the report as it was read.
        site_names: names or codes of hospitals to hide as whole words, whatever their case or spacing.
    """
    counts: Counter[str] = Counter()
    cleaned = _without_invisible(text)
    if cleaned != text:
        differ = sum(before != after for before, after in zip(text, cleaned, strict=True))
        counts["invisible character"] = differ
    kinds = list(_KINDS)
    names = sorted((name for name in site_names if name.strip()), key=len, reverse=True)
    if names:
        words = "|".join(r"\s{1,3}".join(map(re.escape, name.split())) for name in names)
        kinds.insert(0, ("site name", re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)))
    for kind, pattern in kinds:
        if (told_by := _TOLD_BY.get(kind)) is not None and told_by.search(cleaned) is None:
            continue
        cleaned, found = _mask(cleaned, pattern, lower_case(cleaned) if kind in _LOWER else cleaned)
        if found:
            counts[kind] += found
    return Deidentified(text=cleaned, masked=dict(counts))


def lower_case(text: str) -> str:
    """In lower case, and of the same length: a few capitals have lower-case forms of two characters."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


def _mask(text: str, pattern: re.Pattern[str], searched: str) -> tuple[str, int]:
    """`searched` is the text, or a copy of the same length that the pattern is for."""
    pieces: list[str] = []
    at = found = 0
    for match in pattern.finditer(searched):
        start, end = match.span()
        for group in pattern.groupindex:  # where only a part is hidden, that part is a named group
            if match[group] is not None:
                start, end = match.span(group)
        pieces += [text[at:start], MASK * (end - start)]
        at = end
        found += 1
    return "".join([*pieces, text[at:]]), found


_KEPT_CONTROLS = frozenset("\n\r\t")


def _without_invisible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    harmful = {
        ord(character): " "
        for character in set(text)
        # Cf: zero-width and directional marks, soft hyphens, tags; Cc: controls; Cs, Co, Cn: no character at all.
        if character not in _KEPT_CONTROLS
        and unicodedata.category(character) in {"Cf", "Cc", "Cs", "Co", "Cn"}
    }
    return text.translate(harmful)
