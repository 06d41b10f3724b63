"""From predictions to the record of an evaluation, for a run and for a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kemm.config import Study
from kemm.core.files import read_json, read_table
from kemm.modalities.reports.counting import count_reports
from kemm.pipeline.inputs import Inputs, describe
from kemm.pipeline.prepare import doubt_fields
from kemm.pipeline.progress import Progress
from kemm.pipeline.refining import facts_of
from kemm.results.cohort_summary import median_follow_up, summarise_folds, warnings_of
from kemm.results.evaluation import DEFINITIONS, Evaluator
from kemm.results.predictions import Predictions
from kemm.results.records import CohortSummary, Evaluation, Truth
from kemm.results.truth import compare_with_truth, planted_signal
from kemm.training.comparators import CLINICAL, ModelSpec
from kemm.training.dataset import StudyData
from kemm.training.trainer import OPTIMISTIC


def evaluate(
    study: Study,
    inputs: Inputs,
    data: StudyData,
    evaluator: Evaluator,
    *,
    run: str,
    progress: Progress,
    truth: Truth | None = None,
) -> Evaluation:
    """Every number of a run's report. The last model is the main one."""
    # With the covariates that were read from reports.
    inputs, cohort, config = replace(inputs, cohort=data.cohort), data.cohort, study.config
    main = evaluator.main.name
    shown = [name for name in (main, CLINICAL) if name in evaluator.parts]
    folds = summarise_folds(cohort, inputs.folds)
    warnings = [str(warning) for warning in inputs.warnings] + warnings_of(cohort, inputs.fold_kind, folds)
    if config.reports is not None:
        warnings += doubt_fields(config.reports.covariates, cohort)
    if config.training.selection == OPTIMISTIC:
        warnings.insert(
            0,
            "Networks chose their epoch on the reported cases: best epoch (optimistic). No other number is comparable.",
        )
    with progress.stage("evaluate", len(evaluator.models)) as step:
        results = []
        for spec in evaluator.models:
            results.append(evaluator.result(spec))
            step.advance(spec.title)
    return Evaluation(
        study=study.name,
        run=run,
        fold_kind=inputs.fold_kind,
        seeds=list(config.training.seeds),
        cohort=CohortSummary(
            name=study.name,
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
        truth=truth,
        definitions=dict(DEFINITIONS),
        warnings=warnings,
        bootstraps=config.evaluation.bootstraps,
    )


def truth_of(
    study: Study,
    specs: Sequence[ModelSpec],
    predictions: Predictions,
    explained: Sequence[Mapping[str, Any]] = (),
) -> Truth | None:
    """How close models came to what was planted in a synthetic cohort; None for any other.

    `explained`: what each fold's main model said its risk stands on; without it nothing is said of single signals.
    """
    if study.config.evaluation.truth is None:
        return None
    path = study.resolve(study.config.evaluation.truth)
    table = read_table(path)
    truth = dict(zip(table["case_id"], table["true_log_hazard"].astype(float), strict=True))
    planted = path.with_suffix(".json")
    known = read_json(planted) if planted.is_file() else {"planted": [], "noise": []}
    effects = [effect for fold in explained for effect in fold["effects"]]
    found = [
        planted_signal(
            signal,
            dict(zip(table["case_id"], table[signal["token"]].astype(float), strict=True)),
            effects,
            [one["token"] for one in known["noise"] if one["modality"] == signal["modality"]],
        )
        for signal in known["planted"]
        if explained
    ]
    return compare_with_truth(predictions, specs, truth, found)


def _report_facts(data: StudyData) -> dict[str, str]:
    reports = [report for report in data.reports if report is not None]
    return facts_of(count_reports(reports)) if reports else {}
