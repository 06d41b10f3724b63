"""A copy of a report that rules can read: lower case, lines joined, scanning errors undone.

The copy is as long as the text, character for character, so what a rule finds at [start, end) in the
copy stands at [start, end) in the text. Line breaks inside a sentence become spaces; those between
statements become "\\n". In many scanned reports every line break was turned into ". "; these are
told from real full stops by what stands on both sides.
"""

from __future__ import annotations

import re
from functools import lru_cache

from kemm.modalities.reports.deidentify import lower_case

# A line that ends or begins with one of these goes on.
_JOINING = (
    r"of|and|the|an|or|nor|with|without|is|are|was|were|for|to|in|on|at|by|from|not|into|but|which|that"
    r"|be|been|within|than|there|this|these"
)
_GOES_ON = re.compile(rf"(?:\b(?:{_JOINING})|[,(\-/&]|\d x)[ \t]*$")
# Looked for in the text as written: "OF" goes on a line of capitals, "The" begins a sentence.
_CONTINUES = re.compile(
    r"[ \t]*(?:(?:OF|AND|OR|NOR|WITH|WITHOUT|IS|ARE|WAS|WERE|FOR|TO|IN|ON|AT|BY|FROM|INTO|BUT|WHICH|THAN)\b(?![ \t]*[.):])"
    r"|[Nn](?:ot|OT) (?i:identified|present|seen|involved|applicable|assess\w*)|[),])"
)

# A label whose answer stands on the next line, which is not itself a label or a list item.
_ANSWERS = re.compile(
    r"[^\n:]{0,2}:[ \t]{0,2}(?:\r?\n|\r)[ \t]*[a-z0-9][^:\n]{0,60}(?:\n|\r|$|[^:\n]{0,20}$)"
)

_PUNCTUATION = str.maketrans(
    {
        "–": "-",
        "—": "-",
        "−": "-",
        "‐": "-",
        "‑": "-",
        "’": "'",
        "‘": "'",
        "“": '"',
        "”": '"',
        "×": "x",
        " ": " ",
        "\t": " ",
        "·": ".",
        "½": " ",
        "≥": ">",
        "≤": "<",
    }
)

# (pattern, what was meant): the replacement is padded with spaces to the length of what it replaces.
_REPAIRS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), meant)
    for pattern, meant in (
        (r"(?<=\d)(?:em|crn|ern|cin|ein|cms|ctn|om)(?![a-z])", "cm"),
        (r"(?<=\d )(?:em|crn|ern|cin|ein|cms|ctn|om)(?![a-z])", "cm"),
        (r"(?<=\d )centimet(?:er|re)s?\b", "cm"),
        (r"(?<=\d )millimet(?:er|re)s?\b", "mm"),
        (r"\btumour", "tumor"),
        (r"\btumors\b", "tumor"),
        (r"\boestrogen", "estrogen"),
        (r"\bangiol ymphatic", "angiolymphatic"),
        (r"\blympho?[ -]{1,3}vascular", "lymphovascular"),
        (r"\blymph ?/ ?vascular", "lymphovascular"),
        (r"\bangio[ -]{1,3}lymphatic", "angiolymphatic"),
        (r"\bfuhrmann\b|\bfurhman\b|\bfuhr man\b|\bfuhrrnan\b", "fuhrman"),
        (r"\bci ear\b", "clear"),
        (r"\bce11\b|\bceil\b|\bcel1\b|\bceli\b", "cell"),
    )
)

# Words the rules look for, repaired where one letter was misread. Words that one letter turns into
# another common word are left out ("right", "grade", "nodes").
_REPAIRABLE = """adenocarcinoma angiolymphatic axillary bronchial bronchus capsule carcinoma cervical chromophobe
conventional cribriform diagnosis differentiated dimension ductal endometrial endometrioid endometrium estrogen
examined extension fascia focality fuhrman greatest histologic identified infiltrating infiltrative
invasion invasive involved involvement keratinizing kidney laterality lobular lymphatic lymphovascular
malignancy margin margins maximum measures measuring metastasis metastatic microscopic moderately
mucinous multifocal myometrial myometrium necrosis negative nephrectomy nottingham nuclear papillary
parenchymal pathologic perinephric perineural pleural pleura poorly positive present progesterone
resection sarcomatoid sentinel serous sinus specimen squamous staging stromal surgical tumor unifocal
uninvolved vascular venous visceral"""
_WORDS = frozenset(_REPAIRABLE.split())
_BLANKED = {word[:at] + "?" + word[at + 1 :]: word for word in _WORDS for at in range(len(word))}
# These are words of their own, though one letter away from one above.
_OTHER_WORDS = (
    "macroscopic capillary locality rejection rumor humor tumors cervica "
    "prevent ductus serious minus involves invasions resected extensive bronchi margined measured "
    "infiltration capsular vesical lobule pleuras marking maximal conventions"
)
_REAL_WORDS = frozenset(_OTHER_WORDS.split())
_TOKEN = re.compile(r"[a-z0-9!|]{5,16}")


