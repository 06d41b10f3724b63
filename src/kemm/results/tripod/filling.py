"""From a run's records to answers. What no record says is left to a person."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from kemm.results.comparison.controls_record import Controls
from kemm.results.document.numbers import count, decimal, months, percent, plural
from kemm.results.records import Evaluation, ModelResult, RunRecord
from kemm.results.report import wording
from kemm.results.report.wording import Titles
from kemm.results.tripod.items import ITEMS
from kemm.results.tripod.records import AnsweredItem, Artefact, Checklist

REPORT = "report.html"
SHOWN = 12
"""Names in a list."""


@dataclass(frozen=True)
class _Said:
    """What the records say of an item, and what they leave to a person."""

    answer: str
    file: str
    anchor: str = ""
    person: str = ""


def fill_checklist(
    evaluation: Evaluation,
    run: RunRecord,
    *,
    present: Collection[str],
    controls: Controls | None = None,
) -> Checklist:
    """Answer every item as far as the records of a run do.

    `present`: the files in the run's folder. An answer whose artefact is not among them is not given.
    """
    facts = _Facts(evaluation, run, controls)
    answered = []
    for item in ITEMS:
        said = _ANSWERS[item.number](facts) if item.number in _ANSWERS else None
        if said is not None and said.file not in present:
            said = None
        status = "needs a person" if said is None else "partly" if said.person else "filled"
        answered.append(
            AnsweredItem.model_validate(
                {
                    "number": item.number,
                    "section": item.section,
                    "topic": item.topic,
                    "applies": item.applies,
                    "asks": item.asks,
                    "status": status,
                    "answer": said.answer if said else "",
                    "person": said.person
                    if said
                    else _FOR_A_PERSON.get(item.number, "No record of this run says."),
                    "artefact": Artefact(file=said.file, anchor=said.anchor) if said else None,
                }
            )
        )
    return Checklist(
        study=evaluation.study,
        run=evaluation.run,
        started=run.started,
        version=run.environment.get("kemm", "unknown"),
        items=answered,
    )


@dataclass(frozen=True)
class _Facts:
    """The records, and what several answers need of them."""

    evaluation: Evaluation
    run: RunRecord
    controls: Controls | None

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """As used."""
        read = yaml.safe_load(self.run.study_yaml)
        return read if isinstance(read, dict) else {}

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of the settings; empty where there is none."""
        found = self.settings.get(name)
        return found if isinstance(found, dict) else {}

    @cached_property
    def main(self) -> ModelResult | None:
        """The model the headline is about, else the last of the table's networks, else the last."""
        models = self.evaluation.models
        wanted = self.evaluation.headline.model if self.evaluation.headline else None
        named = [model for model in models if model.name == wanted]
        networks = [model for model in models if model.role == "kemm"]
        return next(iter(named or networks[-1:] or models[-1:]), None)

    @cached_property
    def who(self) -> str:
        """Of whom: "480 patients with KIRC"."""
        types = sorted(self.evaluation.cohort.cancer_types)
        return f"{plural(self.evaluation.cohort.cases, 'patient')} with {_listed(types)}"

    @cached_property
    def titles(self) -> Titles:
        """A model's title by its name."""
        return Titles({model.name: model.title for model in self.evaluation.models})

    @property
    def endpoint(self) -> str:
        """What is predicted, in words where they are known."""
        name = self.evaluation.cohort.endpoint
        return wording.ENDPOINTS.get(name, name)

    @property
    def is_optimistic(self) -> bool:
        """Whether epochs were chosen on the cases whose results are reported."""
        return str(self.section("training").get("selection", "")).startswith("best-epoch")

    @property
    def epochs(self) -> str:
        """Where networks chose their epoch."""
        if self.is_optimistic:
            return "Networks chose their epoch on the reported cases, which flatters them."
        return "Networks chose their epoch on inner parts of the training part."

    @cached_property
    def dropped(self) -> str:
        """Who was left out, and why."""
        dropped = self.evaluation.cohort.dropped
        if not dropped:
            return "No case was left out."
        return (
            "Left out: " + "; ".join(f"{reason}: {count(cases)}" for reason, cases in dropped.items()) + "."
        )


