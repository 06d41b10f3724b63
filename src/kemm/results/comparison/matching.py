"""Two models' predictions of the same patients, side by side."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kemm.results.predictions import FoldPart


@dataclass(frozen=True)
class MatchedPart:
    """One fold's test cases that both models predict, in the same order."""

    model: FoldPart
    reference: FoldPart


def matched(model: Sequence[FoldPart], reference: Sequence[FoldPart]) -> list[MatchedPart]:
    """Both models' parts of each fold, cut down to the cases they share; folds without any are left out."""
    by_fold = {part.fold: part for part in reference}
    found = []
    for part in model:
        if part.fold not in by_fold:
            continue
        other = by_fold[part.fold]
        shared = set(part.cases) & set(other.cases)
        if shared:
            found.append(MatchedPart(only(part, shared), only(other, shared)))
    return found


def only(part: FoldPart, cases: Collection[str]) -> FoldPart:
    """The part with these cases alone, sorted by name."""
    rows = np.array([row for row in np.argsort(part.cases) if part.cases[row] in cases], dtype=np.int64)
    return replace(
        part,
        cases=tuple(part.cases[row] for row in rows),
        months=part.months[rows],
        event=part.event[rows],
        risk=part.risk[rows],
        high=part.high[rows],
        survival=part.survival[rows],
    )