def reading_copy(text: str) -> str:
    """The text as rules read it; always exactly as long as `text`."""
    return _copy_of_quote(text) if len(text) <= _LONGEST_QUOTE else _copy(text)


_ESCAPE = re.compile(r"\\.")
_KEPT = re.compile(r"\\.|\(\?<[!=][^()]*\)")


def loosened(pattern: str) -> str:
    """A pattern for reading copies, in which a space may be two: a full stop or a letter was there."""
    out, in_class, at = [], False, 0
    while at < len(pattern):
        # An escape is taken whole, and a look-behind, which must have one length.
        kept = _KEPT.match(pattern, at) if not in_class else _ESCAPE.match(pattern, at)
        if kept:
            out.append(kept[0])
            at = kept.end()
            continue
        character = pattern[at]
        in_class = character == "[" or (in_class and character != "]")
        repeated = pattern[at + 1 : at + 2] in {"?", "*", "+", "{"}
        out.append(" {1,2}" if character == " " and not in_class and not repeated else character)
        at += 1
    return "".join(out)


_LONGEST_QUOTE = 400


@lru_cache(maxsize=1024)  # a quote is read by its rule, its parser and the check of both
def _copy_of_quote(text: str) -> str:
    return _copy(text)


def _copy(text: str) -> str:
    lower = lower_case(text)
    lower = _without_rules(lower.translate(_PUNCTUATION))
    lower = _join_lines(text, lower)
    for pattern, meant in _REPAIRS:
        lower = pattern.sub(lambda match, meant=meant: meant.ljust(len(match[0]))[: len(match[0])], lower)  # type: ignore[misc]
    lower = _DECIMAL_COMMA.sub(".", lower)
    return _TOKEN.sub(lambda match: _repaired(match[0]), lower)


# "Renal vein | Not identified", and what is left of a table's frame at the edges of its lines.
_FRAME = re.compile(r"^ *\| |(?<= )\| *$", re.MULTILINE)
_COLUMN = re.compile(r"(?<=\S)(?: +\| +|: {4,})(?=\S)")


def _without_rules(lower: str) -> str:
    """Columns of a table as a label with its answer: what stands between them reads as a colon, beside the answer."""
    lower = _FRAME.sub(lambda match: " " * len(match[0]), lower)
    return _COLUMN.sub(lambda match: ": ".rjust(len(match[0])), lower)


_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d{1,2}(?: ?[x*] ?\d| ?[cm]m\b))")
_LINE_BREAK = re.compile(r"\r?\n|\r")
_STOP = re.compile(r"\.(?= {1,3}\S)")


def _join_lines(text: str, lower: str) -> str:
    out = list(lower)
    for match in _LINE_BREAK.finditer(lower):
        start, end = match.span()
        before = lower[max(0, start - 40) : start]
        after = lower[end : end + 40]
        blank = not after.strip(" ") or after.lstrip(" ")[:1] in "\r\n" or not before.strip(" ")
        first = text[end : end + 12].lstrip()[:1]
        soft = not blank and (
            first.islower()
            or _GOES_ON.search(before) is not None
            or _CONTINUES.match(text, end) is not None
            or _ANSWERS.match(lower[max(0, start - 3) : end + 80]) is not None
        )
        for at in range(start, end):
            out[at] = " " if soft or at < end - 1 else "\n"
    for match in _STOP.finditer(lower):
        at = match.start()
        before = lower[max(0, at - 24) : at]
        following = text[at + 1 : at + 5].lstrip()[:1]
        if (
            (following.islower() and not _ABBREVIATED.search(before))
            or _GOES_ON.search(before)
            or (before[-1:].isdigit() and following in "xX*")
        ):
            out[at] = " "
    return "".join(out)


# "a. right breast": letters and numbers that head a list are no words to join to.
_ABBREVIATED = re.compile(r"(?:^|[\s(])(?:[a-z]|\d{1,2}|no|see|vs)$")


@lru_cache(maxsize=65536)
def _repaired(token: str) -> str:
    if token in _WORDS or token in _REAL_WORDS:
        return token
    for at in range(len(token)):
        word = _BLANKED.get(token[:at] + "?" + token[at + 1 :])
        if word is not None:
            return word
    return token