def _title(facts: _Facts) -> _Said | None:
    if facts.main is None:
        return None
    return _Said(
        f"“Development and internal validation of a model for {facts.endpoint} in {facts.who}” would "
        "say what this run did.",
        REPORT,
        "answer",
        "Choose the title.",
    )


def _aims(facts: _Facts) -> _Said | None:
    compared = facts.evaluation.headline
    return _Said(
        "A model was developed and validated internally, by cross-validation; it was not evaluated on another cohort."
        + (
            f" The main comparison is of {facts.titles[compared.model]} with {facts.titles[compared.baseline]}."
            if compared
            else ""
        ),
        REPORT,
        "answer",
        "Say what the study was meant to find out, and whether that was written down before.",
    )


def _sources(facts: _Facts) -> _Said | None:
    if not facts.run.inputs:
        return None
    files = _listed(sorted(facts.run.inputs))
    return _Said(
        f"The same cohort served development and evaluation. Input files, with their SHA-256 in the record: {files}.",
        "run.json",
        person="Name the source (registry, trial, routine care), why it was chosen, and whom it represents.",
    )


def _centres(facts: _Facts) -> _Said | None:
    sites = facts.evaluation.cohort.sites
    if not sites:
        return None
    return _Said(
        f"Patients come from {plural(sites, 'centre')}.",
        REPORT,
        "cohort",
        "Say where they are, and what kind of care it is.",
    )


def _eligible(facts: _Facts) -> _Said | None:
    return _Said(
        f"Analysed were cases with a known outcome. {facts.dropped}",
        REPORT,
        "cohort",
        "Give the criteria by which patients came into the source.",
    )


def _prepared(facts: _Facts) -> _Said | None:
    other = facts.evaluation.cohort.other
    notes = "; ".join(f"{name}: {value}" for name, value in list(other.items())[:SHOWN])
    return _Said(
        "All inputs were checked before anything ran, and all that is learned from data was learned in the training part "
        "of each fold." + (f" {notes}." if notes else ""),
        REPORT,
        "cohort",
        "Say how data were made before they were given to kemm, and whether that was alike for all social groups.",
    )


def _outcome(facts: _Facts) -> _Said | None:
    cohort, horizons = facts.evaluation.cohort, facts.section("evaluation").get("horizons") or []
    until = f" Horizons: {_listed([months(float(month)) for month in horizons])}." if horizons else ""
    return _Said(
        f"{facts.endpoint.capitalize()} ({cohort.endpoint}), coded {cohort.event_coding}.{until}",
        REPORT,
        "cohort",
        "Say how and when the outcome was assessed, why this one, and whether it was assessed alike in all groups.",
    )


def _chosen(facts: _Facts) -> _Said | None:
    covariates = sorted(facts.evaluation.cohort.missing)
    if not facts.main:
        return None
    return _Said(
        f"Every covariate that the settings declare ({_listed(covariates) or 'none'}) and every modality that was given "
        f"({_listed(facts.main.inputs)}) entered; none was selected by the outcome before modelling.",
        REPORT,
        "settings",
        "Say why these were declared.",
    )


def _defined(facts: _Facts) -> _Said | None:
    cohort = facts.evaluation.cohort
    named = [f"{name} ({plural(cases, 'case')})" for name, cases in cohort.modalities.items()]
    return _Said(
        f"Modalities: {_listed(named)}. Covariates: {_listed(sorted(cohort.missing)) or 'none'}; how each is read is in the "
        "settings.",
        REPORT,
        "settings",
        "Say how and when each was measured, and whether whoever measured it knew the outcome.",
    )


