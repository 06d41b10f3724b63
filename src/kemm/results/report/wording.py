"""What the numbers say, in words: the headline, and a sentence for each figure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from kemm.results.document.numbers import decimal, months, p_value, percent, signed
from kemm.results.records import Calibration, DecisionCurve, Difference, Evaluation, RiskGroups, TimeAUC

METRICS: Final = {
    "harrell_c": "Harrell's C",
    "harrell_c_mean": "C, mean of folds",
    "harrell_c_single": "C of one seed",
    "uno_c": "Uno's C",
    "ibs": "Integrated Brier score",
    "ibs_skill": "Brier skill",
    "calibration_slope": "Calibration slope",
}

TREAT_ALL: Final = "treat all"

LOWER_IS_BETTER: Final = {"ibs"}

READABLE_AT_RISK: Final = 10
"""A Kaplan-Meier curve is read out only while each group has this many at risk."""

FOLD_KINDS: Final = {
    "site-disjoint": "No hospital is in both the training and the test part of a fold.",
    "stratified": "Patients of one hospital can be in both the training and the test part of a fold, which can "
    "flatter every model.",
    "given": "The folds were given by the study.",
}

ENDPOINTS: Final = {
    "OS": "overall survival",
    "DSS": "disease-specific survival",
    "PFI": "progression-free interval",
    "DFI": "disease-free interval",
}

Outcome = Literal["better", "unclear", "worse"]


class Titles(dict[str, str]):
    """A model's title by its name; the name itself where no row of the table has it."""

    def __missing__(self, name: str) -> str:
        return name


@dataclass(frozen=True)
class Verdict:
    """The answer: a word, a sentence, and what stands behind it."""

    word: str
    outcome: Outcome | None
    sentence: str
    details: list[str]


def metric_title(metric: str) -> str:
    """ "auc@24" as "AUC at 24 months"."""
    name, _, horizon = metric.partition("@")
    if horizon:
        return f"{METRICS.get(name, name.upper())} at {horizon} months"
    return METRICS.get(metric, metric.replace("_", " "))


def outcome(difference: Difference) -> Outcome:
    """What the interval shows; better and worse only where all of it lies on one side of zero."""
    low, high = difference.low, difference.high
    if difference.metric in LOWER_IS_BETTER:
        low, high = -high, -low
    return "better" if low > 0 else "worse" if high < 0 else "unclear"


def verdict(evaluation: Evaluation, titles: Titles) -> Verdict:
    """Whether the main model beats the clinical one on these patients, by how much, how sure."""
    difference = evaluation.headline
    if difference is None:
        return Verdict(
            "No comparison",
            None,
            "This study has no clinical model to compare with.",
            ["How well each model ranks the patients stands in the table of models."],
        )
    model, baseline = titles[difference.model], titles[difference.baseline]
    found = outcome(difference)
    is_rank = difference.metric in {"harrell_c", "uno_c"}
    measure = metric_title(difference.metric)
    if found == "unclear":
        sentence = (
            f"{model} is not shown to differ from {baseline} on these patients: the interval includes zero."
        )
    elif is_rank:
        sentence = f"{model} ranks these patients {found} than {baseline}."
    else:
        sentence = f"{model} does {found} than {baseline} on these patients."

    size = (
        f"{measure}{_both_values(evaluation, difference)}: a difference of {signed(difference.value)} "
        f"(95% interval {signed(difference.low)} to {signed(difference.high)}, {p_value(difference.p)})."
    )
    word = {"better": "Yes", "unclear": "Not shown", "worse": "No"}[found]
    return Verdict(
        word, found, sentence, [size, *_in_plain_words(evaluation, difference, titles), _how_sure(difference)]
    )


def _values(evaluation: Evaluation, difference: Difference) -> tuple[float, float] | None:
    """The metric of both models, if the table has it for the very patients of the difference."""
    metrics = {model.name: model.metrics.get(difference.metric) for model in evaluation.models}
    cells = metrics.get(difference.model), metrics.get(difference.baseline)
    if (
        cells[0] is None
        or cells[1] is None
        or any(cell.cases not in {0, difference.cases} for cell in cells if cell)
    ):
        return None
    if cells[0].value is None or cells[1].value is None:
        return None
    return cells[0].value, cells[1].value


def _both_values(evaluation: Evaluation, difference: Difference) -> str:
    values = _values(evaluation, difference)
    return f" {decimal(values[0])} against {decimal(values[1])}" if values else ""


def _in_plain_words(evaluation: Evaluation, difference: Difference, titles: Titles) -> list[str]:
    values = _values(evaluation, difference)
    if values is None or difference.metric != "harrell_c":
        return []
    times = [f"{decimal(100 * value, 1)} times in 100" for value in values]
    sentence = (
        "Of two patients of whom it is known who had the event first, "
        f"{titles[difference.model]} gives that patient the higher risk {times[0]}, "
        f"{titles[difference.baseline]} {times[1]}. By chance it would be 50."
    )
    return [sentence]


def _how_sure(difference: Difference) -> str:
    low, high = difference.low, difference.high
    if difference.metric in LOWER_IS_BETTER:
        low, high = -high, -low
    smaller, larger = sorted((decimal(abs(low)), decimal(abs(high))))
    match outcome(difference):
        case "better":
            return f"The data are compatible with a gain as small as {smaller} or as large as {larger}."
        case "worse":
            return f"The data are compatible with a loss as small as {smaller} or as large as {larger}."
        case "unclear":
            return f"The data are compatible with anything from {decimal(abs(low))} worse to {decimal(abs(high))} better."


