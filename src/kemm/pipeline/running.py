"""A run, from inputs to the report. What is already done is not done again."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from kemm.config import FILE_NAME, Study
from kemm.core.errors import Faults, InputError, IntegrityError, KemmError, UsageError
from kemm.core.files import (
    locked,
    read_frame,
    read_json,
    read_table,
    write_frame,
    write_json,
    write_text,
)
from kemm.core.provenance import environment, fingerprint
from kemm.core.store import Store
from kemm.execution import Mapper, Processes, usable_cores
from kemm.modalities.reports.counting import count_reports
from kemm.modalities.slides import probe_slides
from kemm.pipeline.inputs import Inputs, describe, read_inputs
from kemm.pipeline.prepare import doubt_fields, prepare
from kemm.pipeline.progress import Progress, Silent
from kemm.pipeline.refining import facts_of
from kemm.pipeline.slide_attention import with_heatmaps
from kemm.results.evaluation import (
    DEFINITIONS,
    Evaluator,
    Predictions,
    median_follow_up,
    summarise_folds,
    warnings_of,
)
from kemm.results.explanation import Findings, build_explanation
from kemm.results.records import CohortSummary, Evaluation, Explanation, RunRecord
from kemm.results.report import render_report
from kemm.results.truth import compare_with_truth, planted_signal
from kemm.training.comparators import models_of
from kemm.training.crossval import FORMAT, Crossval, finished, read_unit, run_unit
from kemm.training.dataset import StudyData
from kemm.training.patch_attention import PatchAttention, read_patch_attention
from kemm.training.splits import folds_frame
from kemm.training.trainer import OPTIMISTIC

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_RUN = "latest"
RECORD = "run.json"
"""Written after all other records of a run, and taken away before any of them is written anew."""
REPORT = "report.html"


@dataclass(frozen=True)
class RunResult:
    """Where a run's results are, and the results."""

    folder: Path
    evaluation: Evaluation
    explanation: Explanation | None

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / REPORT

    @property
    def predictions(self) -> pd.DataFrame:
        """A row a model, fold, seed and case: risk, survival on a grid of months."""
        return read_frame(self.folder / "predictions.parquet")

    @property
    def table(self) -> pd.DataFrame:
        """A row a model: C with interval, SD over folds, and the other measures."""
        return models_frame(self.evaluation)


def check(study: Study) -> tuple[Inputs | None, Faults]:
    """Everything that can be known of a study without computing: its inputs, and all their faults."""
    faults = Faults()
    inputs = read_inputs(study, faults)
    if inputs is not None and inputs.slides is not None:
        probe_slides(inputs.slides, faults)
    return inputs, faults


