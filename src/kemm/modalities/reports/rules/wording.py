"""Readers for what many organs' protocols ask: one of some words beside a name, or a number beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.reading import loosened, reading_copy
from kemm.modalities.reports.rules.candidate import Candidate, section_rank

_END = re.compile(r"[;\n]|\.(?=\s|$)")
_DENIED = re.compile(r"\b(?:no|not|without)\s(?:evidence of )?$")
_UNTOLD = re.compile(
    r"\b(?:pending|ordered|requested|to follow|will be|not (?:performed|done|tested|assessed|applicable|available"
    r"|interpretable)|cannot|can not|could not|insufficient|failed|see (?:separate|previous|prior|addendum|comment))\b"
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of a few values that is said of a named thing: "p16: diffusely positive".

    Attributes:
        name: names the thing.
        options: by value, how it is worded behind the name; of two that begin at one place the first
            listed is meant.
        alone: by value, wordings that name and answer at once ("IDH-wildtype").
        led: whether the wording may stand right before the name ("positive for p16").
        reach: how far behind the name the wording may stand, in characters.
    """

    name: str
    options: Mapping[str, str]
    alone: Mapping[str, str] = field(default_factory=dict)
    led: bool = True
    reach: int = 60
    _patterns: dict[str, re.Pattern[str]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _values: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._values.extend(dict.fromkeys([*self.options, *self.alone]))
        said = "|".join(f"(?P<v{self._values.index(v)}>{words})" for v, words in self.options.items())
        alone = "|".join(f"(?P<v{self._values.index(v)}>{words})" for v, words in self.alone.items())
        self._patterns["name"] = re.compile(loosened(self.name))
        self._patterns["said"] = re.compile(loosened(said) or r"(?!)")
        self._patterns["alone"] = re.compile(loosened(alone) or r"(?!)")
        self._patterns["led"] = re.compile(
            rf"(?:{said})(?:\s(?:for|staining for|expression of|in|type,?))?\s{{0,2}}\(?$"
        )

    @property
    def values(self) -> tuple[str, ...]:
        """Every value it can read."""
        return tuple(self._values)

    def _value(self, match: re.Match[str]) -> str:
        return self._values[int(str(match.lastgroup)[1:])]

    def _answers(self, text: str) -> Iterator[tuple[str, int, int]]:
        for match in self._patterns["alone"].finditer(text):
            yield self._value(match), match.start(), match.end()
        for name in self._patterns["name"].finditer(text):
            window = text[name.end() : name.end() + self.reach]
            stop = _END.search(window)
            window = window[: stop.start()] if stop else window
            said = self._patterns["said"].search(window)
            untold = _UNTOLD.search(window)
            if untold and not (said and said.end() <= untold.start()):
                continue
            if said:
                yield self._value(said), name.start(), name.end() + said.end()
            elif self.led:
                start = max(0, name.start() - 40)
                led = self._patterns["led"].search(text[start : name.start()])
                if led and not _DENIED.search(text[start : start + led.start()]):
                    yield self._value(led), start + led.start(), name.end()

    def parse(self, quote: str) -> str | None:
        """What the quote says first."""
        return next((value for value, _, _ in self._answers(reading_copy(quote))), None)

    def find(self, layout: Layout) -> Iterator[Candidate]:
        """Every place where the thing is named with one of the values."""
        for _, start, end in self._answers(layout.text):
            yield Candidate(start, end, section_rank(layout, start))


NUMBER = (
    r"(?P<sign><|>|less than|up to|at least|approximately|about|~|=|>=)?\s?"
    r"(?P<value>\d{1,3}(?:\.\d{1,2})?)(?:\s?(?:-|to)\s?(?P<upper>\d{1,3}(?:\.\d{1,2})?))?(?!\.?\d|\s?/\s?\d)"
)
"""A number as reports give it, for the patterns of a `Measure`."""
GAP = r"(?:[^.;\n\d]|\.(?=\d)){0,36}?"
"""What may stand between a name and its number."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number with its unit beside a name: "Breslow thickness: 2.3 mm".

    Attributes:
        patterns: each with the groups of `NUMBER`, and where they apply `unit` (a key of `units`) and
            `per` (the number of fields or square millimetres the count is over).
        units: what one of each unit is in the field's own.
        most: greater numbers are misread.
        over: a count with a `per` is brought to this many.
        whole: the value is a whole number; "<1" is then 0.
    """

    patterns: tuple[str, ...]
    units: Mapping[str, float] = field(default_factory=dict)
    most: float
    over: float = 1
    whole: bool = False
    _compiled: list[re.Pattern[str]] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._compiled.extend(re.compile(loosened(pattern)) for pattern in self.patterns)

    def _number(self, match: re.Match[str]) -> str | None:
        found = match.groupdict()
        number = float(found["upper"] or found["value"])
        if found.get("unit") in self.units:
            number *= self.units[found["unit"]]
        if found.get("per"):
            if not float(found["per"]):
                return None
            number *= self.over / float(found["per"])
        if self.whole and found["sign"] in {"<", "less than"} and number <= 1:
            number = 0
        if not 0 <= number <= self.most or (self.whole and not found.get("per") and number != int(number)):
            return None
        return f"{number:.4g}"

    def parse(self, quote: str) -> str | None:
        """The first number the quote gives; of a range the upper."""
        text = reading_copy(quote)
        for pattern in self._compiled:
            for match in pattern.finditer(text):
                if (number := self._number(match)) is not None:
                    return number
        return None

    def find(self, layout: Layout) -> Iterator[Candidate]:
        """Every place where the number is given."""
        for pattern in self._compiled:
            for match in pattern.finditer(layout.text):
                yield Candidate(match.start(), match.end(), section_rank(layout, match.start()))
