"""Which sentences of a report, outside the fields, are worth keeping for prognosis."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kemm.core.types import Statement
from kemm.modalities.reports.deidentify import MASK
from kemm.modalities.reports.layout import Clause, Layout

MOST_SENTENCES = 16
"""At most so many sentences a report; the rest is counted."""
SHORTEST, LONGEST = 25, 360

# Points a word. They order the sentences of one report; they are no estimate of risk.
_WEIGHTS: tuple[tuple[str, float], ...] = (
    (r"metasta|invad|invasi|infiltrat|extend|extension|extranodal|extracapsular|thromb|permeat", 3.0),
    (r"necro|sarcomatoid|rhabdoid|mitos|mitotic|pleomorph|high[- ]grade|anaplas|undifferentiat|poorly", 2.5),
    (r"margin|residual|recurren|satellite|multifocal|multicentric|lymph|node|vascular|perineural", 2.0),
    (r"carcinoma|tumor|neoplas|malignan|adenocarcinoma|sarcoma|grade|differentiat|stage", 1.5),
    (r"positive|negative|receptor|ki-?67|p53|amplif|express|immuno|egfr|alk\b|kras|msi|mismatch|brca", 1.5),
    (
        (
            r"lymphocyt|inflammat|desmoplas|fibros|hemorrhag|ulcerat|emphysem|pneumoni|cirrhos|hyperplasia"
            r"|in situ"
        ),
        1.0,
    ),
    (r"neoadjuvant|chemotherap|radiation|treatment effect|prior|therapy", 1.0),
)
_WEIGHED = tuple((re.compile(pattern), weight) for pattern, weight in _WEIGHTS)
_LETTER = re.compile(r"[^\W\d_]")
_HANDLING = re.compile(
    r"received|labeled|labelled|submitted|cassette|inked|container|formalin|block|section code"
    r"|representative sections"
    r"|serially|sectioned|electronically|signed|certif|attest|phone|reviewed|pathologist|performed (?:by"
    r"|at)|fda|analyte|reagent"
    r"|specimen (?:is|was|consists)|weigh|suture|page \d|antibod|procedure date|patient name"
)


def choose_sentences(
    layout: Layout, taken: Sequence[Statement], most: int = MOST_SENTENCES
) -> tuple[tuple[Statement, ...], int]:
    """The sentences with most prognostic content, in the order of the report, and how many were left out.

    Sentences that the field statements in `taken` already say are not repeated; a sentence that stands
    twice is kept once. Handling of the specimen and letterheads score nothing; they count as left out.
    """
    spans = sorted((s.start, s.end) for s in taken if s.start is not None and s.end is not None)
    scored: list[tuple[float, Clause]] = []
    seen: set[str] = set()
    left_out = 0
    for clause in layout.clauses:
        text = layout.text[clause.start : clause.end]
        key = re.sub(r"[^a-z0-9]+", " ", text).strip()
        if len(key) < SHORTEST or key in seen or MASK * 8 in text:
            continue
        seen.add(key)
        score = _score(text)
        covered = sum(max(0, min(end, clause.end) - max(start, clause.start)) for start, end in spans)
        if covered * 2 > clause.end - clause.start:
            continue
        if score <= 0:
            left_out += 1
        else:
            scored.append((score, clause))
    scored.sort(key=lambda item: (-item[0], item[1].start))
    chosen = sorted((clause for _, clause in scored[:most]), key=lambda clause: clause.start)
    return tuple(_sentence(layout, clause) for clause in chosen), left_out + max(0, len(scored) - most)


def _score(text: str) -> float:
    score = sum(weight for pattern, weight in _WEIGHED if pattern.search(text))
    if not score or len(_LETTER.findall(text)) < 0.5 * len(text):
        return 0.0
    score -= 2.5 * min(2, sum(1 for _ in _HANDLING.finditer(text)))
    # A list of blocks or a table read across its columns is long and says little a word.
    return score - max(0.0, len(text) - 240) / 120


def _sentence(layout: Layout, clause: Clause) -> Statement:
    end = min(clause.end, clause.start + LONGEST)
    if end < clause.end:
        end = max(clause.start + SHORTEST, layout.source.rfind(" ", clause.start, end))
    quote = layout.source[clause.start : end]
    return Statement(kind="sentence", text=" ".join(quote.split()), quote=quote, start=clause.start, end=end)
