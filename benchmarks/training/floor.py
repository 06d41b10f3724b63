"""The least that an epoch can take on a machine: operations and bytes that no arrangement of the work avoids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from benchmarks.training.ceilings import Ceilings, Precision
from benchmarks.training.work import Work

Adapter = Literal["non-linear", "linear"]
ADAPTERS: tuple[Adapter, ...] = get_args(Adapter)
BYTES: dict[Precision, int] = {"fp32": 4, "bf16": 2}


@dataclass(frozen=True)
class Floor:
    """What one epoch of k-fold training has to compute and to move."""

    operations: int
    """Multiplications and additions of wide matrix products."""
    bytes: int
    """Read from memory."""
    precision: Precision

    def seconds(self, ceilings: Ceilings) -> float:
        """With arithmetic and memory both at their ceiling, and side by side."""
        arithmetic = self.operations / (ceilings.gflops[self.precision] * 1e9)
        memory = self.bytes / (ceilings.copy_gb * 1e9)
        return max(arithmetic, memory)


def floor_of(patches: Sequence[int], work: Work, adapter: Adapter, precision: Precision) -> Floor:
    """The floor of an epoch over bags of these sizes.

    A non-linear adapter is a product of every patch with F x W weights, forward (2 F W operations) and for
    the weights' gradient (2 F W), in each of the k - 1 folds that train on the patch; the patches have no
    gradient. A linear adapter folds into queries and values, so that no wide product per patch is left.
    Either way each patch is read once forward and once backward; folds can share both readings.

    What a linear adapter leaves, a thin product per query, is not counted: its floor is a loose one.
    """
    total = sum(patches)
    visits = total * (work.folds - 1)
    operations = 4 * work.features * work.width * visits if adapter == "non-linear" else 0
    return Floor(operations, 2 * work.features * BYTES[precision] * total, precision)
