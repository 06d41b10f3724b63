"""The floor, against numbers worked by hand."""

from __future__ import annotations

import pytest
import torch
from benchmarks.training.ceilings import Ceilings, highest, measure_ceilings
from benchmarks.training.floor import floor_of
from benchmarks.training.work import Work

ROUND = Ceilings(
    device="round numbers",
    threads=2,
    products={"wide": {"fp32": 100.0, "bf16": 400.0}, "square": {"fp32": 180.0, "bf16": 300.0}},
    copy_gb=31.0,
)


def test_each_ceiling_is_that_of_the_best_shape() -> None:
    assert ROUND.gflops == {"fp32": 180.0, "bf16": 400.0}


def test_the_better_of_two_measurements_counts() -> None:
    busy = Ceilings(
        device="round numbers",
        threads=2,
        products={"wide": {"fp32": 110.0, "bf16": 100.0}, "square": {"fp32": 90.0, "bf16": 310.0}},
        copy_gb=7.0,
    )
    both = highest(busy, ROUND)
    assert both.products == {"wide": {"fp32": 110.0, "bf16": 400.0}, "square": {"fp32": 180.0, "bf16": 310.0}}
    assert both.copy_gb == 31.0


def test_a_tiny_floor_worked_by_hand() -> None:
    # 2 + 3 patches of width 10, adapter of width 4, 3 folds: each patch is trained on in 2 folds.
    # 4 * 10 * 4 = 160 operations a visit, 10 visits. Bytes: 5 patches * 10 * 4 bytes, forward and backward.
    work = Work(features=10, width=4, folds=3)
    floor = floor_of([2, 3], work, "non-linear", "fp32")
    assert (floor.operations, floor.bytes) == (1600, 400)
    folded = floor_of([2, 3], work, "linear", "bf16")
    assert (folded.operations, folded.bytes) == (0, 200)


def test_the_floor_of_the_size_that_papers_have() -> None:
    # 162,480 patches * 4 folds * 4 * 1024 * 256 = 0.6815e12 operations; at 180 GFLOP/s 3.79 s, at 400 1.70 s.
    fp32 = floor_of([162_480], Work(), "non-linear", "fp32")
    assert fp32.operations == pytest.approx(0.6815e12, rel=1e-4)
    assert fp32.seconds(ROUND) == pytest.approx(3.786, abs=0.001)
    assert floor_of([162_480], Work(), "non-linear", "bf16").seconds(ROUND) == pytest.approx(1.704, abs=0.001)
    # 162,480 * 1024 * 2 bytes, twice: 0.6655 GB; at 31 GB/s 21.5 ms.
    assert floor_of([162_480], Work(), "linear", "bf16").seconds(ROUND) == pytest.approx(0.02147, abs=1e-5)


def test_memory_is_the_floor_where_arithmetic_is_fast() -> None:
    fast = Ceilings(device="", threads=1, products={"wide": {"fp32": 1e9, "bf16": 1e9}}, copy_gb=1.0)
    assert floor_of([1_000_000], Work(), "non-linear", "fp32").seconds(fast) == pytest.approx(8.192)


def test_ceilings_of_this_machine_name_each_shape() -> None:
    threads = torch.get_num_threads()
    found = measure_ceilings(
        torch.device("cpu"),
        threads,
        patches=64,
        features=16,
        width=8,
        square=32,
        copied_bytes=2**20,
        rounds=2,
    )
    assert list(found.products) == ["[64, 16] x [16, 8]", "[16, 64] x [64, 8]", "[32, 32] x [32, 32]"]
    assert all(rate > 0 for shape in found.products.values() for rate in shape.values())
    assert found.copy_gb > 0
    assert torch.get_num_threads() == threads
