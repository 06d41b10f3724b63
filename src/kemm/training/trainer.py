"""The one training loop: a model, batches of cases, their outcomes; selection on an inner part."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from kemm.core.errors import UsageError
from kemm.core.settings import Section
from kemm.model.batch import CaseBatch
from kemm.model.kemm import KEMM
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
    selection: Literal["inner", "best-epoch (optimistic)"] = "inner"
    """Where the epoch is chosen. "best-epoch (optimistic)" chooses it on the reported cases, as much published code
    does: it flatters, and is labelled so everywhere."""


class CaseReader(Protocol):
    """Gives cases as a model takes them."""

    def batch(self, rows: Sequence[int], patches: int | None, generator: torch.Generator | None) -> CaseBatch:
        """The cases at `rows`; at most `patches` patches of each, drawn with `generator`."""
        ...


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


@dataclass
class Member:
    """One network of an ensemble: what it trains on, and what it is held to."""

    model: KEMM
    fit: Outcomes
    select: Outcomes
    seed: int


def train(
    members: Sequence[Member],
    reader: CaseReader,
    learning: CaseReader,
    config: TrainingConfig,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> History:
    """Train each member on its `fit`; leave all at the epoch with the least loss on their `select` together.

    Branches are trained on batches of `learning`, and weighed and used on those of `reader`; the two differ in the
    offset only. Where the members' `select` parts make up the training part, the epoch is chosen on all of it, by
    networks that did not see the cases they are judged on: one part alone has too few events to choose by.
    Branch weights come with each epoch (`settle`), a network's loss from weights that its cases had no part in.
    Epoch 0, the networks as they began, may win: then they add nothing to the offset.

    Raises:
        UsageError: The loss is no longer finite.
    """
    runs = [
        (member, _optimiser(member.model, config), torch.Generator().manual_seed(member.seed))
        for member in members
    ]
    losses = [settle(held_out(members, reader))]
    best, states = 0, [_snapshot(member.model) for member in members]
    for epoch in range(1, config.epochs + 1):
        for member, optimiser, generator in runs:
            # Dropout draws from the global generator: each member's from its own seed.
            torch.manual_seed(1_000_003 * member.seed + epoch)
            _one_epoch(member.model, learning, member.fit, optimiser, config, generator)
        losses.append(settle(held_out(members, reader)))
        if not math.isfinite(losses[-1]):
            raise UsageError(
                f"training diverged: after epoch {epoch} the held-out loss is {losses[-1]}. "
                f"Set training.learning_rate below {config.learning_rate:g}."
            )
        on_epoch(epoch)
        if losses[-1] < losses[best]:
            best, states = epoch, [_snapshot(member.model) for member in members]
        elif epoch - best >= config.patience:
            break
    for member, state in zip(members, states, strict=True):
        member.model.load_state_dict(state)
    return History(losses, best)


def held_out(members: Sequence[Member], reader: CaseReader) -> list[Held]:
    """What each network says of the cases it is held to."""
    said = [predict(member.model, reader, member.select.rows) for member in members]
    return [
        Held(member.model, one.scores, one.offset, member.select.months, member.select.event)
        for member, one in zip(members, said, strict=True)
    ]


def _optimiser(model: KEMM, config: TrainingConfig) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
    )


def _one_epoch(
    model: KEMM,
    reader: CaseReader,
    fit: Outcomes,
    optimiser: torch.optim.Optimizer,
    config: TrainingConfig,
    generator: torch.Generator,
) -> None:
    model.train()
    order = torch.randperm(len(fit), generator=generator).numpy()
    # A last batch of a few cases would be mostly noise: parts of equal size instead.
    steps = max(1, round(len(fit) / config.batch))
    for positions in np.array_split(order, steps):
        some = fit.take(positions)
        batch = drop_tokens(
            reader.batch(some.rows.tolist(), config.patches, generator), config.token_dropout, generator
        )
        # Each branch by itself has to explain what the offset leaves open; else one that learns the training
        # cases by heart would leave nothing for the others to learn.
        scores = model(batch).scores
        losses = [
            model.head.loss(model.head(scores[:, branch], batch.offset), some.months, some.event)
            for branch in range(scores.shape[1])
        ]
        loss = torch.stack(losses).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()


def drop_tokens(batch: CaseBatch, chance: float, generator: torch.Generator) -> CaseBatch:
    """The batch with each token absent by `chance`: knowledge and modalities must do without one another.

    Bags are spared: `TrainingConfig.patches` draws among patches already.
    """
    if chance == 0:
        return batch
    tokens = {
        name: one.without(torch.rand(one.present.shape, generator=generator) < chance)
        for name, one in batch.tokens.items()
    }
    return replace(batch, tokens=tokens)


@dataclass(frozen=True)
class Prediction:
    """What a network says of some cases: the head's output, each branch's score, and the offset it added to."""

    output: Tensor
    scores: Tensor
    offset: Tensor | None


def predict(
    model: KEMM, reader: CaseReader, rows: Sequence[int] | NDArray[np.int64], *, at_once: int = 64
) -> Prediction:
    """The forecast of the cases at `rows`, from all their patches. No gradient, no dropout."""
    model.eval()
    outputs, scores, offsets = [], [], []
    with torch.inference_mode():
        for start in range(0, len(rows), at_once):
            batch = reader.batch([int(row) for row in rows[start : start + at_once]], None, None)
            forecast = model(batch)
            outputs.append(forecast.output)
            scores.append(forecast.scores)
            if batch.offset is not None:
                offsets.append(batch.offset)
    return Prediction(torch.cat(outputs), torch.cat(scores), torch.cat(offsets) if offsets else None)


def _snapshot(model: KEMM) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