def _readers(facts: _Facts) -> _Said | None:
    reader = facts.section("reports").get("refiner")
    if reader is None:
        return None
    return _Said(
        f"Reports were read by the refiner “{reader}”; each statement stands on a quote that was verified by code.",
        "run.json",
        person="Say who wrote the reports, and who measured anything else that takes judgement.",
    )


def _size(facts: _Facts) -> _Said | None:
    cohort = facts.evaluation.cohort
    return _Said(
        f"{plural(cohort.cases, 'case')} with {plural(cohort.events, 'event')}: all of the input whose outcome is known. kemm "
        "calculates no sample size.",
        REPORT,
        "cohort",
        "Say whether that is enough for the question.",
    )


def _missing(facts: _Facts) -> _Said | None:
    lacking = [f"{name} {count(cases)}" for name, cases in facts.evaluation.cohort.missing.items() if cases]
    return _Said(
        f"Cases without a value: {_listed(lacking) or 'none'}. A missing covariate takes the training mean (a category the "
        "commonest level) with a column that says so; a missing modality is absent from a network's input, and adds nothing to "
        f"a linear one. Models of one modality do not predict who lacks it. {facts.dropped}",
        REPORT,
        "cohort",
    )


def _divided(facts: _Facts) -> _Said | None:
    folds = facts.evaluation.folds
    if not folds:
        return None
    return _Said(
        f"{plural(len(folds), 'fold')}, {facts.evaluation.fold_kind}; no case is tested twice, nor by a model that was fitted "
        f"to it. {facts.epochs} Which case is where is in the file.",
        "folds.csv",
        person="Say why epochs were chosen on the reported cases." if facts.is_optimistic else "",
    )


def _forms(facts: _Facts) -> _Said | None:
    return _Said(
        "Numbers and ranks were standardised and categories coded against the commonest level, genomic values brought to one "
        "scale by data type, texts and patch features encoded; all fitted in the training part of each fold, with the "
        "settings in the record.",
        "run.json",
    )


def _model(facts: _Facts) -> _Said | None:
    if facts.main is None:
        return None
    seeds = facts.evaluation.seeds
    return _Said(
        f"{facts.main.title}: {facts.main.description.rstrip('.')}. Trained with {plural(len(seeds), 'seed')} whose mean is "
        f"the prediction. {facts.epochs} Other settings were the same in every fold, and not tuned in this run. Validated by "
        "cross-validation.",
        REPORT,
        "settings",
        "Say why this kind of model, and how its settings came about.",
    )


def _clusters(facts: _Facts) -> _Said | None:
    if not facts.evaluation.cohort.sites or not facts.evaluation.folds:
        return None
    shared = sum(fold.shared_site_share for fold in facts.evaluation.folds) / len(facts.evaluation.folds)
    return _Said(
        f"Folds are {facts.evaluation.fold_kind}: {percent(shared)} of test patients come from hospitals of the training "
        "part. Performance is shown by fold, and what the hospital's code predicts by itself stands in the table where it "
        "can be had. Parameters were not let to differ between hospitals.",
        REPORT,
        "folds",
        "Say whether that is enough for the clusters there are.",
    )


def _measures(facts: _Facts) -> _Said | None:
    if not facts.evaluation.definitions:
        return None
    titles = {**wording.METRICS, "auc": "AUC"}
    names = [titles[name] for name in facts.evaluation.definitions if name in titles]
    return _Said(
        f"Each measure is given with its definition: {_listed(names)}. Models were compared on the same patients, by "
        f"{count(facts.evaluation.bootstraps)} resamples.",
        REPORT,
        "models",
    )


def _calculated(facts: _Facts) -> _Said | None:
    return _Said(
        "Each fold's models predicted its test part: the risk and the survival of every case, model and seed are in the file.",
        "predictions.parquet",
    )


def _imbalance(facts: _Facts) -> _Said | None:
    return _Said(
        "No class was resampled or weighted: outcomes are times, and censored cases count until they were censored.",
        "run.json",
    )


