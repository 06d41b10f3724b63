"""From records to the page: what stands where, in which order, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol, TypeVar

from kemm.results.document import render_document
from kemm.results.records import (
    AttentionPair,
    CaseStory,
    Cell,
    Driver,
    Evaluation,
    Explanation,
    ModelResult,
    RunRecord,
)
from kemm.results.report import panels, strips, wording
from kemm.results.report.figures import SERIES, Series
from kemm.results.report.panels import Panel
from kemm.results.report.wording import Titles

MODALITY_TITLES: Final = {
    "report": "Pathology report",
    "background": "Background knowledge",
    "genes": "Gene groups",
    "slides": "Slide regions",
    "covariates": "Covariates",
}
ROLE_TITLES: Final = {
    "kemm": "KEMM",
    "baseline": "Networks of the field",
    "comparator": "Comparators",
    "control": "Controls",
}
"""Groups of the table of models; what has another role has a section of its own."""
CERTAINTIES: Final = ("most certain", "least certain", "highest risk", "lowest risk")
METRIC_ORDER: Final = ("uno_c", "auc", "ibs", "ibs_skill", "calibration_slope")

DRIVERS_SHOWN: Final = 8
"""Of each modality; the rest folds away."""
ATTENTION_SHOWN: Final = 20
INPUT_FILES_SHOWN: Final = 100
SHARED_FILTERS: Final[dict[str, Callable[..., object]]] = {"metric": wording.metric_title}
SHARED_EVERYWHERE: Final = {"strips": strips, "wording": wording, "input_files_shown": INPUT_FILES_SHOWN}
"""What every template of this package may use."""
LONGEST_QUOTE: Final = 300
"""Characters of a quoted report sentence."""


class OfModel(Protocol):
    """A record about one model."""

    @property
    def model(self) -> str:
        """The model's name."""
        ...


Item = TypeVar("Item", bound=OfModel)


@dataclass(frozen=True)
class DriverGroup:
    """The drivers of one modality, strongest first."""

    title: str
    shown: list[Driver]
    folded: list[Driver]


