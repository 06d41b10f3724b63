"""The predictions table joined with outcomes: what every measure is taken from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kemm.core.cohort import Cohort
from kemm.survival.metrics import UndefinedMetric, usable_tau
from kemm.training.splits import Fold

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FoldPart:
    """One model's predictions for the test part of one fold, seeds averaged, with the outcomes."""

    fold: int
    cases: tuple[str, ...]
    months: Array
    event: NDArray[np.bool_]
    risk: Array
    high: NDArray[np.bool_]
    """Above the training part's median risk."""
    survival: Array
    """(case, time) on the grid; NaN where the training part was not followed so long."""
    train_months: Array
    train_event: NDArray[np.bool_]

    def tau(self) -> float:
        """The last month at which weighted measures may be taken."""
        return usable_tau(self.train_months, self.train_event, self.months)


class Predictions:
    """The predictions table joined with outcomes, by model and fold."""

    def __init__(self, frame: pd.DataFrame, cohort: Cohort, folds: Sequence[Fold]) -> None:
        self.grid = np.array(
            [float(name.split("@")[1]) for name in frame.columns if name.startswith("survival@")]
        )
        self.frame, self.cohort, self.folds = frame, cohort, folds
        self._row_of = {str(case): row for row, case in enumerate(cohort.ids)}

    def parts(self, model: str, seed: int | None = None) -> list[FoldPart]:
        """A part a fold; of one seed, or of all seeds' mean."""
        frame = self.frame[self.frame["model"] == model]
        if seed is not None:
            frame = frame[frame["seed"] == seed]
        return [
            self._part(fold, frame[frame["fold"] == fold.index])
            for fold in self.folds
            if (frame["fold"] == fold.index).any()
        ]

    def seeds(self, model: str) -> list[int]:
        """Seeds the model was trained with."""
        return sorted(int(seed) for seed in self.frame.loc[self.frame["model"] == model, "seed"].unique())

    def _part(self, fold: Fold, frame: pd.DataFrame) -> FoldPart:
        survival = [name for name in frame.columns if name.startswith("survival@")]
        # Seeds are averaged on the scale of log risk; thresholds with them.
        mean = frame.groupby("case_id", sort=True)[["risk", "threshold", *survival]].mean()
        cases = tuple(str(case) for case in mean.index)
        rows = [self._row_of[case] for case in cases]
        train = list(fold.train)
        return FoldPart(
            fold=fold.index,
            cases=cases,
            months=self.cohort.months[rows],
            event=self.cohort.event[rows],
            risk=mean["risk"].to_numpy(dtype=np.float64),
            high=(mean["risk"] > mean["threshold"]).to_numpy(dtype=np.bool_),
            survival=mean[survival].to_numpy(dtype=np.float64),
            train_months=self.cohort.months[train],
            train_event=self.cohort.event[train],
        )

    def survival_at(self, part: FoldPart, month: float) -> Array:
        """Predicted survival at a month, between grid points by straight lines."""
        known = ~np.isnan(part.survival[0])
        if month > self.grid[known][-1]:
            raise UndefinedMetric(f"survival at {month:g} months: the training part was not followed so long")
        return np.array([np.interp(month, self.grid[known], row[known]) for row in part.survival])
