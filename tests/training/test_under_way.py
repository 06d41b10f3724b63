"""How far networks are that train, told through the store's folder."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from small_study import crossval, run_unit, small_study

from kemm.training import under_way
from kemm.training.crossval import Task
from kemm.training.under_way import FOLDER, Training, Watch, peak_bytes, telling

BEGUN = Training(model="kemm", fold=1, epochs=40, cases=300)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_way, "SECONDS_A_LOOK", 0.01)
    monkeypatch.setattr(under_way, "SECONDS_A_BEAT", 0.02)


def awaited(look: Callable[[], list[Training]], wanted: Callable[[Training], bool]) -> Training:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if (found := look()) and wanted(found[0]):
            return found[0]
        time.sleep(0.01)
    raise AssertionError(f"never seen; last {look()}")


def test_one_process_tells_and_another_reads(tmp_path: Path) -> None:
    watch = Watch(tmp_path, ["a"])
    assert watch.now() == []
    with telling(tmp_path, "a", BEGUN) as teller:
        assert awaited(watch.now, lambda one: one.phase == "begins").networks == 0
        teller.trains(9)
        teller.epoch(3)
        seen = awaited(watch.now, lambda one: one.epoch == 3)
        assert (seen.model, seen.fold, seen.networks, seen.phase) == ("kemm", 1, 9, "trains")
        assert seen.peak_bytes is not None
        assert 10e6 < seen.peak_bytes < 100e9
        teller.predicts()
        awaited(watch.now, lambda one: one.phase == "predicts")
    assert watch.now() == []
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_speed_and_time_left_by_hand() -> None:
    # 300 cases in 2 seconds an epoch, 30 of 40 epochs to go.
    one = Training(model="kemm", fold=0, epochs=40, cases=300, epoch=10, seconds_an_epoch=2.0)
    assert (one.cases_a_second, one.seconds_left) == (150.0, 60.0)
    assert (BEGUN.cases_a_second, BEGUN.seconds_left) == (None, None)


def test_a_change_is_written_at_most_twice_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_way, "SECONDS_A_LOOK", 0.1)
    written: list[float] = []
    monkeypatch.setattr(under_way, "write_json", lambda path, value: written.append(time.monotonic()))
    with telling(tmp_path, "a", BEGUN) as teller:
        for epoch in range(1000):
            teller.epoch(epoch)
            time.sleep(0.0005)
    assert 2 <= len(written) <= 12


def test_it_is_removed_where_training_fails(tmp_path: Path) -> None:
    def failing() -> None:
        with telling(tmp_path, "a", BEGUN):
            awaited(Watch(tmp_path, ["a"]).now, bool)
            raise RuntimeError("diverged")

    with pytest.raises(RuntimeError, match="diverged"):
        failing()
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / FOLDER).touch()
    with telling(tmp_path, "a", BEGUN) as teller:
        teller.epoch(1)
        time.sleep(0.05)
    assert Watch(tmp_path, ["a"]).now() == []
    Watch(tmp_path, ["a"]).clear()


def left_behind(folder: Path, key: str) -> Path:
    path = folder / FOLDER / f"{key}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(BEGUN)))
    return path


def test_what_a_killed_process_left_is_not_told_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("kemm.training.under_way.time.monotonic", lambda: now[0])
    path = left_behind(tmp_path, "a")
    watch = Watch(tmp_path, ["a"])
    assert watch.now() == [BEGUN]
    now[0] += under_way.SECONDS_UNTIL_LOST
    assert watch.now() == []
    path.write_text(json.dumps({**asdict(BEGUN), "beat": 1}))
    assert len(watch.now()) == 1


def test_clearing_leaves_what_is_of_other_runs(tmp_path: Path) -> None:
    mine, other, old = (left_behind(tmp_path, key) for key in ("mine", "other", "old"))
    half = mine.with_name(".mine.json.1234abcd.part")
    half.touch()
    os.utime(old, (1e9, 1e9))
    Watch(tmp_path, ["mine"]).clear()
    assert sorted(path.name for path in other.parent.iterdir()) == ["other.json"]
    Watch(tmp_path, ["other"]).clear()
    assert not other.parent.exists()


@pytest.mark.parametrize("text", ["", "[]", '{"model": "kemm"}', '{"epoch": 1, "nothing": 2}'])
def test_a_file_that_is_not_ours_is_passed_over(tmp_path: Path, text: str) -> None:
    left_behind(tmp_path, "a").write_text(text)
    assert Watch(tmp_path, ["a"]).now() == []


def test_a_unit_tells_its_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Training] = []
    monkeypatch.setattr(under_way, "write_json", lambda path, value: told.append(Training(**value)))
    context = crossval(small_study(40).data, tmp_path)
    run_unit(context, Task(0, context.models[-1].name))
    assert {one.phase for one in told} >= {"begins", "predicts"}
    last = told[-1]
    assert (last.epoch, last.epochs, last.fold) == (2, 2, 0)
    assert last.cases == len(context.folds[0].train)
    assert last.networks == 3
    told.clear()
    run_unit(context, Task(0, "clinical"))
    assert told == []


def _peak(pipe) -> None:  # type: ignore[no-untyped-def]
    pipe.send(peak_bytes())


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of a child begins with its parent's"
)
def test_memory_is_that_of_the_process_not_of_its_parent() -> None:
    import numpy as np

    big = np.ones(60_000_000)
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    child = spawn.Process(target=_peak, args=(theirs,))
    child.start()
    there, here = ours.recv(), peak_bytes()
    child.join()
    assert here is not None
    assert here > big.nbytes
    assert there < here - big.nbytes / 2
