"""The tumour's grade, 1 (best) to 4."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.reading import reading_copy
from kemm.modalities.reports.rules.candidate import IN_SITU, Candidate, section_rank
from kemm.modalities.reports.rules.staging import TABLE

_VALUE = r"(?:[1-3](?=[1l]4\b)|(?:iv|i{1,3}|[il1]{2,3}|[1-4]|i)(?![a-z0-9])(?!\.\d))"
_SYSTEM = (
    r"(?:nottingham|elston|sbr|bloom|richardson|scarff|fu[hr]{1,2}m\w*|isup|who|figo|histolog\w*|tumor"
    r"|overall|combined|nuclear|final|architectural)"
)
_GRADE = re.compile(
    rf"(?P<system>(?:\b{_SYSTEM}(?:'s)?[\s,/-]{{0,3}}){{0,4}})\b(?:grade|gr\.|grading|nhg)"
    rf"(?P<between>(?:\s?\([^()\n]{{0,60}}\))?(?:[\s:=#,.-]|\b(?:is|of|was|as|high|low|intermediate|and"
    rf"|stage|nottingham|combined|histologic|nuclear|grade|overall|fu[hr]{{1,2}}m\w*|figo|who|isup"
    rf"|g(?=[1-4]))){{0,24}}?)"
    rf"(?:g\s?)?(?P<a>{_VALUE})(?:\s?(?:-|to|and|or|&)\s?(?:grade\s|g)?(?P<b>{_VALUE}))?"
    rf"(?:\s?(?:/|of|out of|\(of|\(out of)\s?(?P<top>{_VALUE}))?",
)
_FUHRMAN = re.compile(
    rf"\bfu[hr]{{1,2}}m\w*(?:'s)?[\s:,-]{{1,3}}(?:nuclear\s)?(?:(?:grade"
    rf"|gr)[\s:,-]{{0,3}})?(?P<a>{_VALUE})(?:\s?(?:-|to|and|/)\s?(?P<b>{_VALUE}))?"
    rf"|\bnhg\s?(?P<c>{_VALUE})|\b(?:figo|isup|nottingham|nuclear)\s(?P<d>[1-3]|i{{1,3}})(?![a-z0-9/.%])"
    rf"|(?<![a-z0-9])g\s?(?P<e>[1-4])(?:\s?-\s?g?(?P<f>[1-4]))?(?![a-z0-9/.])"
)
_WELL = r"well|moderate(?:ly)?|poor(?:ly)?"
_DIFFERENTIATED = re.compile(
    rf"\b(?P<a>{_WELL}|un|intermediate)(?:\s?(?:-|to|and|,|or"
    rf"|/)?\s?(?:to\s)?(?P<b>{_WELL}))?[\s-]{{0,3}}(?:differentiated|differentiation)"
    rf"|\b(?:grade|differentiation)[^.;\n\d]{{0,12}}[:=]\s{{0,2}}(?P<c>{_WELL})\b(?:\s?(?:-|to|and|/)\s?(?P<d>{_WELL})\b)?"
)
_LEVEL = {"w": 1, "m": 2, "i": 2, "p": 3, "u": 4}
_SCORE = re.compile(
    r"\b(?:nottingham|elston|bloom|richardson|sbr|total|combined|histolog\w+"
    r"|overall)[\w\s()-]{0,30}?\b(?:score|grade|points)?[\s:=,of-]{0,8}"
    r"(?:[1-3] ?\+ ?[1-3] ?\+ ?[1-3] ?= ?)?(?P<score>[3-9])(?:\s?/\s?9|\s?(?:out )?of 9|\b(?!\s?/|\."
    r"|\s?[cm]m))"
    r"|(?<!\d)[1-3] ?\+ ?[1-3] ?\+ ?[1-3] ?= ?(?P<sum>[3-9])|\b(?P<ninth>[3-9])\s?/\s?9\b"
)
_INVASIVE = re.compile(r"invasive|infiltrat")
_COMPONENT = re.compile(r"nuclear|architectural|mitotic|tubul")


def _number(text: str) -> int:
    text = text.strip()
    if text.isdigit() and len(text) == 1:
        return int(text)
    return 4 if text == "iv" else len(text)


def _graded(match: re.Match[str]) -> int:
    first = _number(match["a"])
    return max(first, _number(match["b"])) if match["b"] else first


_OTHER_SCALE = re.compile(
    r"gleason|\bweiss|\bpass\b|masaoka|clark|ishak|(?:primary|secondary) (?:pattern|grade)"
)


def _on_another_scale(text: str, match: re.Match[str]) -> bool:
    return _OTHER_SCALE.search(text, max(0, match.start() - 24), match.end()) is not None


def _search(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return next((match for match in pattern.finditer(text) if not _on_another_scale(text, match)), None)


def parse_grade(quote: str) -> str | None:
    """ "Fuhrman grade II-III", "G2", "poorly differentiated", "score 7/9" -> "3", "2", "3", "2".

    Of a range the higher counts. A Nottingham score of 3 to 5 is grade 1, 6 or 7 grade 2, 8 or 9 grade 3.
    """
    text = reading_copy(quote)
    if table := TABLE.search(text):
        return table["grade"] if table["grade"] != "x" else None
    if match := _search(_GRADE, text):
        return str(_graded(match))
    if match := _search(_FUHRMAN, text):
        groups = [match[name] for name in "abcdef" if match[name]]
        first = _number(groups[0])
        if len(groups) > 1 and not ("/" in match[0] and _number(groups[1]) >= first):
            first = max(first, _number(groups[1]))
        return str(first)
    if match := _search(_DIFFERENTIATED, text):
        words = [match[name] for name in "abcd" if match[name]]
        return str(max(_LEVEL[word[0]] for word in words))
    if match := _search(_SCORE, text):
        score = int(match["score"] or match["sum"] or match["ninth"])
        return "1" if score <= 5 else "2" if score <= 7 else "3"
    return None


def find_grade(layout: Layout) -> Iterator[Candidate]:
    """Named grades, then words of differentiation, then scores; in-situ disease has its own grade."""
    for pattern, rank in ((TABLE, 0), (_GRADE, 0), (_FUHRMAN, 1), (_DIFFERENTIATED, 1), (_SCORE, 2)):
        for match in pattern.finditer(layout.text):
            if _on_another_scale(layout.text, match):
                continue
            clause = layout.clause_at(match.start())
            around = layout.text[max(clause.start, match.start() - 120) : min(clause.end, match.end() + 60)]
            if re.search(IN_SITU, around) and not _INVASIVE.search(around):
                continue
            if re.search(r"hyperplasia|dysplasia|no high", around[-40:]) and pattern is _GRADE:
                continue
            if pattern is _GRADE and _number(match["a"]) == 1 and match["b"] and _number(match["b"]) > 2:
                continue  # "grades 1-4" names the scale
            penalty = 0
            if pattern is _GRADE and _COMPONENT.search(match["system"]) and layout.organ != "kidney":
                # In breast and uterus the nuclear grade is one part of the grade.
                penalty = (
                    0
                    if re.search(r"nottingham|histolog|overall|combined|fu[hr]{1,2}m", match["system"])
                    else 3
                )
            yield Candidate(match.start(), match.end(), rank + penalty + section_rank(layout, match.start()))
