"""The page of a comparison: first whether the main model adds anything, then each cohort by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from kemm.results.comparison.controls_record import Control
from kemm.results.comparison.leaks_record import Leak
from kemm.results.comparison.records import (
    Ablated,
    AddedValue,
    Comparison,
    MeanRow,
    ModelCost,
    SimultaneousDifference,
    StudyComparison,
    SubgroupRow,
)
from kemm.results.document import render_document
from kemm.results.records import ModelResult
from kemm.results.report import comparison_panels, strips, wording
from kemm.results.report import comparison_wording as compared
from kemm.results.report.page import SHARED_EVERYWHERE, SHARED_FILTERS, Page
from kemm.results.report.panels import Panel
from kemm.results.report.wording import Titles, Verdict

FAMILY_TITLES: Final = {"part": "One part at a time", "modalities": "Subsets of the modalities"}


@dataclass(frozen=True)
class DifferenceFamily:
    """Differences that are judged together: as a picture, and row by row."""

    title: str
    panel: Panel
    rows: list[tuple[str, SimultaneousDifference]]
    """Each with the name it goes by here."""
    words: Mapping[wording.Outcome, compared.Told]
    sentence: str = ""


@dataclass(frozen=True, kw_only=True)
class StudyPage(Page):
    """What the templates show of one cohort: what a run's report has, and the comparison."""

    study: StudyComparison
    name: str
    """Of the cohort, unlike that of any other here."""

    @cached_property
    def main(self) -> str:
        """The comparison says which."""
        return self.study.main

    @cached_property
    def baseline(self) -> str | None:
        """The clinical model."""
        return self.study.reference

    @cached_property
    def answer(self) -> Verdict:
        """Whether the main model adds to the clinical one."""
        return compared.answer(self.study, self.titles, self.name)

    @cached_property
    def others(self) -> list[str]:
        """The same of every other model, in a sentence each."""
        return compared.other_sentences(self.study, self.titles, self.name)

    @property
    def alarms(self) -> list[str]:
        """What a reader has to know before anything else: leaks that spoil the results, controls that failed."""
        controls = self.study.controls
        return [
            *(f"{leak.told} {leak.remedy}" for leak in self.study.leaks.errors),
            *(compared.failure(each, self.titles) for each in (controls.faults if controls else [])),
            *(compared.failure(each, self.titles) for each in (controls.warnings if controls else [])),
            *self.evaluation.warnings,
        ]

    @property
    def net_benefits(self) -> list[AddedValue]:
        """Those with a value at some threshold."""
        return [
            each
            for each in self.study.added_value
            if any(row.gain.value is not None for row in each.net_benefit)
        ]

    @cached_property
    def gains(self) -> Panel | None:
        """What each model adds, as a picture."""
        entries = self.study.added_value
        return comparison_panels.gains_panel(entries, self.titles) if entries else None

    @cached_property
    def costs(self) -> list[tuple[str, list[tuple[ModelResult, ModelCost]]]]:
        """In the order of the table of models; ablations last."""
        cost_of = {cost.model: cost for cost in self.study.costs}
        ablations = [model for model in self.evaluation.models if model.role == "ablation"]
        groups = [*self.model_groups, ("Ablations", ablations)]
        known = [
            (title, [(model, cost_of[model.name]) for model in models if model.name in cost_of])
            for title, models in groups
        ]
        return [(title, rows) for title, rows in known if rows]

    @cached_property
    def families(self) -> list[DifferenceFamily]:
        """The main model minus each other one, and each model minus the clinical one."""
        found = []
        if rows := self.study.differences:
            found.append(
                DifferenceFamily(
                    f"{self.titles[self.main]} minus each other model",
                    comparison_panels.differences_panel(rows, self.titles),
                    [(self.titles[each.baseline], each) for each in rows],
                    compared.DIFFERENCE_WORDS,
                )
            )
        if rows := self.study.against_reference:
            found.append(
                DifferenceFamily(
                    f"Each model minus {self.titles[rows[0].baseline]}",
                    comparison_panels.against_panel(rows, self.titles),
                    [(self.titles[each.model], each) for each in rows],
                    compared.DIFFERENCE_WORDS,
                )
            )
        return found

    @cached_property
    def ablations(self) -> list[DifferenceFamily]:
        """What each part is worth: parts, then subsets of modalities."""
        difference_of = {each.model: each for each in self.study.ablation_differences}
        found = []
        for family, title in FAMILY_TITLES.items():
            pairs: list[tuple[Ablated, SimultaneousDifference]] = [
                (each, difference_of[each.model])
                for each in self.study.ablations
                if each.family == family and each.model in difference_of
            ]
            if not pairs:
                continue
            changes = {each.model: each.change for each, _ in pairs}
            panel = comparison_panels.ablations_panel([one for _, one in pairs], changes, self.titles)
            rows = [(each.change, one) for each, one in pairs]
            sentence = compared.ablation_sentence(pairs)
            found.append(DifferenceFamily(title, panel, rows, compared.FAMILY_WORDS[family], sentence))
        return found

    @property
    def not_ablated(self) -> list[Ablated]:
        """Changes that have no difference."""
        known = {each.model for each in self.study.ablation_differences}
        return [each for each in self.study.ablations if each.model not in known]

    @cached_property
    def ranking(self) -> Panel | None:
        """Mean ranks of models."""
        found = self.study.ranking
        return comparison_panels.ranking_panel(found, self.titles) if found else None

    @cached_property
    def subgroup_panels(self) -> list[Panel]:
        """Gains by level, and whether they differ."""
        found = self.study.subgroups
        if found is None:
            return []
        panels = [comparison_panels.subgroups_panel(found, self.titles)]
        if any(row.interaction for table in found.tables for row in table.rows):
            panels.append(comparison_panels.interactions_panel(found, self.titles))
        return panels

    @property
    def subgroup_rows(self) -> list[tuple[str, list[SubgroupRow]]]:
        """Rows under their variable; first all patients, under none."""
        found = self.study.subgroups
        if found is None:
            return []
        return [("", [found.whole]), *((table.variable, table.rows) for table in found.tables)]

    @property
    def control_groups(self) -> list[tuple[str, list[Control]]]:
        """Controls by what was done."""
        controls = self.study.controls.controls if self.study.controls else []
        groups = [
            (title, [each for each in controls if each.name == name])
            for name, title in compared.CONTROL_TITLES.items()
        ]
        return [(title, rows) for title, rows in groups if rows]

    @property
    def leak_counts(self) -> list[tuple[Leak, str]]:
        """Each leak with where it is: columns and folds by name, cases by number."""
        return [(leak, compared.where(leak)) for leak in self.study.leaks.leaks]

    @cached_property
    def contents(self) -> list[tuple[str, str]]:
        """The sections of this cohort: id (less the prefix) and title."""
        sections = [
            ("added", "What each adds", bool(self.study.added_value)),
            ("models", "Models", bool(self.evaluation.models)),
            ("differences", "Differences", bool(self.families)),
            ("ablations", "Ablations", bool(self.study.ablations)),
            ("ranking", "Ranks", bool(self.ranking or self.study.ranking_note)),
            ("groups", "Risk groups", bool(self.risk_groups)),
            ("calibration", "Calibration", bool(self.calibrations)),
            ("curves", "Whole curves", bool(self.study.curve_calibration)),
            ("auc", "AUC over time", self.time_auc is not None),
            ("decision", "Decision curve", self.decision is not None),
            ("truth", "Truth and estimate", self.evaluation.truth is not None),
            ("subgroups", "Subgroups", self.study.subgroups is not None),
            ("controls", "Controls", True),
            ("leaks", "Leaks", True),
            ("repeats", "Repeated folds", bool(self.study.repeats)),
            ("cohort", "Patients", True),
            ("folds", "Folds", bool(self.evaluation.folds)),
            ("settings", "Settings", True),
        ]
        return [(key, title) for key, title, present in sections if present]


