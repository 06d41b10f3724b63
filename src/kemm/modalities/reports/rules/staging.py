"""pT, pN, pM and the stage group, as written, with the digits scanners misread."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.reading import reading_copy
from kemm.modalities.reports.rules.candidate import Candidate, section_rank

_SEP = r"[\s,;./()&:\[\]-]{0,6}"
_PREFIX = r"(?:[yra]{0,2}p[ (]{0,2})"
_T_LOOSE = r"t\s{0,2}(?:is|[0-4xil])(?:\s?[a-d][1-3]?)?(?:\([^()]{1,8}\))?"
# "PNI: present" is perineural invasion, no misread N1.
_NO_NERVE = r"(?!i\s{0,2}(?:[:=(-]|is\b|was\b|not\b|present|absent|identified|seen|negative|positive))"
_N_LOOSE = (
    rf"n{_NO_NERVE}"
    r"\s{0,2}[0-3xilo](?:\s?(?:mi|[a-d])(?![a-z]))?(?:\s?\((?:mi|i ?[-+]|sn|mol ?[-+]"
    r"|[a-z0-9+ -]{1,6})\)){0,2}"
)
_M_LOOSE = r"m\s{0,2}[01xilo](?:[a-c])?"

# T, N and M in one breath need no "p".
_CLUSTER = re.compile(
    rf"(?<![a-z0-9])(?:{_PREFIX})?{_T_LOOSE}{_SEP}(?:{_PREFIX})?{_N_LOOSE}(?:{_SEP}"
    rf"(?:{_PREFIX})?{_M_LOOSE})?(?![a-z0-9])"
)
_N_M = re.compile(rf"(?<![a-z0-9]){_PREFIX}?{_N_LOOSE}{_SEP}{_PREFIX}?{_M_LOOSE}(?![a-z0-9])")
_LONE_T = re.compile(rf"(?<![a-z0-9]){_PREFIX}{_T_LOOSE}(?![a-z0-9])")
_LONE_N = re.compile(rf"(?<![a-z0-9]){_PREFIX}{_N_LOOSE}(?![a-z0-9])")
_LONE_M = re.compile(rf"(?<![a-z0-9]){_PREFIX}{_M_LOOSE}(?![a-z0-9])")
_GLUED_T = re.compile(rf"(?<=ajcc)p{_T_LOOSE}(?![a-z0-9])")
_GLUED_N = re.compile(rf"(?<=ajcc)p{_N_LOOSE}(?![a-z0-9])")
_LABEL = (
    r"\b{letter}[ -]{{0,2}}(?:stage|category"
    r"|classification)(?:[,\s]{{1,3}}patholog\w*)?\s{{0,2}}[:=]?\s{{0,3}}(?:p\s?)?(?:{letter}\s?)?"
)
_LABEL_T = re.compile(_LABEL.format(letter="t") + r"(?:is|[0-4x])(?:[a-d])?(?![a-z0-9])")
_LABEL_N = re.compile(_LABEL.format(letter="n") + r"[0-3x](?:mi|[a-d])?(?![a-z0-9])")
_LABEL_M = re.compile(_LABEL.format(letter="m") + r"[01x](?:[a-c])?(?![a-z0-9])")
_NAMED_T = re.compile(rf"\bprimary tumor\s?(?:\(p?t\))?\s?[:=]\s?p?{_T_LOOSE}(?![a-z0-9])")
# "Lymph nodes: No metastatic carcinoma" is a finding, no misread N0; "NO: no metastasis" and "NO MX" are.
_NO_NEGATION = r"(?!no\b(?:\s{1,3}|\.\s)(?!p?m ?[01xilo]\b)[a-z]{2})"
_NAMED_N = re.compile(
    rf"\b(?:regional )?lymph nodes\s?(?:\(p?n\))?\s?[:=]\s?{_NO_NEGATION}p?{_N_LOOSE}(?![a-z0-9])"
)
_NAMED_M = re.compile(rf"\bdistant metastas[ie]s\s?(?:\(p?m\))?\s?[:=]\s?p?{_M_LOOSE}(?![a-z0-9])")

# Tables of specimen banks: the names of the columns, then a row of bare figures for grade, T, N and M.
TABLE = re.compile(
    r"\bgrade\b[\s\S]{0,220}?\(t\)[^()\d]{1,20}\(n\)[^()\d]{1,20}\(m\)[^\d]{0,160}\b(?P<grade>[1-4x])["
    r"\s.]{1,4}(?P<t>[0-4x])[\s.]{1,4}(?P<n>[0-3x])[\s.]{1,4}(?P<m>[01x])\b"
)

_ONE = str.maketrans({"i": "1", "l": "1", "o": "0"})
_T_VALUE = re.compile(
    r"(?:(?<![a-z0-9])[yra]{0,2}p[ (]{0,2}|(?<=ajcc)p|(?<![a-z0-9]))"
    r"t\s{0,2}(is|[0-4xil])(?:\s?([a-d])[1-3]?(?![a-mo-z]))?(?![0-9])"
)
_N_VALUE = re.compile(
    r"(?:(?<![a-z])[yra]{0,2}p[ (]{0,2}|(?<=ajcc)p|(?<=[0-9x])p?|(?<=[0-9][a-d])p?"
    rf"|(?<![a-z]){_NO_NEGATION})n{_NO_NERVE}"
    r"\s{0,2}([0-3xilo])(?![0-9])(?:\s?(mi|[a-d])(?![a-z])|\s?\((mi)\))?(?![a-ln-z])"
)
_M_VALUE = re.compile(
    r"(?:[yra]{0,2}p[ (]{0,2})?(?<![a-wyz])m\s{0,2}([01xilo])(?:([a-c]))?(?![a-z0-9])|(?<=p)m\s{0,2}([01xo])"
)
_LABEL_VALUE = (
    r"\b{letter}[ -]{{0,2}}(?:stage|category|classification)[^0-9x]{{0,24}}?([0-4x]|is)(mi"
    r"|[a-d])?(?![a-z0-9])"
)
_T_LABEL_VALUE = re.compile(_LABEL_VALUE.format(letter="t"))
_N_LABEL_VALUE = re.compile(_LABEL_VALUE.format(letter="n"))
_M_LABEL_VALUE = re.compile(_LABEL_VALUE.format(letter="m"))


def parse_t(quote: str) -> str | None:
    """ "pT2b", "T 2b", "T stage: 2b" -> "T2b"; "pTlc" (misread) -> "T1c"."""
    text = reading_copy(quote)
    if table := TABLE.search(text):
        return "T" + table["t"].upper()
    match = _T_LABEL_VALUE.search(text) or _T_VALUE.search(text)
    if not match:
        return None
    stage, sub = match[1], match[2] or ""
    return (
        "Tis"
        if stage == "is"
        else "T" + stage.translate(_ONE).replace("x", "X") + ("" if stage == "x" else sub)
    )


def parse_n(quote: str) -> str | None:
    """ "pN1a" -> "N1a"; "N1(mi)" -> "N1mi"; "(i-)", "(sn)" are dropped; "pNO" (misread) -> "N0"."""
    text = reading_copy(quote)
    if table := TABLE.search(text):
        return "N" + table["n"].upper()
    match = _N_LABEL_VALUE.search(text) or _N_VALUE.search(text)
    if not match:
        return None
    stage = match[1].translate(_ONE)
    sub = match[2] or (match[3] if match.re is _N_VALUE else None) or ""
    return "N" + stage.replace("x", "X") + (sub if stage not in "x0" else "")


def parse_m(quote: str) -> str | None:
    """ "pMX" -> "MX"; "M1b" -> "M1b"."""
    text = reading_copy(quote)
    if table := TABLE.search(text):
        return "M" + table["m"].upper()
    match = _M_LABEL_VALUE.search(text) or _M_VALUE.search(text)
    if not match:
        return None
    stage = (match[1] or match[3] or "").translate(_ONE)
    return "M" + stage.replace("x", "X") + (match[2] or "" if stage == "1" else "")


def _find(layout: Layout, patterns: tuple[re.Pattern[str], ...]) -> Iterator[Candidate]:
    for pattern in patterns:
        for match in pattern.finditer(layout.text):
            # What earlier specimens or the clinic said of the stage yields to this report's own.
            yield Candidate(match.start(), match.end(), section_rank(layout, match.start()))


def find_t(layout: Layout) -> Iterator[Candidate]:
    """Every statement of the tumour's T category."""
    yield from _find(layout, (_CLUSTER, _LONE_T, _GLUED_T, _LABEL_T, _NAMED_T, TABLE))


