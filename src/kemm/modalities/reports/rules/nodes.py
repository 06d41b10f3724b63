"""How many lymph nodes were examined, how many held tumour.

Reports give a total, or one count a specimen ("0/3", "two (2) of four (4)", "one node, negative"); the
counts of one section are then added. The diagnosis, the microscopy and the frozen sections repeat each
other, so sections are never added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.reading import reading_copy
from kemm.modalities.reports.rules.candidate import Candidate, section_rank

_UNITS = "one two three four five six seven eight nine"
_AFTER_NINE = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_ONES, _TEENS = _UNITS.split(), _AFTER_NINE.split()
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {
    **{word: 1 + at for at, word in enumerate(_ONES)},
    **{word: 10 + at for at, word in enumerate(_TEENS)},
    **{ten: 20 + 10 * at for at, ten in enumerate(_TENS)},
    **{
        f"{ten}{joint}{one}": 20 + 10 * at + 1 + unit
        for at, ten in enumerate(_TENS)
        for unit, one in enumerate(_ONES)
        for joint in "- "
    },
    "single": 1,
    "zero": 0,
    "none": 0,
    "no": 0,
    "o": 0,
}
_WORD = "|".join(sorted((word for word in _WORDS if word not in {"none", "no", "o"}), key=len, reverse=True))
# "seventeen (17)", "multiple (3)", "a single", "17".
_NUMBER = (
    rf"(?:(?:a )?(?:{_WORD}|multiple|all)\s?\(\s?\d{{1,2}}\s?\)|(?:a )?\b(?:{_WORD})\b"
    rf"|\b\d{{1,2}}\b(?![./]\d)(?!\s?[cm]m))"
)
_LOOSE = rf"(?:{_NUMBER}|none\b|no\b|o\b|zero)"
_DIGITS = re.compile(r"\d{1,3}")

_NODE = r"(?:\b(?:lymph ?)?nodes?(?: ?\(s\))?\b|\blymphnodes?\b|\blns?\b|\blymphonod\w+)"
_FRACTION = re.compile(r"(?<![\d./])(\d{1,2}|o)\s?/\s?(\d{1,2})(?![\d/]|\.\d|\s?[cm]m)")
_ROMAN_FRACTION = re.compile(r"\bno\.?\s?([ivxl]{1,7})\s?/\s?([ivxl]{1,7})\b")
_ROMAN_BENIGN = re.compile(r"\blymphonod[^.;\n]{0,70}\bno\.? ?(?P<count>[ivxl]{1,7})\b(?! ?/)")
_AFTER_NODE = re.compile(rf"{_NODE}\s?\((?P<count>\d{{1,2}})\)")
_BRACKET_OF = re.compile(r"\((?P<positive>\d{1,2}) of (?P<examined>\d{1,2})\)")
_OF = re.compile(
    rf"(?P<positive>{_LOOSE})\s{{1,2}}\(?(?:out )?of\s(?:the\s"
    rf"|a total of\s)?(?P<examined>{_NUMBER})\)?(?:\s[\w/'-]{{1,20}}){{0,6}}?\s{{1,2}}{_NODE}"
)
_ROMAN_BENIGN = re.compile(r"\blymphonod[^.;\n]{0,70}\bno\.? ?(?P<count>[ivxl]{1,7})\b(?! ?/)")
_AFTER_NODE = re.compile(rf"{_NODE}\s?\((?P<count>\d{{1,2}})\)")
_BRACKET_OF = re.compile(r"\((?P<positive>\d{1,2}) of (?P<examined>\d{1,2})\)")
_SINGLE_OF = re.compile(
    rf"\ba? ?single \(of (?P<examined>\d{{1,2}})\)(?:\s[\w/'-]{{1,20}}){{0,4}}?\s{{1,2}}{_NODE}"
)
_COUNT = re.compile(
    rf"(?<!level )(?<!station )(?<!part )(?<!# )(?<!#)(?<!zone )(?P<count>{_NUMBER})(?:\s{{1,2}}(?!of\b"
    rf"|out\b)[\w/'(),-]{{1,20}}){{0,5}}?\s{{1,2}}{_NODE}"
)
_BENIGN = re.compile(
    r"\bnegative|\bno (?:evidence|tumor|malignan\w+|metasta\w+|carcinoma|significant|pathologic)|\bfree\b"
    r"|\bbenign|\bwithout"
    r"|\breactive|\buninvolved|\bnot involved|\bno\b[\w\s]{0,20}(?:seen|identified|found|present)"
)
_MALIGNANT = re.compile(r"metasta|positive|\binvolved by|\binvolving|\bwith (?:tumor|carcinoma)|carcinoma")
_OTHER_FRACTION = re.compile(
    r"grade|nuclear|tubul|mito|score|nottingham|bloom|page|hpf|fuhrman|differentiat|quadrant|o'clock"
    r"|focus|foci|slice|pleomorph"
)

_EXAMINED = re.compile(
    rf"(?:number (?:of )?(?:regional |axillary |sentinel )?{_NODE}?\s?(?:examined|sampled|retrieved"
    rf"|received|submitted)|{_NODE}\s(?:examined|sampled|retrieved)"
    r"|total (?:number )?(?:of )?(?:lymph )?nodes?(?: examined| sampled| identified| found| submitted"
    rf"|\s?\(s\))?|{_NODE}[:\s]{{1,3}}total"
    rf"|number examined|total number examined|no\.? examined|total examined|nodes examined)"
    rf"(?:\s?\([^()]{{0,60}}\))?\s{{0,2}}[:=.-]{{1,2}}\s{{0,3}}(?:right |left |total )?(?P<count>{_LOOSE})"
)
_POSITIVE = re.compile(
    r"(?:number (?:of )?(?:regional |axillary )?(?:positive |involved )?(?:regional "
    rf"|axillary )?{_NODE}?\s?(?:involved|positive|with metasta\w+|with tumor)?"
    rf"|number (?:involved|positive)|no\.? (?:involved|positive)|{_NODE}\s(?:positive|involved"
    r"|with metasta\w+)|total positive(?: nodes)?"
    rf"|(?:positive|involved) {_NODE}(?:[:\s.]{{1,3}}total)?)"
    rf"(?:\s?\([^()]{{0,60}}\))?\s{{0,2}}[:=-]{{1,2}}\s{{0,3}}(?:total |number )?(?P<count>{_LOOSE})"
)
_NO_METASTASIS = re.compile(
    rf"\bno (?:evidence of )?(?:regional )?{_NODE}\s(?:metasta\w+|involvement)"
    rf"|\ball (?:of the )?(?:[\w/-]{{1,20}}\s){{0,6}}{_NODE}\s(?:are|were) (?:negative|free|benign)"
    rf"|{_NODE}(?: \w{{1,20}}){{0,3}}\s?[:,]?\s?(?:are |all )?negative for (?:metasta\w+|malignan\w+"
    r"|tumor|carcinoma)"
)


def _value(text: str) -> int | None:
    """The number a matched phrase means: its digits first ("seventeen (17)"), else its word."""
    text = text.strip()
    digits = _DIGITS.search(text)
    if digits:
        return int(digits[0])
    return _WORDS.get(text.removeprefix("a ").strip())


def _roman(text: str) -> int:
    values = [{"i": 1, "v": 5, "x": 10, "l": 50}[letter] for letter in text]
    return sum(-value if value < max(values[at:]) else value for at, value in enumerate(values))


@dataclass(frozen=True)
class _Count:
    start: int
    end: int
    positive: int
    examined: int


def _counts(text: str) -> list[_Count]:
    """The counts one clause (a reading copy) gives, in order, each once."""
    found: list[_Count] = []
    nodes = re.search(_NODE, text) is not None
    for match in _FRACTION.finditer(text):
        before = text[max(0, match.start() - 40) : match.start()]
        if _OTHER_FRACTION.search(before) or _OTHER_FRACTION.search(text[match.end() : match.end() + 12]):
            continue
        positive, examined = int(match[1].replace("o", "0")), int(match[2])
        bracketed = before.rstrip()[-1:] == "(" and text[match.end() :].lstrip()[:1] == ")"
        if positive <= examined and examined > 0 and (bracketed or nodes):
            found.append(_Count(match.start(), match.end(), positive, examined))
    for match in _ROMAN_FRACTION.finditer(text):
        found.append(_Count(match.start(), match.end(), _roman(match[1]), _roman(match[2])))
    for match in _ROMAN_BENIGN.finditer(text):
        if not re.search(r"metasta", match[0]):
            found.append(_Count(match.start(), match.end(), 0, _roman(match["count"])))
    if nodes:
        for match in _BRACKET_OF.finditer(text):
            if int(match["positive"]) <= int(match["examined"]):
                found.append(
                    _Count(match.start(), match.end(), int(match["positive"]), int(match["examined"]))
                )
    if found:
        return found
    for match in [*_OF.finditer(text), *_SINGLE_OF.finditer(text)]:
        positive_said = _value(match["positive"]) if match.re is _OF else 1
        examined_said = _value(match["examined"])
        if positive_said is not None and examined_said is not None and positive_said <= examined_said:
            if _BENIGN.search(text) and not re.search(r"positive|metasta", text):
                positive_said = 0
            found.append(_Count(match.start(), match.end(), positive_said, examined_said))
    if found:
        return found
    for match in [*_COUNT.finditer(text), *_AFTER_NODE.finditer(text)]:
        count = _value(match["count"])
        if not count:
            continue
        if _BENIGN.search(text):
            found.append(_Count(match.start(), match.end(), 0, count))
        elif _MALIGNANT.search(text):
            found.append(_Count(match.start(), match.end(), count, count))
        if found:
            break
    return found


def _read(quote: str, label: re.Pattern[str], which: str) -> str | None:
    text = reading_copy(quote)
    stated = label.search(text)
    if stated and (count := _value(stated["count"])) is not None:
        return str(count)
    if counts := _counts(text):
        return str(sum(getattr(count, which) for count in _once(counts)))
    return None


def parse_examined(quote: str) -> str | None:
    """ "0/3", "two of four nodes", "number examined: 5" -> "3", "4", "5"."""
    return _read(quote, _EXAMINED, "examined")


def parse_positive(quote: str) -> str | None:
    """ "1/23", "two of four nodes positive", "no nodal metastasis" -> "1", "2", "0"."""
    value = _read(quote, _POSITIVE, "positive")
    if value is None and _NO_METASTASIS.search(reading_copy(quote)):
        return "0"
    return value


def _once(counts: list[_Count]) -> list[_Count]:
    """ "1/10 positive (axillary 1/10)" is one count, "level I 0/3, level II 1/4" are two."""
    return list({(count.positive, count.examined): count for count in reversed(counts)}.values())[::-1]


_MAY_COUNT = re.compile(r"nodes?\b|lymph|\blns?\b|\d ?/ ?\d|\bo ?/ ?\d")


@lru_cache(maxsize=2)  # asked for twice in a row: the examined and the positive
def _best_section(layout: Layout) -> list[_Count]:
    """The counts, in the report's offsets, of the diagnosis that counts most nodes, else of another section."""
    by_section: dict[int, list[_Count]] = {}
    diagnoses: set[int] = set()
    latin: set[tuple[int, int, int]] = set()
    for clause in layout.clauses:
        text = layout.text[clause.start : clause.end]
        if not _MAY_COUNT.search(text):
            continue
        section, name = layout.section_at(clause.start)
        if name in {"gross", "clinical", "frozen"} or len(text) > 600:
            continue
        counts = _counts(text)
        if counts and "node" not in text and "lymph" not in text:
            heading = layout.clauses_before(clause.start, 3)
            if not re.search(
                r"node|lymph|level|station|axilla", layout.text[heading.start : clause.start][-300:]
            ):
                continue
        if name == "diagnosis":
            diagnoses.add(section)
        for count in _once(counts):
            if _ROMAN_FRACTION.match(text, count.start):
                # Bilingual reports say the same count in both languages.
                if (section, count.positive, count.examined) in latin:
                    continue
                latin.add((section, count.positive, count.examined))
            by_section.setdefault(section, []).append(
                _Count(clause.start + count.start, clause.start + count.end, count.positive, count.examined)
            )
    return max(
        by_section.items(),
        key=lambda item: (item[0] in diagnoses, sum(count.examined for count in item[1])),
        default=(0, []),
    )[1]


def _find(layout: Layout, label: re.Pattern[str], which: str) -> Iterator[Candidate]:
    for match in label.finditer(layout.text):
        rank = section_rank(layout, match.start())
        yield Candidate(match.start(), match.end(), rank)
    best = _best_section(layout)
    if best:
        total = sum(getattr(count, which) for count in best)
        largest = max(best, key=lambda count: (getattr(count, which), count.examined))
        clause = layout.clause_at(largest.start)
        yield Candidate(clause.start, clause.end, 1, str(total))


def find_examined(layout: Layout) -> Iterator[Candidate]:
    """A stated total, else the sum over the section that counts most."""
    yield from _find(layout, _EXAMINED, "examined")


def find_positive(layout: Layout) -> Iterator[Candidate]:
    """As `find_examined`; where nothing is counted, "no nodal metastasis" is 0."""
    yield from _find(layout, _POSITIVE, "positive")
    for match in _NO_METASTASIS.finditer(layout.text):
        yield Candidate(match.start(), match.end(), 3 + section_rank(layout, match.start()))
