"""The greatest dimension of the invasive tumour, in centimetres."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.reading import reading_copy
from kemm.modalities.reports.rules.candidate import IN_SITU, Candidate, section_rank

_NUMBER = r"(?:\d{1,3}(?: ?\. ?\d{1,2})?|\.\d{1,2})"
_DIMENSIONS = (
    rf"(?P<first>{_NUMBER})\.? ?(?P<unit1>[cm]m)?\.?"
    rf"(?:\s{{0,2}}(?:x|by|\*)\s{{0,2}}(?:approximately )?(?P<second>{_NUMBER})\.? ?(?P<unit2>[cm]m)?\.?)?"
    rf"(?:\s{{0,2}}(?:x|by|\*)\s{{0,2}}(?:approximately )?(?P<third>{_NUMBER})\.? ?(?P<unit3>[cm]m)?\.?)?"
)
_SIZE = re.compile(rf"(?<![\d.a-z/]){_DIMENSIONS}(?![\d%])")

_MASS = (
    r"(?:tumor|neoplasm|mass|lesion|carcinoma|adenocarcinoma|malignancy|invasive component|nodule|\w{0,8}sarcoma"
    r"|melanoma|seminoma|thymoma|glioblastoma|pheochromocytoma|paraganglioma|mesothelioma)(?:e?s)?"
)
_LABEL = re.compile(
    rf"(?:\b{_MASS}\s(?:size|diameter|dimensions?|measur\w+)|\bsize\b(?:\s(?:of"
    rf"|in))?(?: the)?(?: (?:largest|invasive|primary|main|greatest)){{0,2}}(?: {_MASS})?"
    r"|\b(?:greatest|maximum|maximal|largest|max\.?)(?: tumor| gross)?\s(?:dimensions?|diameter|size"
    rf"|extent)(?: of (?:the )?{_MASS})?|\bdiameter|\b(?:invasive )?{_MASS} size"
    rf"|\b{_MASS}(?: is| are)?(?: grossly)? (?:measur\w+|approximately)|\bmeasuring)"
    r"(?:[^.;\n\d]|\.(?=\s?\d)|(?<=p)t\d[a-d]?"
    rf"|\([^()\n]{{0,60}}\)){{0,60}}?(?={_NUMBER}\s{{0,2}}\.?(?:[cm]m|x|by)(?![a-z]))"
)
_NOT_TUMOUR = re.compile(
    rf"specimen|mastectomy|lumpectomy|nephrectomy|lymph|\bnodes?\b|metasta|{IN_SITU}|cyst\b|adenoma\b"
    r"|fibroadenoma|margin|distance|biops|segment (?:of|measur)|breast (?:is|measur)|portion of|weigh"
    r"|ellipse|nipple|areola|scar\b|cavity|polyp|satellite|leiomyoma|fibroid"
)
_AWAY = re.compile(
    r"(?:within|distance|(?<!not )less than|from|clear(?:ed)? by|margin(?:s)?(?: of)?|at least|thickness\s?[:=]?|depth of"
    r"|to a depth)\s{0,2}(?:of\s)?$"
)
_TO = re.compile(
    r"\s{0,2}\)?,?\s{0,2}(?:from|away|deep|of (?:the )?(?:margin|myometr)|thick|in thickness|to the"
    r"|in length|into)"
)
_GREATEST = re.compile(
    r"[\s,]{0,3}(?:in|maximum|max|at)?\s{0,2}(?:its )?(?:the )?(?:greatest|maximum|maximal|largest|max\b"
    r"|diameter|dimension)"
)
_MASS_NEAR = re.compile(rf"\b{_MASS}\b")


def _centimetres(match: re.Match[str]) -> float | None:
    units = [match[name] for name in ("unit1", "unit2", "unit3")]
    stated = [unit for unit in units if unit]
    numbers = [match[name] for name in ("first", "second", "third") if match[name]]
    if not stated and len(numbers) < 2:
        return None
    # A unit behind the last number holds for all of them.
    scale = 0.1 if stated and stated[-1] == "mm" else 1.0
    longest = max(float(number.replace(" ", "")) for number in numbers) * scale
    return longest if 0.1 <= longest <= 60 else None


def parse_size(quote: str) -> str | None:
    """ "4 x 6 x 7 cm", "58 mm", "4,5 cm" -> "7", "5.8", "4.5": the longest side of the first measure."""
    for match in _SIZE.finditer(reading_copy(quote)):
        size = _centimetres(match)
        if size is not None and (match["unit1"] or match["unit2"] or match["unit3"] or match["second"]):
            return f"{size:.4g}"
    return None


def find_size(layout: Layout) -> Iterator[Candidate]:
    """Labelled sizes, then measures of a carcinoma in the diagnosis, then masses seen by eye."""
    text = layout.text
    labelled: set[int] = set()
    for label in _LABEL.finditer(text):
        match = _SIZE.match(text, label.end())
        if not match or not (match["unit1"] or match["unit2"] or match["unit3"]):
            continue
        before = text[max(layout.clause_at(label.start()).start, label.start() - 40) : label.end()]
        wrong = (
            _NOT_TUMOUR.search(label[0])
            if re.match(r"\s?(?:invasive )?tumor", label[0])
            else _NOT_TUMOUR.search(before)
        )
        if wrong or _AWAY.search(text[max(0, match.start() - 24) : match.start()]):
            continue
        if _TO.match(text, match.end()):
            continue
        labelled.add(match.start())
        explicit = re.match(r"(?:tumor|size|greatest|maxim|largest|neoplasm|invasive)", label[0]) is not None
        yield Candidate(
            label.start(), match.end(), (0 if explicit else 1) + section_rank(layout, label.start())
        )
    for match in _SIZE.finditer(text):
        if match.start() in labelled or not (match["unit1"] or match["unit2"] or match["unit3"]):
            continue
        clause = layout.clause_at(match.start())
        before = text[max(clause.start, match.start() - 160) : match.start()]
        if not before.strip():
            # "Infiltrating duct carcinoma. 1.4 cm in greatest dimension."
            earlier = layout.clauses_before(match.start(), 1)
            before = text[max(earlier.start, match.start() - 100) : match.start()]
        after = text[match.end() : min(clause.end, match.end() + 60)]
        if _AWAY.search(before) or _TO.match(after):
            continue
        near = _MASS_NEAR.search(before) or _MASS_NEAR.search(after)
        greatest = _GREATEST.match(after)
        if not near or _NOT_TUMOUR.search(before[-50:]) or _NOT_TUMOUR.search(after[:30]):
            continue
        rank = (1 if greatest else 2) + section_rank(layout, match.start())
        yield Candidate(
            match.start(), min(clause.end, match.end() + greatest.end()) if greatest else match.end(), rank
        )
