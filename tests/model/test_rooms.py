"""Memory that is used again."""

from __future__ import annotations

import mmap

import pytest
import torch

from kemm.model.rooms import HUGE_PAGE, Rooms, new_room

CPU = torch.device("cpu")


def test_a_room_is_the_same_memory_each_time_and_another_name_is_another_room() -> None:
    rooms = Rooms(12, torch.float32, CPU)
    first = rooms("hidden", (3, 4)).fill_(1.0)
    other = rooms("gradient", (3, 4)).fill_(2.0)
    again = rooms("hidden", (2, 3))
    assert again.data_ptr() == first.data_ptr() != other.data_ptr()
    assert again.shape == (2, 3)
    assert again.is_contiguous()
    assert bool((again == 1.0).all())


def test_a_room_is_never_smaller_than_asked() -> None:
    with pytest.raises(RuntimeError, match="invalid for input of size"):
        Rooms(12, torch.float32, CPU)("hidden", (13, 1))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [0, 1, 2 * HUGE_PAGE // 64])
def test_new_memory_takes_what_is_written_whatever_its_size(kind: torch.dtype, rows: int) -> None:
    values = torch.arange(rows * 16).remainder(97).to(kind).view(rows, 16)
    room = new_room((rows, 16), kind, CPU)
    assert room.shape == values.shape
    assert room.dtype == kind
    assert torch.equal(room.copy_(values), values)
    # Two rooms never overlap, and one outlives whatever else is freed.
    new_room((rows, 16), kind, CPU).fill_(5)
    assert torch.equal(room, values)


def test_systems_without_large_pages_have_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    assert bool((new_room((2 * HUGE_PAGE,), torch.float32, CPU).fill_(3) == 3).all())


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="no large pages on this system")
def test_a_kernel_that_refuses_large_pages_gives_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = []

    class Refusing(mmap.mmap):
        def madvise(self, *_: int) -> None:
            refused.append(True)
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(mmap, "mmap", Refusing)
    assert bool((new_room((2 * HUGE_PAGE,), torch.float32, CPU).fill_(3) == 3).all())
    assert refused