@dataclass(frozen=True)
class ComparisonPage:
    """What the templates show of all cohorts together."""

    comparison: Comparison

    @cached_property
    def studies(self) -> list[StudyPage]:
        """A page a cohort."""
        studies = self.comparison.studies
        names = Counter(study.evaluation.cohort.name for study in studies)
        return [
            StudyPage(
                evaluation=study.evaluation,
                explanation=None,
                run=study.run,
                prefix=f"study{number}-" if len(studies) > 1 else "",
                study=study,
                name=_unlike(study, names),
            )
            for number, study in enumerate(studies, start=1)
        ]

    @property
    def is_of_several(self) -> bool:
        """Whether there is more than one cohort."""
        return len(self.studies) > 1

    @cached_property
    def titles(self) -> Titles:
        """Of the models of all cohorts."""
        titles = Titles({row.model: row.title for row in self.comparison.mean})
        for study in self.studies:
            titles.update(study.titles)
        return titles

    @property
    def name(self) -> str:
        """Of the study, or how many there are."""
        if not self.is_of_several:
            return self.studies[0].evaluation.study if self.studies else "no study"
        return f"{len(self.studies)} cohorts"

    @cached_property
    def verdict(self) -> Verdict:
        """The answer for one cohort, or for all together."""
        if not self.studies:
            return Verdict("No comparison", None, "No study was compared.", [])
        if not self.is_of_several:
            return self.studies[0].answer
        mains = list(dict.fromkeys(study.titles[study.main] for study in self.studies))
        found = compared.overall([study.answer for study in self.studies], " or ".join(mains))
        return Verdict(found.word, found.outcome, found.sentence, self._mean_sentences)

    @property
    def _mean_sentences(self) -> list[str]:
        mains = {study.main for study in self.studies}
        return [
            compared.mean_sentence(row) for row in self.comparison.mean if row.model in mains and row.gain
        ]

    @cached_property
    def mean(self) -> list[MeanRow]:
        """The main model first, then the best mean C."""
        mains = {study.main for study in self.studies}
        return sorted(
            self.comparison.mean,
            key=lambda row: (row.model not in mains, -(row.c.value if row.c.value is not None else -1.0)),
        )

    @cached_property
    def mean_scale(self) -> strips.Scale:
        """One scale for the mean C of all models."""
        ends = [end for row in self.comparison.mean for end in (row.c.low, row.c.value, row.c.high)]
        return strips.scale_around((end for end in ends if end is not None), reference=0.5, width=220)

    @cached_property
    def ranking(self) -> Panel | None:
        """Mean ranks over cohorts."""
        found = self.comparison.ranking
        return comparison_panels.ranking_panel(found, self.titles) if found else None

    @property
    def limits(self) -> list[tuple[str, str]]:
        """What the numbers cannot say."""
        return wording.limits(
            [study.run.background_author for study in self.studies],
            is_synthetic=any(study.evaluation.truth for study in self.studies),
            cohorts=len(self.studies),
        )

    @cached_property
    def contents(self) -> list[tuple[str, str]]:
        """The sections of the page: id and title."""
        sections: Sequence[tuple[str, str]]
        if self.is_of_several:
            sections = [
                *([("mean", "Mean over cohorts")] if self.mean else []),
                *([("rank-of-cohorts", "Ranks over cohorts")] if self.ranking else []),
                *((f"{study.prefix}study", study.name) for study in self.studies),
            ]
        else:
            sections = [section for study in self.studies for section in study.contents]
        return [("answer", "Answer"), *sections, ("limits", "Limits")]


def render_comparison(comparison: Comparison) -> str:
    """A whole comparison as one HTML document; the same records give the same bytes."""
    return render_document(
        "kemm.results.report",
        "comparison.html.j2",
        filters=SHARED_FILTERS,
        everywhere={**SHARED_EVERYWHERE, "compared": compared},
        page=ComparisonPage(comparison),
        comparison=comparison,
        explanation=None,
    )


def _unlike(study: StudyComparison, names: Counter[str]) -> str:
    name = study.evaluation.cohort.name
    return name if names[name] == 1 else f"{name} ({study.evaluation.study})"
