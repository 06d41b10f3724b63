"""Which models can be held against each other, by name, and which of them a study's inputs allow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kemm.core.errors import UsageError, nearest
from kemm.model.baselines import BASELINES
from kemm.model.kemm import ModelConfig
from kemm.training.comparators import CLINICAL, KAPLAN_MEIER, ComparatorsConfig, ModelSpec, models_of
from kemm.training.methods import Method, is_installed

ALIASES: Final = {
    "clinical-cox": CLINICAL,
    "cox": CLINICAL,
    "km": KAPLAN_MEIER,
    "concat": "concatenation",
    "rsf": "forest-all",
}
"""Other names that people use."""

_METHODS: Final[Mapping[Method, tuple[str, str]]] = {
    "elastic-net": ("Elastic-net Cox", "Cox model with an elastic-net penalty"),
    "boosting": ("Boosted trees", "Gradient-boosted trees with the Cox loss (XGBoost)"),
    "forest": ("Survival forest", "Random forest with the Cox loss (XGBoost)"),
}
_SUBJECTS: Final = {
    "clinical": (("covariates",), "covariates"),
    "report": (("report",), "words and fields of the report"),
    "genes": (("genes",), "principal components of gene groups"),
    "slides": (("slides",), "principal components of the mean patch feature"),
    "all": (("covariates", "report", "genes", "slides"), "all inputs side by side"),
}
_VIEWS: Final = {"report": ("report", "fields")}
_BY_NAME_ONLY: Final[frozenset[Method]] = frozenset({"forest"})
"""Forests say much what boosted trees do, and take longer."""


@dataclass(frozen=True)
class Catalogue:
    """All models there are, for one study."""

    specs: tuple[ModelSpec, ...]
    """Those it can train; the main model last."""
    missing: Mapping[str, str]
    """Of all others, by name: why not."""
    usual: frozenset[str]
    """Those that are compared where none is named."""

    @property
    def main(self) -> ModelSpec:
        """KEMM with all that the study has."""
        return self.specs[-1]

    def choose(self, names: Sequence[str]) -> tuple[ModelSpec, ...]:
        """The models of these names, and those without which no comparison is one: the clinical model and the main.

        "kemm" stands for both KEMMs, with and without covariates.

        Raises:
            UsageError: There is no model of a name, or the study cannot train it.
        """
        wanted = {KAPLAN_MEIER, CLINICAL, self.main.name}
        known = [spec.name for spec in self.specs]
        for asked in names:
            name = ALIASES.get(asked.lower(), asked.lower())
            if name in self.missing:
                raise UsageError(f"{asked} cannot be compared: {self.missing[name]}.")
            if name not in known and name != "kemm":
                everything = sorted({*known, *self.missing, *ALIASES})
                raise UsageError(
                    f"there is no model called {asked!r}: {nearest(asked, everything)} All: {', '.join(everything)}."
                )
            wanted.add(name)
        return tuple(spec for spec in self.specs if spec.name in wanted)


def catalogue(available: Collection[str], model: ModelConfig, comparators: ComparatorsConfig) -> Catalogue:
    """Every model, for a study with these inputs (as `models_of`)."""
    *first, main = models_of(available, model, comparators)
    kemm = [spec for spec in first if spec.is_network]
    specs = [spec for spec in first if not spec.is_network]
    missing: dict[str, str] = {}
    for spec in (*_of_methods(available), *_of_the_field()):
        lacking = [one for one in spec.inputs if one not in available]
        if lacking:
            missing[spec.name] = (
                f"it needs {' and '.join(spec.inputs)}, and the study has no {' and no '.join(lacking)}"
            )
        elif not is_installed(spec.method):
            missing[spec.name] = "it needs XGBoost; install it with pip install 'kemm[trees]'"
        else:
            specs.append(spec)
    specs += [*kemm, main]
    rare = {spec.name for spec in specs if spec.method in _BY_NAME_ONLY}
    return Catalogue(tuple(specs), missing, frozenset(spec.name for spec in specs if spec.name not in rare))


def _of_methods(available: Collection[str]) -> list[ModelSpec]:
    found = []
    for method, (title, what) in _METHODS.items():
        for subject, (modalities, words) in _SUBJECTS.items():
            there = tuple(one for one in modalities if one in available) if subject == "all" else modalities
            if subject == "all" and len(there) < 2:
                continue
            found.append(
                ModelSpec(
                    name=f"{method}-{subject}",
                    title=f"{title}, {'all inputs' if subject == 'all' else subject}",
                    description=f"{what} on {words}.",
                    role="comparator",
                    inputs=there,
                    views=tuple(view for one in there for view in _VIEWS.get(one, (one,))),
                    method=method,
                )
            )
    return found


def _of_the_field() -> list[ModelSpec]:
    return [
        ModelSpec(
            name=baseline.name,
            title=baseline.title,
            description=baseline.description,
            role="baseline",
            inputs=baseline.inputs,
            views=(),
            network=baseline.name,
        )
        for baseline in BASELINES.values()
    ]
