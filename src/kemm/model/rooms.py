"""Memory that is new to a process costs more than most of what is written to it: here it is used again and again."""

from __future__ import annotations

import ctypes
import math
import mmap
import weakref
from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor

HUGE_PAGE = 2**21
"""Bytes of a large page on most machines. Smaller tensors come from the usual allocator, which keeps what is freed."""

_left: dict[str, mmap.mmap] = {}
"""By name: memory whose last tensor is gone."""


def new_room(name: str | None, shape: Sequence[int], kind: torch.dtype, device: torch.device) -> Tensor:
    """A tensor with anything in it, of memory that nobody else holds.

    Once it and its views are gone, its memory waits for the next of its name. As much memory waits as the largest
    of each name had, until `give_back`; without a name it goes back at once. In large pages where the system has
    them, of which a room needs a five hundredth; not for all that a process allocates, as a large page that is hardly
    used costs memory.
    """
    size = math.prod(shape) * kind.itemsize
    if device.type != "cpu" or size < HUGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(*shape, dtype=kind, device=device)
    memory = _left.pop(name, None) if name else None
    if memory is None or len(memory) < size:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a kernel built without them refuses; its usual pages serve
            memory.madvise(mmap.MADV_HUGEPAGE)
    # The tensor holds on to what it is a view of, and that can tell when it goes.
    held = (ctypes.c_char * size).from_buffer(memory)
    if name:
        weakref.finalize(held, _leave, name, memory).atexit = False
    return torch.frombuffer(held, dtype=kind).view(*shape)


def give_back() -> None:
    """Leave to the system what waits for its next use."""
    _left.clear()


def _leave(name: str, memory: mmap.mmap) -> None:
    other = _left.get(name)
    if other is None or len(other) < len(memory):
        _left[name] = memory


class Rooms:
    """Rooms of one kind of number, which are written over again and again while these are held."""

    def __init__(self, kind: torch.dtype, device: torch.device, most: int = 0) -> None:
        """`most`: numbers that any will be asked for. A room that had to grow would be there twice while the
        smaller is looked at; pages that are not reached are never touched."""
        self.kind, self.device = kind, device
        self.most = most if device.type == "cpu" else 0  # a card's memory is taken at once
        self._rooms: dict[str, Tensor] = {}

    def __call__(self, name: str, shape: Sequence[int]) -> Tensor:
        """The first part of a room, as it was left; as one that is larger than any so far, if need be."""
        numbers = math.prod(shape)
        if name not in self._rooms or len(self._rooms[name]) < numbers:
            self._rooms.pop(name, None)
            self._rooms[name] = new_room(name, (max(numbers, self.most),), self.kind, self.device)
        return self._rooms[name][:numbers].view(*shape)


class Shelf:
    """Where a step keeps what it made of its first bags, as far as `Bags.keep` allows, for its way back."""

    def __init__(self, sizes: Sequence[int], keep: int, kind: torch.dtype, device: torch.device) -> None:
        self.units = self.taken = numbers = 0
        for more in sizes:
            if (numbers + more) * kind.itemsize > keep:
                break
            self.units, numbers = self.units + 1, numbers + more
        self.room = new_room("kept", (numbers,), kind, device)

    def __call__(self, shape: Sequence[int]) -> Tensor:
        """The next free place."""
        first, self.taken = self.taken, self.taken + math.prod(shape)
        return self.room[first : self.taken].view(*shape)
