"""Which of several equally good answers to one field counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial


def largest(values: Sequence[str]) -> str:
    """The greatest number."""
    return max(values, key=float)


def most_frequent(values: Sequence[str]) -> str:
    """Of equals, the one named first."""
    counts = Counter(values)
    return max(counts, key=lambda value: counts[value])


def first(values: Sequence[str]) -> str:
    """The one named first in the report."""
    return values[0]


def highest_stage(values: Sequence[str]) -> str:
    """X says that nothing is known; any other category says more."""
    return max(values, key=lambda value: ("X" not in value, value[:2], len(value), value))


_WORST = ("present", "positive", "indeterminate", "close", "absent", "negative")


def worst(values: Sequence[str]) -> str:
    """Present before indeterminate before absent; positive before close before negative."""
    return next(value for value in _WORST if value in values)


def last_of(order: Sequence[str]) -> Callable[[Sequence[str]], str]:
    """Chooses the last in `order`, which runs from best to worst."""
    return partial(max, key=order.index)
