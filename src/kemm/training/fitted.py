"""What is fitted once on a fold's training part, and shared by all models of the fold in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kemm.training.features import CaseFeatures, FoldTransforms
from kemm.training.linear import FittedView, RidgeCox, Stack, cross_fit
from kemm.training.prototypes import fit_prototypes
from kemm.training.splits import Fold


@dataclass
class FittedFold:
    """A fold's transforms and linear models, and the features of its training, then its test cases."""

    fold: Fold
    transforms: FoldTransforms
    features: CaseFeatures
    months: NDArray[np.float64]
    """Of the training cases."""
    event: NDArray[np.bool_]
    _models: dict[str, RidgeCox] = field(default_factory=dict)
    _views: dict[tuple[str, int], FittedView] = field(default_factory=dict)
    _prototypes: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def train(self) -> NDArray[np.int64]:
        """Where training cases are among the features."""
        return np.arange(len(self.fold.train))

    @property
    def test(self) -> NDArray[np.int64]:
        """Where test cases are among the features."""
        return len(self.fold.train) + np.arange(len(self.fold.test))

    def stack(self, views: Sequence[str], seed: int) -> tuple[Stack, Mapping[str, NDArray[np.float64]]]:
        """The stack of these views, and what each adds to the cross-fitted log risk of each training case.

        A view's models are fitted when they are first asked for: most models of a study share them.
        """
        return Stack.of({name: self._view(name, seed) for name in views}, self.months, self.event)

    def prototypes(self, count: int) -> NDArray[np.float32]:
        """Typical patches of the training part, (prototype, feature), in the scale in which bags reach a network."""
        slides, scaler = self.features.slides, self.features.scaler
        assert slides is not None
        assert scaler is not None
        if count not in self._prototypes:
            found = fit_prototypes(slides, self.fold.train, count, seed=0)
            self._prototypes[count] = found if slides.means is not None else scaler(found)
        return self._prototypes[count]

    def _view(self, name: str, seed: int) -> FittedView:
        view = self.features.views[name].take(self.train)
        if name not in self._models:
            self._models[name] = RidgeCox.fit(view, self.months, self.event)
        if (name, seed) not in self._views:
            crossed = cross_fit(view, self.months, self.event, seed)
            self._views[name, seed] = FittedView(view, self._models[name], crossed)
        return self._views[name, seed]