def _output(facts: _Facts) -> _Said | None:
    if facts.evaluation.risk_groups:
        return _Said(
            "A log risk and a survival curve for each case. High and low risk are cut at the median predicted risk of the "
            "training part of each fold, before its test part is looked at.",
            REPORT,
            "groups",
        )
    return _Said(
        "A log risk and a survival curve for each case.",
        "predictions.parquet",
        person="Say whether cases are to be classified, and by which threshold.",
    )


def _unlike(facts: _Facts) -> _Said | None:
    if not facts.evaluation.folds:
        return None
    return _Said(
        "None by design: both parts of each fold are of one cohort, with the same criteria, outcome and predictors. "
        f"{wording.FOLD_KINDS.get(facts.evaluation.fold_kind, '')}".rstrip(),
        REPORT,
        "folds",
    )


def _code(facts: _Facts) -> _Said | None:
    if not facts.run.command:
        return None
    return _Said(
        f"kemm {facts.run.environment.get('kemm', 'of an unknown version')}, run as `{facts.run.command}`; versions and "
        "settings are in the record.",
        "run.json",
        person="Say where study.yaml and any code of the study's own can be had.",
    )


def _flow(facts: _Facts) -> _Said | None:
    cohort = facts.evaluation.cohort
    followed = cohort.median_follow_up_months
    return _Said(
        f"{facts.who}, {count(cohort.events)} with the event and {count(cohort.cases - cohort.events)} without; median "
        f"follow-up {'not reached' if followed is None else months(followed)}. {facts.dropped}",
        REPORT,
        "cohort",
    )


def _characteristics(facts: _Facts) -> _Said | None:
    return _Said(
        "Cases, events, follow-up, modalities and missing values are given for the whole cohort.",
        REPORT,
        "cohort",
        "Add a table of demographics, predictors and treatments, overall and by source and social group.",
    )


def _compared(facts: _Facts) -> _Said | None:
    if not facts.evaluation.folds:
        return None
    return _Said(
        "Sizes, events and hospitals of the training and test part of each fold.",
        REPORT,
        "folds",
        "Compare the distribution of important predictors, if a cohort of its own is evaluated.",
    )


def _counts(facts: _Facts) -> _Said | None:
    folds = facts.evaluation.folds
    if not folds:
        return None
    parts = [
        f"fold {fold.fold}: {fold.train_cases} cases ({fold.train_events} events) trained, "
        f"{fold.test_cases} ({fold.test_events}) tested"
        for fold in folds[:SHOWN]
    ]
    return _Said("; ".join(parts) + ".", REPORT, "folds")


def _specified(facts: _Facts) -> _Said | None:
    return _Said(
        "The weights of every network with the linear models it adds to, and what was fitted before the main one, are in the "
        "study's store under the keys in the file; kemm reads them.",
        "units.json",
        person="Say on which terms others can have them.",
    )


def _performance(facts: _Facts) -> _Said | None:
    cell = facts.main.metrics.get("harrell_c") if facts.main else None
    if facts.main is None or cell is None or cell.value is None or cell.low is None or cell.high is None:
        return None
    return _Said(
        f"{facts.main.title}: Harrell's C {decimal(cell.value)} (95 % interval {decimal(cell.low)} to {decimal(cell.high)}), "
        f"on {plural(cell.cases, 'case')} with {plural(cell.events, 'event')}; all measures and models are in the table.",
        REPORT,
        "models",
        "Give it for important subgroups too.",
    )


def _by_cluster(facts: _Facts) -> _Said | None:
    known = [value for value in facts.main.fold_c if value is not None] if facts.main else []
    if facts.main is None or len(known) < 2:
        return None
    is_by_site = facts.evaluation.fold_kind == "site-disjoint"
    return _Said(
        f"Harrell's C of {facts.main.title} runs from {decimal(min(known))} to {decimal(max(known))} over "
        f"{len(known)} folds" + (", each of hospitals of its own." if is_by_site else "."),
        REPORT,
        "folds",
        "" if is_by_site else "Folds share hospitals: give performance by hospital, if it was looked at.",
    )


