"""Controls of a comparison: a model must find nothing where there is nothing, and what was planted.

Variants of a study are made in memory and go the way of every run: folds, units, predictions, evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.stats import t as student

from kemm.core.cohort import Cohort
from kemm.core.errors import InvalidInput, UsageError
from kemm.core.provenance import fingerprint
from kemm.core.settings import Section
from kemm.execution import Mapper, run_here
from kemm.pipeline.progress import Progress, Silent
from kemm.results.comparison.controls_record import Control, ControlName, Controls
from kemm.results.evaluation import EvaluationConfig, Evaluator
from kemm.results.predictions import Predictions
from kemm.survival.metrics import UndefinedMetric, combined_concordance, count_pairs
from kemm.training.comparators import ComparatorsConfig, ModelSpec, models_of
from kemm.training.crossval import Crossval, finished, read_unit
from kemm.training.dataset import StudyData
from kemm.training.planting import MODALITIES, Modality, plant, signal
from kemm.training.splits import Fold
from kemm.training.units import run_work

PERMUTED_TOLERANCE = 0.03
NOISE_TOLERANCE = 0.02
DRAWN_AGAIN = 3
"""Permutations tried for each one that is used: of some, no folds can be made."""

MORE_NOISES = 3
"""Times as many draws of noise as are begun with, at most."""
NOISE_CRITERION = "The mean change of C is at most 0.02 either way"
UNDEFINED = "C is not defined for this model on this cohort."

FoldMaker = Callable[[Cohort], Sequence[Fold]]
Prepare = Callable[[StudyData], StudyData]


class ControlsConfig(Section):
    """How much is spent on controls."""

    permutations: int = Field(10, ge=2)
    """Permutations of the outcomes, to begin with."""
    most_permutations: int = Field(40, ge=2)
    """More are made, up to so many, until the standard error is `precision` or the verdict is clear."""
    precision: float = Field(0.015, gt=0)
    """Standard error of a mean C below which "nothing was found" is believed."""
    noises: int = Field(5, ge=2)
    """Draws of noise, to begin with; up to three times as many are made."""
    strength: float = Field(0.6, gt=0, lt=1)
    """Correlation of the planted signal with how much sooner than expected each case had its event."""
    least_rise: float = Field(0.02, gt=0)
    """By how much the planted signal must raise C."""
    epochs: int = Field(10, ge=1)
    """Most epochs of networks, which train with one seed here."""
    bootstraps: int = Field(1000, ge=100)
    """Resamples of patients for intervals."""


@dataclass(frozen=True)
class _Controls:
    """The comparison that is controlled, and what its variants share."""

    base: Crossval
    make_folds: FoldMaker
    config: ControlsConfig
    prepare: Prepare
    run: Mapper
    progress: Progress

    # --- outcomes that belong to others ----------------------------------------------------------

    def permuted(self, specs: Sequence[ModelSpec]) -> dict[str, Control]:
        """C of each model where every case has another's outcome."""
        found: dict[str, list[float]] = {spec.name: [] for spec in specs}
        for number in range(DRAWN_AGAIN * self.config.most_permutations):
            left = [spec for spec in specs if not self._has_permutations(found[spec.name])]
            if not left:
                break
            context = self._permutation(number)
            if context is not None:
                for name, c in self._cs(context, left).items():
                    found[name] += [] if c is None else [c]
        return {
            spec.name: self._judge(
                "permuted outcomes",
                spec,
                found[spec.name],
                done=f"Outcomes (months and event together) were exchanged among all {len(self.base.data.cohort)} cases "
                f"before folds were made, {len(found[spec.name])} times; each time the model was trained and tested anew.",
                criterion="The mean C is within 0.50 ± 0.03",
                centre=0.5,
                tolerance=PERMUTED_TOLERANCE,
            )
            for spec in specs
        }

    def _has_permutations(self, found: Sequence[float]) -> bool:
        if len(found) < self.config.permutations:
            return False
        return len(found) >= self.config.most_permutations or self._is_settled(found, 0.5, PERMUTED_TOLERANCE)

    def _permutation(self, number: int) -> Crossval | None:
        data = self.base.data
        order = np.random.default_rng((number, len(data.cohort))).permutation(len(data.cohort))
        endpoint, cases = data.cohort.endpoint, data.cohort.cases
        exchanged = data.with_cases(
            {
                row: replace(case, outcomes={**case.outcomes, endpoint: cases[order[row]].outcomes[endpoint]})
                for row, case in enumerate(cases)
            }
        )
        try:
            folds = tuple(self.make_folds(exchanged.cohort))
        except InvalidInput:
            return None  # a part has too few events: another permutation
        return self._variant(exchanged, f"permuted {number}", folds)

    # --- what was planted ------------------------------------------------------------------------

    def planted(self, specs: Sequence[ModelSpec]) -> dict[str, Control]:
        """How much C of each model rises by a signal that is partly the outcome."""
        strength, controls = self.config.strength, dict[str, Control]()
        for modality, group in _by_modality(specs).items():
            control = Control(
                name="planted signal",
                model="",
                done=f"A signal that correlates by {strength:g} with how much sooner than expected each case had its event "
                f"was planted in {modality}.",
                criterion=f"C rises by at least {self.config.least_rise:g}, and the 95 % interval of the rise is above 0; it is "
                "failed where the whole interval lies below that rise.",
            )
            try:
                values = signal(self.base.data, strength, seed=0)
                variant = self._variant(plant(self.base.data, modality, values, seed=0), "planted")
            except UsageError as error:
                controls |= {spec.name: _told(control, spec, note=str(error)) for spec in group}
                continue
            before, after = (
                self._frames(self._variant(self.base.data, ""), group),
                self._frames(variant, group),
            )
            for spec in group:
                difference = self._difference(spec, variant, before[spec.name], after[spec.name])
                if difference is None:
                    controls[spec.name] = _told(control, spec, note=UNDEFINED)
                    continue
                value, low, high = difference
                controls[spec.name] = _told(
                    control,
                    spec,
                    value=value,
                    low=low,
                    high=high,
                    repeats=[value],
                    **self._found(value, low, high),
                )
        return controls

    def _found(self, rise: float, low: float, high: float) -> dict[str, object]:
        if rise >= self.config.least_rise and low > 0:
            return {"passed": True}
        if high < self.config.least_rise:
            return {"passed": False}
        return {"note": "So few events that the rise cannot be told from chance."}

    # --- what says nothing -----------------------------------------------------------------------

    def noise(self, specs: Sequence[ModelSpec]) -> dict[str, Control]:
        """How much C of each model moves by columns that have nothing to do with anybody."""
        controls = dict[str, Control]()
        for modality, group in _by_modality(specs).items():
            try:
                found = self._moved_by_noise(modality, group)
            except UsageError as error:
                control = Control(
                    name="noise", model="", done="Nothing was added.", criterion=NOISE_CRITERION
                )
                controls |= {spec.name: _told(control, spec, note=str(error)) for spec in group}
                continue
            for spec in group:
                controls[spec.name] = self._judge(
                    "noise",
                    spec,
                    found[spec.name],
                    done=f"Noise was added to {modality}, {len(found[spec.name])} times anew.",
                    criterion=NOISE_CRITERION,
                    centre=0.0,
                    tolerance=NOISE_TOLERANCE,
                )
        return controls

    def _moved_by_noise(self, modality: Modality, specs: Sequence[ModelSpec]) -> dict[str, list[float]]:
        before = self._cs(self._variant(self.base.data, ""), specs)
        found: dict[str, list[float]] = {spec.name: [] for spec in specs}
        for seed in range(1, 1 + MORE_NOISES * self.config.noises):
            left = [spec for spec in specs if not self._has_noises(found[spec.name])]
            if not left:
                break
            values = np.random.default_rng((seed, 1)).normal(size=len(self.base.data.cohort))
            context = self._variant(plant(self.base.data, modality, values, seed), f"noise {seed}")
            for name, after in self._cs(context, left).items():
                known = before[name]
                found[name] += [] if known is None or after is None else [after - known]
        return found

    def _has_noises(self, found: Sequence[float]) -> bool:
        return len(found) >= self.config.noises and self._is_settled(found, 0.0, NOISE_TOLERANCE)

    # --- the hospital ----------------------------------------------------------------------------

    def site(self) -> Control:
        """What the hospital's code predicts by itself."""
        control = Control(
            name="site alone",
            model="site",
            done="A ridge Cox model was given the hospital's code and nothing else, on the folds of the comparison.",
            criterion="The 95 % interval of its C is not above 0.5",
            is_fault=False,
        )
        if all(site is None for site in self.base.data.cohort.sites):
            return control.model_copy(
                update={"note": "No case's hospital is known: name its column in cohort.site."}
            )
        spec = next(
            one for one in models_of(("site",), self.base.model, ComparatorsConfig()) if one.name == "site"
        )
        context = self._variant(self.base.data, "", models=(spec,))
        cell = (
            self._evaluator(self._frames(context, [spec])[spec.name], context, [spec])
            .result(spec)
            .metrics["harrell_c"]
        )
        if cell.value is None:
            return control.model_copy(update={"note": f"{cell.reason or 'C is not defined'}."})
        shared = any(
            {context.data.cohort.sites[row] for row in fold.train}
            & {context.data.cohort.sites[row] for row in fold.test} - {None}
            for fold in context.folds
        )
        note = "" if shared else "No hospital is on both sides of a fold, so that its code can tell nothing."
        if cell.low is not None and cell.low > 0.5:
            note = "The hospital predicts the outcome: part of every C may be the hospital and no medicine."
        return control.model_copy(
            update={
                "value": cell.value,
                "low": cell.low,
                "high": cell.high,
                "repeats": [cell.value],
                "passed": cell.low is None or cell.low <= 0.5,
                "note": note,
            }
        )

    # --- the way of every run --------------------------------------------------------------------

    def _variant(
        self,
        data: StudyData,
        name: str,
        folds: tuple[Fold, ...] | None = None,
        models: tuple[ModelSpec, ...] | None = None,
    ) -> Crossval:
        """The comparison with other data, and with training that is cheap."""
        training = self.base.training
        training = training.model_copy(
            update={"seeds": training.seeds[:1], "epochs": min(training.epochs, self.config.epochs)}
        )
        prepared = self.prepare(data)
        return replace(
            self.base,
            data=replace(prepared, identity=fingerprint(prepared.identity, "control", name)),
            folds=self.base.folds if folds is None else folds,
            models=self.base.models if models is None else models,
            training=training,
        )

    def _frames(self, context: Crossval, specs: Sequence[ModelSpec]) -> dict[str, pd.DataFrame]:
        """The predictions of each model, trained where that was not done before."""
        context = replace(context, models=tuple(specs), explain=False)
        tasks = context.tasks()
        done = finished(context, tasks)
        left = [task for task in tasks if task not in done]
        with closing(self.run(run_work, context, context.work(left))) as results:
            for _ in results:
                pass
        return {
            spec.name: pd.concat(
                [read_unit(context, task)[0] for task in tasks if task.model == spec.name], ignore_index=True
            )
            for spec in specs
        }

    def _cs(self, context: Crossval, specs: Sequence[ModelSpec]) -> dict[str, float | None]:
        """C of each model; None where it is not defined."""
        found: dict[str, float | None] = {}
        for name, frame in self._frames(context, specs).items():
            parts = Predictions(frame, context.data.cohort, context.folds).parts(name)
            try:
                pairs = [count_pairs(part.months, part.event, part.risk) for part in parts]
                found[name] = combined_concordance(pairs).c
            except UndefinedMetric:
                found[name] = None
        return found

    def _evaluator(self, frame: pd.DataFrame, context: Crossval, models: Sequence[ModelSpec]) -> Evaluator:
        predictions = Predictions(frame, context.data.cohort, context.folds)
        return Evaluator(predictions, models, EvaluationConfig(bootstraps=self.config.bootstraps))

    def _difference(
        self, spec: ModelSpec, variant: Crossval, before: pd.DataFrame, after: pd.DataFrame
    ) -> tuple[float, float, float] | None:
        """C of the variant less C of the model as it is, with the interval of the paired bootstrap."""
        other = replace(spec, name=f"{spec.name} (variant)")
        frame = pd.concat([before, after.assign(model=other.name)], ignore_index=True)
        found = self._evaluator(frame, variant, [spec, other]).differences()
        return (found[0].value, found[0].low, found[0].high) if found else None

    # --- verdicts --------------------------------------------------------------------------------

    def _is_settled(self, found: Sequence[float], centre: float, tolerance: float) -> bool:
        mean, error, low, high = _mean(found)
        is_outside = low > centre + tolerance or high < centre - tolerance
        return is_outside or (abs(mean - centre) <= tolerance and error <= self.config.precision)

    def _judge(
        self,
        name: ControlName,
        spec: ModelSpec,
        found: Sequence[float],
        *,
        done: str,
        criterion: str,
        centre: float,
        tolerance: float,
    ) -> Control:
        """Passed where the mean is close and sure enough, failed where its whole interval is too far, else open."""
        control = Control(
            name=name,
            model=spec.name,
            done=done,
            criterion=f"{criterion}, with a standard error of at most {self.config.precision:g}; it is failed where the "
            "whole 95 % interval of the mean lies beyond.",
        )
        if len(found) < 2:
            return control.model_copy(update={"note": UNDEFINED})
        mean, error, low, high = _mean(found)
        passed, note = None, ""
        if low > centre + tolerance or high < centre - tolerance:
            passed = False
        elif abs(mean - centre) <= tolerance and error <= self.config.precision:
            passed = True
        else:
            note = (
                f"{len(found)} repeats are too few for so small a cohort: the standard error is {error:.3f}. "
                "Allow more of them."
            )
        return control.model_copy(
            update={
                "value": mean,
                "low": low,
                "high": high,
                "standard_error": error,
                "repeats": list(found),
                "passed": passed,
                "note": note,
            }
        )


