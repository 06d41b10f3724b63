"""Cross-validation in units: one model on one fold, with all its seeds. A finished unit is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from kemm.core.files import read_frame, write_arrays, write_frame, write_json
from kemm.core.provenance import fingerprint
from kemm.core.store import Store
from kemm.modalities.encoders import TextConfig
from kemm.modalities.genomics import GenomicsConfig
from kemm.model.baselines import BASELINES, BaselinesConfig
from kemm.model.kemm import KEMM, ModelConfig, build_head, build_kemm, count_parameters
from kemm.model.survival_model import SurvivalModel
from kemm.survival import discrete_time
from kemm.training.checkpoint import Checkpoint
from kemm.training.comparators import KEMM_NETWORK, ModelSpec
from kemm.training.cost import keep_cost, measuring
from kemm.training.dataset import StudyData
from kemm.training.device import resolve_device, resolve_precision
from kemm.training.features import FeaturesConfig, FoldTransforms
from kemm.training.fitted import FittedFold
from kemm.training.linear import Stack
from kemm.training.memory import StepMemory, step_memory
from kemm.training.methods import RiskModel, fit_method
from kemm.training.occlusion import Explained, explain
from kemm.training.patch_attention import write_patch_attention
from kemm.training.reading import Reader
from kemm.training.splits import Fold, inner_parts
from kemm.training.together import predict
from kemm.training.trainer import (
    OPTIMISTIC,
    Ensemble,
    History,
    Member,
    Outcomes,
    TrainingConfig,
    held_out,
    train,
)
from kemm.training.under_way import Teller, Training, telling

FORMAT = 9
"""Raised when the same settings would give other numbers than before."""
GRID = tuple(float(month) for month in range(0, 241, 3))
"""Months at which survival is predicted. Fixed, so that no outcome of a test part can shape it."""


@dataclass(frozen=True)
class Crossval:
    """All that units need, the same for each; goes to every worker once."""

    data: StudyData
    folds: tuple[Fold, ...]
    models: tuple[ModelSpec, ...]
    features: FeaturesConfig
    text: TextConfig
    genomics: GenomicsConfig | None
    model: ModelConfig
    training: TrainingConfig
    store: Path
    baselines: BaselinesConfig = field(default_factory=BaselinesConfig)
    explain: bool = True
    """Whether the last model is the main one: it is also asked what its risk stands on."""

    def is_explained(self, spec: ModelSpec) -> bool:
        """Whether what the model's risk stands on is found out, too."""
        return self.explain and spec == self.models[-1]

    def settings(self, spec: ModelSpec) -> ModelConfig | BaselinesConfig | None:
        """The settings of a network; None for what is none."""
        if not spec.is_network:
            return None
        return (spec.model or self.model) if spec.network == KEMM_NETWORK else self.baselines

    def tasks(self) -> list[Task]:
        """Every unit, fold by fold: a process keeps what is fitted on a fold, for all models."""
        return [Task(fold.index, spec.name) for fold in self.folds for spec in self.models]

    def spec(self, name: str) -> ModelSpec:
        """The model called `name`."""
        return next(spec for spec in self.models if spec.name == name)

    def fold(self, index: int) -> Fold:
        """The fold numbered `index`."""
        return next(fold for fold in self.folds if fold.index == index)

    @property
    def steps(self) -> int:
        """Steps an epoch of every network: `training.batch` cases each, where a fold has its fair share of the cases."""
        fitting = (1 - 1 / len(self.folds)) * (1 - 1 / self.training.inner_parts)
        return max(1, round(len(self.data.cohort) * fitting / self.training.batch))

    def key(self, task: Task) -> str:
        """The name of a unit's result; changes with all that shapes it. Outcomes of the test part do not."""
        fold, spec, cohort = self.fold(task.fold), self.spec(task.model), self.data.cohort
        seen = [cohort.cases[row] for row in (*fold.train, *fold.test)]
        parts: list[Any] = [
            FORMAT,
            self.data.identity,
            [
                [case.id, case.cancer_type, case.site, sorted(case.covariates.items(), key=str)]
                for case in seen
            ],
            [
                len(fold.train),
                fold.index,
                cohort.months[list(fold.train)].tolist(),
                cohort.event[list(fold.train)].tolist(),
            ],
            [spec.name, list(spec.inputs), list(spec.views), spec.network, spec.method],
            self.features.model_dump(),
            self.text.model_dump(),
            self.genomics.model_dump() if self.genomics else None,
        ]
        if spec.is_network:
            # Where and in which company networks are computed changes rounding only; how precisely, more.
            training = self.training.model_dump(exclude={"device", "one_pass", "precision", "memory_gb"})
            precision = resolve_precision(self.training.precision, resolve_device(self.training.device))
            settings = self.settings(spec)
            assert settings is not None
            head = (spec.model or self.model).model_dump(include={"head", "intervals", "learn_beyond"})
            parts += [settings.model_dump(), head, training, str(precision), self.is_explained(spec)]
            parts += [len(cohort), self.steps, list(fold.train)]
            if self.training.selection == OPTIMISTIC:
                test = list(fold.test)
                parts.append([cohort.months[test].tolist(), cohort.event[test].tolist()])
        return fingerprint(*parts)

    def memory(self, spec: ModelSpec) -> StepMemory | None:
        """What patches take where `spec` is trained; None where it reads none, or is not bounded: the field's networks."""
        slides, training, settings = self.data.slides, self.training, self.settings(spec)
        if slides is None or "slides" not in spec.inputs or not isinstance(settings, ModelConfig):
            return None
        parts = training.inner_parts if training.selection != OPTIMISTIC else 1
        networks = len(training.seeds) * parts
        # Side by side, all go through the training cases in one order, each without its held-out part.
        cases = -(-max(len(fold.train) for fold in self.folds) // self.steps)
        if self.one_pass == "run":
            networks, cases = networks * len(self.folds), -(-len(self.data.cohort) // self.steps)
        elif self.one_pass == "network":
            networks = 1
        return step_memory(
            np.diff(slides.offsets),
            slides.features.dtype if slides.means is not None else np.dtype(np.float32),
            slides.width,
            training=training,
            precision=resolve_precision(training.precision, resolve_device(training.device)),
            cases=min(cases, len(self.data.cohort)),
            networks=[0 if settings.linear_adapter else settings.width] * networks,
        )

    @property
    def one_pass(self) -> str:
        """Which networks are computed in one pass: those of the "run", of a "fold", or each "network" by itself."""
        asked = self.training.one_pass
        if asked != "auto":
            return asked
        return "fold" if resolve_device(self.training.device).type == "cpu" else "run"

    def work(self, tasks: Sequence[Task]) -> list[Work]:
        """The units, grouped into what is done in one go."""
        one_pass = self.one_pass
        found: list[Work] = []
        for task in tasks:
            if self.spec(task.model).is_network and one_pass == "run":
                folds = tuple(one.fold for one in tasks if one.model == task.model)
                if task.fold == folds[0]:
                    found.append(Work(task.model, folds))
            else:
                found.append(Work(task.model, (task.fold,)))
        return found


@dataclass(frozen=True)
class Work:
    """What is done in one go: a model on a fold, or a network on several folds in one pass."""

    model: str
    folds: tuple[int, ...]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Its units."""
        return tuple(Task(fold, self.model) for fold in self.folds)


@dataclass(frozen=True)
class Task:
    """A unit: a model on a fold. Its result is kept by itself."""

    fold: int
    model: str


@dataclass(frozen=True)
class Placed:
    """Work of one of several cross-validations."""

    context: int
    work: Work


def run_placed(contexts: Sequence[Crossval], placed: Placed) -> float:
    """`run_work`, where tasks are of several cross-validations that go to every worker once."""
    return run_work(contexts[placed.context], placed.work)


KIND = "units"
CHECKPOINTS = "checkpoints"


def run_work(context: Crossval, work: Work) -> float:
    """Fit one model on each of some folds, predict their test parts, keep both. Returns the seconds it took."""
    store = Store(context.store)
    spec, keys = context.spec(work.model), [context.key(task) for task in work.tasks]
    folds = [context.fold(fold) for fold in work.folds]
    shared = [fitted(context, fold) for fold in folds]  # for all models: no cost of this one
    name = keys[0] if len(keys) == 1 else fingerprint(keys)
    checkpoint = Checkpoint(context.store / CHECKPOINTS / f"{name}.safetensors")
    with ExitStack() as open_units, measuring(checkpoint.exists) as costs:
        folders = [
            open_units.enter_context(store.adding(KIND, key, model=spec.name, fold=fold))
            for key, fold in zip(keys, work.folds, strict=True)
        ]
        if spec.is_network:
            begun = Training(
                model=spec.name,
                fold=folds[0].index,
                epochs=context.training.epochs,
                cases=sum(len(fold.train) for fold in folds),
            )
            with telling(context.store, keys[0], begun) as teller:
                _networks(context, shared, spec, folders, checkpoint, teller)
        else:
            for one, folder in zip(shared, folders, strict=True):
                _comparator(context, one, spec, folder)
    checkpoint.remove()
    for key in keys:
        keep_cost(store, key, costs[0], len(keys))
    return costs[0].seconds


def read_unit(context: Crossval, task: Task) -> tuple[pd.DataFrame, Path]:
    """The predictions of a finished unit, and its folder."""
    entry = Store(context.store).get(KIND, context.key(task))
    return read_frame(entry.path("predictions.parquet")), entry.folder


_FITTED: list[tuple[Crossval, FittedFold]] = []
"""The last fold that this process worked on."""


def fitted(context: Crossval, fold: Fold) -> FittedFold:
    """What is fitted on the fold's training part. Kept for the next unit of the same fold in this process."""
    for known, found in _FITTED:
        if known is context and found.fold is fold:
            return found
    _FITTED.clear()
    transforms = FoldTransforms.fit(
        context.data, fold.train, config=context.features, text=context.text, genomics=context.genomics
    )
    features = transforms.apply(context.data, (*fold.train, *fold.test))
    rows = list(fold.train)
    cohort = context.data.cohort
    found = FittedFold(fold, transforms, features, cohort.months[rows], cohort.event[rows])
    _FITTED.append((context, found))
    return found


def _comparator(context: Crossval, shared: FittedFold, spec: ModelSpec, folder: Path) -> None:
    test = shared.test
    model, crossed = _fit(shared, spec)
    views = {name: shared.features.views[name].take(test) for name in spec.views}
    risk = model.log_risk(views) if views else np.zeros(len(test))
    threshold = float(np.median(crossed)) if views else 0.0
    frame = _predictions(context, shared.fold, spec, 0, risk, model.survival(risk, np.array(GRID)), threshold)
    write_frame(folder / "predictions.parquet", _known(frame, shared, spec.views))
    write_json(folder / "about.json", model.about())


def _fit(shared: FittedFold, spec: ModelSpec) -> tuple[RiskModel, NDArray[np.float64]]:
    """A model that is no network, and the cross-fitted log risks of the training cases."""
    if spec.method == "ridge":
        stack, parts = shared.stack(spec.views, seed=0)
        return stack, np.sum([np.zeros(len(shared.months)), *parts.values()], axis=0)
    views = {name: shared.features.views[name].take(shared.train) for name in spec.views}
    return fit_method(spec.method, views, shared.months, shared.event, seed=0)


def _known(frame: pd.DataFrame, shared: FittedFold, views: Sequence[str]) -> pd.DataFrame:
    """Without test cases that have none of these views: no guess passes for a prediction."""
    if not views:
        return frame
    known = np.any([shared.features.views[name].present[shared.test] for name in views], axis=0)
    ids = frame["case_id"].unique()[known]
    return frame[frame["case_id"].isin(ids)].reset_index(drop=True)


@dataclass(frozen=True)
class Seeded:
    """The ensemble of one seed, and the linear model it adds to."""

    seed: int
    stack: Stack | None
    ensemble: Ensemble


def untrained(context: Crossval, shared: FittedFold, spec: ModelSpec) -> list[Seeded]:
    """The networks of a fold as they begin, by seed."""
    cohort, fold = context.data.cohort, shared.fold
    outer = Outcomes.of(fold.train, cohort.months, cohort.event)
    precision = resolve_precision(context.training.precision, resolve_device(context.training.device))
    found = []
    for seed in context.training.seeds:
        stack, offset, crossed = _offset(shared, spec, seed)
        memory = context.memory(spec)
        reader = Reader(shared.features, spec.inputs, offset, precision)
        if memory is not None:
            reader = replace(reader, keep=memory.keep)
        beyond = (spec.model or context.model).learn_beyond
        learning = replace(reader, offset=_learning_offset(beyond, shared, crossed, offset))
        members = _members(context, shared, spec, outer, seed)
        found.append(Seeded(seed, stack, Ensemble(members, reader, learning)))
    return found


def _networks(
    context: Crossval,
    shared: Sequence[FittedFold],
    spec: ModelSpec,
    folders: Sequence[Path],
    checkpoint: Checkpoint,
    teller: Teller,
) -> None:
    seeded = [untrained(context, one, spec) for one in shared]
    teller.trains(sum(len(one.ensemble.members) for one in seeded[0]))
    histories = train(
        [one.ensemble for own in seeded for one in own],
        context.training,
        rows=range(len(context.data.cohort)),
        steps=context.steps,
        checkpoint=checkpoint,
        on_epoch=teller.epoch,
    )
    teller.predicts()
    for fold, own, folder in zip(shared, seeded, folders, strict=True):
        _write_network(context, fold, spec, own, [histories.pop(0) for _ in own], folder)


def _write_network(
    context: Crossval,
    shared: FittedFold,
    spec: ModelSpec,
    seeded: Sequence[Seeded],
    histories: Sequence[History],
    folder: Path,
) -> None:
    """Predict the test part of a fold, and write what there is to keep."""
    fold = shared.fold
    everyone = [(one.ensemble, member) for one in seeded for member in one.ensemble.members]
    forecasts = predict(
        [member.model for _, member in everyone],
        [one.reader for one, _ in everyone],
        [fold.test for _ in everyone],
        device=resolve_device(context.training.device),
    )
    frames, explaining, about = [], [], []
    for one, history in zip(seeded, histories, strict=True):
        seed, stack, members = one.seed, one.stack, list(one.ensemble.members)
        held = held_out(members, one.ensemble.reader, context.training)
        known = torch.cat([one.output() for one in held])
        known_months, known_event = (
            torch.cat([one.months for one in held]),
            torch.cat([one.event for one in held]),
        )
        risks, curves = [], []
        for number, member in enumerate(members):
            member.model.head.fit_baseline(known, known_months, known_event)
            output = forecasts.pop(0).output
            risks.append(member.model.head.risk(output).double().numpy())
            curves.append(_survival(member.model, output, float(shared.months.max())))
            _save_member(folder, seed, number, member.model, stack)
            if number == 0 and isinstance(
                member.model, KEMM
            ):  # one network a seed: the others say much the same, at as much time again
                explaining.append((member.model, stack))
        frames.append(
            _predictions(
                context,
                fold,
                spec,
                seed,
                np.mean(risks, axis=0),
                np.mean(curves, axis=0),
                float(members[0].model.head.risk(known).median()),
            )
        )
        about.append(
            {
                "seed": seed,
                "best_epoch": history.best_epoch,
                "apart": history.apart,
                "inner_loss": history.inner_loss,
                "parameters": count_parameters(members[0].model),
                "branch_weights": dict(
                    zip(members[0].model.branches, members[0].model.weights.tolist(), strict=True)
                ),
                "offset_weights": dict(stack.weights) if stack else {},
            }
        )
    predicted = pd.concat(frames, ignore_index=True)
    if spec.role in ("baseline", "ablation"):
        predicted = _known(predicted, shared, [name for name in spec.inputs if name in shared.features.views])
    write_frame(folder / "predictions.parquet", predicted)
    write_json(folder / "about.json", about)
    if context.is_explained(spec):
        explained: Explained = explain(
            context.data, shared.transforms, shared.features, spec, explaining, fold.test
        )
        write_json(folder / "explained.json", explained.as_json())
        write_patch_attention(folder, explained.attention)
        _save_transforms(folder, shared.transforms)


def _members(
    context: Crossval,
    shared: FittedFold,
    spec: ModelSpec,
    outer: Outcomes,
    seed: int,
) -> list[Member]:
    """The networks of one seed: each is fitted on all but one part of the training part, and held to that part."""
    cohort, count = context.data.cohort, context.training.inner_parts
    parts = list(inner_parts(shared.event, count, seed))
    everything = np.arange(len(outer))
    held = [outer.take(part) for part in parts]
    fits = [outer.take(np.setdiff1d(everything, part)) for part in parts]
    if context.training.selection == OPTIMISTIC:
        held, fits = [Outcomes.of(shared.fold.test, cohort.months, cohort.event)], [outer]
    return [
        Member(
            new_model(context, shared, spec, outer, 1000 * seed + number), fit, select, 1000 * seed + number
        )
        for number, (fit, select) in enumerate(zip(fits, held, strict=True))
    ]


def new_model(
    context: Crossval, shared: FittedFold, spec: ModelSpec, outer: Outcomes, seed: int
) -> SurvivalModel:
    """An untrained network for the training part `outer`."""
    torch.manual_seed(seed)
    settings = spec.model or context.model
    edges = discrete_time.fit_intervals(outer.months, outer.event, settings.intervals)
    inputs = shared.features.inputs(spec.inputs)
    if spec.network == KEMM_NETWORK:
        model: SurvivalModel = build_kemm(settings, inputs, edges)
    else:
        assert spec.network is not None
        baseline = BASELINES[spec.network]
        if baseline.needs_prototypes:
            inputs = replace(
                inputs, prototypes=torch.from_numpy(shared.prototypes(context.baselines.prototypes))
            )
        model = baseline.build(context.baselines, inputs, build_head(settings, edges))
    model.head.start_at(outer.months, outer.event)
    return model


def _offset(
    shared: FittedFold, spec: ModelSpec, seed: int
) -> tuple[Stack | None, torch.Tensor | None, Mapping[str, NDArray[np.float64]]]:
    """The linear predictor the network adds to: cross-fitted for training cases, for all others from all of them.

    Also its cross-fitted parts, by view.
    """
    if not spec.views:
        return None, None, {}
    stack, crossed = shared.stack(spec.views, seed)
    offset = stack.log_risk({name: shared.features.views[name] for name in spec.views})
    offset[shared.train] = sum(crossed.values())
    return stack, torch.from_numpy(offset.astype(np.float32)), crossed


def _learning_offset(
    beyond: Literal["none", "clinical", "offset"],
    shared: FittedFold,
    crossed: Mapping[str, NDArray[np.float64]],
    offset: torch.Tensor | None,
) -> torch.Tensor | None:
    """What branches are trained on top of; only training cases' values are ever used."""
    if beyond == "offset":
        return offset
    if beyond == "none" or "covariates" not in crossed:
        return None
    clinical = np.zeros(len(shared.features.rows), dtype=np.float32)
    clinical[shared.train] = crossed["covariates"]
    return torch.from_numpy(clinical)


def _survival(model: SurvivalModel, output: torch.Tensor, last_month: float) -> NDArray[np.float64]:
    """Survival on the grid; NaN after the training cases' follow-up."""
    grid = np.array(GRID)
    curve = np.full((len(output), len(grid)), np.nan)
    known = grid <= np.float32(last_month)
    with torch.inference_mode():
        curve[:, known] = model.head.survival(
            output, torch.from_numpy(grid[known].astype(np.float32))
        ).numpy()
    return curve


def _predictions(
    context: Crossval,
    fold: Fold,
    spec: ModelSpec,
    seed: int,
    risk: NDArray[np.float64],
    survival: NDArray[np.float64],
    threshold: float,
) -> pd.DataFrame:
    """A row a test case. Outcomes are joined later, by whoever evaluates."""
    return pd.DataFrame(
        {
            "model": spec.name,
            "fold": fold.index,
            "seed": seed,
            "case_id": [context.data.cohort.ids[row] for row in fold.test],
            "risk": risk,
            "threshold": threshold,
            **{f"survival@{month:g}": survival[:, column] for column, month in enumerate(GRID)},
        }
    )


def _save_member(folder: Path, seed: int, number: int, model: SurvivalModel, stack: Stack | None) -> None:
    arrays = {f"model.{name}": value.numpy() for name, value in model.state_dict().items()}
    if stack is not None:
        for name, one in stack.models.items():
            arrays |= {
                f"stack.{name}.mean": one.mean,
                f"stack.{name}.scale": one.scale,
                f"stack.{name}.coefficients": one.coefficients,
                f"stack.{name}.weight": np.array([stack.weights[name], stack.scales[name]]),
            }
    write_arrays(folder / f"member-{seed}-{number}.safetensors", arrays)


def _save_transforms(folder: Path, transforms: FoldTransforms) -> None:
    about, arrays = transforms.state()
    write_json(folder / "transforms.json", about)
    write_arrays(folder / "transforms.safetensors", arrays)


def finished(context: Crossval, tasks: Sequence[Task]) -> list[Task]:
    """Those of `tasks` whose result is in the store."""
    store = Store(context.store)
    return [task for task in tasks if store.has(KIND, context.key(task))]