def _not_updated(facts: _Facts) -> _Said | None:
    return _Said("Nothing was updated or recalibrated after evaluation.", "run.json")


def _meaning(facts: _Facts) -> _Said | None:
    if facts.evaluation.headline is None:
        return None
    verdict = wording.verdict(facts.evaluation, facts.titles)
    return _Said(
        f"{verdict.word}: {verdict.sentence}",
        REPORT,
        "answer",
        "Say what that means for the aims and for fairness, and beside earlier studies.",
    )


def _limits(facts: _Facts) -> _Said | None:
    known = ["Internal validation only: all patients come from one cohort.", *facts.evaluation.warnings]
    if facts.controls is not None:
        known += [f"The control “{one.name}” of {one.model} did not hold." for one in facts.controls.faults]
        known += [one.note for one in facts.controls.warnings]
    return _Said(
        " ".join(known), REPORT, "limits", "Add what the records cannot know, and what it does to bias."
    )


def _poor_input(facts: _Facts) -> _Said | None:
    return _Said(
        "The main model predicts a patient who lacks a modality or a covariate all the same, as in this run; a level that "
        "training did not have counts as none of those it had.",
        REPORT,
        "cohort",
        "Say when an input is too poor to be used.",
    )


_ANSWERS: Mapping[str, Callable[[_Facts], _Said | None]] = {
    "1": _title, "4": _aims, "5a": _sources, "6a": _centres, "6b": _eligible, "7": _prepared, "8a": _outcome,
    "9a": _chosen, "9b": _defined, "9c": _readers, "10": _size, "11": _missing, "12a": _divided, "12b": _forms,
    "12c": _model, "12d": _clusters, "12e": _measures, "12f": _not_updated, "12g": _calculated, "13": _imbalance,
    "15": _output, "16": _unlike, "18f": _code, "20a": _flow, "20b": _characteristics, "20c": _compared,
    "21": _counts, "22": _specified, "23a": _performance, "23b": _by_cluster, "24": _not_updated, "25": _meaning,
    "26": _limits, "27a": _poor_input,
}  # fmt: skip

_FOR_A_PERSON: Mapping[str, str] = {
    "1": "Write the title.",
    "2": "Write the abstract by its own list.",
    "3a": "Tell the context, and the models there are.",
    "3b": "Say for whom and for what the model is meant.",
    "3c": "Tell which inequalities are known.",
    "5b": "Give the dates: kemm sees times from diagnosis only.",
    "6a": "Say where patients come from: no hospital is known to kemm.",
    "6c": "Tell the treatments: kemm does not know them unless they are covariates.",
    "8b": "Say who judged the outcome.",
    "8c": "Say whether it was judged blindly.",
    "9c": "Say who measured what takes judgement.",
    "12d": "Say how clusters were dealt with: no hospital is known to kemm.",
    "14": "Say what was done for fairness: this run measured nothing by social group.",
    "17": "Name the committee, and tell of consent.",
    "18a": "Name the funders.",
    "18b": "Declare interests.",
    "18c": "Say where the protocol is.",
    "18d": "Say where the study is registered.",
    "18e": "Say how the data can be had.",
    "18f": "Say where the code can be had.",
    "19": "Tell of involvement, or that there was none.",
    "23a": "Give performance with intervals: none is in the records.",
    "23b": "Tell of performance by cluster, if it was looked at.",
    "25": "Say what the results mean.",
    "27b": "Say what users must do and know.",
    "27c": "Say what should come next.",
}
"""Of items, or of runs, of which the records say nothing."""


def _listed(names: Collection[str]) -> str:
    shown = list(names)[:SHOWN]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {count(more)} more" if more else "")
