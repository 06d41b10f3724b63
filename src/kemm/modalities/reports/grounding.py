"""From what any program claims that a report says to statements that stand on the report's own words.

A claim is {"value": ..., "quote": ...}. Its quote is looked for in the report as it is written, and else
after both are folded alike: case; runs of white space, line breaks among them; a word divided by a hyphen
at the end of a line; typographic quotation marks, dashes and spaces. Nothing else is forgiven: letters that
only look alike, or words left out, are another text. The statement carries the report's own characters,
never the claim's. A quote that does not name what it speaks of ("not identified") is widened to its clause,
and then by the clause before it, whose label it may answer; one that says something itself is taken at its
word. Then the field's parser must read the claimed value from them, and `verify` must pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from kemm.core.types import Statement
from kemm.modalities.reports.field import CANNOT_BE_ASSESSED, Field
from kemm.modalities.reports.fields import FIELDS, fields_for, verify
from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.refiner import Dropped
from kemm.modalities.reports.sentences import MOST_SENTENCES

SHORTEST_QUOTE, LONGEST_QUOTE = 3, 400
"""In characters. A shorter quote stands anywhere; a longer one is no evidence but a copy of the report."""

# Words as frequent as "no" are looked at in so many places of the report and no more.
_MOST_PLACES = 64
_SHOWN = 200
_WIDER = 80


class Grounded(NamedTuple):
    """What stands, and what does not.

    Attributes:
        statements: of fields, in the order of the registry.
        sentences: of no field, in the order of the report.
        dropped: claims that do not stand; each reason completes "dropped, because ...".
    """

    statements: tuple[Statement, ...]
    sentences: tuple[Statement, ...]
    dropped: tuple[Dropped, ...]


def ground(
    claims: Mapping[str, Any], text: str, organ: str | None = None, *, sentences: Sequence[Any] = ()
) -> Grounded:
    """Keep of some claims what the report bears out.

    Args:
        claims: by field, {"value": ..., "quote": ...}, or None where the field is said not to be stated.
        text: the report as whoever claims was shown it.
        organ: what the report is about; a field not asked of it is dropped.
        sentences: quotes worth keeping whole.

    Raises:
        UnknownName: There is no such organ.
    """
    asked = fields_for(organ)
    report = _Report(text)
    statements: dict[str, Statement] = {}
    dropped: list[Dropped] = []
    for name, claim in claims.items():
        if claim is None:
            continue
        found = _field_statement(name, claim, report, asked, organ)
        if isinstance(found, Dropped):
            dropped.append(found)
        else:
            statements[name] = found
    kept, refused = _sentences(sentences, report)
    return Grounded(
        tuple(statements[name] for name in asked if name in statements), kept, (*dropped, *refused)
    )


def _field_statement(
    name: str, claim: Any, report: _Report, asked: Mapping[str, Field], organ: str | None
) -> Statement | Dropped:
    value, quote = _text_of(claim, "value"), _text_of(claim, "quote")

    def dropped(why: str) -> Dropped:
        return Dropped(kind=str(name)[:_SHOWN], value=_short(value), quote=_short(quote), why=why)

    if name not in asked:
        if name in FIELDS:
            return dropped(f"{name} is not asked of {organ or 'a report whose organ is unknown'}")
        return dropped("it is no field")
    if value is None or quote is None:
        return dropped("it needs a value and a quote, both text")
    if fault := _unfit(quote):
        return dropped(fault)
    field = asked[name]
    why = "its quote is not in the report: copy the words exactly"
    for place in report.places(quote):
        why = ""
        for start, end in report.widened(*place):
            said, fault_here = _said(field, value, report.text[start:end])
            if said is not None:
                statement = field.statement(said, report.text[start:end], start)
                fault_here = verify(statement, report.text) or ""
                if not fault_here:
                    return statement
            why = why or fault_here  # of the quote as claimed
            if field.parse(report.text[start:end]) is not None:
                break  # the words speak for themselves; what stands around them is another statement
    return dropped(why)


def _said(field: Field, value: str, quote: str) -> tuple[str | None, str]:
    """The value in the form the parser gives it, where the claimed one is the same; else why not."""
    plain = " ".join(value.split())
    if plain.lower() == CANNOT_BE_ASSESSED:
        return CANNOT_BE_ASSESSED, ""
    read = field.parse(quote)
    if read is None:
        return None, f"its quote does not say {field.title.lower()}: quote the words that do"
    if field.adds_up:
        number = _number(plain)
        # A total exceeds what one specimen's quote shows; `verify` sees that it is never less.
        return (
            (read, "")
            if number is None and _same(field, plain, read)
            else (_whole(number), "its value is no whole number")
        )
    if _same(field, plain, read):
        return read, ""
    return None, f"its quote says {read!r}, not {_short(plain)!r}"


def _same(field: Field, claimed: str, read: str) -> bool:
    """Whether a claimed value, however it is put, is the one read: "G3", "grade 3" and "3" are."""
    bare = claimed.removesuffix(field.suffix.strip()).strip() if field.suffix else claimed
    if bare.lower() == read.lower():
        return True
    if (number := _number(bare)) is not None and (wanted := _number(read)) is not None and number == wanted:
        return True
    if len(claimed) > _SHOWN:
        return False
    # The parser itself knows the ways to write a value; some of them only beside the name.
    return read in {field.parse(claimed), field.parse(f"{field.title}: {claimed}")}


_NUMBER = re.compile(r"\d{1,6}(?:\.\d{1,6})?")


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _whole(number: float | None) -> str | None:
    return str(int(number)) if number is not None and number == int(number) else None


def _sentences(quotes: Sequence[Any], report: _Report) -> tuple[tuple[Statement, ...], tuple[Dropped, ...]]:
    kept: dict[tuple[int, int], Statement] = {}
    dropped: list[Dropped] = []
    for quote in quotes:
        if not isinstance(quote, str):
            why = "it is no text"
        elif fault := _unfit(quote):
            why = fault
        elif (place := next(report.places(quote), None)) is None:
            why = "its quote is not in the report: copy the words exactly"
        elif place in kept:
            why = "it is there already"
        elif len(kept) == MOST_SENTENCES:
            why = f"{MOST_SENTENCES} sentences are kept at most"
        else:
            start, end = place
            words = report.text[start:end]
            kept[place] = Statement(
                kind="sentence", text=" ".join(words.split()), quote=words, start=start, end=end
            )
            continue
        dropped.append(
            Dropped(
                kind="sentence",
                value=None,
                quote=_short(quote if isinstance(quote, str) else None),
                why=why,
            )
        )
    return tuple(kept[place] for place in sorted(kept)), tuple(dropped)


def _unfit(quote: str) -> str | None:
    length = len(quote.strip())
    if length < SHORTEST_QUOTE:
        return f"its quote is shorter than {SHORTEST_QUOTE} characters: quote the words around it too"
    if length > LONGEST_QUOTE:
        return f"its quote is longer than {LONGEST_QUOTE} characters: quote only the words that say it"
    return None


def _text_of(claim: Any, key: str) -> str | None:
    found = claim.get(key) if isinstance(claim, Mapping) else getattr(claim, key, None)
    if isinstance(found, int | float) and not isinstance(found, bool) and key == "value":
        return str(found)
    return found if isinstance(found, str) else None


def _short(text: str | None) -> str | None:
    # What is dropped is shown and stored, and may be of any length.
    return text if text is None or len(text) <= _SHOWN else text[:_SHOWN] + "..."


_ALIKE = {
    **dict.fromkeys("‘’‚‛′`´", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
}
_DIVIDED = re.compile(r"(?<=[^\W\d_])[-‐‑][ \t]*(?:\r\n|\r|\n)[ \t]*(?=[^\W\d_])")


class _Report:
    """A report in which quotes are looked for."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._folds: dict[str, tuple[str, list[int]]] = {}

    def places(self, quote: str) -> Iterator[tuple[int, int]]:
        """Spans [start, end) of the report where the quote stands: as written, else as folded.

        A quote that begins or ends inside a word or number is no quote: "involved" of "uninvolved",
        "2 cm" of "1.2 cm".
        """
        quote = quote.strip()
        found = [(start, start + len(quote)) for start in _occurrences(quote, self.text)]
        for divided in ("", "-", "- "):
            if found:
                break
            folded = _folded(quote, divided)[0]
            text, at = self._fold(divided)
            found = [(at[start], at[start + len(folded) - 1] + 1) for start in _occurrences(folded, text)]
        for start, end in found:
            if not (_cuts(self.text, start) or _cuts(self.text, end)):
                yield start, end

    def widened(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The span, then with its clause around it, then with the clause before: a label may stand there."""
        yield start, end
        here, last = self._layout.clause_at(start), self._layout.clause_at(end - 1)
        begin = self._at_word(max(min(start, here.start), start - _WIDER))
        stop = self._at_word(min(max(end, last.end), end + _WIDER))
        before = self._at_word(max(self._layout.clauses_before(start, 1).start, start - 2 * _WIDER))
        for wider in ((begin, stop), (min(begin, before), stop)):
            if wider != (start, end) and wider[1] - wider[0] <= LONGEST_QUOTE:
                yield wider

    def _at_word(self, at: int) -> int:
        while _cuts(self.text, at):
            at += 1
        return at

    @cached_property
    def _layout(self) -> Layout:
        return Layout(self.text)

    def _fold(self, divided: str) -> tuple[str, list[int]]:
        if divided not in self._folds:
            self._folds[divided] = _folded(self.text, divided)
        return self._folds[divided]


def _cuts(text: str, at: int) -> bool:
    """Whether a word or a number goes on across a place in the text."""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if (before.isalpha() and after.isalpha()) or (before.isdigit() and after.isdigit()):
        return True
    return (before in ".," and after.isdigit() and text[at - 2 : at - 1].isdigit()) or (
        after in ".," and before.isdigit() and text[at + 1 : at + 2].isdigit()
    )


def _folded(text: str, divided: str) -> tuple[str, list[int]]:
    """The text as it is compared, and where each of its characters stands in the text.

    A hyphen that divides a word at the end of a line becomes `divided`: it may be the word's own or not.
    """
    hyphens = {match.start(): match.end() for match in _DIVIDED.finditer(text)}
    characters: list[str] = []
    places: list[int] = []
    skip = 0
    for at, character in enumerate(text):
        if at < skip:
            continue
        if at in hyphens:
            skip = hyphens[at]
            characters.extend(divided)
            places.extend([at] * len(divided))
        elif character.isspace():
            if characters and characters[-1] != " ":
                characters.append(" ")
                places.append(at)
        else:
            lower = character.lower()
            # A few capitals have lower-case forms of two characters; they are compared as they are.
            characters.append(_ALIKE.get(character, lower if len(lower) == 1 else character))
            places.append(at)
    return "".join(characters), places


def _occurrences(quote: str, text: str) -> Iterator[int]:
    at = text.find(quote) if quote else -1
    for _ in range(_MOST_PLACES):
        if at < 0:
            return
        yield at
        at = text.find(quote, at + 1)
