"""The baseline: one patient a step, one fold after another, as the field trains.

Where the field's code bases differ, the cheaper way is taken: a step of the optimiser every 32 patients, no
dropout of patches, no evaluation of the test part, features read in the same process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.training.bags import Bags, from_memory, from_slide_files, write_slide_files
from benchmarks.training.cohort import Cohort
from benchmarks.training.peer_network import PeerNetwork
from kemm.survival.discrete_time import fit_intervals, interval_of, negative_log_likelihood

INTERVALS = 4
CASES_A_STEP = 32
LEARNING_RATE = 2e-4
WEIGHT_DECAY = 1e-5


class PeerFold:
    """The network of one fold, its optimiser, and the intervals of its training part."""

    def __init__(self, cohort: Cohort, fold: int, device: torch.device) -> None:
        self.cohort = cohort
        self.device = device
        self.training = cohort.training_cases(fold)
        edges = fit_intervals(cohort.months[self.training], cohort.event[self.training], INTERVALS)
        self.interval = interval_of(cohort.months, edges)
        torch.manual_seed(cohort.work.seed + fold)
        self.network = PeerNetwork(cohort.work, cohort.gene_group_sizes, len(edges) - 1).to(device)
        self.optimiser = torch.optim.Adam(
            self.network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )

    def loss(self, case: int, patches: Float[Tensor, "patch feature"]) -> Float[Tensor, ""]:
        """Of one patient."""
        one = slice(case, case + 1)
        logits = self.network(
            patches.to(self.device),
            self.cohort.genes[case].to(self.device),
            self.cohort.knowledge[case].to(self.device),
        )
        interval, event = self.interval[one].to(self.device), self.cohort.event[one].to(self.device)
        return negative_log_likelihood(logits, interval, event)

    def train(self, bags: Bags, cases: Sequence[int] | None = None) -> float:
        """One epoch over the training part, or over some of it; the mean loss."""
        order = list(self.training if cases is None else cases)
        total = 0.0
        self.network.train()
        for place, case in enumerate(order, start=1):
            loss = self.loss(case, bags(case))
            (loss / CASES_A_STEP).backward()
            total += loss.item()
            if place % CASES_A_STEP == 0 or place == len(order):
                self.step()
        return total / len(order)

    def step(self) -> None:
        """Of the optimiser, from the gradients of the patients so far."""
        self.optimiser.step()
        self.optimiser.zero_grad()


class Peer:
    """A candidate: all folds, one after another."""

    def __init__(self, features: Literal["files", "memory"] = "files") -> None:
        self.features = features
        self.folds: list[PeerFold] = []

    def store(self, cohort: Cohort, folder: Path) -> None:
        """A file a slide."""
        if self.features == "files":
            write_slide_files(cohort, folder)

    def prepare(self, cohort: Cohort, folder: Path, device: torch.device) -> None:
        """Networks, and a patient each to warm up."""
        if self.features == "files":
            self.bags: Bags = from_slide_files(cohort, write_slide_files(cohort, folder))
        else:
            self.bags = from_memory(cohort, device)
        self.folds = [PeerFold(cohort, fold, device) for fold in range(cohort.work.folds)]
        for fold in self.folds:
            fold.train(self.bags, fold.training[:1])

    def epoch(self) -> None:
        """Every fold trains on every patient of its training part."""
        for fold in self.folds:
            fold.train(self.bags)
