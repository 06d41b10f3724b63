"""Stage groups as numbers: where "Stage IIB", "2b" or "FIGO IIIC1" stands on the ladder from 0 to IV.

The AJCC and FIGO orders are one ladder. The main stage gives the whole number (0, I = 1 ... IV = 4); a letter
adds a quarter a step (A 0, B 0.25, C 0.5, D 0.75) and a digit after it 0.05 a step, so that
IA = IA1 = 1.0 < IA2 = 1.05 < IB = 1.25 < II = 2.0. A stage without a letter counts as its A: older
editions had no letter where newer ones begin with A. Two stages ("I/II NOS") count as their middle.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

StageSystem = Literal["ajcc", "figo"]

LETTER_STEP = 0.25
DIGIT_STEP = 0.05

_MAIN = {"0": 0, "i": 1, "ii": 2, "iii": 3, "iv": 4, "1": 1, "2": 2, "3": 3, "4": 4}
_UNKNOWN = frozenset(
    {
        "",
        "x",
        "unknown",
        "unk",
        "not available",
        "not applicable",
        "not reported",
        "not evaluated",
        "not assessed",
        "unstaged",
        "discrepancy",
        "occult",
        "occult carcinoma",
        "cannot be assessed",
        "indeterminate",
    }
)
_PREFIX = re.compile(
    r"^(?:(?:ajcc|uicc|figo|pathologic(?:al)?|clinical|anatomic(?:al)?|prognostic|tumou?r)\s+)*"
    r"(?:stage|stadium)?\s*[:_-]?\s*"
)
_COMMENT = re.compile(r"\s*(?:\([^()]*\)|\bnos)\s*$")
_RANGE = re.compile(r"\s*(?:/|-|–|\bor\b|\bto\b)\s*")
_GROUP = re.compile(
    r"(?P<main>0|iv|i{1,3}|[1-4])(?:(?P<letter>[a-d])(?P<digit>[1-3])?(?:[rp]|i{1,3})?)?(?P<extra>e?s?)"
)
_CATEGORY = re.compile(
    r"[acpry]{0,3}(?P<axis>[tnm])(?P<main>[0-4]|x|is|a)(?P<letter>[a-d])?(?P<digit>[1-3])?(?:mic?)?"
)


class NotAStage(ValueError):
    """Text that neither names a stage nor says that it is unknown."""


class StageRank(NamedTuple):
    """Where a stage stands, and on which ladder: stage groups, or the T, N or M categories."""

    ladder: Literal["group", "t", "n", "m"]
    rank: float
    """Higher is more advanced."""


def stage_rank(text: str, system: StageSystem = "ajcc") -> StageRank | None:
    """The rank of a stage as it is written in clinical tables; None where it says that it is unknown.

    Unknown are "Stage X", "TX", bracketed remarks ("[Discrepancy]") and their like. With "ajcc" a T, N
    or M category ("pT2a") is ranked too, on a ladder of its own (Tis and Ta are 0).

    Raises:
        NotAStage: The text is no stage of that system.

    References:
        Amin et al. (2017), AJCC Cancer Staging Manual, 8th edition. FIGO: Berek et al. (2021),
        Int. J. Gynecol. Obstet. 155 Suppl. 1.
    """
    plain = " ".join(text.casefold().split())
    if re.fullmatch(r"\[.*\]", plain):
        return None
    plain = _PREFIX.sub("", plain)
    while (shorter := _COMMENT.sub("", plain)) != plain:
        plain = shorter
    if plain in _UNKNOWN:
        return None
    if plain in ("tis", "in situ", "carcinoma in situ", "0is"):
        return StageRank("t" if plain == "tis" and system == "ajcc" else "group", 0.0)
    ranks = [_group_rank(part) for part in _RANGE.split(plain)]
    known = [rank for rank in ranks if rank is not None]
    if known and len(known) == len(ranks) <= 2:
        return StageRank("group", sum(known) / len(known))
    if system == "ajcc" and (category := _CATEGORY.fullmatch(plain)):
        if category["main"] == "x":
            return None
        main = 0 if category["main"] in ("is", "a") else int(category["main"])
        ladder: Literal["t", "n", "m"] = {"t": "t", "n": "n", "m": "m"}[category["axis"]]  # type: ignore[assignment]
        return StageRank(ladder, _with_substage(main, category["letter"], category["digit"]))
    raise NotAStage(f"{text!r} is not a stage on the {system.upper()} order (0, I, IA ... IV)")


def _group_rank(text: str) -> float | None:
    group = _GROUP.fullmatch(text)
    if group is None:
        return None
    if group["main"] in ("i", "1") and group["extra"] == "s":
        return 1 + 3 * LETTER_STEP  # testicular "Stage IS": markers stay raised, beyond IA and IB
    return _with_substage(_MAIN[group["main"]], group["letter"], group["digit"])


def _with_substage(main: int, letter: str | None, digit: str | None) -> float:
    letters = "abcd".index(letter) if letter else 0
    digits = int(digit) - 1 if digit else 0
    return round(main + LETTER_STEP * letters + DIGIT_STEP * digits, 2)
