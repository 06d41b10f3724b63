"""Small pictures that stand in a table row: an interval, a bar. The numbers stand beside them.

Like figures, they take their colours from the stylesheet. Screen readers skip them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from kemm.results.document.numbers import decimal, signed

HEIGHT: Final = 22
MARGIN: Final = 6
"""Pixels at either end, so that a mark on the end is whole."""


@dataclass(frozen=True)
class Scale:
    """From values to pixels, the same for all rows of a table."""

    low: float
    high: float
    width: int
    reference: float | None = None
    """The value of no effect, marked with a line."""
    has_axis: bool = False
    """Whether the table's head shows `axis`; its round numbers then mark each row."""

    @property
    def ticks(self) -> list[float]:
        """Round numbers within the scale; none without an axis."""
        if not self.has_axis:
            return []
        ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(self.low, self.high)
        return [round(float(tick), 9) for tick in ticks if self.low <= tick <= self.high]

    def __call__(self, value: float) -> float:
        """Pixels from the left; what lies outside is set on the edge."""
        inside = min(max(value, self.low), self.high)
        return MARGIN + (self.width - 2 * MARGIN) * (inside - self.low) / (self.high - self.low)


def scale_around(values: Iterable[float], *, reference: float, width: int) -> Scale:
    """A scale with `reference` at its left end or, if any value is below it, further in."""
    known = [value for value in values if math.isfinite(value)]
    low, high = min([*known, reference]), max([*known, reference])
    room = 0.04 * (high - low) or 0.05
    return Scale(low - room, high + room, width, reference, has_axis=True)


def symmetric_scale(values: Iterable[float], *, width: int, has_axis: bool = False) -> Scale:
    """A scale with zero in its middle."""
    reach = 1.05 * max((abs(value) for value in values if math.isfinite(value)), default=0.0) or 1.0
    return Scale(-reach, reach, width, 0.0, has_axis)


def interval(
    scale: Scale,
    value: float,
    low: float | None,
    high: float | None,
    folds: Sequence[float | None] = (),
    paint: str = "main",
) -> Markup:
    """A dot with its interval; the value of each fold as a faint tick."""
    ticks = "".join(
        _line(scale(fold), 5, scale(fold), HEIGHT - 5, "s-ink faint") for fold in folds if fold is not None
    )
    bar = "" if low is None or high is None else _line(scale(low), 11, scale(high), 11, f"s-{paint} thick")
    return _strip(scale, ticks + bar + f'<circle class="f-{paint}" cx="{scale(value):.1f}" cy="11" r="4.5"/>')


def bar(scale: Scale, value: float, paint: str = "main", pale: float | None = None) -> Markup:
    """A bar from the reference to `value`; behind it, paler and longer, one to `pale`."""
    behind = "" if pale is None else _bar(scale, pale, f"f-{paint} pale")
    return _strip(scale, behind + _bar(scale, value, f"f-{paint}"))


def histogram(counts: Sequence[float], width: int = 120) -> Markup:
    """A column a bin, and a line at the height that all would have if they were alike."""
    scale, tallest = Scale(0, len(counts) or 1, width), max(counts, default=0.0) or 1.0
    columns = "".join(
        f'<rect class="f-main" x="{scale(place) + 0.5:.1f}" y="{HEIGHT * (1 - share / tallest):.1f}" '
        f'width="{max(scale(place + 1) - scale(place) - 1, 1):.1f}" height="{HEIGHT * share / tallest:.1f}"/>'
        for place, share in enumerate(counts)
    )
    even = HEIGHT * (1 - sum(counts) / (len(counts) or 1) / tallest)
    return _strip(scale, columns + _line(MARGIN, round(even, 1), width - MARGIN, round(even, 1), "s-ink"))


def truth_and_estimate(scale: Scale, truth: float, estimate: float | None) -> Markup:
    """An open ring where the truth is, a dot where the estimate is, and the error between them."""
    ring = f'<circle class="s-ink ring" cx="{scale(truth):.1f}" cy="11" r="5"/>'
    if estimate is None:
        return _strip(scale, ring)
    error = _line(scale(truth), 11, scale(estimate), 11, "s-main")
    return _strip(
        scale, error + ring + f'<circle class="f-main" cx="{scale(estimate):.1f}" cy="11" r="3.5"/>'
    )


def axis(scale: Scale, *, with_sign: bool = False) -> Markup:
    """The round numbers of a scale, for the head of its column."""
    ticks = scale.ticks
    step = min((high - low for low, high in pairwise(ticks)), default=1.0)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    write = signed if with_sign else decimal
    texts = "".join(
        f'<text class="f-muted" font-size="12" text-anchor="middle" x="{scale(tick):.1f}" y="12">'
        f"{write(tick, places if tick else 0)}</text>"
        for tick in ticks
    )
    return Markup(
        f'<svg class="strip" aria-hidden="true" width="{scale.width}" height="16" viewBox="0 0 {scale.width} 16">'
        f"{texts}</svg>"
    )


def line_swatch(paint: str, dashes: Sequence[float], width: float) -> Markup:
    """What a legend shows of a line."""
    pattern = f' stroke-dasharray="{" ".join(f"{length:g}" for length in dashes)}"' if dashes else ""
    return Markup(
        f'<svg class="swatch" aria-hidden="true" width="26" height="10" viewBox="0 0 26 10">'
        f'<line class="s-{paint}" x1="0" y1="5" x2="26" y2="5" stroke-width="{width:g}"{pattern}/></svg>'
    )


def _strip(scale: Scale, inside: str) -> Markup:
    grid = "".join(
        _line(scale(tick), 0, scale(tick), HEIGHT, "s-muted" if tick == scale.reference else "s-grid")
        for tick in (scale.ticks or ([] if scale.reference is None else [scale.reference]))
    )
    return Markup(
        f'<svg class="strip" aria-hidden="true" width="{scale.width}" height="{HEIGHT}" '
        f'viewBox="0 0 {scale.width} {HEIGHT}">{grid}{inside}</svg>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, classes: str) -> str:
    return f'<line class="{classes}" x1="{x1:.1f}" y1="{y1:g}" x2="{x2:.1f}" y2="{y2:g}"/>'


def _bar(scale: Scale, value: float, classes: str) -> str:
    start, end = sorted((scale(scale.reference or 0.0), scale(value)))
    return f'<rect class="{classes}" x="{start:.1f}" y="5" width="{max(end - start, 1):.1f}" height="12"/>'
