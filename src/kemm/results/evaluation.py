"""From a predictions table to numbers: how good each model is, and what KEMM adds to the clinical one.

Reads predictions and outcomes; never a model. Measures are taken within folds and combined; risks
of different folds' models are never put into one ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kemm.core.settings import Section
from kemm.results import records
from kemm.results.predictions import Array, FoldPart, Predictions
from kemm.results.records import Cell, Difference, ModelResult
from kemm.survival.metrics import (
    BootstrappedConcordance,
    Concordance,
    FoldRisks,
    KaplanMeier,
    UndefinedMetric,
    bootstrap_concordance,
    brier_skill,
    calibration_groups,
    calibration_slope,
    combined_concordance,
    count_pairs,
    decision_curve,
    dynamic_auc,
    integrated_calibration_index,
    kaplan_meier,
    logrank,
    uno_c,
)
from kemm.training.comparators import CLINICAL, KAPLAN_MEIER, ModelSpec

FEWEST_EVENTS = 10
"""With fewer events a cell shows a dash."""
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 15))

DEFINITIONS = {
    "harrell_c": (
        "Harrell's C: of all pairs of patients of one fold of whom one is known to have had the event first, the share "
        "in which that one had the higher risk; ties in risk count a half. Pairs of all folds together. 0.5 is chance."
    ),
    "harrell_c_mean": "Mean over folds of each fold's Harrell C, as most publications give it; SD over folds.",
    "uno_c": (
        "Uno's C: pairs weighted by 1/G² of the event's time, G the Kaplan-Meier curve of the censoring times of the fold's "
        "training part; events up to the last time at which G is 0.05 or more and 10 test patients are at risk."
    ),
    "ibs": (
        "Integrated Brier score: squared error of predicted survival over time, weighted by 1/G of the fold's training "
        "part, up to the same time; lower is better."
    ),
    "ibs_skill": (
        "1 minus the integrated Brier score over that of the training part's Kaplan-Meier curve; 0 or less means the "
        "curves are no better than one curve for everyone."
    ),
    "auc": (
        "Cumulative/dynamic AUC: patients with the event by the horizon against patients free of it then, weighted by 1/G; "
        "mean over folds."
    ),
    "calibration_slope": "Slope of observed on predicted risk at the horizon; 1 is ideal, below 1 is too extreme.",
    "risk": (
        "Risk is the linear predictor of a Cox model, or the logarithm of the expected mortality (the sum of the predicted "
        "cumulative hazard over intervals) of a discrete-time one; the mean over seeds. Higher is worse."
    ),
    "interval": "95 % percentile interval from resampling patients within folds, the same patients for all models.",
    "groups": "High and low risk are cut at the median predicted risk of the training part of each fold.",
}


class EvaluationConfig(Section):
    """What is measured on the outer parts."""

    horizons: list[float] = Field(default=[12.0, 24.0, 36.0, 60.0], min_length=1)
    """Months at which survival, AUC and calibration are shown; those beyond the usable follow-up are left out."""
    bootstraps: int = Field(1000, ge=100)
    """Resamples of patients for intervals and differences."""
    truth: str | None = None
    """Synthetic cohorts only: a table with case_id and true_log_hazard, to show the truth beside the estimate."""


def defined(compute: Callable[[], float], cases: int, events: int) -> Cell:
    """A cell with a number, or with the reason why there is none."""
    if events < FEWEST_EVENTS:
        return Cell(reason=f"{events} events, fewer than {FEWEST_EVENTS}", cases=cases, events=events)
    try:
        return Cell(value=compute(), cases=cases, events=events)
    except UndefinedMetric as undefined:
        return Cell(reason=str(undefined), cases=cases, events=events)


class Evaluator:
    """Computes every number of a run's report."""

    def __init__(
        self,
        predictions: Predictions,
        models: Sequence[ModelSpec],
        config: EvaluationConfig,
        seed: int = 0,
    ) -> None:
        self.predictions, self.models, self.config, self.seed = predictions, models, config, seed
        self.parts = {spec.name: predictions.parts(spec.name) for spec in models}
        self.main = models[-1]
        self.horizons = self._usable_horizons()
        self.bootstraps = self._bootstraps()

    def _usable_horizons(self) -> list[float]:
        """Those of the settings that every fold can be measured at."""
        try:
            last = min(part.tau() for part in self.parts[self.main.name])
        except UndefinedMetric:
            return []
        return [month for month in self.config.horizons if month <= last]

    def main_horizon(self) -> float | None:
        """The horizon for calibration and decisions: the middle one of the usable."""
        return self.horizons[len(self.horizons) // 2] if self.horizons else None

    def _bootstraps(self) -> dict[frozenset[str], BootstrappedConcordance | UndefinedMetric]:
        """Resampled C of all models, for each set of cases that some model predicts.

        A model that needs a modality predicts fewer cases; the others are measured on those too.
        """
        found: dict[frozenset[str], BootstrappedConcordance | UndefinedMetric] = {}
        for parts in self.parts.values():
            cases = frozenset(case for part in parts for case in part.cases)
            if cases in found:
                continue
            if not cases:
                found[cases] = UndefinedMetric("C has no value: no case was predicted")
                continue
            everyone = {
                name: others
                for name, others in self.parts.items()
                if cases <= {case for part in others for case in part.cases}
            }
            try:
                found[cases] = bootstrap_concordance(
                    self._fold_risks(everyone, cases), resamples=self.config.bootstraps, seed=self.seed
                )
            except UndefinedMetric as undefined:
                found[cases] = undefined
        return found

    def _fold_risks(self, models: Mapping[str, list[FoldPart]], cases: frozenset[str]) -> list[FoldRisks]:
        found = []
        for fold in self.predictions.folds:
            here = {name: part for name, parts in models.items() for part in parts if part.fold == fold.index}
            kept = {name: np.array([case in cases for case in part.cases]) for name, part in here.items()}
            with_cases = [name for name, keep in kept.items() if keep.any()]
            if not with_cases:
                continue
            shared, keep = here[with_cases[0]], kept[with_cases[0]]
            found.append(
                FoldRisks(
                    cases=[case for case in shared.cases if case in cases],
                    months=shared.months[keep],
                    event=shared.event[keep],
                    risks={name: here[name].risk[kept[name]] for name in with_cases},
                )
            )
        return found

    def cases_of(self, model: str) -> frozenset[str]:
        """The cases a model predicts."""
        return frozenset(case for part in self.parts[model] for case in part.cases)

    def concordances(self, cases: frozenset[str]) -> BootstrappedConcordance | None:
        """Resampled C of all models that predict these cases, which are all those of some model; None where undefined."""
        found = self.bootstraps.get(cases)
        return None if isinstance(found, UndefinedMetric) else found

    def fold_cs(self, model: str) -> list[float | None]:
        """Harrell's C of each fold, in the order of folds; None where it has too few events, or no case."""
        part_of = {part.fold: part for part in self.parts[model]}
        return [
            self._fold_c(part_of[fold.index]) if fold.index in part_of else None
            for fold in self.predictions.folds
        ]

    def fold_differences(self, model: str, baseline: str) -> list[float]:
        """Difference in C of each fold in which both have one."""
        pairs = zip(self.fold_cs(model), self.fold_cs(baseline), strict=True)
        return [one - other for one, other in pairs if one is not None and other is not None]

    # --- the table ------------------------------------------------------------------------

    def result(self, spec: ModelSpec) -> ModelResult:
        """A row of the table."""
        parts = self.parts[spec.name]
        cases = sum(len(part.cases) for part in parts)
        events = sum(int(part.event.sum()) for part in parts)

        def cell(compute: Callable[[], float]) -> Cell:
            return defined(compute, cases, events)

        fold_c = self.fold_cs(spec.name)
        known = [value for value in fold_c if value is not None]
        metrics = {"harrell_c": self._harrell(spec.name, cell)}
        if known:
            metrics["harrell_c_mean"] = Cell(
                value=float(np.mean(known)),
                sd=float(np.std(known, ddof=1)) if len(known) > 1 else None,
                cases=cases,
                events=events,
            )
        seeds = self.predictions.seeds(spec.name)
        if len(seeds) > 1:
            metrics["harrell_c_single"] = cell(
                lambda: float(
                    np.mean([_combined(self.predictions.parts(spec.name, seed)).c for seed in seeds])
                )
            )
        metrics["uno_c"] = cell(lambda: _uno(parts))
        metrics["ibs"] = cell(lambda: self._brier(parts)[0])
        metrics["ibs_skill"] = cell(lambda: self._brier(parts)[1])
        for month in self.horizons:
            metrics[f"auc@{month:g}"] = cell(partial(_mean_auc, parts, month))
        if (horizon := self.main_horizon()) is not None and spec.name != KAPLAN_MEIER:
            metrics["calibration_slope"] = cell(lambda: self._slope(parts, horizon))
        return ModelResult(
            name=spec.name,
            title=spec.title,
            description=spec.description,
            inputs=list(spec.inputs),
            role=spec.role,
            metrics=metrics,
            fold_c=fold_c,
        )

    def _harrell(self, name: str, cell: Callable[[Callable[[], float]], Cell]) -> Cell:
        whole = cell(lambda: _combined(self.parts[name]).c)
        resampled = self.bootstraps[self.cases_of(name)]
        ranks_nobody = all(np.ptp(part.risk) == 0 for part in self.parts[name])
        if whole.value is None or ranks_nobody or isinstance(resampled, UndefinedMetric):
            return whole  # a model that gives all the same risk has C 0.5 whoever is drawn
        estimate = resampled.estimate(name)
        known = [value for part in self.parts[name] if (value := self._fold_c(part)) is not None]
        return whole.model_copy(
            update={
                "low": estimate.lower,
                "high": estimate.upper,
                "sd": float(np.std(known, ddof=1)) if len(known) > 1 else None,
            }
        )

    def _fold_c(self, part: FoldPart) -> float | None:
        if part.event.sum() < FEWEST_EVENTS:
            return None
        pairs = count_pairs(part.months, part.event, part.risk)
        return pairs.c if pairs.comparable else None

    def _brier(self, parts: Sequence[FoldPart]) -> tuple[float, float]:
        """Integrated Brier score and its skill, both as sums over folds weighted by cases."""
        model = reference = cases = 0.0
        for part in parts:
            tau = part.tau()
            times = self.predictions.grid[(self.predictions.grid > 0) & (self.predictions.grid <= tau)]
            survival = part.survival[:, np.isin(self.predictions.grid, times)]
            skill = brier_skill(part.train_months, part.train_event, part.months, part.event, survival, times)
            model += skill.model * len(part.cases)
            reference += skill.kaplan_meier * len(part.cases)
            cases += len(part.cases)
        return model / cases, 1 - model / reference

    def _pooled(self, parts: Sequence[FoldPart], month: float) -> tuple[Array, NDArray[np.bool_], Array]:
        """Outcomes and predicted survival of all folds: chances mean the same in every fold."""
        return (
            np.concatenate([part.months for part in parts]),
            np.concatenate([part.event for part in parts]),
            np.concatenate([self.predictions.survival_at(part, month) for part in parts]),
        )

    def _slope(self, parts: Sequence[FoldPart], month: float) -> float:
        return calibration_slope(*self._pooled(parts, month), month).slope

    # --- comparisons and pictures ---------------------------------------------------------

    def differences(self) -> list[Difference]:
        """The main model against each other, and KEMM without covariates against those without."""
        found = []
        for name in [spec.name for spec in self.models if spec.name != self.main.name]:
            difference = self._difference(self.main.name, name)
            if difference is not None:
                found.append(difference)
        for one, other in (("clinical+report", CLINICAL), ("linear", CLINICAL)):
            if one in self.parts and other in self.parts:
                difference = self._difference(one, other)
                if difference is not None:
                    found.append(difference)
        return found

    def _difference(self, model: str, baseline: str) -> Difference | None:
        cases = self.cases_of(model) & self.cases_of(baseline)
        resampled = self.concordances(cases)
        if resampled is None or baseline == KAPLAN_MEIER:
            return None
        difference = resampled.difference(model, baseline)
        return Difference(
            model=model,
            baseline=baseline,
            value=difference.value,
            low=difference.lower,
            high=difference.upper,
            p=difference.p,
            cases=len(cases),
        )

    def headline(self) -> Difference | None:
        """The main model against the clinical Cox model."""
        return self._difference(self.main.name, CLINICAL) if CLINICAL in self.parts else None

    def risk_groups(self, model: str) -> records.RiskGroups:
        """Kaplan-Meier of those above and below the training part's median risk."""
        parts = self.parts[model]
        months = np.concatenate([part.months for part in parts])
        event = np.concatenate([part.event for part in parts])
        high = np.concatenate([part.high for part in parts])
        curves = [
            _curve(name, months[chosen], event[chosen])
            for name, chosen in (("low risk", ~high), ("high risk", high))
            if chosen.any()
        ]
        try:
            test = logrank(months, event, high)
            return records.RiskGroups(
                model=model, curves=curves, logrank_statistic=test.statistic, logrank_p=test.p
            )
        except UndefinedMetric:
            return records.RiskGroups(model=model, curves=curves)

    def calibration(self, model: str) -> records.Calibration | None:
        """Predicted against observed at the main horizon."""
        horizon = self.main_horizon()
        if horizon is None:
            return None
        try:
            months, event, survival = self._pooled(self.parts[model], horizon)
            groups = calibration_groups(months, event, survival, horizon)
        except UndefinedMetric:
            return None
        slope = defined(
            lambda: calibration_slope(months, event, survival, horizon).slope, len(months), int(event.sum())
        )
        ici = defined(
            lambda: integrated_calibration_index(months, event, survival, horizon),
            len(months),
            int(event.sum()),
        )
        return records.Calibration(
            model=model,
            horizon_months=horizon,
            points=[
                records.CalibrationPoint(
                    predicted=group.predicted,
                    observed=group.observed,
                    low=group.lower,
                    high=group.upper,
                    cases=group.cases,
                )
                for group in groups
                if group.observed is not None and group.lower is not None and group.upper is not None
            ],
            slope=slope.value,
            ici=ici.value,
        )

    def decision(self, models: Sequence[str]) -> records.DecisionCurve | None:
        """Net benefit at the main horizon."""
        horizon = self.main_horizon()
        if horizon is None:
            return None
        curves: dict[str, list[float | None]] = {}
        for model in models:
            try:
                months, event, survival = self._pooled(self.parts[model], horizon)
                curve = decision_curve(months, event, survival, horizon, THRESHOLDS)
            except UndefinedMetric:
                continue
            benefit = dict(zip(curve.thresholds.tolist(), curve.model.tolist(), strict=True))
            curves[model] = [benefit.get(threshold) for threshold in THRESHOLDS]
            everyone = dict(zip(curve.thresholds.tolist(), curve.treat_all.tolist(), strict=True))
            curves["treat all"] = [everyone.get(threshold) for threshold in THRESHOLDS]
        return (
            records.DecisionCurve(horizon_months=horizon, thresholds=list(THRESHOLDS), net_benefit=curves)
            if curves
            else None
        )

    def time_auc(self, model: str) -> records.TimeAUC | None:
        """AUC every half year, as far as every fold can be measured."""
        try:
            last = min(part.tau() for part in self.parts[model])
        except UndefinedMetric:
            return None
        months = [float(month) for month in np.arange(6, last + 1e-9, 6)]
        values = [
            defined(partial(_mean_auc, self.parts[model], month), 0, FEWEST_EVENTS).value for month in months
        ]
        return records.TimeAUC(model=model, months=months, auc=values) if months else None


def _combined(parts: Sequence[FoldPart]) -> Concordance:
    return combined_concordance([count_pairs(part.months, part.event, part.risk) for part in parts])


def _uno(parts: Sequence[FoldPart]) -> float:
    return combined_concordance(
        [
            uno_c(part.train_months, part.train_event, part.months, part.event, part.risk, part.tau())
            for part in parts
        ]
    ).c


def _mean_auc(parts: Sequence[FoldPart], month: float) -> float:
    return float(
        np.mean(
            [
                dynamic_auc(part.train_months, part.train_event, part.months, part.event, part.risk, month)
                for part in parts
            ]
        )
    )


def _curve(group: str, months: Array, event: NDArray[np.bool_]) -> records.Curve:
    estimate: KaplanMeier = kaplan_meier(months, event)
    ticks = np.arange(0, months.max() + 1e-9, max(12.0, 12.0 * round(months.max() / 72)))
    return records.Curve(
        group=group,
        months=[0.0, *estimate.months.tolist()],
        survival=[1.0, *estimate.survival.tolist()],
        low=[1.0, *estimate.lower.tolist()],
        high=[1.0, *estimate.upper.tolist()],
        at_risk_months=ticks.tolist(),
        at_risk=[int(count) for count in estimate.at_risk_at(ticks)],
        cases=len(months),
        events=int(event.sum()),
    )
