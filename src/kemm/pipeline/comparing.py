"""Many models on the same folds of one or several studies: trained, held against each other, told in one page."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import yaml

from kemm.config import Study
from kemm.core.errors import Faults, UsageError
from kemm.core.files import locked, read_json, write_frame, write_json, write_text
from kemm.core.provenance import environment, fingerprint
from kemm.core.store import Store
from kemm.core.study_file import run_folder
from kemm.execution import Mapper, compute_on_one_thread, make_mapper
from kemm.modalities.encoders import PRETRAINED
from kemm.modalities.reports.covariates import with_field_covariates
from kemm.pipeline.controls import run_controls
from kemm.pipeline.evaluating import evaluate, truth_of
from kemm.pipeline.inputs import Inputs, read_inputs
from kemm.pipeline.prepare import prepare, with_vectors
from kemm.pipeline.progress import Progress, Silent
from kemm.pipeline.runs import DEFAULT_RUN, RECORD, check_name, models_frame
from kemm.pipeline.training import available, crossval_of, predictions_of, require_network, train
from kemm.pipeline.tripod import write_tripod
from kemm.results.comparison.controls_record import Controls
from kemm.results.comparison.holding import Held, hold, over_cohorts
from kemm.results.comparison.leaks_record import LeakAudit
from kemm.results.comparison.records import (
    Comparison,
    LeftOut,
    ModelCost,
    RepeatedDifference,
)
from kemm.results.comparison.repeats import repeated_difference
from kemm.results.evaluation import Evaluator
from kemm.results.predictions import Predictions
from kemm.results.records import RunRecord
from kemm.results.report import render_comparison
from kemm.survival.metrics import UndefinedMetric
from kemm.training.ablations import Ablation, ablations, modality_subsets
from kemm.training.catalogue import catalogue
from kemm.training.comparators import CLINICAL, ModelSpec
from kemm.training.cost import read_cost
from kemm.training.crossval import Crossval, read_unit
from kemm.training.dataset import StudyData
from kemm.training.leaks import audit_leaks
from kemm.training.splits import Fold, make_folds
from kemm.training.variants import Variant, varied

FOLDER = "comparisons"
COMPARISON = "comparison.json"
PAGE = "comparison.html"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is compared, beyond the clinical model and KEMM."""

    models: tuple[str, ...] | None = None
    """By name; None: all that a study's inputs allow."""
    ablate: bool = False
    """KEMM without its parts, one at a time."""
    subsets: bool = False
    """KEMM on every set of modalities."""
    controls: bool = False
    """Exchanged outcomes, a planted signal, noise, the hospital alone."""
    repeats: int = 1
    """Times that the cohort is divided into folds; beyond the first, for KEMM and the clinical model."""


@dataclass(frozen=True)
class CompareResult:
    """Where a comparison is, and what it found."""

    folder: Path
    comparison: Comparison

    @property
    def page(self) -> Path:
        """The HTML page."""
        return self.folder / PAGE

    @property
    def table(self) -> pd.DataFrame:
        """A row a study and model."""
        return _table(self.comparison)


