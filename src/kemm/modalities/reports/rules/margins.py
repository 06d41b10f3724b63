"""Whether the specimen's margins hold invasive tumour."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kemm.modalities.reports.findings import assertion
from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.reading import reading_copy
from kemm.modalities.reports.rules.candidate import IN_SITU, Candidate, section_rank

_PART = (
    r"(?:bronchial|vascular|parenchymal|ureter\w*|renal vein|soft tissue|deep|anterior|posterior|medial"
    r"|lateral|superior|inferior|radial|vaginal|parametrial|gerota's fascia)"
)
_MARGIN = re.compile(
    r"\bmargins?\b(?: of (?:surgical )?(?:resection|excision))?(?: status)?(?:\s?\(s\))?"
    r"|\bresection (?:lines?|edges?|surfaces?)\b|\blines? of resection\b|\bmargins\b"
)
_AT_MARGIN = re.compile(
    rf"\b(?:tumor|carcinoma|adenocarcinoma|neoplasm|malignan\w+)\b[\w\s,/'-]{{0,50}}?\b(?:at|involv\w+"
    r"|reach\w*|extend\w* (?:to|as far as|into)|present (?:at|on|in))"
    r"(?: (?:to|the|inked|as|far|surgical|resection|one|of|and|basal|a)"
    rf"| {_PART}){{0,8}} margins?\b(?! of error)"
    r"|\bextends? (?:as far as|up to|to) (?:the )?(?:\w+ ){0,3}margins?\b|\btransected at"
    r"|\bextends to (?:the )?(?:inked|cauterized) (?:edge|surface|margin)"
)
_CLOSE = re.compile(
    r"\bclose\b(?!ly|st)[\w\s]{0,30}margins?|\bmargins?\b[\w\s,:]{0,40}\bclose\b(?!ly|st)"
    r"|\bvery close to[\w\s]{0,20}margin"
)
_DISTANCE = re.compile(
    r"(?:\d\s?[cm]m|\d)\s{0,2}(?:away\s)?from (?:the )?[\w\s,/-]{0,40}margins?"
    r"|margins?[\w\s,():]{0,50}?[:>]\s{0,2}(?:at least |> ?)?\d{1,2}(?:\.\d{1,2})?\s?[cm]m"
    r"|margins? (?:is|are|by) (?:at least |greater than )?\d{1,2}(?:\.\d{1,2})?\s?[cm]m"
)
_RESIDUAL = re.compile(
    r"\b(?:margin status|margins?|residual tumor"
    r"|resection)\s?(?:\([^()]{0,20}\))?\s?:\s?r\s?(?P<r>[012o])\b|(?<![a-z0-9])r(?P<alone>0)\b"
    r"|(?:(?<=[lv][0-2x] )|(?<=[lv][0-2x], )|(?<=m[x01] ))r(?P<code>[12])\b"
)
_PART_STATUS = re.compile(
    rf"margins?[^.:\n]{{0,40}}:\s{{0,2}}[.\n]?\s{{0,2}}(?:{_PART}(?: margin)?\s?:\s?(?:negative"
    rf"|uninvolved|positive|involved|free|not involved)[.,;\s]{{1,3}}){{1,6}}"
)
_SILENT = re.compile(
    r"margins? (?:is|are|were|was|has been)? ?(?:inked|stapled|shaved|submitted|marked|received|closest"
    r"|trimmed)|margin (?:en face|shave)|margins?,? en face|new margin(?:s)?$|inked margin(?:s)?$"
)
_BENIGN = re.compile(
    r"\bbenign\b|\bno (?:residual )?(?:tumor|carcinoma|malignan)|\bfree\b|\bclear\b|\btumor-free\b"
)


def _answers(clause: str) -> Iterator[tuple[str, int, int]]:
    if match := _PART_STATUS.search(clause):
        positive = re.search(r"(?<!un)(?<!not )(?:positive|involved)", match[0])
        yield ("positive" if positive else "negative"), match.start(), match.end()
    if match := _RESIDUAL.search(clause):
        yield (
            ("positive" if {match["r"], match["code"]} & {"1", "2"} else "negative"),
            match.start(),
            match.end(),
        )
    if re.search(IN_SITU, clause) and not re.search(r"invasive|infiltrat", clause):
        return
    for match in _AT_MARGIN.finditer(clause):
        denied = re.search(
            r"\b(?:no|not|without|negative|free|nor|does not)\b",
            clause[max(0, match.start() - 40) : match.end()],
        )
        if not denied:
            yield "positive", match.start(), match.end()
        elif denied.start():
            begin = max(0, match.start() - 40) + denied.start()
            yield "negative", min(begin, match.start()), match.end()
    if (match := _CLOSE.search(clause)) is not None:
        yield "close", match.start(), match.end()
    for match in _MARGIN.finditer(clause):
        if _SILENT.match(clause, match.start()):
            continue
        said = assertion(clause, match.start(), match.end(), default=None)
        if said is not None and re.match(r"[\w\s]{0,40}:", clause[said.end :]):
            continue  # "margins involved by invasive component:" asks, it does not tell
        if said is not None and said.value != "indeterminate":
            yield ("positive" if said.value == "present" else "negative"), said.start, said.end
            continue
        behind = clause[match.end() : match.end() + 60]
        if benign := re.match(
            r"(?:\s|,|:|\b(?:of|resection|surgical|are|is|were|was|status|all|and|tumor"
            r"|\w+) ?){0,8}?(?=\b(?:benign|free|negative|clear|uninvolved|tumor-free)\b)",
            behind,
        ):
            word = re.match(r"\w+(?:-\w+)?", behind[benign.end() :])
            yield "negative", match.start(), match.end() + benign.end() + (word.end() if word else 0)
        elif re.search(
            r"\b(?:free|clear|negative)[\w\s]{0,12}$", clause[max(0, match.start() - 30) : match.start()]
        ):
            yield "negative", max(0, match.start() - 30), match.end()
    for match in _DISTANCE.finditer(clause):
        yield "negative", match.start(), match.end()


_ORDER = ("positive", "close", "negative")


def parse_margins(quote: str) -> str | None:
    """ "free of tumour", "R0", "3 mm from the margin" -> "negative"; involved -> "positive"; or "close"."""
    said = {value for value, _, _ in _answers(reading_copy(quote))}
    return next((value for value in _ORDER if value in said), None)


def find_margins(layout: Layout) -> Iterator[Candidate]:
    """Every clause about margins; a distance alone is heard after a plain statement."""
    covered = 0
    for match in re.finditer(
        r"margins?\b|resection (?:lines?|edges?)|\br[012]\b|lines? of resection", layout.text
    ):
        clause = layout.clause_at(match.start())
        start = max(clause.start, match.start() - 160)
        if match.start() < covered:
            continue
        # "Margins:" may be followed by one clause for each margin.
        end = (
            clause.end + 160
            if layout.text[match.end() : clause.end + 1].strip(" .\n") in {":", ""}
            else min(clause.end, match.end() + 160)
        )
        covered = end
        text = layout.text[start:end]
        for value, begin, stop in _answers(text):
            alone = _DISTANCE.search(text[begin:stop]) is not None and value == "negative"
            yield Candidate(
                start + begin, start + stop, section_rank(layout, match.start()) + (3 if alone else 0)
            )
