"""A run that was stopped at an epoch goes on from there, and ends in the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_study import TRAINING, crossval, run_unit, small_study, spec
from test_side_by_side import encoded

from kemm.core.files import read_json
from kemm.training import units
from kemm.training.checkpoint import Checkpoint
from kemm.training.crossval import Crossval, Task, read_unit
from kemm.training.dataset import StudyData
from kemm.training.networks import untrained
from kemm.training.trainer import Ensemble, TrainingConfig, train
from kemm.training.units import CHECKPOINTS, fitted

FIVE = TrainingConfig(**{**TRAINING.model_dump(), "seeds": [0, 7], "epochs": 5, "patience": 5})


@pytest.fixture(scope="module")
def study() -> StudyData:
    return encoded(small_study(60, seed=3).data)


def ensembles(context: Crossval) -> list[Ensemble]:
    return [
        one.ensemble for one in untrained(context, fitted(context, context.folds[0]), spec("kemm+clinical"))
    ]


def states(some: list[Ensemble]) -> list[dict[str, torch.Tensor]]:
    return [member.model.state_dict() for one in some for member in one.members]


def stopping_after(last: int) -> Any:
    def stop(epoch: int) -> None:
        if epoch == last:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("one_pass", ["run", "network"])
def test_training_goes_on_from_any_epoch_to_the_same_bytes(
    study: StudyData, tmp_path: Path, one_pass: str
) -> None:
    context = crossval(study, tmp_path, training=FIVE)
    how: dict[str, Any] = {"rows": range(60), "steps": context.steps}
    config = FIVE.model_copy(update={"one_pass": one_pass})
    whole = ensembles(context)
    expected = train(whole, config, **how)
    checkpoint = Checkpoint(tmp_path / "kept.safetensors", seconds=0)
    epochs: list[int] = []
    for last in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            train(ensembles(context), config, **how, checkpoint=checkpoint, on_epoch=stopping_after(last))
        assert checkpoint.path.is_file()
    again = ensembles(context)
    assert train(again, config, **how, checkpoint=checkpoint, on_epoch=epochs.append) == expected
    assert epochs == [4, 5], "epoch 4 was stopped before it was kept"
    for mine, theirs in zip(states(again), states(whole), strict=True):
        assert all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_a_damaged_checkpoint_is_as_none(study: StudyData, tmp_path: Path) -> None:
    context = crossval(study, tmp_path, training=FIVE)
    checkpoint = Checkpoint(tmp_path / "kept.safetensors", seconds=0)
    with pytest.raises(KeyboardInterrupt):
        train(ensembles(context), FIVE, checkpoint=checkpoint, on_epoch=stopping_after(3))
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:1000])
    epochs: list[int] = []
    train(ensembles(context), FIVE, checkpoint=checkpoint, on_epoch=epochs.append)
    assert epochs == [1, 2, 3, 4, 5]


def test_a_unit_that_was_stopped_ends_as_one_that_was_not(
    study: StudyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task(0, "kemm+clinical")
    calm, stopped = (crossval(study, tmp_path / name, training=FIVE) for name in ("calm", "stopped"))
    run_unit(calm, task)
    monkeypatch.setattr("kemm.training.checkpoint.Checkpoint.due", lambda self: True)
    with monkeypatch.context() as patched:
        patched.setattr(units, "train", lambda *a, **k: train(*a, **{**k, "on_epoch": stopping_after(3)}))
        with pytest.raises(KeyboardInterrupt):
            run_unit(stopped, task)
    assert len(list((stopped.store / CHECKPOINTS).iterdir())) == 1
    run_unit(stopped, task)
    assert not list((stopped.store / CHECKPOINTS).iterdir())
    folders = [read_unit(one, task)[1] for one in (calm, stopped)]
    for path in sorted(folders[0].iterdir()):
        if path.name == "manifest.json":
            continue
        assert path.read_bytes() == (folders[1] / path.name).read_bytes(), path.name
    assert read_json(folders[0] / "about.json")[0]["inner_loss"]