@dataclass(frozen=True)
class Page:
    """What the templates show beyond the records themselves."""

    evaluation: Evaluation
    explanation: Explanation | None
    run: RunRecord
    prefix: str = ""
    """Of every id, where a document has several such pages."""

    @cached_property
    def titles(self) -> Titles:
        """A model's title by its name."""
        return Titles({model.name: model.title for model in self.evaluation.models})

    @cached_property
    def main(self) -> str:
        """The model the headline is about, else the one explained, else the first KEMM, else the first."""
        if self.evaluation.headline is not None:
            return self.evaluation.headline.model
        if self.explanation is not None:
            return self.explanation.model
        models = sorted(self.evaluation.models, key=lambda model: model.role != "kemm")
        return models[0].name if models else ""

    @cached_property
    def baseline(self) -> str | None:
        """The clinical model of the headline."""
        return self.evaluation.headline.baseline if self.evaluation.headline else None

    @cached_property
    def verdict(self) -> wording.Verdict:
        """The answer."""
        return wording.verdict(self.evaluation, self.titles)

    @cached_property
    def headline_panel(self) -> Panel | None:
        """The answer as a picture."""
        difference = self.evaluation.headline
        return (
            None if difference is None else panels.headline_panel(difference, self.titles, prefix=self.prefix)
        )

    @cached_property
    def model_groups(self) -> list[tuple[str, list[ModelResult]]]:
        """Rows of the table under the headings of their roles, the main model first."""
        ranked = sorted(self.evaluation.models, key=lambda model: model.name != self.main)
        groups = [
            (title, [model for model in ranked if model.role == role]) for role, title in ROLE_TITLES.items()
        ]
        return [(title, models) for title, models in groups if models]

    @cached_property
    def c_scale(self) -> strips.Scale:
        """One scale for all rows: every interval and every fold fits."""
        cells = [(model.metrics.get("harrell_c", Cell()), model.fold_c) for model in self.evaluation.models]
        ends = [value for cell, folds in cells for value in (cell.value, cell.low, cell.high, *folds)]
        return strips.scale_around((value for value in ends if value is not None), reference=0.5, width=260)

    @cached_property
    def other_metrics(self) -> list[str]:
        """All metrics of any model but Harrell's C, in a fixed order."""
        names = {name for model in self.evaluation.models for name in model.metrics} - {"harrell_c"}

        def place(name: str) -> tuple[int, float, str]:
            kind, _, horizon = name.partition("@")
            return (
                METRIC_ORDER.index(kind) if kind in METRIC_ORDER else len(METRIC_ORDER),
                _number(horizon),
                name,
            )

        return sorted(names, key=place)

    @cached_property
    def difference_scale(self) -> strips.Scale:
        """One scale for all differences."""
        items = self.evaluation.differences
        return strips.symmetric_scale(
            (end for item in items for end in (item.low, item.value, item.high)), width=240, has_axis=True
        )

    def is_partial(self, cell: Cell) -> bool:
        """Whether a cell stands on fewer cases than the cohort has."""
        return 0 < cell.cases < self.evaluation.cohort.cases

    def cases_of(self, model: ModelResult) -> int | None:
        """The cases of a whole row where all its cells stand on the same, fewer than the cohort's."""
        counts = {cell.cases for cell in model.metrics.values()}
        if len(counts) == 1 and all(self.is_partial(cell) for cell in model.metrics.values()):
            return counts.pop()
        return None

    def fold_c(self, name: str | None, place: int) -> float | None:
        """Harrell's C of a model on the fold in this place."""
        for model in self.evaluation.models:
            if model.name == name and place < len(model.fold_c):
                return model.fold_c[place]
        return None

    @cached_property
    def styles(self) -> dict[str, Series]:
        """One look a model, the same in every figure; models beyond the looks are not drawn."""
        first = [name for name in (self.main, self.baseline) if name]
        others = [
            model.name for _, models in self.model_groups for model in models if model.name not in first
        ]
        looks = SERIES if self.baseline else (SERIES[0], *SERIES[2:])
        return dict(zip([*first, *others], looks, strict=False))

    @cached_property
    def risk_groups(self) -> list[Panel]:
        """Kaplan-Meier by risk group, the main model first."""
        groups = [groups for groups in self._main_first(self.evaluation.risk_groups) if groups.curves]
        return [
            panels.kaplan_meier_panel(group, number=number, titles=self.titles, prefix=self.prefix)
            for number, group in enumerate(groups)
        ]

    @cached_property
    def calibrations(self) -> list[Panel]:
        """Calibration, the main model first."""
        known = [points for points in self._main_first(self.evaluation.calibration) if points.points]
        return [
            panels.calibration_panel(points, number=number, titles=self.titles, prefix=self.prefix)
            for number, points in enumerate(known)
        ]

    @cached_property
    def time_auc(self) -> Panel | None:
        """AUC over time."""
        if not any(curve.months and curve.model in self.styles for curve in self.evaluation.time_auc):
            return None
        return panels.time_auc_panel(self.evaluation.time_auc, self.styles, self.titles, prefix=self.prefix)

    @cached_property
    def auc_months(self) -> list[float]:
        """Every time at which any model has an AUC."""
        return sorted({month for curve in self.evaluation.time_auc for month in curve.months})

    @cached_property
    def decision(self) -> Panel | None:
        """The decision curve."""
        curve = self.evaluation.decision
        if curve is None or not curve.thresholds:
            return None
        return panels.decision_panel(
            curve, self.styles, main=self.main, titles=self.titles, prefix=self.prefix
        )

    @cached_property
    def planted_scale(self) -> strips.Scale:
        """One scale for planted and estimated effects."""
        planted = self.evaluation.truth.planted if self.evaluation.truth else []
        pairs = [(signal.true_effect, signal.estimated_effect) for signal in planted]
        effects = [effect for pair in pairs for effect in pair if effect is not None]
        return strips.symmetric_scale(effects, width=240, has_axis=True)

    @cached_property
    def drivers(self) -> list[DriverGroup]:
        """What moved the risk, by modality; the modality with the strongest driver first."""
        everything = sorted(
            self.explanation.drivers if self.explanation else [],
            key=lambda driver: (-driver.mean_abs_effect, driver.name),
        )
        modalities = list(dict.fromkeys(driver.modality for driver in everything))
        groups = [[driver for driver in everything if driver.modality == modality] for modality in modalities]
        return [
            DriverGroup(MODALITY_TITLES[group[0].modality], group[:DRIVERS_SHOWN], group[DRIVERS_SHOWN:])
            for group in groups
        ]

    @cached_property
    def driver_scale(self) -> strips.Scale:
        """One scale for all modalities, so that their bars compare."""
        drivers = self.explanation.drivers if self.explanation else []
        return strips.symmetric_scale((driver.mean_abs_effect for driver in drivers), width=200)

    @cached_property
    def attention(self) -> list[AttentionPair]:
        """The strongest pairs."""
        pairs = self.explanation.attention if self.explanation else []
        return sorted(pairs, key=lambda pair: -pair.weight)[:ATTENTION_SHOWN]

    @cached_property
    def attention_scale(self) -> strips.Scale:
        """From nothing to the strongest pair, or to the even share."""
        return strips.Scale(0.0, max([1.0, *(pair.weight for pair in self.attention)]), 120, 0.0)

    @cached_property
    def stories(self) -> list[tuple[str, list[CaseStory]]]:
        """Cases under the reason they were chosen."""
        cases = self.explanation.cases if self.explanation else []
        groups = [
            (reason.capitalize(), [case for case in cases if case.certainty == reason])
            for reason in CERTAINTIES
        ]
        return [(reason, chosen) for reason, chosen in groups if chosen]

    @cached_property
    def case_scale(self) -> strips.Scale:
        """One scale for every effect in every case."""
        effects: list[float] = []
        for _, cases in self.stories:
            for case in cases:
                effects += [statement.effect for statement in case.statements if statement.effect is not None]
                effects += [driver.mean_effect for driver in [*case.gene_groups, *case.slide_tokens]]
                effects += case.covariate_effects.values()
        return strips.symmetric_scale(effects, width=110)

    @property
    def limits(self) -> list[tuple[str, str]]:
        """What the numbers cannot say: in a word or two, then in full."""
        notes = self.explanation.notes if self.explanation else []
        is_synthetic = self.evaluation.truth is not None
        told = wording.limits([self.run.background_author], is_synthetic=is_synthetic)
        absent = [("Not in this report:", f"{', '.join(self.absent)}.")] if self.absent else []
        return [*told, *(("", note) for note in notes), *absent]

    @cached_property
    def contents(self) -> list[tuple[str, str]]:
        """The sections this page has: id and title."""
        sections = [
            ("answer", "Answer", True),
            ("cohort", "Patients", True),
            ("folds", "Folds", bool(self.evaluation.folds)),
            ("models", "Models", bool(self.evaluation.models)),
            ("differences", "Differences", bool(self.evaluation.differences)),
            ("groups", "Risk groups", bool(self.risk_groups)),
            ("calibration", "Calibration", bool(self.calibrations)),
            ("auc", "AUC over time", self.time_auc is not None),
            ("decision", "Decision curve", self.decision is not None),
            ("truth", "Truth and estimate", self.evaluation.truth is not None),
            ("knowledge", "What drove the risk", bool(self.drivers or self.attention)),
            ("cases", "Single patients", bool(self.stories)),
            ("settings", "Settings", True),
            ("limits", "Limits", True),
        ]
        return [(key, title) for key, title, present in sections if present]

    @cached_property
    def absent(self) -> list[str]:
        """Sections a reader may look for and not find. Truth is known of synthetic cohorts only."""
        present = {key for key, _ in self.contents}
        expected = {
            "differences": "paired differences",
            "groups": "Kaplan-Meier by risk group",
            "calibration": "calibration",
            "auc": "AUC over time",
            "decision": "decision curve",
            "knowledge": "what drove the risk",
            "cases": "single patients",
        }
        return [title for key, title in expected.items() if key not in present]

    def _main_first(self, items: Sequence[Item]) -> list[Item]:
        first = {self.main: 0, self.baseline: 1}
        return sorted(items, key=lambda item: first.get(item.model, 2))


def render_report(evaluation: Evaluation, explanation: Explanation | None, run: RunRecord) -> str:
    """The whole report as one HTML document; the same records give the same bytes."""
    return render_document(
        "kemm.results.report",
        "report.html.j2",
        filters={
            **SHARED_FILTERS,
            "quoted": _quoted,
            "effect_pairs": lambda drivers: [(driver.name, driver.mean_effect) for driver in drivers],
            "by_horizon": lambda curve: sorted(curve.items(), key=lambda item: _number(item[0])),
        },
        everywhere=SHARED_EVERYWHERE,
        pictures=any(case.heatmaps for case in explanation.cases) if explanation is not None else False,
        page=Page(evaluation, explanation, run),
        evaluation=evaluation,
        explanation=explanation,
        run=run,
    )


def _quoted(text: str) -> str:
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def _number(text: str) -> float:
    """For sorting: numbers by size, anything else after them."""
    try:
        return float(text)
    except ValueError:
        return float("inf")
