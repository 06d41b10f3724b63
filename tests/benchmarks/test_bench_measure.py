"""A candidate is measured in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from benchmarks.training.candidates import CANDIDATES, Candidate, trainer_of
from benchmarks.training.comparison import measure_in_turns
from benchmarks.training.measure import Machine, measure, store
from benchmarks.training.work import Work

from kemm.core.errors import PartialError, UsageError

WORK = Work(cases=4, patches=10, features=8, width=4, text=4, gene_groups=2, folds=2)
MACHINE = Machine(threads=1)
HELD = 400 * 2**20


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(__file__).resolve().parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")]))


def idle(held: int = 0, trainer: str = "idle_trainer:Idle") -> Candidate:
    return Candidate(name="idle", title="idle", trainer=trainer, options={"held_bytes": held})


@pytest.mark.usefixtures("importable")
def test_memory_is_the_candidates_own(tmp_path: Path) -> None:
    # Also held here, in the process that asks, where it must not count.
    ballast = np.ones(HELD, dtype=np.uint8)
    store(idle(), WORK, tmp_path, MACHINE)
    small = measure(idle(), WORK, tmp_path, MACHINE)
    large = measure(idle(HELD), WORK, tmp_path, MACHINE)
    assert ballast.all()
    assert large.peak_memory - small.peak_memory == pytest.approx(HELD, rel=0.1)
    assert small.seconds < 0.5


@pytest.mark.usefixtures("importable")
def test_a_failing_candidate_is_named_with_its_last_words(tmp_path: Path) -> None:
    failing = idle(trainer="idle_trainer:Failing")
    store(failing, WORK, tmp_path, MACHINE)
    with pytest.raises(PartialError, match=r"'idle' could not be measured(.|\n)*the epoch went wrong"):
        measure(failing, WORK, tmp_path, MACHINE)


def test_the_baseline_is_measured_once_a_round(tmp_path: Path) -> None:
    said: list[str] = []
    found = measure_in_turns(CANDIDATES[:1], WORK, tmp_path, MACHINE, 2, said.append)
    assert [one.seconds > 0 for one in found["peer-files"]] == [True, True]
    assert [line.partition(":")[0] for line in said] == [
        "round 1 of 2, peer-files",
        "round 2 of 2, peer-files",
    ]


def test_every_candidate_has_a_trainer() -> None:
    for candidate in CANDIDATES:
        trainer_of(candidate)


@pytest.mark.parametrize("trainer", ["nowhere.at_all:Peer", "benchmarks.training.peer:Nobody", "peer", ""])
def test_a_trainer_that_is_not_there_is_refused(trainer: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be found .* name it as 'package.module:Class'"):
        trainer_of(Candidate(name="gone", title="", trainer=trainer))


def test_a_trainer_without_the_methods_is_refused() -> None:
    with pytest.raises(UsageError, match="lacks some of the methods store, prepare and epoch"):
        trainer_of(Candidate(name="count", title="", trainer="collections:Counter"))
