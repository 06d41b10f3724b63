"""The models of a run: KEMM, and what it has to beat on the same patients."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from kemm.core.settings import Section
from kemm.model.kemm import ModelConfig
from kemm.training.methods import Method

Role = Literal["kemm", "comparator", "control", "baseline", "ablation"]
"""A control shows what no medicine can; a baseline is a network of the field; an ablation is KEMM without a part."""
KEMM_NETWORK = "kemm"
KAPLAN_MEIER = "kaplan-meier"
CLINICAL = "clinical"


class ComparatorsConfig(Section):
    """Which models stand beside KEMM."""

    without_covariates: bool = True
    """Also train KEMM without the covariates: what the other modalities say by themselves."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model of the table: what it is called, and what it may see."""

    name: str
    title: str
    description: str
    role: Role
    inputs: tuple[str, ...]
    """Of: covariates, report, background, genes, slides, site."""
    views: tuple[str, ...]
    """Linear views: the whole of a comparator, the offset of a network."""
    network: str | None = None
    """"kemm", or the name of one of the field's networks; None for what is not trained by gradient descent."""
    model: ModelConfig | None = None
    """Of a KEMM whose settings are not the study's."""
    method: Method = "ridge"
    """How what is no network is fitted to its views."""

    @property
    def is_network(self) -> bool:
        """Whether it is trained by gradient descent, once a seed."""
        return self.network is not None


_COMPARATORS = (
    ModelSpec(
        name=KAPLAN_MEIER,
        title="Kaplan-Meier",
        description="The training part's survival curve, the same for everyone.",
        role="control",
        inputs=(),
        views=(),
    ),
    ModelSpec(
        name="site",
        title="Site alone",
        description="Ridge Cox on the hospital's code: what it predicts by itself is no medicine.",
        role="control",
        inputs=("site",),
        views=("site",),
    ),
    ModelSpec(
        name="age+sex",
        title="Age and sex",
        description="Ridge Cox on the covariates named age and sex.",
        role="comparator",
        inputs=("covariates",),
        views=("age+sex",),
    ),
    ModelSpec(
        name=CLINICAL,
        title="Clinical Cox",
        description="Ridge Cox on all covariates.",
        role="comparator",
        inputs=("covariates",),
        views=("covariates",),
    ),
    ModelSpec(
        name="report",
        title="Report only",
        description="Ridge Cox on the words of the report and of the statements refined from it.",
        role="comparator",
        inputs=("report",),
        views=("report", "fields"),
    ),
    ModelSpec(
        name="genes",
        title="Genes only",
        description="Ridge Cox on the features of the gene groups.",
        role="comparator",
        inputs=("genes",),
        views=("genes",),
    ),
    ModelSpec(
        name="slides",
        title="Slides only",
        description="Ridge Cox on principal components of the mean patch feature.",
        role="comparator",
        inputs=("slides",),
        views=("slides",),
    ),
    ModelSpec(
        name="clinical+report",
        title="Clinical + report, linear",
        description="Stack of the ridge Cox models on covariates and report.",
        role="comparator",
        inputs=("covariates", "report"),
        views=("covariates", "report", "fields"),
    ),
    ModelSpec(
        name="linear",
        title="All inputs, linear",
        description="Stack of the ridge Cox models on every input.",
        role="comparator",
        inputs=("covariates", "report", "genes", "slides"),
        views=("covariates", "report", "fields", "genes", "slides"),
    ),
)


def models_of(
    available: Collection[str], model: ModelConfig, comparators: ComparatorsConfig
) -> list[ModelSpec]:
    """The models that a study's inputs allow; the last is the main one.

    `available`: of covariates, age+sex, report, background, genes, slides, site.
    """
    found = [
        spec
        for spec in _COMPARATORS
        if all(one in available for one in spec.inputs) and ("age+sex" in available or spec.name != "age+sex")
    ]
    # "linear" is of all inputs there are; where it would repeat another model it is left out.
    present = tuple(one for one in ("covariates", "report", "genes", "slides") if one in available)
    if (
        "linear" not in [spec.name for spec in found]
        and len(present) > 1
        and present != ("covariates", "report")
    ):
        last = _COMPARATORS[-1]
        views = tuple(
            view for view in last.views if view in present or (view == "fields" and "report" in present)
        )
        found.append(
            ModelSpec(
                name=last.name,
                title=last.title,
                description=last.description,
                role=last.role,
                inputs=present,
                views=views,
            )
        )
    return found + _networks(available, model, comparators)


def _networks(
    available: Collection[str], model: ModelConfig, comparators: ComparatorsConfig
) -> list[ModelSpec]:
    knows = {"report": model.report, "background": model.background}
    inputs = tuple(
        one
        for one in ("report", "background", "genes", "slides")
        if one in available and knows.get(one, True)
    )
    specs = []
    has_covariates = "covariates" in available
    if set(inputs) - {"background"} and (comparators.without_covariates or not has_covariates):
        specs.append(
            ModelSpec(
                name="kemm",
                title="KEMM",
                description="Knowledge-enhanced network without clinical covariates.",
                role="kemm",
                inputs=inputs,
                views=offset_views(inputs, model),
                network=KEMM_NETWORK,
            )
        )
    if has_covariates:
        inputs = (*inputs, "covariates")
        specs.append(
            ModelSpec(
                name="kemm+clinical",
                title="KEMM with covariates",
                description="Knowledge-enhanced network with clinical covariates.",
                role="kemm",
                inputs=inputs,
                views=offset_views(inputs, model),
                network=KEMM_NETWORK,
            )
        )
    return specs


def offset_views(inputs: Collection[str], model: ModelConfig) -> tuple[str, ...]:
    """The linear views whose stack a network of these inputs adds to."""
    if model.offset == "none":
        return ()
    if model.offset == "clinical":
        return ("covariates",) if "covariates" in inputs else ()
    order = ("covariates", "report", "fields", "genes", "slides")
    return tuple(view for view in order if view in inputs or (view == "fields" and "report" in inputs))
