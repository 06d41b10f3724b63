"""Cases whose bags are about as long are computed together: what is padded is padded to the longest of a few."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from kemm.model.batch import CaseBatch

CASES_OF_A_LENGTH = 8
"""Of each network, computed together."""


def scores_by_length(
    compute: Callable[[CaseBatch], Tensor], batch: CaseBatch, members: int
) -> Float[Tensor, "case branch score"]:
    """What is computed of each case, in the order of the batch, a few of each network's cases at a time.

    For prediction, which reads whole bags of all lengths, by what looks at no other case. Not for training: there bags are
    cut to a length, and in groups other noise would be drawn.
    """
    lengths = batch.bags["slides"].case_lengths
    each = len(lengths) // members
    if each <= CASES_OF_A_LENGTH:
        return compute(batch)
    rising = [
        sorted(range(first, first + each), key=lengths.__getitem__) for first in range(0, len(lengths), each)
    ]
    groups = [
        [case for own in rising for case in own[start : start + CASES_OF_A_LENGTH]]
        for start in range(0, each, CASES_OF_A_LENGTH)
    ]
    said = torch.cat([compute(batch.take(group)) for group in groups])
    order = torch.tensor([case for group in groups for case in group], device=said.device)
    return said[order.argsort()]
