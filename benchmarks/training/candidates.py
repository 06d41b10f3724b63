"""What can be measured. To add one, write a class with the three methods of `Trainer` and name it in `CANDIDATES`."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from benchmarks.training.ceilings import DTYPES, Precision
from benchmarks.training.cohort import Cohort
from benchmarks.training.floor import ADAPTERS, Adapter
from kemm.core.errors import UsageError


@runtime_checkable
class Trainer(Protocol):
    """One way to train on a cohort. Each call of `store`, and each `prepare` with its `epoch`, has a fresh process."""

    def store(self, cohort: Cohort, folder: Path) -> None:
        """Write what training reads, once, and not measured. Other candidates share the folder: names should
        begin with `cohort.work.key`, and what is whole already can stay."""

    def prepare(self, cohort: Cohort, folder: Path, device: torch.device) -> None:
        """Open files, build networks, compile, warm up: not in the time, but in the peak of memory."""

    def epoch(self) -> None:
        """Train every fold once on each patient of its training part. This is timed."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A row of the table, and what its floor is."""

    name: str
    title: str
    trainer: str
    """`package.module:Class`."""
    options: dict[str, str | int | float | bool] = field(default_factory=dict)
    """Keyword arguments of the class."""
    adapter: Adapter = "non-linear"
    precision: Precision = "fp32"


CANDIDATES = (
    Candidate(
        name="peer-files",
        title="baseline: batch 1, fold after fold, a .pt file a slide",
        trainer="benchmarks.training.peer:Peer",
    ),
    Candidate(
        name="peer-memory",
        title="the same, all features in memory",
        trainer="benchmarks.training.peer:Peer",
        options={"features": "memory"},
    ),
    *(
        Candidate(
            name=f"kemm-{one_pass}-{adapter}-{precision}",
            title=f"kemm, {said}, {adapter} adapter, {precision}",
            trainer="benchmarks.training.engine:Engine",
            options={"one_pass": one_pass, "precision": precision, "linear": adapter == "linear"},
            adapter=adapter,
            precision=precision,
        )
        for adapter in ADAPTERS
        for precision in DTYPES
        for one_pass, said in (("fold", "fold after fold"), ("run", "all folds in one pass"))
    ),
    Candidate(
        name="kemm-run-5-seeds",
        title="kemm, all folds in one pass, 5 networks each, non-linear adapter, bf16",
        trainer="benchmarks.training.engine:Engine",
        options={"one_pass": "run", "precision": "bf16", "seeds": 5},
        precision="bf16",
    ),
)
"""The first is what the others are compared with."""


def trainer_of(candidate: Candidate) -> Trainer:
    """A fresh trainer.

    Raises:
        UsageError: the name leads to nothing, or to something without the three methods.
    """
    module, _, name = candidate.trainer.partition(":")
    try:
        maker = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"the candidate {candidate.name!r} is to be trained by {candidate.trainer!r}, which cannot be found "
            f"({error}); name it as 'package.module:Class'"
        ) from error
    trainer = maker(**candidate.options)
    if not isinstance(trainer, Trainer):
        raise UsageError(
            f"the candidate {candidate.name!r} is to be trained by {candidate.trainer!r}, which lacks some of the "
            "methods store, prepare and epoch"
        )
    return trainer
