"""A run, from inputs to the report. What is already done is not done again."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kemm.config import Study
from kemm.core.errors import Faults, InputError
from kemm.core.files import (
    locked,
    read_json,
    read_table,
    write_frame,
    write_json,
    write_text,
)
from kemm.core.provenance import environment, fingerprint
from kemm.core.store import Store
from kemm.core.study_file import FILE_NAME
from kemm.execution import Mapper, make_mapper, settle_process
from kemm.modalities.reports.counting import count_reports
from kemm.modalities.slides import probe_slides
from kemm.pipeline.inputs import Inputs, describe, look_at_inputs, read_inputs
from kemm.pipeline.prepare import doubt_fields, prepare
from kemm.pipeline.progress import Progress, Silent
from kemm.pipeline.refining import facts_of
from kemm.pipeline.runs import (
    DEFAULT_RUN,
    RECORD,
    REPORT,
    RunResult,
    fingerprint_of,
    finished_folder,
    models_frame,
    named_run,
    read_record,
    read_run,
)
from kemm.pipeline.slide_attention import with_heatmaps
from kemm.pipeline.unchanged import remember
from kemm.pipeline.watching import describe_memory, watching
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
from kemm.training.crossval import FORMAT, Crossval, Task, finished, read_unit, run_work
from kemm.training.dataset import StudyData
from kemm.training.patch_attention import PatchAttention, read_patch_attention
from kemm.training.patch_risk import SlidesWeighed, read_slides_weighed, seeds_using
from kemm.training.splits import folds_frame
from kemm.training.trainer import OPTIMISTIC

if TYPE_CHECKING:
    import pandas as pd


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
        UsageError: The engine that `execution.engine` names is not installed.
        ServiceError: Its cluster does not answer.
        IntegrityError: Something in the store was changed; says what to delete.
    """
    folder = named_run(study.folder, name)
    told: Progress = progress or Silent()
    faults = Faults()
    # Before anything is read: what changes meanwhile is then seen to have changed.
    sight = look_at_inputs(study) if study.identity else None
    inputs = read_inputs(study, faults)
    faults.raise_if_any()
    if inputs is None:
        raise InputError("the cohort could not be read")
    said = [inputs.first_line, *(f"warning: {warning}" for warning in inputs.warnings)]
    for line in said:
        told.say(line)
    mapper = make_mapper(study.config.execution, workers, study.store_folder / "jobs")
    with locked(folder):
        result = _Run(study, inputs, folder, mapper, told).go()
        made_of = fingerprint_of(folder)
        if sight is not None and made_of is not None:
            remember(study.folder, name, sight, made_of, said)
    return result


def rebuild_report(study: Study, name: str = DEFAULT_RUN) -> Path:
    """The HTML report of a finished run, made again from its records.

    Raises:
        InputError: There is no such run.
    """
    folder = finished_folder(study.folder, name)
    with locked(folder):
        return _write_report(folder)


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
        if fingerprint_of(self.folder) == key:
            self.progress.say(f"nothing has changed since this run finished: {self.folder / REPORT}")
            return read_run(self.folder)
        data = self._timed("prepare", lambda: prepare(self.inputs, self.store, self.mapper, self.progress))
        context = self._context(data)
        self._timed("train", lambda: self._train(context))
        frame, explained = self._collect(context)
        predictions = Predictions(frame, data.cohort, self.inputs.folds)
        settle_process()  # wherever the tasks ran, what comes of them has the same bytes
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
        explanation = with_heatmaps(explanation, self.study, self.inputs.slides, *self._attention(context))
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
        left = [task for task in tasks if task not in done]
        if any(context.spec(task.model).is_network for task in left):
            for line in describe_memory(context):
                self.progress.say(line)
        keys = [context.key(task) for task in left if context.spec(task.model).is_network]
        with (
            self.progress.stage("train and predict", len(tasks), len(done)) as step,
            watching(self.study.store_folder, keys, step),
            closing(self.mapper(run_work, context, context.work(left))) as results,
        ):
            for work, _ in results:
                which = f"fold {work.folds[0]}" if len(work.folds) == 1 else f"{len(work.folds)} folds"
                step.advance(f"{work.model}, {which}", len(work.folds))
        for line in sorted({line for task in left for line in _one_by_one(context, task)}):
            self.progress.say(line)

    def _collect(self, context: Crossval) -> tuple[pd.DataFrame, list[Mapping[str, Any]]]:
        import pandas as pd

        frames, explained = [], list[Mapping[str, Any]]()
        for task in context.tasks():
            frame, folder = read_unit(context, task)
            frames.append(frame)
            if (folder / "explained.json").is_file():
                explained.append(
                    _used(read_json(folder / "explained.json"), read_json(folder / "about.json"))
                )
        return pd.concat(frames, ignore_index=True), explained

    def _attention(self, context: Crossval) -> tuple[dict[str, PatchAttention], dict[str, SlidesWeighed]]:
        """By case of a test part: where its fold's main model looked, and what that makes of slides."""
        main = context.models[-1].name
        attention: dict[str, PatchAttention] = {}
        weighed: dict[str, SlidesWeighed] = {}
        for task in context.tasks():
            if task.model == main:
                folder = read_unit(context, task)[1]
                found = read_patch_attention(folder)
                attention |= found
                if found:
                    weighed |= dict.fromkeys(found, read_slides_weighed(folder))
        return attention, weighed

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


def _one_by_one(context: Crossval, task: Task) -> list[str]:
    """A line, where networks had to be computed one after another."""
    if not context.spec(task.model).is_network:
        return []
    reasons = {one["apart"] for one in read_json(read_unit(context, task)[1] / "about.json")}
    return [
        f"{task.model}: its networks were trained one after another, not in one pass: {reason}"
        for reason in reasons
        if reason
    ]


def _command(study: Study, name: str) -> str:
    """The command that makes this run again, wherever the study's folder is."""
    words = ["kemm", "run", study.folder.name]
    words += ["--name", name] if name != DEFAULT_RUN else []
    settings = [one for one in study.overrides if not one.startswith("execution.")]
    words += [word for override in settings for word in ("--set", override)]
    return shlex.join(words)


def _write_report(folder: Path) -> Path:
    result = read_run(folder)
    record = read_record(folder / RECORD, RunRecord)
    write_text(result.report, render_report(result.evaluation, result.explanation, record))
    return result.report


def _used(explained: dict[str, Any], about: Any) -> dict[str, Any]:
    """Without attention that no forecast rests on: what chance looked at most is no explanation."""
    unused: dict[str, Any] = {}
    if not seeds_using(about, "slides"):
        unused["patches"] = {}
    if not seeds_using(about, "genes"):
        unused |= {"looks": [], "looked_at": {}}
    return explained | unused


def _horizons(evaluation: Evaluation) -> list[float]:
    names = evaluation.models[-1].metrics
    return [float(name.split("@")[1]) for name in names if name.startswith("auc@")]


def _report_facts(data: StudyData) -> dict[str, str]:
    reports = [report for report in data.reports if report is not None]
    return facts_of(count_reports(reports)) if reports else {}
