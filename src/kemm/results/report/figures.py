"""The figures of the report: curves over time, calibration, the headline's interval.

All are about as wide as a phone, so that their text stays readable there; a desktop shows two
side by side. Series differ in dash and marker as well as in colour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from kemm.results.document.numbers import count, month_number, percent, signed
from kemm.results.records import Calibration, DecisionCurve, Difference, RiskGroups, TimeAUC
from kemm.results.report.svg import PAINTS, drawing, themed

WIDTH: Final = 380.0
"""Of a figure, in CSS pixels before scaling."""

TOP: Final = 10.0
"""Margin above the axes, in pixels."""

AT_RISK_ROW: Final = 15.0
MOST_AT_RISK_COLUMNS: Final = 7


@dataclass(frozen=True)
class Series:
    """How one line of a figure is drawn, and its legend with it."""

    paint: str
    dashes: tuple[float, ...]
    """On, off, on, off... in pixels; empty for a solid line."""
    marker: str
    width: float = 1.6


SERIES: Final = (
    Series("main", (), "o", 2.2),
    Series("base", (6, 2.5), "s", 1.8),
    Series("third", (2, 2), "^"),
    Series("fourth", (8, 2, 2, 2), "D"),
    Series("fifth", (4, 1.5), "v"),
    Series("sixth", (1, 1.5), "P"),
)
"""The main model is first, the one it is compared with second."""

GROUPS: Final = (
    Series("base", (), "o", 2.0),
    Series("main", (6, 2.5), "s", 2.0),
    Series("third", (2, 2), "^", 2.0),
)
"""Risk groups in the order given; a fourth starts over."""

TREAT_ALL: Final = Series("muted", (1.5, 1.5), "", 1.4)


def group_look(place: int) -> Series:
    """How the risk group in this place is drawn."""
    return GROUPS[place % len(GROUPS)]


def headline_interval(difference: Difference, *, key: str, left: str, right: str, label: str) -> Markup:
    """The difference with its interval, on a line on which zero is marked."""
    with drawing(key):
        figure, axes = _canvas(88.0, left=14, right=14, top=24, bottom=24, width=320.0)
        reach = 1.15 * max(abs(difference.low), abs(difference.high), abs(difference.value), 0.01)
        axes.set_xlim(-reach, reach)
        axes.set_ylim(0, 1)
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: signed(value, 2 if reach > 0.05 else 3))
        )
        axes.plot([0, 0], [0, 1.05], color=PAINTS["ink"], linewidth=1, clip_on=False)
        axes.plot([difference.low, difference.high], [0.5, 0.5], color=PAINTS["main"], linewidth=5, alpha=0.45,
                  solid_capstyle="butt")  # fmt: skip
        axes.plot(
            [difference.value], [0.5], color=PAINTS["main"], marker="o", markersize=9, markeredgewidth=0
        )
        axes.text(0, 1.02, left, transform=axes.transAxes, ha="left", va="bottom",
                  color=PAINTS["muted"])  # fmt: skip
        axes.text(1, 1.02, right, transform=axes.transAxes, ha="right", va="bottom",
                  color=PAINTS["muted"])  # fmt: skip
        return themed(figure, key, label)


def kaplan_meier(groups: RiskGroups, *, key: str, label: str) -> Markup:
    """Survival of each risk group with its 95% band, and the numbers at risk below."""
    bottom = 68.0 + AT_RISK_ROW * len(groups.curves)
    last = max(
        (max([*curve.months, *curve.at_risk_months], default=0.0) for curve in groups.curves), default=0.0
    )
    last = last or 1.0
    with drawing(key):
        figure, axes = _canvas(238.0 + bottom, left=46, right=14, top=TOP, bottom=bottom)
        axes.set_xlim(0, last)
        _share_axis(axes, 0, 1.0)
        axes.set_ylabel("Without the event")
        axes.set_xlabel("Months")
        ticks = at_risk_months(groups)
        if ticks:
            axes.set_xticks(ticks, [month_number(tick) for tick in ticks])
        for number, curve in enumerate(groups.curves):
            series = group_look(number)
            colour = PAINTS[series.paint]
            months = [0.0, *curve.months, curve.months[-1] if curve.months else last]
            axes.fill_between(months, _from_one(curve.low), _from_one(curve.high), step="post", color=colour,
                              alpha=0.16, linewidth=0)  # fmt: skip
            axes.step(months, _from_one(curve.survival), where="post", color=colour, linewidth=series.width,
                      linestyle=_linestyle(series))  # fmt: skip
        if ticks:
            _numbers_at_risk(figure, axes, groups, ticks, bottom)
        return themed(figure, key, label)


def at_risk_months(groups: RiskGroups) -> list[float]:
    """The times under which numbers at risk are printed: those given, thinned to what fits."""
    times = sorted({month for curve in groups.curves for month in curve.at_risk_months})
    step = math.ceil(len(times) / MOST_AT_RISK_COLUMNS) or 1
    return times[::step]


def calibration(points: Calibration, *, key: str, label: str) -> Markup:
    """Observed against predicted chance, with the diagonal of perfect agreement."""
    with drawing(key):
        figure, axes = _canvas(380.0, left=48, right=14, top=TOP, bottom=46)
        highest = max(
            (max(point.predicted, point.observed, point.high) for point in points.points), default=1.0
        )
        top = min(1.0, max(0.1, math.ceil(highest * 10) / 10))
        axes.set_xlim(0, top)
        _share_axis(axes, 0, top, both=True)
        axes.set_xlabel(f"Predicted chance of the event by {month_number(points.horizon_months)} months")
        axes.set_ylabel("Observed")
        axes.plot([0, top], [0, top], color=PAINTS["muted"], linewidth=1, dashes=(4, 3))
        for point in points.points:
            axes.plot(
                [point.predicted] * 2, [point.low, point.high], color=PAINTS["main"], linewidth=1.4, alpha=0.6
            )
        axes.plot([point.predicted for point in points.points], [point.observed for point in points.points],
                  color=PAINTS["main"], linewidth=0, marker="o", markersize=6.5, markeredgewidth=0)  # fmt: skip
        return themed(figure, key, label)


def time_auc(curves: Sequence[TimeAUC], styles: Mapping[str, Series], *, key: str, label: str) -> Markup:
    """AUC over time, a line a model; a gap where it is undefined."""
    defined = [value for curve in curves for value in curve.auc if value is not None]
    bottom = min(0.4, *(math.floor(value * 10) / 10 for value in defined)) if defined else 0.4
    with drawing(key):
        figure, axes = _canvas(290.0, left=46, right=14, top=TOP, bottom=46)
        axes.set_ylim(bottom, 1)
        axes.yaxis.set_major_locator(MultipleLocator(0.1))
        axes.grid(axis="y")
        axes.set_xlabel("Months")
        axes.set_ylabel("AUC")
        axes.axhline(0.5, color=PAINTS["muted"], linewidth=1)
        axes.text(1, 0.5, "no better than chance ", transform=axes.get_yaxis_transform(), ha="right", va="bottom",
                  color=PAINTS["muted"], fontsize=10.5)  # fmt: skip
        for curve in reversed(curves):
            series = styles[curve.model]
            axes.plot(curve.months, [math.nan if value is None else value for value in curve.auc],
                      color=PAINTS[series.paint], linewidth=series.width, marker=series.marker, markersize=5,
                      markeredgewidth=0, linestyle=_linestyle(series))  # fmt: skip
        times = sorted({month for curve in curves for month in curve.months})
        ticks = times[:: math.ceil(len(times) / 8)]
        axes.set_xticks(ticks, [month_number(tick) for tick in ticks])
        return themed(figure, key, label)


def decision(curve: DecisionCurve, shown: Mapping[str, Series], *, key: str, label: str) -> Markup:
    """Net benefit over thresholds, for the models in `shown`, treating all, and treating none."""
    values = [value for name in shown for value in curve.net_benefit[name] if value is not None]
    top = max([*values, 0.02]) * 1.1
    with drawing(key):
        figure, axes = _canvas(290.0, left=52, right=14, top=TOP, bottom=46)
        axes.set_ylim(-0.3 * top, top)
        first, last = min(curve.thresholds), max(curve.thresholds)
        axes.set_xlim(first, max(last, first + 0.01))
        axes.grid(axis="y")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
        axes.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:.2f}".replace("-", "\N{MINUS SIGN}"))
        )
        axes.set_xlabel("Threshold of predicted chance")
        axes.set_ylabel("Net benefit")
        axes.axhline(0, color=PAINTS["ink"], linewidth=1)
        for name, series in reversed(list(shown.items())):
            axes.plot(curve.thresholds, [math.nan if value is None else value for value in curve.net_benefit[name]],
                      color=PAINTS[series.paint], linewidth=series.width, linestyle=_linestyle(series))  # fmt: skip
        return themed(figure, key, label)


def _canvas(
    height: float, *, left: float, right: float, top: float, bottom: float, width: float = WIDTH
) -> tuple[Figure, Axes]:
    """A figure of `width` by `height` pixels with one pair of axes, margins in pixels."""
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    )
    return figure, axes


def _share_axis(axes: Axes, low: float, high: float, *, both: bool = False) -> None:
    axes.set_ylim(low, high)
    step = 0.25 if high > 0.8 else 0.1 if high > 0.3 else 0.05
    as_percent = FuncFormatter(lambda value, _: percent(value))
    for axis in [axes.yaxis, axes.xaxis] if both else [axes.yaxis]:
        axis.set_major_locator(MultipleLocator(step))
        axis.set_major_formatter(as_percent)
    axes.grid(axis="both" if both else "y")


def _from_one(steps: Sequence[float]) -> list[float]:
    """A step curve from everyone at month 0, its last value repeated to close the last step."""
    return [1.0, *steps, steps[-1] if steps else 1.0]


def _linestyle(series: Series) -> Literal["-"] | tuple[float, tuple[float, ...]]:
    # matplotlib counts dashes in line widths.
    return (0, tuple(length / series.width for length in series.dashes)) if series.dashes else "-"


def _numbers_at_risk(
    figure: Figure, axes: Axes, groups: RiskGroups, ticks: Sequence[float], bottom: float
) -> None:
    """A row of numbers a group, under the month they belong to; `bottom` pixels lie below the axes."""
    height = float(figure.get_figheight()) * 72
    under = axes.get_xaxis_transform()

    def from_top(pixels: float) -> float:
        return -pixels / (height - bottom - TOP)

    axes.text(0, from_top(46), "Number at risk", transform=under, ha="left", va="top", color=PAINTS["muted"],
              fontsize=10.5)  # fmt: skip
    for number, curve in enumerate(groups.curves):
        line = 46 + AT_RISK_ROW * (number + 1)
        series = group_look(number)
        middle = (bottom - line - 6) / height
        figure.add_artist(
            Line2D([4 / WIDTH, 24 / WIDTH], [middle, middle], color=PAINTS[series.paint], linewidth=series.width,
                   linestyle=_linestyle(series))
        )  # fmt: skip
        at_risk = dict(zip(curve.at_risk_months, curve.at_risk, strict=True))
        for tick in ticks:
            if tick in at_risk:
                axes.text(tick, from_top(line), count(at_risk[tick]), transform=under, ha="center", va="top",
                          fontsize=10.5)  # fmt: skip
