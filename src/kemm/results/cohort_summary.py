"""What there is to say of a cohort and its folds before any model: sizes, follow-up, and what to beware of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kemm.core.cohort import Cohort
from kemm.results import records
from kemm.survival.metrics import kaplan_meier
from kemm.training.splits import Fold

FEW_EVENTS = 100
"""With fewer events in the cohort a warning is shown."""


def summarise_folds(cohort: Cohort, folds: Sequence[Fold]) -> list[records.FoldSummary]:
    """Sizes of each fold, and how many of its test patients come from hospitals it trained on."""
    found = []
    for fold in folds:
        trained = {cohort.sites[row] for row in fold.train} - {None}
        tested = [cohort.sites[row] for row in fold.test]
        found.append(
            records.FoldSummary(
                fold=fold.index,
                train_cases=len(fold.train),
                train_events=int(cohort.event[list(fold.train)].sum()),
                test_cases=len(fold.test),
                test_events=int(cohort.event[list(fold.test)].sum()),
                test_sites=len(set(tested) - {None}),
                shared_site_share=float(np.mean([site in trained for site in tested])),
            )
        )
    return found


def median_follow_up(months: NDArray[np.float64], event: NDArray[np.bool_]) -> float | None:
    """Reverse Kaplan-Meier: the median time to censoring, as if nobody had the event."""
    return kaplan_meier(months, ~event).median()


def warnings_of(cohort: Cohort, fold_kind: str, folds: Sequence[records.FoldSummary]) -> list[str]:
    """What a reader must know before believing the table."""
    found = []
    events = int(cohort.event.sum())
    if events < FEW_EVENTS:
        found.append(f"{events} events are few: below {FEW_EVENTS}, intervals are wide and models unstable.")
    shared = float(np.mean([fold.shared_site_share for fold in folds]))
    if shared > 0:
        found.append(
            f"Folds are {fold_kind}: {shared:.0%} of test patients come from hospitals that are also in the training part, "
            "which flatters every model that can recognise a hospital."
        )
    return found
