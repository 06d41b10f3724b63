"""What a comparison says, in sentences that can be quoted as they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from kemm.results.comparison.controls_record import Control, Controls
from kemm.results.comparison.leaks_record import Leak
from kemm.results.comparison.records import (
    Ablated,
    AddedValue,
    MeanRow,
    NetBenefitGain,
    SimultaneousDifference,
    StudyComparison,
)
from kemm.results.document.numbers import count, decimal, months, p_value, percent, plural, signed
from kemm.results.records import Cell, ModelResult
from kemm.results.report.wording import Outcome, Titles, Verdict, listed

LEAKED: Final = "A leak in the data makes these numbers worthless."
QUESTION: Final = "Does it add to what the clinic knows?"
UNLIKELY: Final = 0.05
"""Below this p-value, a likelihood-ratio test is said to show something."""

INPUT_NAMES: Final = {
    "covariates": "clinical covariates",
    "report": "refined reports",
    "background": "background knowledge",
    "genes": "gene groups",
    "slides": "slides",
    "site": "hospital codes",
}

NRI_CAUTION: Final = (
    "Continuous net reclassification can lie above zero for a risk that tells nothing; by itself it proves "
    "nothing."
)

CONTROLS_NOT_ASKED: Final = "Controls were not asked for:"
CONTROLS_COMMAND: Final = "kemm compare STUDY --controls"

CONTROL_TITLES: Final = {
    "permuted outcomes": "Outcomes that belong to others",
    "planted signal": "A signal that was planted",
    "noise": "Noise that was added",
    "site alone": "The hospital by itself",
}

Standing = Literal["passed", "failed", "warning", "undecided"]


# --- does it add? ------------------------------------------------------------------------------


def side_of_zero(low: float | None, high: float | None) -> Outcome | None:
    """Where all of an interval lies; None without an interval."""
    if low is None or high is None:
        return None
    return "better" if low > 0 else "worse" if high < 0 else "unclear"


def answer(study: StudyComparison, titles: Titles, cohort: str) -> Verdict:
    """Whether the main model adds to the clinical one, by how much, how sure."""
    if study.reference is None:
        return Verdict(
            "Cannot be answered",
            None,
            f"There are no covariates in {cohort}, so what {titles[study.main]} adds to them cannot be said.",
            ["How well each model ranks the patients stands in the table of models."],
        )
    entry = next((each for each in study.added_value if each.model == study.main), None)
    if entry is None:
        return Verdict(
            "Not computed",
            None,
            f"What {titles[study.main]} adds to {titles[study.reference]} on {cohort} was not computed.",
            [],
        )
    sentence = gain_sentence(entry, Subject(titles[entry.model]), titles[entry.reference], cohort)
    if study.leaks.errors:
        # Whatever the interval: a leak of this kind can make any of it.
        return Verdict(
            "Not to be relied on", None, f"{LEAKED} As they stand: {sentence}", details(entry, titles)
        )
    found = side_of_zero(entry.c_gain.low, entry.c_gain.high)
    words: dict[Outcome | None, str] = {
        "better": "Yes",
        "unclear": "Not shown",
        "worse": "No",
        None: "No answer",
    }
    return Verdict(words[found], found, sentence, details(entry, titles))


@dataclass(frozen=True)
class Subject:
    """Who adds: a model by its title, or what a simple model reads."""

    words: str
    """As they stand within a sentence."""
    is_many: bool = False

    @property
    def first(self) -> str:
        """As they stand at its beginning."""
        return self.words[:1].upper() + self.words[1:]

    def verb(self, one: str, many: str) -> str:
        """The form that belongs to it."""
        return many if self.is_many else one


def gain_sentence(entry: AddedValue, subject: Subject, reference: str, cohort: str) -> str:
    """ "KEMM adds 0.021 (95% interval 0.003 to 0.040) to the C of Clinical Cox on the kidney cohort." """
    gain, add = entry.c_gain, subject.verb("adds", "add")
    if gain.value is None:
        return f"Whether {subject.words} {add} to {reference} on {cohort} cannot be said: {_reason(gain)}."
    match side_of_zero(gain.low, gain.high):
        case None:
            return (
                f"With {subject.words}, the C of {reference} on {cohort} changes by {signed(gain.value)}; there is no "
                "interval, so no gain is shown."
            )
        case "better":
            return f"{subject.first} {add} {_size(gain)} to the C of {reference} on {cohort}."
        case "worse":
            take = subject.verb("takes", "take")
            return f"{subject.first} {take} {_size(gain)} from the C of {reference} on {cohort}."
        case "unclear":
            return (
                f"{subject.first} {subject.verb('is', 'are')} not shown to add to {reference} on {cohort}: C changes by "
                f"{signed(gain.value)}{_interval(gain, 3, plus=True)}, and the interval includes zero."
            )


def _size(gain: Cell) -> str:
    """Without its sign, which the verb tells."""
    if gain.value is None or gain.low is None or gain.high is None:
        return ""
    low, high = sorted((abs(gain.low), abs(gain.high)))
    return f"{decimal(abs(gain.value))} (95% interval {decimal(low)} to {decimal(high)})"


def other_sentences(study: StudyComparison, titles: Titles, cohort: str) -> list[str]:
    """A sentence for each model but the main one: of what it reads, where a simple model reads something new."""
    models = {model.name: model for model in study.evaluation.models}
    sentences = []
    for entry in study.added_value:
        if entry.model == study.main:
            continue
        model, reference = models.get(entry.model), models.get(entry.reference)
        title = titles[entry.reference]
        new = _new_inputs(model, reference)
        if not new:
            sentences.append(gain_sentence(entry, Subject(titles[entry.model]), title, cohort))
            continue
        if reference is not None and reference.inputs == ["covariates"]:
            title = f"{INPUT_NAMES['covariates']} ({title})"
        subject = Subject(listed(new), is_many=new != [INPUT_NAMES["background"]])
        sentences.append(f"{gain_sentence(entry, subject, title, cohort)} Read by {titles[entry.model]}.")
    return sentences


def _new_inputs(model: ModelResult | None, reference: ModelResult | None) -> list[str]:
    """What a comparator reads and the reference does not; nothing of networks, which are more than their inputs."""
    if model is None or reference is None or model.role != "comparator":
        return []
    return [INPUT_NAMES.get(name, name) for name in model.inputs if name not in reference.inputs]


def details(entry: AddedValue, titles: Titles) -> list[str]:
    """What stands behind the answer: both values, the test, the hazard ratio, net benefit, reclassification."""
    model, reference = titles[entry.model], titles[entry.reference]
    told = []
    if entry.c_reference.value is not None and entry.c_combined.value is not None:
        p = "" if entry.c_gain_p is None else f" ({p_value(entry.c_gain_p)})"
        told.append(
            f"Harrell's C is {decimal(entry.c_reference.value)} for {reference} alone and "
            f"{decimal(entry.c_combined.value)} with {model} added{p}, on {plural(entry.cases, 'patient')} with "
            f"{plural(entry.events, 'event')}."
        )
    told.append(_likelihood_ratio(entry, model, reference))
    if entry.hazard_ratio.value is not None:
        told.append(
            f"Of two patients with the same risk by {reference}, one whose log risk by {model} is one standard deviation "
            f"higher has {decimal(entry.hazard_ratio.value, 2)}{_interval(entry.hazard_ratio, 2)} times the hazard."
        )
    told.append(_net_benefit(entry, reference))
    told.append(_reclassification(entry))
    return [each for each in told if each]


def _likelihood_ratio(entry: AddedValue, model: str, reference: str) -> str:
    if entry.chi_squared.value is None or entry.p is None:
        return f"Likelihood-ratio test: no value, {_reason(entry.chi_squared)}."
    freedom = plural(entry.degrees_of_freedom, "degree") + " of freedom"
    shows = "tells something" if entry.p < UNLIKELY else "is not shown to tell anything"
    sentence = (
        f"Likelihood-ratio test: {model} {shows} of the outcome that {reference} does not "
        f"(chi-squared {decimal(entry.chi_squared.value, 1)}, {freedom}, {p_value(entry.p)})."
    )
    found = side_of_zero(entry.c_gain.low, entry.c_gain.high)
    if entry.p < UNLIKELY and found == "unclear":
        sentence += " Yet it is not shown to improve how patients are ranked."
    if entry.new_share.value is not None:
        sentence += f" Of what both explain together, {percent(entry.new_share.value)} needs {model}."
    return sentence


def _net_benefit(entry: AddedValue, reference: str) -> str:
    known = [row for row in entry.net_benefit if row.gain.value is not None]
    if not known:
        reasons = [_reason(row.gain) for row in entry.net_benefit]
        return f"Net benefit: no value, {reasons[0]}." if reasons else ""
    by = "" if entry.horizon_months is None else f" by {months(entry.horizon_months)}"
    sides = [side_of_zero(row.gain.low, row.gain.high) for row in known]
    parts = []
    for side, word in (("better", "above"), ("worse", "below")):
        rows = [row for row, found in zip(known, sides, strict=True) if found == side]
        if rows:
            parts.append(f"{word} it at {_thresholds(rows, known)}")
    if not parts:
        return (
            f"Net benefit{by} is not shown to differ from that of {reference} at any of "
            f"{plural(len(known), 'threshold')}."
        )
    return (
        f"Net benefit{by}, compared with {reference}: {' and '.join(parts)}; thresholds judged one by one, each by its "
        "own interval."
    )


def _thresholds(rows: Sequence[NetBenefitGain], known: Sequence[NetBenefitGain]) -> str:
    if len(rows) == 1:
        return f"a threshold of {percent(rows[0].threshold)} (of {len(known)} looked at)"
    ends = min(row.threshold for row in rows), max(row.threshold for row in rows)
    return f"{len(rows)} of {len(known)} thresholds, from {percent(ends[0])} to {percent(ends[1])}"


def _reclassification(entry: AddedValue) -> str:
    if entry.nri.value is None:
        return ""
    by = "" if entry.horizon_months is None else f" by {months(entry.horizon_months)}"
    halves = [
        f"{name} {signed(cell.value, 2)}"
        for name, cell in (("with the event", entry.nri_with_event), ("free of it", entry.nri_event_free))
        if cell.value is not None
    ]
    parts = f"; {', '.join(halves)}" if halves else ""
    return (
        f"Net reclassification{by}: {signed(entry.nri.value, 2)}{_interval(entry.nri, 2, plus=True)}{parts}. "
        f"{NRI_CAUTION}"
    )


def overall(verdicts: Sequence[Verdict], main: str) -> Verdict:
    """One answer for several cohorts, each judged by itself."""
    shown = sum(each.outcome == "better" for each in verdicts)
    lost = sum(each.outcome == "worse" for each in verdicts)
    answered = sum(each.outcome is not None for each in verdicts)
    cohorts = plural(len(verdicts), "cohort")
    if not answered:
        return Verdict("Cannot be answered", None, f"Not on any of {cohorts}; the reasons stand below.", [])
    if shown == len(verdicts):
        return Verdict(
            "Yes", "better", f"{main} is shown to add to the clinical model on all of {cohorts}.", []
        )
    parts = [
        f"{main} is shown to add to the clinical model on {shown or 'none'} of {cohorts}",
        *([f"it takes from it on {lost}"] if lost else []),
        *([f"there is no answer for {len(verdicts) - answered}"] if answered < len(verdicts) else []),
    ]
    sentence = f"{'; '.join(parts)}."
    if shown:
        return Verdict(f"On {shown} of {cohorts}", "unclear", sentence, [])
    return (
        Verdict("No", "worse", sentence, [])
        if lost == answered
        else Verdict("Not shown", "unclear", sentence, [])
    )


def mean_sentence(row: MeanRow) -> str:
    """The mean gain of a model over all cohorts, each of which counts the same."""
    if row.gain is None:
        return ""
    if row.gain.value is None:
        return f"The mean difference of {row.title} to the clinical model has no value: {_reason(row.gain)}."
    shown = {
        "better": "",
        "worse": "",
        "unclear": " The interval includes zero: no difference is shown.",
        None: "",
    }[side_of_zero(row.gain.low, row.gain.high)]
    return (
        f"Over {plural(row.cohorts, 'cohort')}, the C of {row.title} alone less that of the clinical model alone is "
        f"{signed(row.gain.value)}{_interval(row.gain, 3, plus=True)} on average.{shown}"
    )


# --- differences ---------------------------------------------------------------------------------


def together(difference: SimultaneousDifference) -> Outcome:
    """What the interval shows that holds for all differences at once."""
    return side_of_zero(difference.simultaneous_low, difference.simultaneous_high) or "unclear"


@dataclass(frozen=True)
class Told:
    """What is said of a difference, and whether that is good news."""

    word: str
    tone: Outcome


DIFFERENCE_WORDS: Final[Mapping[Outcome, Told]] = {
    "better": Told("better", "better"),
    "worse": Told("worse", "worse"),
    "unclear": Told("not told apart", "unclear"),
}
PART_WORDS: Final[Mapping[Outcome, Told]] = {
    "better": Told("better without it", "worse"),
    "worse": Told("the part helps", "better"),
    "unclear": Told("not shown to help", "unclear"),
}
MODALITIES_WORDS: Final[Mapping[Outcome, Told]] = {
    "better": Told("better than all together", "worse"),
    "worse": Told("worse than all together", "unclear"),
    "unclear": Told("not told apart", "unclear"),
}
FAMILY_WORDS: Final = {"part": PART_WORDS, "modalities": MODALITIES_WORDS}


def ablation_sentence(changes: Sequence[tuple[Ablated, SimultaneousDifference]]) -> str:
    """Without what it is worse, without what better, and of what neither is shown."""
    found: dict[Outcome, list[str]] = {"worse": [], "better": [], "unclear": []}
    for ablated, difference in changes:
        found[together(difference)].append(ablated.change)
    heads = {"worse": "Worse", "better": "Better", "unclear": "No difference is shown"}
    return " ".join(f"{heads[side]}: {'; '.join(names)}." for side, names in found.items() if names)


# --- controls and leaks ----------------------------------------------------------------------------


def standing(control: Control) -> Standing:
    """A word for a control."""
    if control.passed is None:
        return "undecided"
    if control.passed:
        return "passed"
    return "failed" if control.is_fault else "warning"


def controls_sentence(controls: Controls) -> str:
    """ "Of 9 controls, 7 passed, 1 failed, 1 is undecided." """
    all_of_them = controls.controls
    if not all_of_them:
        return "No model could be put through a control."
    counts = [
        (sum(each.passed is True for each in all_of_them), "passed"),
        (len(controls.faults), "failed"),
        (len(controls.warnings), "did not pass, which is a warning and no fault"),
        (len(controls.undecided), "undecided"),
    ]
    told = [f"{count(number)} {word}" for number, word in counts if number]
    return f"Of {plural(len(all_of_them), 'control')}: {', '.join(told)}."


def failure(control: Control, titles: Titles) -> str:
    """A control that did not pass, in a sentence."""
    value = "" if control.value is None else f": {control_value(control)}"
    note = f" {control.note}" if control.note else ""
    verb = "failed" if control.is_fault else "did not pass (a warning)"
    return f"Control “{control.name}” of {titles[control.model]} {verb}{value}.{note}"


def control_value(control: Control) -> str:
    """What the criterion is about, with its interval; empty where it could not be had."""
    if control.value is None:
        return ""
    ends = (
        f" (95% interval {written(control, control.low)} to {written(control, control.high)})"
        if control.low is not None and control.high is not None
        else ""
    )
    return f"{written(control, control.value)}{ends}"


def written(control: Control, value: float) -> str:
    """A C as it is; a change of C with its sign."""
    return decimal(value) if control.name in ("permuted outcomes", "site alone") else signed(value)


def where(leak: Leak) -> str:
    """ "12 patients; columns age, stage; folds 0, 3"."""
    parts = [
        plural(len(leak.cases), "patient") if leak.cases else "",
        f"{'column' if len(leak.columns) == 1 else 'columns'} {', '.join(leak.columns)}"
        if leak.columns
        else "",
        f"{'fold' if len(leak.folds) == 1 else 'folds'} {', '.join(map(str, leak.folds))}"
        if leak.folds
        else "",
    ]
    return "; ".join(part for part in parts if part)


def leaks_sentence(leaks: Sequence[Leak]) -> str:
    """ "1 error, 2 notes." """
    counts = [(sum(leak.severity == name for leak in leaks), name) for name in ("error", "warning", "note")]
    return f"{', '.join(plural(number, name) for number, name in counts if number)}."


# --- pieces ------------------------------------------------------------------------------------------


def _interval(cell: Cell, places: int, *, plus: bool = False) -> str:
    if cell.low is None or cell.high is None:
        return ""
    write = signed if plus else decimal
    return f" (95% interval {write(cell.low, places)} to {write(cell.high, places)})"


def _reason(cell: Cell) -> str:
    return cell.reason or "it is undefined"
