"""A run, from inputs to the report. What is already done is not done again."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kemm.config import Study
from kemm.core.errors import Faults, InputError
from kemm.core.files import (
    locked,
    read_json,
    write_frame,
    write_json,
    write_text,
)
from kemm.core.provenance import environment, fingerprint
from kemm.core.store import Store
from kemm.core.study_file import FILE_NAME
from kemm.execution import Mapper, compute_on_one_thread, make_mapper
from kemm.modalities.slides import probe_slides
from kemm.pipeline.evaluating import evaluate, truth_of
from kemm.pipeline.inputs import Inputs, look_at_inputs, read_inputs
from kemm.pipeline.prepare import prepare
from kemm.pipeline.progress import Progress, Silent
from kemm.pipeline.runs import (
    CHECKLIST,
    CHECKLIST_PAGE,
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
from kemm.pipeline.training import available, crossval_of, predictions_of, require_network, train
from kemm.pipeline.tripod import write_tripod
from kemm.pipeline.unchanged import remember
from kemm.results.evaluation import Evaluator
from kemm.results.explanation import Findings, build_explanation
from kemm.results.predictions import Predictions
from kemm.results.records import Evaluation, Explanation, RunRecord
from kemm.results.report import render_report
from kemm.training.comparators import models_of
from kemm.training.crossval import FORMAT, Crossval, read_unit
from kemm.training.dataset import StudyData
from kemm.training.patch_attention import PatchAttention, read_patch_attention
from kemm.training.patch_risk import SlidesWeighed, read_slides_weighed, seeds_using
from kemm.training.splits import folds_frame

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
        self._timed("train", lambda: train([context], self.mapper, self.progress))
        frame, explained = predictions_of(context), self._explained(context)
        predictions = Predictions(frame, data.cohort, self.inputs.folds)
        compute_on_one_thread()  # wherever the tasks ran, what comes of them has the same bytes
        evaluation = self._timed("evaluate", lambda: self._evaluate(data, context, predictions, explained))
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
        models = models_of(available(data), self.config.model, self.config.comparators)
        require_network(self.study, models)
        return crossval_of(self.config, data, self.inputs.folds, models, self.study.store_folder)

    def _explained(self, context: Crossval) -> list[Mapping[str, Any]]:
        found = list[Mapping[str, Any]]()
        for task in context.tasks():
            folder = read_unit(context, task)[1]
            if (folder / "explained.json").is_file():
                found.append(_used(read_json(folder / "explained.json"), read_json(folder / "about.json")))
        return found

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

    def _evaluate(
        self,
        data: StudyData,
        context: Crossval,
        predictions: Predictions,
        explained: Sequence[Mapping[str, Any]],
    ) -> Evaluation:
        return evaluate(
            self.study,
            self.inputs,
            data,
            Evaluator(predictions, context.models, self.config.evaluation),
            run=self.folder.name,
            progress=self.progress,
            truth=truth_of(self.study, context.models, predictions, explained),
        )

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
        for page in (REPORT, CHECKLIST, CHECKLIST_PAGE):
            (folder / page).unlink(missing_ok=True)
        write_json(folder / RECORD, record.model_dump(mode="json"))
        _write_report(folder)
        write_tripod(folder)
        return RunResult(folder, evaluation, explanation)


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