def find_n(layout: Layout) -> Iterator[Candidate]:
    """Every statement of the N category."""
    yield from _find(layout, (_CLUSTER, _N_M, _LONE_N, _GLUED_N, _LABEL_N, _NAMED_N, TABLE))


def find_m(layout: Layout) -> Iterator[Candidate]:
    """Every statement of the M category."""
    yield from _find(layout, (_CLUSTER, _N_M, _LONE_M, _LABEL_M, _NAMED_M, TABLE))


# "Stage 1 of the procedure", "stage 2 reconstruction"
NOT_OF_WORK = (
    r"(?! (?:of|in) (?:the|this|a|her|his) \w{0,12} ?(?:procedure|operation|surgery|reconstruction|repair|protocol|study|process)"
    r"| (?:procedure|operation|surgery|reconstruction|repair|revision)\b)"
)
_ROMAN = r"(?:iv|i{1,3}|[il]{2,3}|i|[1-4])"
_GROUP = re.compile(
    r"(?<!t )(?<!n )(?<!m )(?<!masaoka )(?<!koga )(?:(?P<figo>figo)(?: (?!grade)\w{1,20}){0,2}?(?! grade) ?(?:stage)?|\bstage(?: group(?:ing)?)?)"
    r"(?:\s?\([^()]{0,40}\))?(?:\s(?:is|group(?:ing)?|figo|ajcc))?\s{0,2}[:=-]?\s{0,3}"
    rf"(?:stage\s)?(?P<stage>{_ROMAN})\s?(?P<sub>[abc][1-3]?)?(?![a-z0-9])(?!\.\d)(?!\s?[/x%]){NOT_OF_WORK}"
)


def parse_stage_group(quote: str) -> str | None:
    """ "Stage IIb", "FIGO stage 1A", "Pathologic stage: Ill" (misread) -> "IIB", "IA", "III"."""
    match = _GROUP.search(reading_copy(quote))
    if not match:
        return None
    digits = match["stage"]
    if digits.isdigit():
        # "Stage 2" may be a T category; FIGO stages are often written so.
        if not match["figo"] and not match["sub"]:
            return None
        digits = ["I", "II", "III", "IV"][int(digits) - 1]
    elif digits != "iv":
        digits = "I" * len(digits)
    return digits.upper() + (match["sub"] or "").upper()


def find_stage_group(layout: Layout) -> Iterator[Candidate]:
    """Every statement of an AJCC or FIGO stage."""
    for match in _GROUP.finditer(layout.text):
        yield Candidate(match.start(), match.end(), section_rank(layout, match.start()))