def compare(
    studies: Study | Sequence[Study],
    *,
    asked: Asked | None = None,
    name: str = DEFAULT_RUN,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CompareResult:
    """Hold models against each other on one or several studies. Resumes; shares with `run` what both train.

    Results go to `comparisons/NAME` in the first study's folder.

    Raises:
        InvalidInput: Anything wrong with the inputs; all faults at once.
        UsageError: A model that is not known, or that a study cannot train.
        PolicyError: Another process is at this comparison.
        PartialError: A worker was killed; run again to go on.
        IntegrityError: Something in a store was changed; says what to delete.
    """
    every = [studies] if isinstance(studies, Study) else list(studies)
    _check_studies(every)
    check_name(name)
    told, wanted = progress or Silent(), asked or Asked()
    folder = every[0].folder / FOLDER / name
    faults = Faults()
    inputs = [read_inputs(study, faults) for study in every]
    faults.raise_if_any()
    with locked(folder):
        comparisons = [
            _StudyComparison(
                study,
                one,
                wanted,
                make_mapper(study.config.execution, workers, study.store_folder / "jobs"),
                told,
            )
            for study, one in zip(every, inputs, strict=True)
            if one is not None
        ]
        for one in comparisons:
            one.plan()
        for one in comparisons:
            one.train()
        compute_on_one_thread()
        held = [one.evaluate(name, folder, every) for one in comparisons]
        mean, ranking = over_cohorts(held)
        comparison = Comparison(studies=[one.record for one in held], mean=mean, ranking=ranking)
        _write(folder, comparison)
    return CompareResult(folder, comparison)


def _check_studies(studies: Sequence[Study]) -> None:
    names = [study.name for study in studies]
    twice = sorted({one for one in names if names.count(one) > 1})
    if not studies or twice:
        raise UsageError(
            f"two studies are called {twice[0]!r}: give one of them another name in its study.yaml."
            if twice
            else "no study was given to compare models on."
        )


class _StudyComparison:
    """The comparison on one study, step by step."""

    def __init__(
        self, study: Study, inputs: Inputs, asked: Asked, mapper: Mapper, progress: Progress
    ) -> None:
        self.study, self.inputs, self.asked, self.mapper, self.progress = (
            study,
            inputs,
            asked,
            mapper,
            progress,
        )
        self.config, self.store = study.config, Store(study.store_folder)
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.seconds: dict[str, float] = {}

    def plan(self) -> None:
        """Prepare the data, and settle which models are trained on what."""
        for line in (self.inputs.first_line, *(f"warning: {warning}" for warning in self.inputs.warnings)):
            self.progress.say(line)
        began = time.perf_counter()
        self.data = prepare(self.inputs, self.store, self.mapper, self.progress)
        there, asked, model = available(self.data), self.asked, self.config.model
        known = catalogue(there, model, self.config.comparators)
        require_network(self.study, known.specs)
        specs = (
            tuple(spec for spec in known.specs if spec.name in known.usual)
            if asked.models is None
            else known.choose(asked.models)
        )
        self.left_out = (
            []
            if asked.models is not None
            else [LeftOut(model=n, reason=why) for n, why in known.missing.items()]
        )
        self.main = main = specs[-1]
        networks = [spec for spec in specs if spec.network == main.network and spec is not main]
        self.ablations = ablations(main, networks, model) if asked.ablate else []
        if asked.subsets:
            like = [*networks, *(one.spec for one in self.ablations if one.variant is None)]
            self.ablations = [*self.ablations, *modality_subsets(main, like, model)]
        own = list(
            dict.fromkeys(one.spec for one in self.ablations if one.variant is None and one.spec not in specs)
        )
        self.base = crossval_of(
            self.config, self.data, self.inputs.folds, (*specs[:-1], *own, main), self.study.store_folder
        )
        self.variants = [self._variant(one) for one in self.ablations if one.variant is not None]
        self.repeated = self._repeated()
        self.leaks = LeakAudit.of(audit_leaks(self.data, self.inputs.folds))
        for leak in self.leaks.errors:
            self.progress.say(f"warning: {leak.told} {leak.remedy}")
        self.seconds["prepare"] = round(time.perf_counter() - began, 2)

    def train(self) -> None:
        """Train what is not in the store."""
        began = time.perf_counter()
        train([self.base, *self.variants, *self.repeated], self.mapper, self.progress)
        self.seconds["train"] = round(time.perf_counter() - began, 2)

    def evaluate(self, name: str, folder: Path, studies: Sequence[Study]) -> Held:
        """Everything the comparison says of this study, written beside the study."""
        began = time.perf_counter()
        controls = self._controls()
        frame = pd.concat(
            [predictions_of(context) for context in (self.base, *self.variants)], ignore_index=True
        )
        predictions = Predictions(frame, self.data.cohort, self.inputs.folds)
        specs = [*self.base.models[:-1], *(context.models[0] for context in self.variants), self.main]
        evaluator = Evaluator(predictions, specs, self.config.evaluation)
        evaluation = evaluate(
            self.study,
            self.inputs,
            self.data,
            evaluator,
            run=name,
            progress=self.progress,
            truth=truth_of(self.study, specs, predictions),
        )
        self.seconds["evaluate"] = round(time.perf_counter() - began, 2)
        record = RunRecord(
            study_yaml=yaml.safe_dump(
                self.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True
            ),
            fingerprint=fingerprint(self.data.identity, self.config, [spec.name for spec in specs]),
            environment=environment(),
            inputs=dict(self.inputs.files),
            background_author=" ".join(sorted({one.describe() for one in self.inputs.background.values()})),
            started=self.started,
            seconds=self.seconds,
            command=_command(studies, name, self.asked),
        )
        own = folder if self.study is studies[0] else self.study.folder / FOLDER / name
        own.mkdir(parents=True, exist_ok=True)
        write_frame(own / "predictions.parquet", frame)
        if controls is not None:
            run = run_folder(self.study.folder, DEFAULT_RUN)
            if (run / RECORD).is_file():
                with locked(run):
                    write_tripod(run, controls)
        return hold(
            evaluator,
            evaluation,
            self.data.cohort,
            run=record,
            ablations=[(one.spec.name, one.change, one.family) for one in self.ablations],
            costs=self._costs(),
            repeats=self._repeats(evaluator),
            left_out=self.left_out,
            leaks=self.leaks,
            controls=controls,
        )

    def _variant(self, ablation: Ablation) -> Crossval:
        assert ablation.variant is not None
        data = self._varied(ablation.variant)
        context = crossval_of(self.config, data, self.inputs.folds, (ablation.spec,), self.study.store_folder)
        if ablation.variant.sentences:
            context = replace(context, features=context.features.model_copy(update={"sentences": True}))
        return replace(context, explain=False)

    def _varied(self, variant: Variant) -> StudyData:
        data = varied(self.data, variant)
        if self.config.reports is not None and self.config.reports.covariates:
            reports = {
                case: report
                for case, report in zip(data.cohort.ids, data.reports, strict=True)
                if report is not None
            }
            data = replace(
                data,
                cohort=with_field_covariates(self.inputs.cohort, reports, self.config.reports.covariates),
            )
        return (
            with_vectors(self.inputs, data, self.store, self.progress)
            if self.config.text.encoder in PRETRAINED
            else data
        )

    # --- folds drawn again ---------------------------------------------------------------------

    def _repeated(self) -> list[Crossval]:
        if self.asked.repeats < 2:
            return []
        if self.inputs.fold_kind == "given":
            raise UsageError(
                f"{self.study.name}: its folds are given by files and cannot be drawn again. Leave --repeats out, or set "
                "folds.kind to site or stratified."
            )
        models = tuple(spec for spec in self.base.models if spec.name in (CLINICAL, self.main.name))
        found = []
        for repeat in range(1, self.asked.repeats):
            folds = self._folds(self.config.folds.seed + repeat)
            context = crossval_of(self.config, self.data, folds, models, self.study.store_folder)
            found.append(replace(context, explain=False))
        return found

    def _folds(self, seed: int) -> list[Fold]:
        config = self.config.folds.model_copy(update={"seed": seed})
        return make_folds(config, self.data.cohort, self.study.resolve)

    def _repeats(self, evaluator: Evaluator) -> list[RepeatedDifference]:
        if not self.repeated or CLINICAL not in evaluator.parts:
            return []
        every = [evaluator] + [
            Evaluator(
                Predictions(predictions_of(context), self.data.cohort, context.folds),
                context.models,
                self.config.evaluation,
            )
            for context in self.repeated
        ]
        gains = [gain for one in every for gain in one.fold_differences(self.main.name, CLINICAL)]
        count = len(self.inputs.folds)
        try:
            return [
                repeated_difference(
                    gains,
                    model=self.main.name,
                    baseline=CLINICAL,
                    test_cases=1 / count,
                    train_cases=1 - 1 / count,
                )
            ]
        except UndefinedMetric as undefined:
            self.progress.say(f"{self.study.name}: {undefined}")
            return []

    # --- what else is told ---------------------------------------------------------------------

    def _controls(self) -> Controls | None:
        if not self.asked.controls:
            return None
        controlled = [spec for spec in self.base.models if spec.name in (CLINICAL, self.main.name)]

        def folds(cohort):  # type: ignore[no-untyped-def]
            return make_folds(self.config.folds, cohort, self.study.resolve)

        return run_controls(self.base, controlled, folds, run=self.mapper, progress=self.progress)

    def _costs(self) -> list[ModelCost]:
        return [
            _cost(context, spec, self.store)
            for context in (self.base, *self.variants)
            for spec in context.models
        ]


def _cost(context: Crossval, spec: ModelSpec, store: Store) -> ModelCost:
    tasks = [task for task in context.tasks() if task.model == spec.name]
    known = [cost for task in tasks if (cost := read_cost(store, context.key(task))) is not None]
    peaks = [cost.peak_bytes for cost in known if cost.peak_bytes is not None]
    parameters = None
    if spec.is_network:
        parameters = int(read_json(read_unit(context, tasks[0])[1] / "about.json")[0]["parameters"])
    return ModelCost(
        model=spec.name,
        seconds=sum(cost.seconds for cost in known),
        core_seconds=sum(cost.core_seconds for cost in known),
        peak_bytes=max(peaks, default=None),
        parameters=parameters,
        partial=len(known) < len(tasks) or any(cost.resumed for cost in known),
    )


def _command(studies: Sequence[Study], name: str, asked: Asked) -> str:
    """The command that makes this comparison again, wherever the studies' folders are."""
    words = ["kemm", "compare", *(study.folder.name for study in studies)]
    words += ["--models", ",".join(asked.models)] if asked.models is not None else []
    words += [f"--{flag}" for flag in ("ablate", "subsets", "controls") if getattr(asked, flag)]
    words += ["--repeats", str(asked.repeats)] if asked.repeats > 1 else []
    words += ["--name", name] if name != DEFAULT_RUN else []
    settings = [one for one in studies[0].overrides if not one.startswith("execution.")]
    words += [word for override in settings for word in ("--set", override)]
    return shlex.join(words)


def _table(comparison: Comparison) -> pd.DataFrame:
    frames = []
    for one in comparison.studies:
        cost = {each.model: each for each in one.costs}
        frame = models_frame(one.evaluation)
        frame.insert(0, "study", one.evaluation.study)
        frame["seconds"] = [cost[name].seconds for name in frame["model"]]
        frame["peak_bytes"] = [cost[name].peak_bytes for name in frame["model"]]
        frame["parameters"] = [cost[name].parameters for name in frame["model"]]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _write(folder: Path, comparison: Comparison) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / COMPARISON, comparison.model_dump(mode="json"))
    write_frame(folder / "models.csv", _table(comparison))
    write_text(folder / PAGE, render_comparison(comparison))
