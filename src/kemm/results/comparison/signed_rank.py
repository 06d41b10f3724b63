"""Wilcoxon's signed-rank test, exact with ties."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def signed_rank_p(differences: NDArray[np.float64]) -> float:
    """Two-sided p-value that differences are symmetric around 0; zeros are left out, 1 if nothing is left.

    Counted over all signs of the ranks at hand, so that ties and few differences need no approximation.

    References:
        Wilcoxon (1945), Biometrics Bulletin 1; Streitberg & Roehmel (1986), Statistical Software Newsletter 12.
    """
    kept = differences[differences != 0]
    # Mean ranks end in a half at most: doubled, they are whole and can be counted with.
    ranks = np.rint(2 * rankdata(np.abs(kept))).astype(np.int64)
    chances = np.zeros(int(ranks.sum()) + 1)
    chances[0] = 1.0
    for rank in ranks:
        moved = np.zeros_like(chances)
        moved[rank:] = chances[: len(chances) - rank]
        chances = (chances + moved) / 2
    positive = int(ranks[kept > 0].sum())
    tail = min(chances[: positive + 1].sum(), chances[positive:].sum())
    return float(min(1.0, 2 * tail))
