"""A run tells how far its networks are while they train, wherever they do."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kemm import Study, run
from kemm.execution import by_slurm
from kemm.results.document.numbers import memory
from kemm.training.under_way import FOLDER, Training
from studies import StudyFolder, Told

ENGINES = {"processes": None, "ray": "ray", "slurm": "submitit"}


class Watching(Told):
    """Keeps what it is told of networks."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Training] = []

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Any]:
        with super().stage(name, total, done) as step:
            step.under_way = lambda those: self.seen.extend(those)
            yield step


@pytest.mark.parametrize(
    ("engine", "workers"), [("processes", 1), ("processes", 2), ("ray", 2), ("slurm", 2)]
)
def test_a_run_is_told_how_far_networks_are_on_every_engine(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch, engine: str, workers: int
) -> None:
    library = ENGINES[engine]
    if library is not None:
        pytest.importorskip(library, reason=f"{library} is not installed: pip install 'kemm[{engine}]'")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    monkeypatch.setattr(by_slurm, "POLL_SECONDS", 0.1)
    monkeypatch.setattr("kemm.pipeline.watching.SECONDS_A_LOOK", 0.05)
    study.set(training__epochs=50, training__patience=50)
    told = Watching()
    settings = [f"execution.engine={engine}", "execution.slurm.here=true"]
    run(Study.load(study.path, settings), workers=workers, progress=told)
    trained = [one for one in told.seen if one.phase == "trains" and one.epoch]
    assert {one.fold for one in trained} == {0, 1}
    assert all(0 < one.epoch <= one.epochs == 50 for one in trained)
    assert all((one.cases_a_second or 0) > 0 and (one.peak_bytes or 0) > 50e6 for one in trained)
    assert not (study / ".kemm" / FOLDER).exists()
    memory = [line for line in told.lines if line.startswith("memory:")]
    assert len(memory) == 1
    assert re.search(
        r"patches take up to [\d.]+ MB in each process in a training step \(\d+ cases of at most", memory[0]
    )


@pytest.mark.parametrize(
    ("precision", "times", "said"),
    [("bf16", 37.2, "takes this processor 37 times as long"), ("bf16", 0.5, None), ("auto", 37.2, None)],
)
def test_a_processor_that_is_slow_at_bf16_is_said_to_be(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch, precision: str, times: float, said: str | None
) -> None:
    monkeypatch.setattr("kemm.pipeline.watching.cost_of_bf16", lambda: times)
    study.set(training__epochs=1, training__device="cpu", training__precision=precision)
    told = Watching()
    run(Study.load(study.path), workers=1, progress=told)
    lines = [line for line in told.lines if "bf16" in line and line.startswith("warning:")]
    assert len(lines) == (said is not None)
    assert all((said or "") in line and "'auto' computes in fp32" in line for line in lines)


def test_a_run_from_python_writes_nothing_on_the_terminal(
    study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Study.load(study.path), workers=1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "1 MB"),
        (12.4e6, "12 MB"),
        (949e6, "949 MB"),
        (950e6, "0.9 GB"),
        (1.26e9, "1.3 GB"),
        (12.4e9, "12 GB"),
    ],
)
def test_sizes_are_short(count: float, text: str) -> None:
    assert memory(count) == text
