"""The baseline learns, trains on what it should, and its operations can be counted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks.training.bags import from_memory
from benchmarks.training.cohort import make_cohort
from benchmarks.training.launches import count_launches, launches_of_peer
from benchmarks.training.peer import Peer, PeerFold
from benchmarks.training.work import Work

CPU = torch.device("cpu")
TOY = Work(
    cases=20, patches=20, spread=0.3, features=32, width=16, text=8, gene_groups=4, folds=2, signal=2.0
)


def test_loss_falls_on_a_planted_toy() -> None:
    cohort = make_cohort(TOY)
    fold = PeerFold(cohort, 0, CPU)
    bags = from_memory(cohort, CPU)
    losses = [fold.train(bags) for _ in range(150)]
    # Without learning, four intervals and their hazards cost about as much as at the start.
    assert sum(losses[-5:]) / 5 < 0.75 * sum(losses[:5]) / 5


def test_a_patient_of_the_test_part_is_never_read() -> None:
    cohort = make_cohort(TOY)
    kept = from_memory(cohort, CPU)
    read: list[int] = []

    def bags(case: int) -> torch.Tensor:
        read.append(case)
        return kept(case)

    PeerFold(cohort, 1, CPU).train(bags)
    assert read == list(range(0, 20, 2))


def test_an_epoch_reads_every_training_patient_of_every_fold(tmp_path: Path) -> None:
    cohort = make_cohort(TOY)
    peer = Peer()
    peer.store(cohort, tmp_path)
    peer.prepare(cohort, tmp_path, CPU)
    read: list[int] = []
    whole = peer.bags

    def bags(case: int) -> torch.Tensor:
        read.append(case)
        return whole(case)

    peer.bags = bags
    peer.epoch()
    assert sorted(read) == list(range(20))


def test_features_from_files_and_from_memory_train_the_same_network(tmp_path: Path) -> None:
    cohort = make_cohort(TOY)
    weights = []
    for features in ("files", "memory"):
        peer = Peer(features)  # type: ignore[arg-type]
        peer.store(cohort, tmp_path)
        peer.prepare(cohort, tmp_path, CPU)
        torch.manual_seed(0)
        peer.epoch()
        weights.append(peer.folds[0].network.hazards.weight)
    assert torch.equal(*weights)


def test_operations_are_counted_without_views() -> None:
    values = torch.ones(3, 4)
    assert count_launches(lambda: torch.relu(values.t()[0] + 1), CPU) == 2
    # linear is one matrix product with the bias added in it
    layer = torch.nn.Linear(4, 5)
    assert count_launches(lambda: layer(values), CPU) == 1


@pytest.mark.parametrize("patches", [5, 500])
def test_operations_of_a_patient_do_not_depend_on_its_patches(patches: int) -> None:
    fold = PeerFold(make_cohort(TOY), 0, CPU)
    launches = launches_of_peer(fold, torch.randn(patches, 32))
    fewer = launches_of_peer(fold, torch.randn(20, 32))
    assert launches == fewer
    assert launches.backward > launches.forward > 20
