"""What work cost, measured."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from kemm.core.store import Store
from kemm.training import cost
from kemm.training.cost import Cost, keep_cost, measuring, read_cost

HELD = 300_000_000


def test_time_and_memory_are_those_of_the_block() -> None:
    np.ones(2 * HELD, dtype=np.uint8).sum()  # before: forgotten
    with measuring(resumed=False) as before:
        pass
    with measuring(resumed=True) as found:
        held = np.ones(HELD, dtype=np.uint8)
        time.sleep(0.05)
    assert len(held) == HELD
    assert found[0].seconds >= 0.05
    assert found[0].core_seconds >= 0
    assert found[0].resumed
    assert not before[0].resumed
    if found[0].peak_bytes is not None and before[0].peak_bytes is not None:
        assert found[0].peak_bytes - before[0].peak_bytes == pytest.approx(HELD, rel=0.1)


def test_where_a_peak_cannot_be_begun_anew_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cost, "_OWN_PEAK", tmp_path / "no" / "such")
    with measuring(resumed=False) as found:
        pass
    assert found[0].peak_bytes is None


def test_units_share_what_was_worked_on_together(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep_cost(store, "one", Cost(6.0, 9.0, 100, resumed=False), units=3)
    assert read_cost(store, "one") == Cost(2.0, 3.0, 100, resumed=False)
    assert read_cost(store, "two") is None


def test_a_damaged_record_is_as_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep_cost(store, "one", Cost(6.0, 9.0, None, resumed=False), units=1)
    (store.get("costs", "one").folder / "cost.json").write_text("{}")
    assert read_cost(store, "one") is None
