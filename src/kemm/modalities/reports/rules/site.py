"""The side of the body the tumour is on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.reading import reading_copy
from kemm.modalities.reports.rules.candidate import Candidate, section_rank

_SIDE = r"(?P<side>left|right|lt|rt|bilateral|leit|lelt|lcft|sinistr\w*|dextr\w*)"
_LABEL = re.compile(
    rf"\b(?:laterality|side(?: of (?:specimen|tumor))?)\s{{0,2}}[:=]\s{{0,3}}(?:\w+:\s)?{_SIDE}"
)
_ORGAN_WORDS = {
    "breast": r"breast|mastectom\w*|mammary|lumpectom\w*|mammae",
    "lung": (
        r"lung|(?:upper|lower|middle|upper and middle|lower and middle)\s{1,2}lobe\w*|pneumonectom\w*"
        r"|pulmonary|bilobectom\w*|lobectomy"
    ),
    "kidney": r"kidney|renal|nephrectom\w*|idney",
    "head and neck": (
        r"tongue|tonsil\w*|oral|buccal|cheek|palate|mandib\w*|maxilla\w*|gingiva\w*|alveolar|retromolar|hemiglossectomy"
        r"|pyriform|vocal cord|larynx|lip|floor of"
    ),
    "brain": r"brain|temporal|frontal|parietal|occipital|cerebell\w*|cerebral|hemisphere|thalam\w*|insula\w*",
    "eye": r"eye|globe|choroid\w*|ocular|enucleat\w*",
    "thyroid": r"thyroid\w*|lobe|lobectomy|hemithyroidectomy",
    "ovary": r"ovar(?:y|ies|ian)|adnexa\w*|salping\w*|fallopian",
    "testis": r"test(?:is|icle|es|icular)|orchi(?:d)?ectomy|spermatic",
    "adrenal": r"adrenal\w*",
    "pleura": r"pleura\w*|lung|hemithorax|chest|pneumonectomy",
    "soft tissue": (
        r"thigh|leg|calf|knee|arm|forearm|shoulder|buttock|groin|hip|foot|hand|back|chest|flank|retroperiton\w*|pelvi\w*"
        r"|inguinal|gluteal|axilla\w*|soft tissue"
    ),
    "skin": r"arm|forearm|leg|thigh|calf|back|chest|shoulder|foot|hand|cheek|ear|neck|scalp|flank|heel|breast|abdomen|axilla\w*",
}
_FILLER = (
    r"(?:[\s,;:()/-]|\b(?:radical|partial|simple|total|modified|complete|laparoscopic|hand|assisted|open"
    r"|upper|lower|middle|outer|inner|wide|local|and|adrenal gland|adrenal|skin|sparing|segmental|robotic"
    r"|main|portion of|pelvic)\b){0,8}"
)


def _patterns(words: str) -> re.Pattern[str]:
    return re.compile(
        rf"\b{_SIDE}{_FILLER}\b(?:{words})|(?:\b"
        rf"|(?<=\n))(?:{words}){_FILLER}\b{_SIDE.replace('side', 'behind')}(?! (?:axilla|adrenal))"
    )


_BARE = re.compile(r"\b(left|right|rt|lt)\b")
_BY_ORGAN = {organ: _patterns(words) for organ, words in _ORGAN_WORDS.items()}
_ANY = _patterns("|".join(_ORGAN_WORDS.values()))


def parse_laterality(quote: str) -> str | None:
    """ "left", "right" or "bilateral": the side named beside an organ or a label."""
    text = reading_copy(quote)
    if match := _LABEL.search(text) or _ANY.search(text):
        side = match["side"] or match["behind"]
    else:
        sides = set(_BARE.findall(text))
        if len(sides) != 1:
            return None
        side = sides.pop()
    if side == "bilateral":
        return side
    return "right" if side[0] in "rd" else "left"


def find_laterality(layout: Layout) -> Iterator[Candidate]:
    """Labels first, then the sides named with the organ. Single organs in the middle have none."""
    for match in _LABEL.finditer(layout.text):
        yield Candidate(match.start(), match.end(), section_rank(layout, match.start()))
    pattern = _BY_ORGAN.get(layout.organ or "")
    if pattern is None:
        return
    for match in pattern.finditer(layout.text):
        yield Candidate(match.start(), match.end(), 1)
    for match in _BARE.finditer(layout.text):
        yield Candidate(match.start(), match.end(), 2)
