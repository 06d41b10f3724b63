"""Memory that is used again."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from kemm.model import rooms
from kemm.model.rooms import HUGE_PAGE, Rooms, give_back, new_room

CPU = torch.device("cpu")
LARGE = 2 * HUGE_PAGE

pytestmark = pytest.mark.usefixtures("_nothing_waits")


@pytest.fixture
def _nothing_waits() -> Iterator[None]:
    give_back()
    yield
    give_back()


def large(name: str = "hidden", numbers: int = LARGE) -> Tensor:
    return new_room(name, (numbers,), torch.float32, CPU)


def test_a_room_is_the_same_memory_each_time_and_another_name_is_another_room() -> None:
    own = Rooms(torch.float32, CPU)
    first = own("hidden", (3, 4)).fill_(1.0)
    other = own("gradient", (3, 4)).fill_(2.0)
    again = own("hidden", (2, 3))
    assert again.data_ptr() == first.data_ptr() != other.data_ptr()
    assert again.shape == (2, 3)
    assert again.is_contiguous()
    assert bool((again == 1.0).all())


def test_a_room_is_never_smaller_than_asked() -> None:
    own = Rooms(torch.float32, CPU)
    for shape in ((2, 3), (0, 5), (13, 1), (LARGE, 1), (3, LARGE)):
        assert own("hidden", shape).fill_(1.0).shape == shape


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [0, 1, LARGE // 64])
def test_new_memory_takes_what_is_written_whatever_its_size(kind: torch.dtype, rows: int) -> None:
    values = torch.arange(rows * 16).remainder(97).to(kind).view(rows, 16)
    room = new_room("hidden", (rows, 16), kind, CPU)
    assert room.shape == values.shape
    assert room.dtype == kind
    assert torch.equal(room.copy_(values), values)
    # Two rooms never overlap, even of one name, and one outlives whatever else is freed.
    new_room("hidden", (rows, 16), kind, CPU).fill_(5)
    assert torch.equal(room, values)


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="no large pages on this system")
def test_memory_waits_for_the_next_of_its_name_once_no_view_of_it_is_left() -> None:
    first = large()
    view, place = first[7:9], first.data_ptr()
    del first
    assert large().data_ptr() != place  # the view is left
    give_back()
    del view
    assert large("other").data_ptr() != place
    smaller = large(numbers=LARGE - 5)
    assert smaller.data_ptr() == place
    assert len(smaller) == LARGE - 5


def test_memory_without_a_name_waits_for_nobody() -> None:
    own = new_room(None, (LARGE,), torch.float32, CPU)
    assert bool((own.fill_(3) == 3).all())
    del own
    assert not rooms._left


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="no large pages on this system")
def test_the_largest_of_a_name_waits_until_it_is_given_back() -> None:
    two = [large(numbers=LARGE), large(numbers=2 * LARGE)]
    assert not rooms._left
    two.pop(0)
    assert [len(one) for one in rooms._left.values()] == [4 * LARGE]
    two.clear()
    assert [len(one) for one in rooms._left.values()] == [8 * LARGE]
    large(numbers=LARGE)  # comes and goes
    assert [len(one) for one in rooms._left.values()] == [8 * LARGE]
    give_back()
    assert not rooms._left


def test_systems_without_large_pages_have_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    assert bool((large().fill_(3) == 3).all())


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="no large pages on this system")
def test_a_kernel_that_refuses_large_pages_gives_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = []

    class Refusing(mmap.mmap):
        def madvise(self, *_: int) -> None:
            refused.append(True)
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(mmap, "mmap", Refusing)
    assert bool((large().fill_(3) == 3).all())
    assert refused
