"""The critical-difference picture: mean ranks of models, and who is not told apart from whom."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from kemm.results.comparison.records import Ranking
from kemm.results.document.numbers import decimal, p_value, plural
from kemm.results.report.labelled import WIDTH, dot, line, picture, row, shortened, text
from kemm.results.report.wording import Titles, listed

ROW: Final = 22.0
TOP: Final = 46.0
NAMES: Final = 142.0
AXIS: Final = 190.0
"""Pixels from the left, where the best rank is."""
BRACKET: Final = 9.0
"""Between the lines of two groups."""


def critical_difference(ranking: Ranking, titles: Titles, *, label: str) -> Markup:
    """A row a model, best first, its mean rank on a scale; a line at the right joins those not told apart.

    As Demšar's diagram, turned on its side so that any number of models and long names have room. The
    bar above the scale is as long as the critical difference, where the method has one.
    """
    height = TOP + ROW * len(ranking.models) + 4
    columns = _columns(ranking)
    right = WIDTH - 12 - BRACKET * (max(columns, default=-1) + 1)

    def x(rank: float) -> float:
        return AXIS + (right - AXIS) * (rank - 1) / (len(ranking.models) - 1)

    inside = [line(x(1), TOP - 8, right, TOP - 8, "muted")]
    for rank in range(1, len(ranking.models) + 1):
        inside.append(line(x(rank), TOP - 8, x(rank), height - 4, "grid"))
        if len(ranking.models) <= 10 or rank in {1, len(ranking.models)}:
            inside.append(text(x(rank), TOP - 12, str(rank), paint="muted", anchor="middle"))
    if ranking.critical_difference is not None:
        end = x(min(1 + ranking.critical_difference, len(ranking.models)))
        inside.append(line(x(1), 16, end, 16, "ink", width=2))
        inside.extend(line(at, 12, at, 20, "ink") for at in (x(1), end))
        inside.append(
            text(AXIS - 8, 20, f"critical difference {decimal(ranking.critical_difference, 2)}", anchor="end")
        )
    inside.append(text(0, TOP - 12, "mean rank, 1 is best", paint="muted"))
    for place, model in enumerate(ranking.models):
        middle = _middle(place)
        name, paint = titles[model.model], "main" if place == 0 else "base"
        inside.append(
            row(
                text(0, middle + 4, shortened(name, NAMES))
                + text(AXIS - 14, middle + 4, decimal(model.mean_rank, 2), paint="muted", anchor="end")
                + dot(x(model.mean_rank), middle, paint),
                name,
            )
        )
    place_of = {model.model: place for place, model in enumerate(ranking.models)}
    for group, column in zip(ranking.groups, columns, strict=True):
        at = right + 12 + BRACKET * column
        ends = [_middle(place_of[name]) for name in (group[0], group[-1])]
        inside.append(line(at, ends[0] - 5, at, ends[1] + 5, "ink", width=3))
    return picture(height, "".join(inside), label)


def ranking_words(ranking: Ranking, titles: Titles) -> str:
    """The ranking read out: is anything told apart, and by what."""
    order = ", ".join(f"{titles[model.model]} {decimal(model.mean_rank, 2)}" for model in ranking.models)
    found = "differ" if ranking.p < ranking.level else "are not shown to differ"
    parts = [
        f"Mean ranks over {plural(ranking.blocks, 'block')}, 1 is best: {order}.",
        f"The models {found} (Friedman's test, {p_value(ranking.p)}).",
    ]
    for group in ranking.groups:
        parts.append(f"Not told apart: {listed([titles[name] for name in group])}.")
    if ranking.p < ranking.level and not ranking.groups:
        parts.append("All are told apart.")
    return " ".join([*parts, ranking.caution]).rstrip()


def _middle(place: int) -> float:
    return TOP + ROW * (place + 0.5)


def _columns(ranking: Ranking) -> list[int]:
    """A column for each group's line, so that lines of groups that overlap stand side by side."""
    place_of = {model.model: place for place, model in enumerate(ranking.models)}
    ends: list[int] = []
    columns = []
    for group in ranking.groups:
        first, last = place_of[group[0]], place_of[group[-1]]
        free = next((column for column, end in enumerate(ends) if end < first), len(ends))
        ends[free:] = [last, *ends[free + 1 :]]
        columns.append(free)
    return columns
