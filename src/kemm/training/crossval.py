"""Cross-validation in units: one model on one fold, with all its seeds. What units there are, and where they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kemm.core.files import read_frame
from kemm.core.provenance import fingerprint
from kemm.core.store import Store
from kemm.modalities.encoders import TextConfig
from kemm.modalities.genomics import GenomicsConfig
from kemm.model.baselines import BaselinesConfig
from kemm.model.kemm import ModelConfig
from kemm.training.comparators import KEMM_NETWORK, ModelSpec
from kemm.training.dataset import StudyData
from kemm.training.device import resolve_device, resolve_precision
from kemm.training.features import FeaturesConfig, most_knowledge
from kemm.training.memory import StepMemory, step_memory
from kemm.training.splits import Fold
from kemm.training.trainer import OPTIMISTIC, TrainingConfig

FORMAT = 10
"""Raised when the same settings would give other numbers than before."""
KIND = "units"
"""In the store."""


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
        device = resolve_device(training.device)
        precision = resolve_precision(training.precision, device)
        return step_memory(
            np.diff(slides.offsets),
            slides.features.dtype if slides.means is not None else np.dtype(np.float32),
            slides.width,
            training=training,
            precision=precision,
            cases=min(cases, len(self.data.cohort)),
            networks=[settings.width] * networks,
            queries=settings.heads * self._knowledge(spec, settings),
            device=device,
            encoded=slides.means is not None,
        )

    def _knowledge(self, spec: ModelSpec, settings: ModelConfig) -> int:
        """Tokens that ask slides, at most."""
        if settings.evidence == "gated":
            return 1
        known = 0
        if settings.queries == "knowledge":
            inputs = [
                name for name in ("report", "background") if getattr(settings, name) and name in spec.inputs
            ]
            known = most_knowledge(self.data, self.features, "slides", inputs)
        # Where nobody can ask, vectors are learned that do.
        return known or settings.learned_queries

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


def read_unit(context: Crossval, task: Task) -> tuple[pd.DataFrame, Path]:
    """The predictions of a finished unit, and its folder."""
    entry = Store(context.store).get(KIND, context.key(task))
    return read_frame(entry.path("predictions.parquet")), entry.folder


def finished(context: Crossval, tasks: Sequence[Task]) -> list[Task]:
    """Those of `tasks` whose result is in the store."""
    store = Store(context.store)
    return [task for task in tasks if store.has(KIND, context.key(task))]
