"""Refiners by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kemm.core.registry import Registry
from kemm.modalities.reports.refiner import Refiner, RulesRefiner

BY_MODEL = "llm"
"""The refiner that asks the study's language model; it is no entry of the registry, for it works on many reports at once."""
REFINERS: Registry[Callable[[Sequence[str]], Refiner]] = Registry("refiner")
"""Each makes a refiner that masks the names it is given."""


@REFINERS.register("rules")
def rules(names: Sequence[str]) -> Refiner:
    """The offline refiner."""
    return RulesRefiner(site_names=tuple(names))
