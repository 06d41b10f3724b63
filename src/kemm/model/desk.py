"""Bags of patches in the precision of products, one at a time."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kemm.model.batch import Bags
from kemm.model.rooms import new_room

ROWS_HALF_WAY = 2**12
"""Patches that are brought to 32 bits at once, on their way from one half precision to the other."""


class Desk:
    """Brings bags to the precision of products, one after another in the same place: memory that is new to a process
    costs more than the conversion. A bag is overwritten by the next."""

    def __init__(self, bags: Bags, kind: torch.dtype) -> None:
        self.bags, self.kind = bags, kind
        self.room = self.half_way = torch.empty(0)
        self.last = -1

    def __call__(self, bag: int) -> Float[Tensor, "patch feature"]:
        """The bag; a view of its file, where it needs no conversion."""
        patches = self.bags.patches[bag]
        if patches.dtype == self.kind:
            return patches
        if patches.device.type != "cpu":
            return patches.to(self.kind)
        if not len(self.room):
            # Size for the largest: pages that a small bag does not reach are never touched.
            features, longest = patches.shape[1], max(self.bags.lengths)
            self.room = new_room("patches", (longest, features), self.kind, patches.device)
            self.half_way = torch.empty(min(longest, ROWS_HALF_WAY), features)
        room = self.room[: len(patches)]
        if bag == self.last:
            return room
        self.last = bag
        if self.kind != torch.bfloat16 or patches.dtype == torch.float32:
            return room.copy_(patches)
        # By way of 32 bits, which processors convert from and to several at once.
        for some, place in zip(patches.split(ROWS_HALF_WAY), room.split(ROWS_HALF_WAY), strict=True):
            place.copy_(self.half_way[: len(some)].copy_(some))
        return room