def run_controls(
    base: Crossval,
    models: Sequence[ModelSpec],
    make_folds: FoldMaker,
    *,
    config: ControlsConfig | None = None,
    prepare: Prepare = lambda data: data,
    run: Mapper = run_here,
    progress: Progress | None = None,
) -> Controls:
    """Put each of `models` through the controls; the hospital's code once.

    Args:
        base: the comparison; its units are kept in its store, and made once.
        models: which models, of those that `base` could train.
        make_folds: the folds of a cohort, as the comparison makes them; called anew for permuted outcomes.
        config: how much is spent.
        prepare: what the comparison does to its data with the outcomes of cases in sight, if anything: done anew to
            each variant, so that a leak in it shows.
        run: where units are computed.
        progress: told of each control.
    """
    settings, told = config or ControlsConfig(), progress or Silent()
    controls = _Controls(base, make_folds, settings, prepare, run, told)
    found = list[Control]()
    with told.stage("controls", 3 * len(models) + 1) as step:
        by_model = []
        for name, control in (
            ("permuted outcomes", controls.permuted),
            ("planted signal", controls.planted),
            ("noise", controls.noise),
        ):
            by_model.append(control(models))
            step.advance(name, len(models))
        found += [of_model[spec.name] for spec in models for of_model in by_model if spec.name in of_model]
        found.append(controls.site())
        step.advance("site alone")
    training = base.training
    return Controls(
        controls=found,
        settings={
            "seeds of networks": "1",
            "most epochs of networks": str(min(training.epochs, settings.epochs)),
            "resamples of patients": str(settings.bootstraps),
        },
    )


def _planted_in(spec: ModelSpec) -> Modality | None:
    """Where the model would see it: a modality that it takes as a whole."""
    seen = spec.inputs if spec.is_network or not spec.views else spec.views
    return next((one for one in MODALITIES if one in seen), None)


def _by_modality(specs: Sequence[ModelSpec]) -> dict[Modality, list[ModelSpec]]:
    """Models under the modality that is planted in for them; those that could not see it are left out."""
    found: dict[Modality, list[ModelSpec]] = {}
    for spec in specs:
        modality = _planted_in(spec)
        if modality is not None:
            found.setdefault(modality, []).append(spec)
    return found


def _told(control: Control, spec: ModelSpec, **update: object) -> Control:
    return Control.model_validate({**control.model_dump(), "model": spec.name, **update})


def _mean(found: Sequence[float]) -> tuple[float, float, float, float]:
    """Mean, its standard error, and the ends of its 95 % interval."""
    mean, error = float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(len(found)))
    reach = float(student.ppf(0.975, len(found) - 1)) * error
    return mean, error, mean - reach, mean + reach