def run(
    study: Study,
    *,
    name: str = DEFAULT_RUN,
    workers: int | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Prepare, train, evaluate, report. Resumes where an earlier run was stopped.

    Raises:
        InvalidInput: Anything wrong with the inputs; all faults at once.
        PolicyError: Another process is at this run.
        PartialError: A worker was killed; run again to go on.
        IntegrityError: Something in the store was changed; says what to delete.
    """
    folder = _run_folder(study, name)
    told: Progress = progress or Silent()
    faults = Faults()
    inputs = read_inputs(study, faults)
    faults.raise_if_any()
    if inputs is None:
        raise InputError("the cohort could not be read")
    told.say(inputs.first_line)
    for warning in inputs.warnings:
        told.say(f"warning: {warning}")
    with locked(folder):
        return _Run(study, inputs, folder, Processes(workers or usable_cores()), told).go()


def rebuild_report(study: Study, name: str = DEFAULT_RUN) -> Path:
    """The HTML report of a finished run, made again from its records.

    Raises:
        InputError: There is no such run.
    """
    folder = finished_folder(study, name)
    with locked(folder):
        return _write_report(folder)


def finished_folder(study: Study, name: str) -> Path:
    """The folder of a finished run.

    Raises:
        InputError: There is no such run.
    """
    folder = _run_folder(study, name)
    if not (folder / RECORD).is_file():
        runs = sorted(path.parent.name for path in folder.parent.glob(f"*/{RECORD}"))
        raise InputError(
            f"{folder}: no finished run is there. "
            + (
                f"There are: {', '.join(runs)}. Name one with --name."
                if runs
                else f"Run `kemm run {study.folder}` first."
            )
        )
    return folder


def _run_folder(study: Study, name: str) -> Path:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(
            f"a run cannot be called {name!r}: its name becomes a folder. Use letters, digits, dots, - and _."
        )
    return study.run_folder(name)


class _Run:
    """One run's steps, with what they share."""

    def __init__(
        self, study: Study, inputs: Inputs, folder: Path, mapper: Mapper, progress: Progress
    ) -> None:
        self.study, self.inputs, self.folder, self.mapper, self.progress = (
            study,
            inputs,
            folder,
            mapper,
            progress,
        )
        self.config = study.config
        self.store = Store(study.store_folder)
        self.seconds: dict[str, float] = {}
        self.started = datetime.now(UTC).isoformat(timespec="seconds")

    def go(self) -> RunResult:
        key = self._key()
        if _is_finished(self.folder, key):
            self.progress.say(f"nothing has changed since this run finished: {self.folder / REPORT}")
            return read_run(self.folder)
        data = self._timed("prepare", lambda: prepare(self.inputs, self.store, self.mapper, self.progress))
        context = self._context(data)
        self._timed("train", lambda: self._train(context))
        frame, explained = self._collect(context)
        predictions = Predictions(frame, data.cohort, self.inputs.folds)
        evaluation = self._timed("evaluate", lambda: self._evaluate(data, context, predictions))
        explanation = build_explanation(
            Findings.of(explained),
            predictions,
            context.models[-1],
            {
                case: report.statements
                for case, report in zip(data.cohort.ids, data.reports, strict=True)
                if report is not None
            },
            _horizons(evaluation),
        )
        explanation = with_heatmaps(explanation, self.study, self.inputs.slides, self._attention(context))
        return self._write(key, context, frame, evaluation, explanation)

    def _key(self) -> str:
        slides = self.inputs.slides.identity if self.inputs.slides else ""
        reports = fingerprint(sorted(self.inputs.reports.items()))
        # study.yaml counts by what it says: a comment changes nothing.
        files = {path: digest for path, digest in self.inputs.files.items() if path != FILE_NAME}
        return fingerprint(FORMAT, environment().get("kemm", ""), self.config, files, slides, reports)

    def _timed(self, stage: str, work):  # type: ignore[no-untyped-def]
        started = time.perf_counter()
        result = work()
        self.seconds[stage] = round(time.perf_counter() - started, 2)
        return result

    def _context(self, data: StudyData) -> Crossval:
        cohort = data.cohort
        available = {
            "covariates": bool(cohort.covariates),
            "age+sex": any(one.name.lower() in ("age", "sex", "gender") for one in cohort.covariates),
            "report": data.has_reports,
            "background": bool(data.background),
            "genes": data.genomics is not None,
            "slides": data.slides is not None,
            "site": any(site is not None for site in cohort.sites),
        }
        models = models_of(
            [name for name, there in available.items() if there], self.config.model, self.config.comparators
        )
        if not models[-1].is_network:
            raise InputError(
                f"{self.study.name}: there is nothing to learn from. Give the study covariates, reports, genomics or slides."
            )
        return Crossval(
            data=data,
            folds=self.inputs.folds,
            models=tuple(models),
            features=self.config.features,
            text=self.config.text,
            genomics=self.config.genomics,
            model=self.config.model,
            training=self.config.training,
            store=self.study.store_folder,
        )

    def _train(self, context: Crossval) -> None:
        tasks = context.tasks()
        done = finished(context, tasks)
        with self.progress.stage("train and predict", len(tasks), len(done)) as step:
            left = [task for task in tasks if task not in done]
            with closing(self.mapper(run_unit, context, left)) as results:
                for task, _ in results:
                    step.advance(f"{task.model}, fold {task.fold}")

    def _collect(self, context: Crossval) -> tuple[pd.DataFrame, list[Mapping[str, Any]]]:
        import pandas as pd

        frames, explained = [], []
        for task in context.tasks():
            frame, folder = read_unit(context, task)
            frames.append(frame)
            if (folder / "explained.json").is_file():
                explained.append(read_json(folder / "explained.json"))
        return pd.concat(frames, ignore_index=True), explained

    def _attention(self, context: Crossval) -> dict[str, PatchAttention]:
        main = context.models[-1].name
        folders = [read_unit(context, task)[1] for task in context.tasks() if task.model == main]
        return {case: one for folder in folders for case, one in read_patch_attention(folder).items()}

    def _evaluate(self, data: StudyData, context: Crossval, predictions: Predictions) -> Evaluation:
        # With the covariates that were read from reports.
        inputs, cohort = replace(self.inputs, cohort=data.cohort), data.cohort
        evaluator = Evaluator(predictions, context.models, self.config.evaluation)
        main = context.models[-1].name
        shown = [name for name in (main, "clinical") if name in evaluator.parts]
        folds = summarise_folds(cohort, inputs.folds)
        warnings = [str(warning) for warning in inputs.warnings] + warnings_of(
            cohort, inputs.fold_kind, folds
        )
        if self.config.reports is not None:
            warnings += doubt_fields(self.config.reports.covariates, cohort)
        if self.config.training.selection == OPTIMISTIC:
            warnings.insert(
                0,
                "Networks chose their epoch on the reported cases: best epoch (optimistic). No other number is comparable.",
            )
        with self.progress.stage("evaluate", len(context.models)) as step:
            results = []
            for spec in context.models:
                results.append(evaluator.result(spec))
                step.advance(spec.title)
        return Evaluation(
            study=self.study.name,
            run=self.folder.name,
            fold_kind=inputs.fold_kind,
            seeds=list(self.config.training.seeds),
            cohort=CohortSummary(
                name=self.study.name,
                endpoint=cohort.endpoint,
                cases=len(cohort),
                events=int(cohort.event.sum()),
                median_follow_up_months=median_follow_up(cohort.months, cohort.event),
                event_coding=inputs.event_coding,
                sites=len({case.site for case in cohort.cases} - {None}),
                modalities=inputs.modalities,
                missing=inputs.missing,
                cancer_types=inputs.cancer_types,
                dropped=dict(inputs.dropped),
                other=describe(inputs) | _report_facts(data),
            ),
            folds=folds,
            models=results,
            headline=evaluator.headline(),
            differences=evaluator.differences(),
            risk_groups=[evaluator.risk_groups(name) for name in shown],
            calibration=[one for name in shown if (one := evaluator.calibration(name)) is not None],
            decision=evaluator.decision(shown),
            time_auc=[auc for name in shown if (auc := evaluator.time_auc(name)) is not None],
            truth=self._truth(context, predictions),
            definitions=dict(DEFINITIONS),
            warnings=warnings,
            bootstraps=self.config.evaluation.bootstraps,
        )

    def _truth(self, context: Crossval, predictions: Predictions):  # type: ignore[no-untyped-def]
        if self.config.evaluation.truth is None:
            return None
        path = self.study.resolve(self.config.evaluation.truth)
        table = read_table(path)
        truth = dict(zip(table["case_id"], table["true_log_hazard"].astype(float), strict=True))
        planted = path.with_suffix(".json")
        known = read_json(planted) if planted.is_file() else {"planted": [], "noise": []}
        explained = self._collect(context)[1]
        effects = [effect for fold in explained for effect in fold["effects"]]
        found = [
            planted_signal(
                signal,
                dict(zip(table["case_id"], table[signal["token"]].astype(float), strict=True)),
                effects,
                [one["token"] for one in known["noise"] if one["modality"] == signal["modality"]],
            )
            for signal in known["planted"]
        ]
        return compare_with_truth(predictions, context.models, truth, found)

    def _write(
        self,
        key: str,
        context: Crossval,
        frame: pd.DataFrame,
        evaluation: Evaluation,
        explanation: Explanation,
    ) -> RunResult:
        folder = self.folder
        settings = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        authors = sorted({one.describe() for one in self.inputs.background.values()})
        record = RunRecord(
            study_yaml=settings,
            fingerprint=key,
            environment=environment(),
            inputs=dict(self.inputs.files),
            background_author=" ".join(authors),
            started=self.started,
            seconds=self.seconds,
            command=_command(self.study, folder.name),
        )
        # What is half old and half new must not pass for finished.
        (folder / RECORD).unlink(missing_ok=True)
        for scratch in folder.glob(".*.part"):
            scratch.unlink()  # of a killed process: this one holds the lock
        # Folds are made of patients and outcomes: a covariate more from the reports leaves them what they are.
        folds = folds_frame(self.inputs.folds, self.inputs.cohort)
        folds["cohort"] = self.inputs.cohort.fingerprint
        write_frame(folder / "folds.csv", folds)
        write_frame(folder / "predictions.parquet", frame)
        write_json(
            folder / "units.json",
            [{"model": task.model, "fold": task.fold, "key": context.key(task)} for task in context.tasks()],
        )
        write_json(folder / "evaluation.json", evaluation.model_dump(mode="json"))
        write_json(folder / "explanation.json", explanation.model_dump(mode="json"))
        write_frame(folder / "models.csv", models_frame(evaluation))
        (folder / REPORT).unlink(missing_ok=True)
        write_json(folder / RECORD, record.model_dump(mode="json"))
        _write_report(folder)
        return RunResult(folder, evaluation, explanation)


def read_run(folder: Path) -> RunResult:
    """A finished run's results.

    Raises:
        IntegrityError: A record is damaged, or of another version.
    """
    explanation = folder / "explanation.json"
    return RunResult(
        folder,
        _read_record(folder / "evaluation.json", Evaluation),
        _read_record(explanation, Explanation) if explanation.is_file() else None,
    )


Model = TypeVar("Model", bound=BaseModel)


def _read_record(path: Path, model: type[Model]) -> Model:
    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        raise IntegrityError(
            f"{path}: not a record as this version of kemm writes it ({error.error_count()} differences). "
            f"Delete {path.with_name(RECORD)} and run again: it is made anew from what is in the store."
        ) from error


def models_frame(evaluation: Evaluation) -> pd.DataFrame:
    """The table of models as a frame: values with their interval and SD, empty where undefined."""
    import pandas as pd

    rows = []
    for model in evaluation.models:
        c = model.metrics["harrell_c"]
        row: dict[str, Any] = {
            "model": model.name,
            "title": model.title,
            "cases": c.cases,
            "events": c.events,
        }
        for name, cell in model.metrics.items():
            row[name] = cell.value
            if name == "harrell_c":
                row |= {"harrell_c_low": cell.low, "harrell_c_high": cell.high, "harrell_c_sd": cell.sd}
        rows.append(row)
    return pd.DataFrame(rows)


def _command(study: Study, name: str) -> str:
    """The command that makes this run again, wherever the study's folder is."""
    words = ["kemm", "run", study.folder.name]
    words += ["--name", name] if name != DEFAULT_RUN else []
    words += [word for override in study.overrides for word in ("--set", override)]
    return shlex.join(words)


def _is_finished(folder: Path, key: str) -> bool:
    names = (RECORD, REPORT, "evaluation.json", "explanation.json", "predictions.parquet", "models.csv")
    if not all((folder / name).is_file() for name in names):
        return False
    try:
        record = read_json(folder / RECORD)
    except KemmError:
        return False  # damaged: it is made again
    return isinstance(record, dict) and record.get("fingerprint") == key


def _write_report(folder: Path) -> Path:
    result = read_run(folder)
    record = _read_record(folder / RECORD, RunRecord)
    write_text(result.report, render_report(result.evaluation, result.explanation, record))
    return result.report


def _horizons(evaluation: Evaluation) -> list[float]:
    names = evaluation.models[-1].metrics
    return [float(name.split("@")[1]) for name in names if name.startswith("auc@")]


def _report_facts(data: StudyData) -> dict[str, str]:
    reports = [report for report in data.reports if report is not None]
    return facts_of(count_reports(reports)) if reports else {}
