"""Each figure with its title, its words and its legend, as the page shows it.

`prefix` is what the ids of a figure begin with, where a page has several of its kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from markupsafe import Markup

from kemm.results.document.numbers import months, plural, signed
from kemm.results.records import Calibration, DecisionCurve, Difference, RiskGroups, TimeAUC
from kemm.results.report import figures, strips, wording
from kemm.results.report.figures import TREAT_ALL, Series, group_look
from kemm.results.report.wording import Titles


@dataclass(frozen=True)
class Panel:
    """A figure as the page shows it."""

    title: str
    """Empty where the section's own heading says it."""
    picture: Markup
    words: str
    """The answer in words; screen readers get it as the figure's label."""
    legend: list[tuple[Markup, str]] = field(default_factory=list)


def headline_panel(difference: Difference, titles: Titles, *, prefix: str = "") -> Panel:
    """The headline's difference on a line."""
    title = f"Difference in {wording.metric_title(difference.metric)}"
    left, right = "worse", "better"
    if difference.metric in wording.LOWER_IS_BETTER:
        left, right = right, left
    names = f"{titles[difference.model]} minus {titles[difference.baseline]}"
    interval = (
        f"{signed(difference.value)}, 95% interval {signed(difference.low)} to {signed(difference.high)}"
    )
    picture = figures.headline_interval(
        difference,
        key=f"{prefix}headline",
        left=left,
        right=right,
        label=f"{title}, {names}: {interval}.",
    )
    return Panel(title, picture, f"Dot: {names}. Bar: its 95% interval.")


def kaplan_meier_panel(groups: RiskGroups, *, number: int, titles: Titles, prefix: str = "") -> Panel:
    """Kaplan-Meier by risk group of one model."""
    title = titles[groups.model]
    words = wording.kaplan_meier_words(groups)
    picture = figures.kaplan_meier(
        groups, key=f"{prefix}km{number}", label=f"Kaplan-Meier curves by predicted risk, {title}. {words}"
    )
    legend = [
        (
            _swatch(group_look(place)),
            f"{curve.group}: {plural(curve.cases, 'patient')}, {plural(curve.events, 'event')}",
        )
        for place, curve in enumerate(groups.curves)
    ]
    return Panel(title, picture, words, legend)


def calibration_panel(points: Calibration, *, number: int, titles: Titles, prefix: str = "") -> Panel:
    """Calibration of one model at one horizon."""
    title = f"{titles[points.model]}, by {months(points.horizon_months)}"
    words = wording.calibration_words(points)
    picture = figures.calibration(
        points,
        key=f"{prefix}calibration{number}",
        label=f"Observed against predicted chance of the event, {title}. {words}",
    )
    return Panel(title, picture, words)


def time_auc_panel(
    curves: Iterable[TimeAUC], styles: Mapping[str, Series], titles: Titles, *, prefix: str = ""
) -> Panel:
    """AUC over time of the models that have a look, in the order of the looks."""
    by_name = {curve.model: curve for curve in curves}
    shown = [by_name[name] for name in styles if name in by_name]
    words = wording.time_auc_words(shown, titles)
    picture = figures.time_auc(shown, styles, key=f"{prefix}auc", label=f"AUC over time. {words}")
    legend = [(_swatch(styles[curve.model]), titles[curve.model]) for curve in shown]
    return Panel("", picture, words, legend)


def decision_panel(
    curve: DecisionCurve, styles: Mapping[str, Series], *, main: str, titles: Titles, prefix: str = ""
) -> Panel:
    """Net benefit of the models that have a look, and of treating all."""
    shown = {name: style for name, style in styles.items() if name in curve.net_benefit}
    if wording.TREAT_ALL in curve.net_benefit:
        shown[wording.TREAT_ALL] = TREAT_ALL
    words = wording.decision_words(curve, main, titles)
    picture = figures.decision(
        curve, shown, key=f"{prefix}decision", label=f"Net benefit by {months(curve.horizon_months)}. {words}"
    )
    legend = [(_swatch(style), titles[name]) for name, style in shown.items()]
    legend.append((_swatch(Series("ink", (), "", 1.0)), "treat none (zero)"))
    return Panel("", picture, words, legend)


def _swatch(series: Series) -> Markup:
    return strips.line_swatch(series.paint, series.dashes, series.width)