def limits(
    background_authors: Sequence[str], *, is_synthetic: bool, cohorts: int = 1
) -> list[tuple[str, str]]:
    """What the numbers cannot say: in a word or two, then in full."""
    authors = listed(list(dict.fromkeys(author or "a language model" for author in background_authors)))
    of_whom = "All patients come from one cohort." if cohorts == 1 else "Each cohort has models of its own."
    told = [
        (
            "Research use.",
            "This is not a medical device, and no treatment of any patient should rest on it.",
        ),
        (
            "Where the model looked, not cause.",
            "Effects and attention tell what moved this model's risk. They do not tell what would change a patient's "
            "outcome.",
        ),
        (
            "Internal validation only.",
            f"{of_whom} Patients of another hospital, time or treatment may differ.",
        ),
        (
            "Sampling of patients only.",
            "Intervals say how much results would change with other patients of the same kind. They leave out the "
            "choice of folds, seeds and settings.",
        ),
        (
            "Background knowledge",
            f"is written by {authors}; unless a study brings its own, it has not been reviewed by clinicians.",
        ),
        (
            "Statements",
            "are read from reports by rules or a language model. A wrong or missed finding stays in the risk.",
        ),
    ]
    if is_synthetic:
        told.append(
            (
                "Synthetic patients.",
                "These results say that the method finds what was planted, nothing about real patients.",
            )
        )
    return told


def kaplan_meier_words(groups: RiskGroups) -> str:
    """Survival of each group at the last time at which all are still large enough to read."""
    parts = []
    month = _last_readable_month(groups)
    if month is not None:
        shares = [
            f"{percent(survival_at(curve.months, curve.survival, month))} of “{curve.group}”"
            for curve in groups.curves
        ]
        parts.append(f"At {months(month)}, without the event: {listed(shares)}.")
    if groups.logrank_p is not None:
        statistic = (
            "" if groups.logrank_statistic is None else f" (statistic {decimal(groups.logrank_statistic, 1)})"
        )
        parts.append(f"Log-rank {p_value(groups.logrank_p)}{statistic}.")
    else:
        parts.append("No log-rank test.")
    return " ".join(parts)


def survival_at(times: Sequence[float], survival: Sequence[float], month: float) -> float:
    """The height of a Kaplan-Meier curve at `month`; it starts at 1."""
    step = bisect_right(times, month)
    return survival[step - 1] if step else 1.0


def _last_readable_month(groups: RiskGroups) -> float | None:
    shared = (
        set.intersection(*(set(curve.at_risk_months) for curve in groups.curves)) if groups.curves else set()
    )
    readable = [
        month
        for month in shared
        if month > 0
        and all(
            curve.at_risk[curve.at_risk_months.index(month)] >= READABLE_AT_RISK for curve in groups.curves
        )
    ]
    return max(readable, default=None)


def calibration_words(calibration: Calibration) -> str:
    """How far predictions are from what was observed."""
    parts = []
    if calibration.slope is not None:
        slope = calibration.slope
        sense = (
            "predictions are too extreme"
            if slope < 0.9
            else "predictions are too cautious"
            if slope > 1.1
            else "close to the ideal 1"
        )
        parts.append(f"Slope {decimal(slope, 2)}: {sense}.")
    if calibration.ici is not None:
        parts.append(f"On average, predictions are {_points(calibration.ici)} off.")
    if calibration.points:
        worst = max(calibration.points, key=lambda point: abs(point.predicted - point.observed))
        parts.append(
            f"Furthest off: {percent(worst.predicted)} predicted, {percent(worst.observed)} observed ({worst.cases} patients)."
        )
    return " ".join(parts) or "No group of patients was large enough to compare."


def _points(share: float) -> str:
    return f"{decimal(100 * share, 1)} percentage points"


def time_auc_words(curves: Sequence[TimeAUC], titles: Titles) -> str:
    """First and last defined value of the first two models."""
    parts = []
    for curve in curves[:2]:
        known = [
            (month, value) for month, value in zip(curve.months, curve.auc, strict=True) if value is not None
        ]
        if not known:
            parts.append(f"{titles[curve.model]}: undefined at every time.")
            continue
        (first, at_first), (last, at_last) = known[0], known[-1]
        until = "" if first == last else f", {decimal(at_last)} at {months(last)}"
        parts.append(f"{titles[curve.model]}: AUC {decimal(at_first)} at {months(first)}{until}.")
    return " ".join(parts)


def decision_words(curve: DecisionCurve, main: str, titles: Titles) -> str:
    """Where acting on the main model has the highest net benefit."""
    ours = curve.net_benefit.get(main)
    if ours is None:
        return "The main model has no decision curve."
    best = []
    for number, (threshold, benefit) in enumerate(zip(curve.thresholds, ours, strict=True)):
        others = [values[number] for name, values in curve.net_benefit.items() if name != main]
        if benefit is not None and benefit > max([0.0, *(value for value in others if value is not None)]):
            best.append(threshold)
    if not best:
        return f"At no threshold does {titles[main]} have the highest net benefit."
    span = (
        percent(min(best))
        if len(best) == 1
        else f"{len(best)} of {len(curve.thresholds)} thresholds, between {percent(min(best))} and {percent(max(best))}"
    )
    where = f"At {span}" if len(best) > 1 else f"Only at {span}"
    return f"{where}, {titles[main]} has the highest net benefit of all lines, treating none and treating all included."


def listed(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
