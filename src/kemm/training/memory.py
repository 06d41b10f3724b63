"""How much memory the patches of a training step need, and how much of it is left to be quicker with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from kemm.core.errors import UsageError
from kemm.model.desk import ROWS_HALF_WAY
from kemm.model.pooling import LARGEST_ADAPTED, LARGEST_SCORES
from kemm.training.together import PATCHES_AT_ONCE
from kemm.training.trainer import TrainingConfig

FLOAT = 4
GB = 10**9


@dataclass(frozen=True)
class StepMemory:
    """What patches take, in bytes; the process itself and all other inputs come on top.

    Counted: the features of a step's bags as they are stored, once for all networks; the largest bag in the
    precision of products and what the adapters of all networks make of it, thrice (before and after its
    non-linearity, and its gradient); the scores of their attention to it, thrice, of so many networks as are looked
    at together; and what is kept of adapted patches and attention for the way back.
    """

    features: int
    """Of the bags of a step, the largest ones the cohort has."""
    one_bag: int
    """While the largest bag is worked on, whole, as a prediction does."""
    prediction: int
    """When the held-out cases are predicted, after each epoch."""
    limit: int
    """`training.memory_gb`."""
    would_keep: int
    """Of adapted patches and attention, if memory allows."""
    patches: int
    """Of a case in a training step, the most."""
    cases: int
    """Whose bags a step reads."""
    width: int
    """Numbers a patch."""
    networks: int
    whole: int
    """All features of the cohort, where it would save a conversion to hold them; else 0."""

    @property
    def keep(self) -> int:
        """What a step keeps for its way back; the rest is made again there."""
        return max(
            0, min(self.would_keep, self.limit - self.features - self.one_bag, self.limit - self.prediction)
        )

    @property
    def step(self) -> int:
        """Of training, at most."""
        return self.features + self.one_bag + self.keep

    @property
    def peak(self) -> int:
        """The larger of training and prediction, beside which the place of what a step keeps waits for its next use;
        and what is held all the time."""
        return max(self.step, self.prediction + self.keep) + self.held

    @property
    def held(self) -> int:
        """All features, from beginning to end, where there is room for them beside all else."""
        return self.whole if max(self.step, self.prediction + self.keep) + self.whole <= self.limit else 0

    def require(self) -> None:
        """Refuse what does not fit.

        Raises:
            UsageError: Patches need more than `training.memory_gb`, whatever is kept.
        """
        if self.peak <= self.limit:
            return
        lower = f"lower training.patches (a case has up to {self.patches:,} a step) or training.batch, or "
        raise UsageError(
            f"patches need {self.peak / GB:.2g} GB of memory in each process, and training.memory_gb allows "
            f"{self.limit / GB:.3g}: {lower if self.step >= self.prediction else ''}raise training.memory_gb to "
            f"{self.peak / GB + 0.1:.1f}."
        )


def step_memory(
    lengths: NDArray[np.int64],
    stored: np.dtype[np.generic],
    features: int,
    *,
    training: TrainingConfig,
    precision: torch.dtype,
    cases: int,
    networks: Sequence[int],
    queries: int,
    device: torch.device,
    encoded: bool = True,
) -> StepMemory:
    """What patches take in a process that trains.

    Args:
        lengths: patches of each case.
        stored: of a number of the feature store.
        features: numbers a patch.
        cases: in a step, all networks together.
        networks: the width of each network's adapted patches; of linear adapters, too, which may go into queries and
            leave none.
        queries: of each network, all heads.
        encoded: features are an encoder's; tables of measurements, which are few, are brought to scale in every step.
    """
    drawn = lengths if training.patches is None else np.minimum(lengths, training.patches)
    half = precision == torch.bfloat16
    largest = np.sort(drawn)[::-1][:cases]
    size = torch.tensor([], dtype=precision).element_size()
    whole = int(lengths.max())
    predicted = min(max(PATCHES_AT_ONCE, whole), int(lengths.sum()))
    # A prediction looks at whole bags, and its places wait for the next step.
    one_bag = _one_bag(whole, features, networks, queries, size)
    parts = 1 if training.selection != "inner" else training.inner_parts
    # A card puts each bag through the adapters of all networks, also of those that do not train on it.
    share = 1.0 if parts == 1 or (half and device.type == "cuda") else 1 - 1 / parts
    return StepMemory(
        features=int(largest.sum()) * features * stored.itemsize,
        one_bag=one_bag,
        prediction=predicted * features * stored.itemsize + one_bag,
        limit=round(training.memory_gb * GB),
        would_keep=round(int(largest.sum()) * (sum(networks) + len(networks) * queries) * share) * size,
        patches=int(drawn.max()),
        cases=cases,
        width=features,
        networks=len(networks),
        whole=int(lengths.sum()) * features * size if encoded and half and device.type == "cpu" else 0,
    )


def _one_bag(patches: int, features: int, networks: Sequence[int], queries: int, size: int) -> int:
    # As many networks at once as LARGEST_ADAPTED lets, but one at least.
    adapted = min(patches * sum(networks), max(LARGEST_ADAPTED, patches * max(networks)))
    half_way = FLOAT if size == 2 else 0
    brought = patches * features * size + min(patches, ROWS_HALF_WAY) * features * half_way
    scores = min(patches * queries * len(networks), max(LARGEST_SCORES, patches * queries))
    return brought + 3 * (adapted + scores) * size
