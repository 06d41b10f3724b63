"""Memory that is new to a process costs more than most of what is written to it: here it is taken in large pieces, and
used again."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor

HUGE_PAGE = 2**21
"""Bytes of a large page on most machines. Smaller tensors come from the usual allocator, which keeps what is freed."""


class Rooms:
    """Places of one kind of number that are written over again and again, each as large as its largest use."""

    def __init__(self, numbers: int, kind: torch.dtype, device: torch.device) -> None:
        self.numbers, self.kind, self.device = numbers, kind, device
        self._rooms: dict[str, Tensor] = {}

    def __call__(self, name: str, shape: Sequence[int]) -> Tensor:
        """The first part of a room, as it was left."""
        if name not in self._rooms:
            # Pages that no use reaches are never touched.
            self._rooms[name] = new_room((self.numbers,), self.kind, self.device)
        return self._rooms[name][: math.prod(shape)].view(*shape)


def new_room(shape: Sequence[int], kind: torch.dtype, device: torch.device) -> Tensor:
    """Memory with nothing in it yet, in large pages where the system has them: a five hundredth of the requests.

    Not for all that a process allocates: a large page that is hardly used costs memory.
    """
    size = math.prod(shape) * kind.itemsize
    if device.type != "cpu" or size < HUGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(*shape, dtype=kind, device=device)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel built without them refuses; its usual pages serve
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=kind).view(*shape)
