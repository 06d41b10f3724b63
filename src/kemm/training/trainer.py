"""The one training loop: a model, batches of cases, their outcomes; selection on an inner part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from kemm.core.settings import Section
from kemm.model.batch import CaseBatch, Forecast
from kemm.model.kemm import KEMM

OPTIMISTIC = "best-epoch (optimistic)"


class TrainingConfig(Section):
    """How networks are trained."""

    seeds: list[int] = Field(default=[0, 1, 2], min_length=1)
    """Each trains a network; their mean is the prediction."""
    epochs: int = Field(60, ge=1)
    """Most passes over the training part."""
    patience: int = Field(10, ge=1)
    """Stop after so many epochs without a better inner loss."""
    batch: int = Field(64, ge=2)
    """Cases a step."""
    learning_rate: float = Field(1e-3, gt=0)
    """Of AdamW."""
    weight_decay: float = Field(0.05, ge=0)
    """Of AdamW."""
    inner_share: float = Field(0.2, gt=0, lt=0.5)
    """Share of the training part that chooses the epoch and is not trained on."""
    token_dropout: float = Field(0.1, ge=0, lt=1)
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
    """0 = the network as it began."""


def train(
    model: KEMM,
    reader: CaseReader,
    fit: Outcomes,
    select: Outcomes,
    config: TrainingConfig,
    seed: int,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> History:
    """Train on `fit`; leave the model at the epoch with the least loss on `select`.

    Epoch 0, the network as it began, may win: then it adds nothing to the offset.
    """
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
    )
    losses = [_loss_of(model, reader, select)]
    best, best_state = 0, _snapshot(model)
    for epoch in range(1, config.epochs + 1):
        _one_epoch(model, reader, fit, optimiser, config, generator)
        losses.append(_loss_of(model, reader, select))
        on_epoch(epoch)
        if losses[-1] < losses[best]:
            best, best_state = epoch, _snapshot(model)
        elif epoch - best >= config.patience:
            break
    model.load_state_dict(best_state)
    return History(losses, best)


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
        loss = model.head.loss(model(batch).output, some.months, some.event)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()


def drop_tokens(batch: CaseBatch, chance: float, generator: torch.Generator) -> CaseBatch:
    """The batch with each token absent by `chance`: knowledge and modalities must do without one another.

    Patches are spared: `TrainingConfig.patches` draws among them already.
    """
    if chance == 0:
        return batch
    tokens = {
        name: one
        if name == "slides"
        else one.without(torch.rand(one.present.shape, generator=generator) < chance)
        for name, one in batch.tokens.items()
    }
    return CaseBatch(tokens, batch.background, batch.offset)


def predict(
    model: KEMM, reader: CaseReader, rows: Sequence[int] | NDArray[np.int64], *, at_once: int = 64
) -> Forecast:
    """The forecast of the cases at `rows`, from all their patches. No gradient, no dropout."""
    model.eval()
    with torch.inference_mode():
        parts = [
            model(reader.batch(list(rows[start : start + at_once]), None, None)).output
            for start in range(0, len(rows), at_once)
        ]
    return Forecast(torch.cat(parts).clone(), {})


def _loss_of(model: KEMM, reader: CaseReader, outcomes: Outcomes) -> float:
    output = predict(model, reader, outcomes.rows).output
    return float(model.head.loss(output, outcomes.months, outcomes.event))


def _snapshot(model: KEMM) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
