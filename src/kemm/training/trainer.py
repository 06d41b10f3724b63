"""The one training loop: a model, batches of cases, their outcomes; selection on an inner part."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from kemm.core.errors import UsageError
from kemm.core.settings import Section
from kemm.model.survival_model import SurvivalModel
from kemm.training.checkpoint import Checkpoint
from kemm.training.device import Device, Precision, resolve_device
from kemm.training.reading import CaseReader
from kemm.training.stacking import NotStackable
from kemm.training.together import Learner, Optimiser, Together, predict
from kemm.training.weighing import Held, settle

OPTIMISTIC = "best-epoch (optimistic)"


class TrainingConfig(Section):
    """How networks are trained."""

    seeds: list[int] = Field(default=[0, 1, 2], min_length=1)
    """Each trains a network; their mean is the prediction."""
    epochs: int = Field(40, ge=1)
    """Most passes over the training part."""
    patience: int = Field(8, ge=1)
    """Stop after so many epochs without a better inner loss."""
    batch: int = Field(32, ge=2)
    """Cases a step."""
    learning_rate: float = Field(2e-3, gt=0)
    """Of AdamW."""
    weight_decay: float = Field(1.0, ge=0)
    """Of AdamW, times the learning rate a step."""
    inner_parts: int = Field(3, ge=2)
    """Each seed trains as many networks, each on all but one part of the training part; the held-out parts together
    choose the epoch, and the networks together predict."""
    token_dropout: float = Field(0.3, ge=0, lt=1)
    """Chance of each token to be absent in a training step."""
    patches: int | None = Field(1024, ge=1)
    """Most patches of a case in a training step, drawn anew each time; prediction uses all."""
    device: Device = "auto"
    """Where networks are computed: "auto" takes a CUDA GPU where there is one."""
    precision: Precision = "auto"
    """Of patches and of the products with them: bf16 is about twice as fast where the hardware has it, many times slower
    where it has not (`kemm doctor` says so), and rounds to three digits. All else is always fp32. "auto" is bf16 on a GPU,
    fp32 elsewhere."""
    one_pass: Literal["auto", "run", "fold", "network"] = "auto"
    """Networks that are computed in one pass: those of all folds, of one fold, or each by itself; up to rounding all the
    same. "auto" is all folds on a GPU, and a fold on a processor, where folds go to several workers."""
    memory_gb: float = Field(3.0, gt=0)
    """Gigabytes that patches may take in each process; all else takes up to one more. What a step keeps of them for its way
    back is cut to fit, and made again there: slower, and the same numbers. What does not fit even so is refused, with the
    settings to lower. What is left over holds all patches, where the precision on a processor is bf16."""
    selection: Literal["inner", "best-epoch (optimistic)"] = "inner"
    """Where the epoch is chosen. "best-epoch (optimistic)" chooses it on the reported cases, as much published code
    does: it flatters, and is labelled so everywhere."""


@dataclass(frozen=True)
class Outcomes:
    """What happened to some rows of the cohort."""

    rows: NDArray[np.int64]
    months: Tensor
    event: Tensor

    @classmethod
    def of(
        cls, rows: Sequence[int] | NDArray[np.int64], months: NDArray[np.float64], event: NDArray[np.bool_]
    ) -> Outcomes:
        """The outcomes of `rows`, out of the whole cohort's."""
        chosen = np.asarray(rows, dtype=np.int64)
        return cls(
            chosen,
            torch.from_numpy(months[chosen].astype(np.float32)),
            torch.from_numpy(np.ascontiguousarray(event[chosen])),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: NDArray[np.int64]) -> Outcomes:
        """Those at `positions` of these."""
        index = torch.from_numpy(positions)
        return Outcomes(self.rows[positions], self.months[index], self.event[index])


@dataclass(frozen=True)
class History:
    """What training did."""

    inner_loss: list[float]
    """After each epoch; the first is before any training."""
    best_epoch: int
    """0 = the networks as they began."""
    apart: str = ""
    """Why networks were not computed in one pass, where that was asked for."""


@dataclass
class Member:
    """One network of an ensemble: what it trains on, and what it is held to."""

    model: SurvivalModel
    fit: Outcomes
    select: Outcomes
    seed: int


@dataclass(frozen=True)
class Ensemble:
    """Networks that share an epoch, branch weights and level: those of one fold and one seed."""

    members: Sequence[Member]
    reader: CaseReader
    """What forecasts are made from, and epochs chosen on."""
    learning: CaseReader
    """What branches are trained on. The two differ in the offset only."""


@dataclass
class _Run:
    """How far an ensemble has come."""

    ensemble: Ensemble
    losses: list[float]
    best: int
    states: list[dict[str, Tensor]]
    over: bool = False


