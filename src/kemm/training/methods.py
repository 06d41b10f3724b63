"""How a comparator is fitted: by one of a few methods that are all used alike."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kemm.training.boosting import fit_boosting, fit_forest
from kemm.training.elastic_net import fit_elastic_net
from kemm.training.linear import Stack, View

Array = NDArray[np.float64]
Method = Literal["ridge", "elastic-net", "boosting", "forest"]
TREES = ("boosting", "forest")


@runtime_checkable
class RiskModel(Protocol):
    """A fitted survival model of views."""

    def log_risk(self, views: Mapping[str, View]) -> Array:
        """Log risk of each case, (case,); higher = worse."""
        ...

    def survival(self, log_risk: Array, months: Array) -> Array:
        """Chance to be free of the event, (case, time); NaN after the training cases' follow-up."""
        ...

    def about(self) -> dict[str, Any]:
        """What was chosen and how views are weighed, as JSON."""
        ...


def is_installed(method: Method) -> bool:
    """Whether the optional part that a method needs is there."""
    return method not in TREES or find_spec("xgboost") is not None


def fit_method(
    method: Method, views: Mapping[str, View], months: Array, event: NDArray[np.bool_], seed: int
) -> tuple[RiskModel, Array]:
    """A model of training cases, and the cross-fitted log risk of each of them, (case,).

    Raises:
        UsageError: the method's optional part is not installed.
        ValueError: no case has an event.
    """
    match method:
        case "ridge":
            stack, parts = Stack.fit(views, months, event, seed)
            return stack, np.sum([np.zeros(len(months)), *parts.values()], axis=0)
        case "elastic-net":
            return fit_elastic_net(views, months, event, seed)
        case "boosting":
            return fit_boosting(views, months, event, seed)
        case "forest":
            return fit_forest(views, months, event, seed)
