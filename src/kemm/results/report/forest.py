"""The forest picture: differences with their intervals, one below the other on one scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from markupsafe import Markup

from kemm.results.comparison.records import SimultaneousDifference, SubgroupRow, Subgroups
from kemm.results.document.numbers import plural, signed
from kemm.results.records import Cell
from kemm.results.report.labelled import LETTER, WIDTH, dot, line, picture, row, shortened, text
from kemm.results.report.strips import MARGIN, Scale, scale_around
from kemm.results.report.wording import Titles

ROW: Final = 36.0
HEADING: Final = 26.0
TOP: Final = 22.0
BOTTOM: Final = 22.0
GAP: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """One difference, or a heading above some (neither value nor reason)."""

    name: str
    note: str = ""
    """Stands behind the name: how many patients."""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    wide_low: float | None = None
    """Of a second, wider interval, such as one that holds together with the others."""
    wide_high: float | None = None
    reason: str | None = None
    """Why there is no value."""

    @property
    def is_heading(self) -> bool:
        """Whether this is a heading."""
        return self.value is None and self.reason is None

    @property
    def words(self) -> str:
        """The row read out."""
        if self.is_heading:
            return f"{self.name}:"
        name = f"{self.name} ({self.note})" if self.note else self.name
        if self.value is None:
            return f"{name}: no value, {self.reason}."
        if self.low is None or self.high is None:
            return f"{name}: {signed(self.value)}."
        wide = (
            f"; together with the others {signed(self.wide_low)} to {signed(self.wide_high)}"
            if self.wide_low is not None and self.wide_high is not None
            else ""
        )
        return f"{name}: {signed(self.value)} (95% interval {signed(self.low)} to {signed(self.high)}{wide})."


def forest(rows: Sequence[ForestRow], *, label: str, left: str = "worse", right: str = "better") -> Markup:
    """Two lines a row: its name and numbers, then a dot with its interval on a scale that marks zero.

    `left` and `right` say what lies on either side of zero. The rows are read out after `label`. A value
    or an end that is missing is not drawn.
    """
    ends = (end for each in rows for end in (each.value, each.low, each.high, each.wide_low, each.wide_high))
    scale = scale_around((end for end in ends if end is not None), reference=0.0, width=WIDTH)
    bottom = TOP + sum(HEADING if each.is_heading else ROW for each in rows)
    inside = [*_sides(scale, left, right), *_axis(scale, bottom + 15)]
    y = TOP
    for each in rows:
        if each.is_heading:
            inside.append(row(text(0, y + 19, shortened(each.name, WIDTH), bold=True), each.name))
            y += HEADING
        else:
            inside.append(row(_row(each, scale, y), each.words))
            y += ROW
    return picture(bottom + BOTTOM, "".join(inside), " ".join([label, *(each.words for each in rows)]))


def difference_rows(differences: Iterable[SimultaneousDifference], titles: Titles) -> list[ForestRow]:
    """A row a difference, with both its intervals; named by the baseline where all are of one model."""
    found = list(differences)
    of_one = len({each.model for each in found}) == 1
    return [
        difference_row(
            each,
            f"against {titles[each.baseline]}"
            if of_one
            else f"{titles[each.model]} against {titles[each.baseline]}",
        )
        for each in found
    ]


def difference_row(each: SimultaneousDifference, name: str) -> ForestRow:
    """A row of this name, with both intervals."""
    return ForestRow(
        name=name,
        value=each.value,
        low=each.low,
        high=each.high,
        wide_low=each.simultaneous_low,
        wide_high=each.simultaneous_high,
    )


def subgroup_rows(found: Subgroups) -> list[ForestRow]:
    """The gain among all patients, then by level under each variable's heading."""
    rows = [_of_level(found.whole)]
    for table in found.tables:
        missing = f", {plural(table.missing, 'patient')} unknown" if table.missing else ""
        rows.append(ForestRow(name=f"{table.variable}{missing}"))
        rows.extend(_of_level(each) for each in table.rows)
    return rows


def interaction_rows(found: Subgroups) -> list[ForestRow]:
    """How much the gain of a level differs from that of its variable's first level with a value."""
    rows: list[ForestRow] = []
    for table in found.tables:
        first = next((each.level for each in table.rows if each.gain.value is not None), "")
        rows.extend(
            cell_row(f"{table.variable}: {each.level}, not {first}", "", each.interaction)
            for each in table.rows
            if each.interaction is not None
        )
    return rows


def _of_level(level: SubgroupRow) -> ForestRow:
    return cell_row(level.level, plural(level.events, "event"), level.gain)


def cell_row(name: str, note: str, cell: Cell) -> ForestRow:
    """A row of a number that may be undefined."""
    reason = None if cell.value is not None else cell.reason or "undefined"
    return ForestRow(name=name, note=note, value=cell.value, low=cell.low, high=cell.high, reason=reason)


def _row(each: ForestRow, scale: Scale, y: float) -> str:
    numbers = _numbers(each)
    note = f" · {each.note}" if each.note else ""
    room = WIDTH - LETTER * (len(numbers) + len(note)) - GAP
    if each.value is None:
        # A reason can be long; the name has the right of way.
        room = min(LETTER * len(each.name), WIDTH / 2)
        numbers = shortened(numbers, WIDTH - room - LETTER * len(note) - GAP)
    name = shortened(each.name, room)
    drawn = [text(0, y + 14, name + note), text(WIDTH, y + 14, numbers, paint="muted", anchor="end")]
    middle = y + 26
    # Marks of the scale stand in each row, not through it: lines across its words would be hard to read.
    for tick in scale.ticks:
        drawn.append(line(scale(tick), middle - 7, scale(tick), middle + 7, "grid" if tick else "muted"))
    if each.wide_low is not None and each.wide_high is not None:
        drawn.append(line(scale(each.wide_low), middle, scale(each.wide_high), middle, "base", width=1.2))
    if each.low is not None and each.high is not None:
        drawn.append(line(scale(each.low), middle, scale(each.high), middle, "main", more="thick"))
    if each.value is not None:
        drawn.append(dot(scale(each.value), middle, "main"))
    return "".join(drawn)


def _numbers(each: ForestRow) -> str:
    if each.value is None:
        return f"– {each.reason}"
    if each.low is None or each.high is None:
        return signed(each.value)
    return f"{signed(each.value)} ({signed(each.low)} to {signed(each.high)})"


def _sides(scale: Scale, left: str, right: str) -> list[str]:
    """What lies on either side of zero, where there is room for it."""
    drawn = []
    if scale(0) > LETTER * len(left) + GAP:
        drawn.append(text(scale(0) - GAP, 12, left, paint="muted", anchor="end"))
    if WIDTH - scale(0) > LETTER * len(right) + GAP:
        drawn.append(text(scale(0) + GAP, 12, right, paint="muted"))
    return drawn


def _axis(scale: Scale, y: float) -> list[str]:
    ticks = scale.ticks
    step = min((high - low for low, high in pairwise(ticks)), default=1.0)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    drawn = []
    for tick in ticks:
        words = signed(tick, places if tick else 0)
        # A number at either end is moved in, not cut off.
        half = LETTER * len(words) / 2 - MARGIN
        at = min(max(scale(tick), half), WIDTH - half)
        drawn.append(text(at, y, words, paint="muted", anchor="middle"))
    return drawn