def train(
    ensembles: Sequence[Ensemble],
    config: TrainingConfig,
    *,
    rows: Sequence[int] | None = None,
    steps: int | None = None,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> list[History]:
    """Train each ensemble's members on their `fit`; leave all at the epoch with the least loss on their `select` together.

    Where the members' `select` parts make up the training part, the epoch is chosen on all of it, by
    networks that did not see the cases they are judged on: one part alone has too few events to choose by.
    Branch weights come with each epoch (`settle`), a network's loss from weights that its cases had no part in.
    Epoch 0, the networks as they began, may win: then they add nothing to the offset.

    Ensembles are independent: each ends as if it were trained alone with the same `rows` and `steps`.

    Args:
        rows: All cases whose order is drawn in each epoch; by default those of the ensembles.
        steps: Steps an epoch, the same for all; by default what `config.batch` gives for the mean fitting part.
        checkpoint: Where to keep how far training has come, and to go on from.

    Raises:
        UsageError: The loss is no longer finite.
    """
    members = [member for ensemble in ensembles for member in ensemble.members]
    if rows is None:
        rows = sorted({int(row) for one in members for part in (one.fit, one.select) for row in part.rows})
    if steps is None:
        steps = max(1, round(sum(len(one.fit) for one in members) / len(members) / config.batch))
    runs = [_Run(one, [], 0, []) for one in ensembles]
    _judge(runs, 0, config)
    known = checkpoint.read() if checkpoint else None
    first = 1 if known is None else 1 + _restore(runs, *known)
    batches, apart = _batches([run for run in runs if not run.over], config)
    if known is not None:
        for number, batch in enumerate(batches):
            batch.stack.restore(_under(known[0], f"optimiser.{number}."))
    for epoch in range(first, config.epochs + 1):
        if not batches:
            break
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(epoch)).tolist()
        for batch in batches:
            batch.learn(epoch, [rows[place] for place in order], steps, config)
        _judge([run for run in runs if not run.over], epoch, config)
        on_epoch(epoch)
        batches = [batch for batch in batches if batch.go_on()]
        if checkpoint is not None and checkpoint.due():
            checkpoint.write(*_progress(runs, batches, epoch))
    for run in runs:
        for member, state in zip(run.ensemble.members, run.states, strict=True):
            member.model.load_state_dict(state)
    return [History(run.losses, run.best, apart) for run in runs]


def _progress(
    runs: Sequence[_Run], batches: Sequence[_Batch], epoch: int
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All that training needs to go on after an epoch: random numbers are a matter of seed, epoch and step."""
    tensors: dict[str, Tensor] = {}
    for number, run in enumerate(runs):
        for place, (member, best) in enumerate(zip(run.ensemble.members, run.states, strict=True)):
            for when, state in (("now", member.model.state_dict()), ("best", best)):
                tensors |= {f"{when}.{number}.{place}.{name}": value for name, value in state.items()}
    for number, batch in enumerate(batches):
        tensors |= {f"optimiser.{number}.{name}": value for name, value in batch.stack.state().items()}
    ensembles = [{"losses": run.losses, "best": run.best, "over": run.over} for run in runs]
    return tensors, {"epoch": epoch, "ensembles": ensembles}


def _restore(runs: Sequence[_Run], tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> int:
    """The runs as `_progress` found them; returns the epoch."""
    for number, (run, said) in enumerate(zip(runs, about["ensembles"], strict=True)):
        run.losses, run.best, run.over = list(said["losses"]), said["best"], said["over"]
        for place, member in enumerate(run.ensemble.members):
            member.model.load_state_dict(_under(tensors, f"now.{number}.{place}."))
        run.states = [
            _under(tensors, f"best.{number}.{place}.") for place in range(len(run.ensemble.members))
        ]
    return int(about["epoch"])


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _judge(runs: Sequence[_Run], epoch: int, config: TrainingConfig) -> None:
    """Whether this is each ensemble's best epoch, or its last."""
    for some in [[run] for run in runs] if config.one_pass == "network" else [runs]:
        for run, held in zip(some, held_out([run.ensemble for run in some], config), strict=True):
            run.losses.append(settle(held))
    for run in runs:
        if not math.isfinite(run.losses[-1]):
            raise UsageError(
                f"training diverged: after epoch {epoch} the held-out loss is {run.losses[-1]}. "
                f"Set training.learning_rate below {config.learning_rate:g}."
            )
        if epoch == 0 or run.losses[-1] < run.losses[run.best]:
            run.best, run.states = epoch, [_snapshot(member.model) for member in run.ensemble.members]
        elif epoch - run.best >= config.patience:
            run.over = True


@dataclass
class _Batch:
    """Networks that are one stack."""

    stack: Together
    runs: list[_Run]
    """Of each of them."""

    def learn(self, epoch: int, order: Sequence[int], steps: int, config: TrainingConfig) -> None:
        self.stack.epoch(epoch, order, steps, patches=config.patches, token_dropout=config.token_dropout)

    def go_on(self) -> bool:
        """Leave out networks whose ensembles are over; whether any is left."""
        places = [place for place, run in enumerate(self.runs) if not run.over]
        self.runs = [self.runs[place] for place in places]
        if places:
            self.stack.keep(places)
        return bool(places)


def _batches(runs: list[_Run], config: TrainingConfig) -> tuple[list[_Batch], str]:
    """One, where the networks can be put side by side; else one each, and why."""
    apart = ""
    optimiser, device = Optimiser(config.learning_rate, config.weight_decay), resolve_device(config.device)
    learners = [(learner, run) for run in runs for learner in _learners(run.ensemble)]
    if config.one_pass != "network" and runs:
        try:
            stack = Together([one for one, _ in learners], optimiser, device)
            return [_Batch(stack, [run for _, run in learners])], ""
        except NotStackable as reason:
            apart = str(reason)
    return [_Batch(Together([learner], optimiser, device), [run]) for learner, run in learners], apart


def _learners(ensemble: Ensemble) -> list[Learner]:
    return [
        Learner(one.model, ensemble.learning, one.fit.rows, one.fit.months, one.fit.event, one.seed)
        for one in ensemble.members
    ]


def held_out(ensembles: Sequence[Ensemble], config: TrainingConfig) -> list[list[Held]]:
    """What each network says of the cases it is held to, by ensemble."""
    every = [(member, one.reader) for one in ensembles for member in one.members]
    said = iter(
        predict(
            [member.model for member, _ in every],
            [reader for _, reader in every],
            [member.select.rows for member, _ in every],
            device=resolve_device(config.device),
        )
    )
    return [
        [
            Held(member.model, one.scores, one.offset, member.select.months, member.select.event)
            for member, one in zip(ensemble.members, said, strict=False)
        ]
        for ensemble in ensembles
    ]


def _snapshot(model: SurvivalModel) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
