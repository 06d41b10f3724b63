"""Sentences that must not reach a model: those that tell the outcome, those that give orders."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from kemm.modalities.reports.deidentify import MASK, lower_case


@dataclass(frozen=True)
class Removed:
    """A sentence at [start, end) that was hidden from refinement, and why."""

    reason: str
    quote: str
    start: int
    end: int


# A report may be amended years later, or be that of an autopsy. What happened after the operation is
# what a survival model is asked to predict.
_OUTCOMES: tuple[tuple[str, str], ...] = (
    ("autopsy", r"\bautops(?:y|ies)\b|\bpost-?\s?mortem\b|\bnecropsy\b"),
    (
        "death",
        (
            r"\b(?:patient|pt\.?|she|he|who)\s(?:has |had |was |is |subsequently |later )?(?:expired|died"
            r"|deceased|passed away)\b"
            r"|\bdied (?:of|from|on|in|with|after|\d)|\bexpired (?:on|of|from|in|after|due)\b"
            r"|\bdate of death\b|\bcause of death\b|\bdeceased\b"
            r"|\bdead of disease\b|\btime of death\b|\bvital status\b|\bcensored\b"
        ),
    ),
    (
        "follow-up",
        (
            r"\balive (?:with|and|without|at|after)\b|\b(?:no evidence of disease|ned|disease[- ]free)\s(?:at"
            r"|after|for)\s(?:\w+\s){0,3}(?:months?|years?|follow)"
            r"|\b(?:at|on|last|date of|clinical) (?:last )?follow-?\s?up\b|\bfollow-?\s?up (?:of|at|for) \d"
            r"|\blost to follow"
            r"|\b(?:overall|disease[- ]free|progression[- ]free) survival (?:of|was|is)|\bsurviv(?:ed"
            r"|es) (?:for )?\d"
        ),
    ),
    (
        "later course",
        (
            r"\b(?:days?|weeks?|months?|years?) (?:after|following|post) (?:the )?(?:surgery|operation"
            r"|resection|nephrectomy|mastectomy|lobectomy|hysterectomy|initial|this)"
            r"|\b\d+\s?(?:months?|years?) (?:later|post-?\s?operatively)\b|\b(?:later"
            r"|subsequently) (?:developed|recurred|progressed|metastasi[sz]ed)\b"
            r"|\b(?:developed|presented with) (?:a )?(?:local "
            r"|distant )?recurrence\b(?=[\w\s,]{0,60}\b(?:after|later|following|postoperative))"
            r"|\brecurred (?:in|at|after|with)\b"
            r"|\bsubsequent (?:recurrence|metastas[ei]s)\b"
        ),
    ),
)
_OUTCOME = re.compile("|".join(f"(?P<o{at}>{pattern})" for at, (_, pattern) in enumerate(_OUTCOMES)))
"""For lower-case text, like all patterns of sentences here: half the time of a pattern that ignores case."""
# The report of an autopsy tells the outcome with every line, so all that follows its title is hidden.
_AUTOPSY_REPORT = re.compile(
    r"\b(?:autopsy|post-?\s?mortem)\s{1,3}(?:diagnos[ei]s|report|protocol|findings|examination|summary)\b",
    re.IGNORECASE,
)
# Counts towards nothing: a laboratory's reagent, a form that was printed with every report.
_HARMLESS = re.compile(
    r"expired (?:reagent|kit)|survival (?:benefit|rates? (?:in|of|for) (?:women|patients))"
    r"|(?:clinical )?follow-?up (?:is )?(?:recommended|suggested|advised|as)|autopsy (?:pathology|service"
    r"|department)",
)

_ORDER = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b[^.\n]{0,40}\b(?:instructions?|prompts?|rules?|above"
    r"|previous|prior|guidelines?)\b"
    r"|\byou are (?:now )?(?:an?|the|chatgpt|claude)\b[^.\n]{0,40}\b(?:assistant|ai|model|bot|chatgpt"
    r"|expert|pathologist)\b"
    r"|\b(?:system|developer) (?:prompt|message)\b|\b(?:as an ai|language model)\b|<\|?(?:im_start|im_end"
    r"|system|assistant|user|endoftext)"
    r"|\b(?:respond|reply|answer|output|return)\s(?:only\s)?(?:with|in|as)\b[^.\n]{0,40}\b(?:json|yes|no"
    r"|the following|grade|stage|positive|negative)\b"
    r"|\b(?:do not|don't|never) (?:mention|extract|answer|output)\b|\bset (?:the )?(?:grade|stage|risk"
    r"|value|field)\b[^.\n]{0,20}\bto\b"
    r"|\b(?:classify|label|mark|rate) (?:this|the) (?:patient|case|tumou?r|report) as\b|\[/?inst\]",
)

# Sentences as people write them; in scanned text a line break may stand for a full stop.
_END = re.compile(r"[.!?](?=\s|$)|\n\s*\n|;|\r\n\s*\r\n")
_LONGEST = 400


def hide_outcomes(text: str) -> tuple[str, tuple[Removed, ...]]:
    """Mask the sentences that tell what became of the patient; the length stays the same."""
    if title := _AUTOPSY_REPORT.search(text):
        start, _ = _sentence(text, title.start(), title.end(), 0)
        whole = Removed("autopsy report", text[start:], start, len(text))
        before, removed = _hide_sentences(text[:start])
        return before + _masked(text[start:]), (*removed, whole)
    return _hide_sentences(text)


def _hide_sentences(text: str) -> tuple[str, tuple[Removed, ...]]:
    return _hide(text, _OUTCOME, lambda match: _OUTCOMES[int(str(match.lastgroup)[1:])][0])


def hide_orders(text: str) -> tuple[str, tuple[Removed, ...]]:
    """Mask the sentences that read like instructions to a machine; the length stays the same.

    A report is data. An order in it is shown to a person and read by nothing else.
    """
    return _hide(text, _ORDER, lambda match: "reads like an instruction")


def _hide(
    text: str, pattern: re.Pattern[str], reason: Callable[[re.Match[str]], str]
) -> tuple[str, tuple[Removed, ...]]:
    removed: list[Removed] = []
    pieces: list[str] = []
    at = 0
    lower = lower_case(text)
    for match in pattern.finditer(lower):
        if match.start() < at or _HARMLESS.search(lower, max(0, match.start() - 30), match.end() + 40):
            continue
        start, end = _sentence(text, match.start(), match.end(), at)
        removed.append(Removed(reason(match), text[start:end], start, end))
        pieces += [text[at:start], _masked(text[start:end])]
        at = end
    return "".join([*pieces, text[at:]]), tuple(removed)


def _sentence(text: str, start: int, end: int, floor: int) -> tuple[int, int]:
    begin = max(floor, start - _LONGEST)
    for stop in _END.finditer(text, begin, start):
        begin = stop.end()
    following = _END.search(text, end, min(len(text), end + _LONGEST))
    finish = following.end() if following else min(len(text), end + _LONGEST)
    while begin < start and text[begin].isspace():
        begin += 1
    return begin, finish


def _masked(text: str) -> str:
    # Line breaks stay, so that what follows is still the start of a line.
    return "".join(character if character in "\r\n" else MASK for character in text)
