"""The histologic type, as one standard term.

A type is a noun ("carcinoma") with words from a closed list around it, in any order: "invasive ductal
carcinoma", "carcinoma, ductal, invasive" and "infiltrating Nottingham grade III ductal carcinoma" are one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.reading import reading_copy
from kemm.modalities.reports.rules.candidate import Candidate, section_rank
from kemm.modalities.reports.rules.other_types import other_types

_LABEL = (
    r"\b(?:(?:histolog|tumor|microscop)\w*\s{1,2}(?:tumor\s)?(?:sub-?)?(?:types?|classification|diagnosis"
    r"|description)"
    r"|type\sof\s(?:neoplasm|tumor|carcinoma)|who\sclassification)(?:/\w{1,12})?(?:\s?\([^()\n]{0,40}\))?\s?:"
)
_NOUN = re.compile(
    rf"(?P<label>{_LABEL})|\b(?P<noun>(?:adeno|cysto)?-?carcinom\w*|adeno-?\s?carc\w*|caricnoma"
    r"|carc[il1]noma|carcinosarcoma"
    r"|(?:cholangio|chorio|hepato|cystadeno)-?carcinom\w*"
    r"|malignant mixed m[uü]llerian tumor|mmmt|nsclc|rcc|ccrcc)\b"
)

# What a word means for the type.
_SYNONYMS = {
    "invasive": "infiltrating infiltrative infiltrated infiltrate invasivum infiltrans",
    "ductal": "duct ductale",
    "lobular": "lobulare",
    "mucinous": "colloid mucinosum mucinoid",
    "clear": "conventional",
    "squamous": "epidermoid planoepitheliale",
    "keratinizing": "keratinising keratinized",
    "nonkeratinizing": "non-keratinizing non-keratinising",
    "bronchioloalveolar": "bronchoalveolar bronchiolo-alveolar bronchiolalveolar",
    "predominant": "predominantly predominating predominately",
    "features": "feature differentiation architecture",
    "nonsmall": "non-small",
    "urothelial": "transitional",
    "situ": "noninvasive non-invasive intraductal",
}
_PLAIN = (
    "renal pleomorphic tubular medullary metaplastic papillary micropapillary cribriform apocrine mammary chromophobe "
    "collecting endometrioid endometrial serous basaloid adenosquamous large small neuroendocrine sarcomatoid lepidic "
    "acinar solid mixed undifferentiated villoglandular urothelial hepatocellular thyroid follicular anaplastic signet "
    "cholangiocellular merkel"
)
# Words that may stand in between and mean nothing for the type.
_FILLERS = (
    "cell cells type types grade nuclear histologic of and the with a an or well moderately moderate poorly poor "
    "differentiated to nottingham sbr modified bloom richardson scarff fuhrman figo nos i ii iii iv high low g component "
    "components subtype variant pattern patterns growth focal focally primary lung breast kidney left right multifocal is "
    "otherwise specified pulmonary ring hurthle insular tall classic classical areas in both partially mostly residual consistent unifocal score "
    "elston who s ill"
)
_MEANING = {
    **dict.fromkeys(_FILLERS.split(), ""),
    **{word: word for word in [*_PLAIN.split(), *_SYNONYMS]},
    **{word: meaning for meaning, words in _SYNONYMS.items() for word in words.split()},
}
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*|\d+|%")
_STOP = re.compile(r"[.;\n:]")
_REACH = 110
# "Carcinoma (4.0 cm, see comment), clear cell type": what is measured or referred to in between.
_ASIDE = re.compile(r"\([^()\n]{0,8}(?:\d|see )[^()\n]{0,60}\)")

_PATTERNS = ("lepidic", "bronchioloalveolar", "acinar", "micropapillary", "papillary", "solid", "cribriform")
_PREDOMINANT = re.compile(
    rf"\b(?P<before>{'|'.join(_PATTERNS)})(?:[ -](?:type|pattern|component"
    rf"|growth))?[\s,-]{{1,3}}predominan\w*"
    rf"|predominan\w+[\s,]{{1,2}}(?:of )?(?:an? )?(?P<after>{'|'.join(_PATTERNS)})"
)
_FEATURES = re.compile(
    r"\bwith (?:focal |extensive |some )?(?P<kind>mucinous|papillary|cribriform|clear cell|neuroendocrine"
    r"|micropapillary"
    r"|signet ring)(?: cell)? (?P<what>features|differentiation|architecture)"
)
_NOT_THIS = re.compile(
    r"(?:\bno\b|\bnegative for\b|\bwithout\b|\bnot\b|\bhistory of|\bmetasta\w+|\bexclude|\brule out"
    r"|\bprior\b|\bprevious"
    r"|\bfree of|\bsuspicious for|\brelative risk|\bdiagnosed)[\w\s,'-]{0,24}$"
)


@dataclass(frozen=True)
class _Phrase:
    """A noun with the words around it, at [start, end) of the text it was found in."""

    start: int
    end: int
    labelled: bool
    noun: str
    words: tuple[str, ...]


def _phrases(text: str) -> Iterator[_Phrase]:
    nouns = list(_NOUN.finditer(text))
    floor = 0
    labelled = False
    for at, match in enumerate(nouns):
        ceiling = nouns[at + 1].start() if at + 1 < len(nouns) else len(text)
        if match["label"] and ceiling < len(text) and not nouns[at + 1]["label"]:
            between = text[match.end() : ceiling]
            if len(between) <= _REACH and not _STOP.search(between):
                # "Type: invasive ductal carcinoma": the label is that of the noun behind it.
                floor, labelled = match.end(), True
                continue
        start, before = (match.start(), ()) if match["label"] else _backward(text, floor, match.start())
        end, after = _forward(text, match.end(), ceiling, shared=at + 1 < len(nouns) and not match["label"])
        yield _Phrase(
            start, end, labelled or match["label"] is not None, match["noun"] or "", (*before, *after)
        )
        floor, labelled = end, False


def _backward(text: str, floor: int, stop: int) -> tuple[int, tuple[str, ...]]:
    window = text[max(floor, stop - _REACH) : stop]
    offset = stop - len(window)
    ends = [match.end() for match in _STOP.finditer(window)]
    begin = ends[-1] if ends else 0
    start, meanings = stop, []
    for word in reversed(list(_WORD.finditer(window, begin))):
        meaning = _meaning(word[0])
        if meaning is None:
            break
        if meaning:
            start = offset + word.start()
            meanings.append(meaning)
    return start, tuple(reversed(meanings))


def _forward(text: str, start: int, ceiling: int, *, shared: bool) -> tuple[int, tuple[str, ...]]:
    window = _ASIDE.sub(lambda match: " " * len(match[0]), text[start : min(ceiling, start + _REACH)])
    stop = _STOP.search(window)
    end, meanings = start, []
    joined = shared and ceiling - start <= _REACH and stop is None
    for word in _WORD.finditer(window, 0, stop.start() if stop else len(window)):
        if joined and word[0] in {"and", "with", "or"}:
            break  # what follows belongs to the next noun: "lobular carcinoma and ductal carcinoma in situ"
        meaning = _meaning(word[0])
        if meaning is None:
            break
        if meaning:
            end = start + word.end()
            meanings.append(meaning)
    return end, tuple(meanings)


def _meaning(word: str) -> str | None:
    if word.isdigit() or word == "%":
        return ""
    return _MEANING.get(word)


def _term(phrase: _Phrase) -> str | None:
    words = set(phrase.words)
    if "situ" in words and "invasive" not in words:
        return None
    for term in (
        _by_noun(phrase.noun, words),
        _single_organs(words),
        _breast(words),
        _kidney(words),
        _uterus(words),
        _squamous(words),
    ):
        if term:
            return term
    return _lung(phrase, words)


def _by_noun(noun: str, words: set[str]) -> str | None:
    if noun.startswith(("carcinosarcoma", "malignant mixed", "mmmt")):
        return "carcinosarcoma"
    if noun in {"rcc", "ccrcc"}:
        return (
            "clear cell renal cell carcinoma"
            if noun == "ccrcc" or "clear" in words
            else "renal cell carcinoma"
        )
    if noun.startswith(("cholangio", "chorio")):
        return "cholangiocarcinoma" if noun.startswith("cholangio") else "choriocarcinoma"
    if noun.startswith("hepato"):
        return "hepatocellular carcinoma"
    return "non-small cell carcinoma" if noun == "nsclc" or "nonsmall" in words else None


def _single_organs(words: set[str]) -> str | None:
    if "hepatocellular" in words:
        return "hepatocellular carcinoma"
    if "cholangiocellular" in words:
        return "cholangiocarcinoma"
    if "urothelial" in words:
        return "urothelial carcinoma"
    if "merkel" in words:
        return "merkel cell carcinoma"
    if "signet" in words and "features" not in words:
        return "signet ring cell carcinoma"
    if "thyroid" in words or words & {"follicular", "anaplastic"}:
        kind = next(
            (word for word in ("anaplastic", "medullary", "papillary", "follicular") if word in words), None
        )
        if kind == "anaplastic" and "thyroid" not in words:
            return "anaplastic carcinoma"
        return f"{kind} thyroid carcinoma" if kind else None
    return None


def _breast(words: set[str]) -> str | None:
    if {"ductal", "lobular"} <= words:
        if "features" in words and "mixed" not in words:
            return "invasive ductal carcinoma with lobular features"
        return "invasive ductal and lobular carcinoma"
    if "lobular" in words:
        return (
            "invasive pleomorphic lobular carcinoma"
            if "pleomorphic" in words
            else "invasive lobular carcinoma"
        )
    if "ductal" in words:
        if "collecting" in words:
            return "collecting duct carcinoma"
        features = {"micropapillary", "features"} <= words
        return "invasive ductal carcinoma" + (" with micropapillary features" if features else "")
    for word in ("metaplastic", "medullary", "tubular"):
        if word in words:
            return f"{word} carcinoma"
    return "invasive mammary carcinoma" if "mammary" in words else None


def _kidney(words: set[str]) -> str | None:
    if "chromophobe" in words:
        return "chromophobe renal cell carcinoma"
    if "renal" not in words:
        return None
    for word, term in (
        ("clear", "clear cell "),
        ("papillary", "papillary "),
        ("sarcomatoid", "sarcomatoid "),
    ):
        if word in words:
            return f"{term}renal cell carcinoma"
    return "renal cell carcinoma"


def _uterus(words: set[str]) -> str | None:
    if {"serous", "endometrioid"} <= words:
        return "mixed carcinoma"
    if "serous" in words:
        return "serous carcinoma"
    if words & {"endometrioid", "villoglandular"}:
        return "endometrioid carcinoma"
    # An adenocarcinoma of the endometrium with no other name is of the usual kind.
    return "endometrioid carcinoma" if "endometrial" in words and not words & {"clear", "mixed"} else None


def _squamous(words: set[str]) -> str | None:
    if "adenosquamous" in words:
        return "adenosquamous carcinoma"
    if "squamous" not in words:
        return "basaloid squamous cell carcinoma" if "basaloid" in words else None
    if "basaloid" in words:
        return "basaloid squamous cell carcinoma"
    for word, suffix in (("nonkeratinizing", "non-keratinizing"), ("keratinizing", "keratinizing")):
        if word in words:
            return f"squamous cell carcinoma, {suffix}"
    return "squamous cell carcinoma"


def _lung(phrase: _Phrase, words: set[str]) -> str | None:
    gland = phrase.noun.startswith("adeno")
    if gland and "mucinous" in words and "features" not in words and "bronchioloalveolar" not in words:
        return "mucinous adenocarcinoma"
    if gland or "bronchioloalveolar" in words:
        named = [pattern for pattern in phrase.words if pattern in _PATTERNS]
        if "features" in words or len(set(named)) > 2 or not named:
            return "adenocarcinoma"
        return "adenocarcinoma, " + " and ".join(dict.fromkeys(named))
    if "neuroendocrine" in words:
        size = next((f"{word} cell " for word in ("large", "small") if word in words), "")
        return f"{size}neuroendocrine carcinoma"
    invasive = "invasive " if "invasive" in words else ""
    for needed, term in (
        ("mucinous", "mucinous carcinoma"),
        ("papillary", f"{invasive}papillary carcinoma"),
        ("micropapillary", "invasive micropapillary carcinoma"),
        ("small", "small cell carcinoma"),
        ("large", "large cell carcinoma"),
        ("clear", "clear cell carcinoma"),
        ("sarcomatoid", "sarcomatoid carcinoma"),
        ("pleomorphic", "pleomorphic carcinoma"),
        ("undifferentiated", "undifferentiated carcinoma"),
    ):
        if needed in words:
            return term
    return None


# The same words name another disease in another organ, and the organ often stands at a distance.
_IN_ORGAN = {
    "thyroid": {
        "papillary carcinoma": "papillary thyroid carcinoma",
        "invasive papillary carcinoma": "papillary thyroid carcinoma",
        "medullary carcinoma": "medullary thyroid carcinoma",
        "anaplastic carcinoma": "anaplastic thyroid carcinoma",
    },
    "pancreas": {"invasive ductal carcinoma": "pancreatic ductal adenocarcinoma"},
    "prostate": {"invasive ductal carcinoma": "ductal adenocarcinoma"},
    "kidney": {"clear cell carcinoma": "clear cell renal cell carcinoma"},
}
_ORGAN_WORD = {
    "thyroid": re.compile(r"\bthyroid(?! transcription)"),
    "pancreas": re.compile(r"\bpancrea"),
    "prostate": re.compile(r"\bprostat"),
    "kidney": re.compile(r"\bkidney|\brenal\b(?! (?:cell )?carc)|\bnephrectom"),
}
_ORGAN_IS_NEAR = 240
_ORGAN_IS_BEHIND = 60


def _in_place(term: str | None, quote: str) -> str | None:
    """The term as it is called in the organ that the quote names."""
    for organ, names in _IN_ORGAN.items():
        if term in names and _ORGAN_WORD[organ].search(quote):
            return names[term]
    return term


def parse_histologic_type(quote: str) -> str | None:
    """The standard term for the first type named: "infiltrating duct ca" -> "invasive ductal carcinoma"."""
    text = reading_copy(quote)
    for phrase in _phrases(text):
        term = _in_place(_term(phrase), text)
        if term is None:
            continue
        if term.startswith("adenocarcinoma"):
            if predominant := _PREDOMINANT.search(text):
                return f"adenocarcinoma, {predominant['before'] or predominant['after']} predominant"
            if features := _FEATURES.search(text):
                return f"adenocarcinoma with {features['kind']} {features['what']}"
        return term
    return next((name for name, _, _ in other_types(text)), None)


# Names of what is usually named more fully elsewhere in the same report.
_VAGUE = frozenset(
    {"renal cell carcinoma", "invasive mammary carcinoma", "non-small cell carcinoma", "clear cell carcinoma"}
)


# Of these organs a carcinoma is not what one expects.
_NO_CARCINOMA = frozenset({"brain", "eye", "skin", "testis", "soft tissue", "adrenal", "pleura", "thymus"})
_OTHERWISE_CARCINOMA = 5


def find_histologic_type(layout: Layout) -> Iterator[Candidate]:
    """Labelled types first, then those of the diagnosis, then those named elsewhere."""
    yield from _find_carcinomas(layout)
    unexpected = 0 if layout.organ in _NO_CARCINOMA else _OTHERWISE_CARCINOMA
    for _, start, end in other_types(layout.text):
        before = layout.text[max(layout.clause_at(start).start, start - 60) : start]
        denied = 4 * (_NOT_THIS.search(before) is not None)
        yield Candidate(start, end, unexpected + section_rank(layout, start) + denied)


def _find_carcinomas(layout: Layout) -> Iterator[Candidate]:
    penalty = 2 if layout.organ in _NO_CARCINOMA else 0
    for phrase in _phrases(layout.text):
        term = _term(phrase)
        if term is None:
            continue
        clause = layout.clause_at(phrase.start)
        start = phrase.start
        before = layout.text[max(clause.start, start - 60) : start]
        rank = (0 if phrase.labelled else 1) + section_rank(layout, start) + penalty
        rank += 4 * (_NOT_THIS.search(before) is not None) + (term in _VAGUE)
        # A pattern of breast and lung tumours, a type of its own in the gut.
        rank += term == "signet ring cell carcinoma" and layout.organ in {"breast", "lung"}
        end = phrase.end
        if full := _IN_ORGAN.get(layout.organ or "", {}).get(term):
            start, end = _with_organ(layout, start, end, full)
        if term.startswith("adenocarcinoma"):
            tail = layout.text[end : min(max(clause.end, end), end + 120)]
            longer = _PREDOMINANT.search(tail) or _FEATURES.search(tail)
            end += longer.end() if longer else 0
        yield Candidate(start, end, rank)


def _with_organ(layout: Layout, start: int, end: int, full: str) -> tuple[int, int]:
    """The span of a type, widened to a word of its organ so that it says its full name by itself."""
    word = _ORGAN_WORD[str(layout.organ)]
    before = [match.start() for match in word.finditer(layout.text, max(0, start - _ORGAN_IS_NEAR), start)]
    wider = [(at, end) for at in reversed(before)]
    clause_end = max(end, layout.clause_at(start).end)
    if behind := word.search(layout.text, end, min(clause_end, end + _ORGAN_IS_BEHIND)):
        wider.append((start, behind.end()))
    for begin, stop in wider:
        if parse_histologic_type(layout.source[begin:stop]) == full:
            return begin, stop
    return start, end
