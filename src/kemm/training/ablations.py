"""KEMM without one of its parts, or with another in its place: configurations, not code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

from kemm.model.kemm import ModelConfig
from kemm.training.comparators import ModelSpec, offset_views
from kemm.training.variants import VARIANTS, Variant

MODALITIES = ("report", "genes", "slides", "covariates")


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A model that differs from the main one in one thing."""

    spec: ModelSpec
    change: str
    """In words: "without the report"."""
    family: Literal["part", "modalities"]
    variant: Variant | None = None
    """What is done to the study's data, if anything."""


def ablations(main: ModelSpec, others: Sequence[ModelSpec], model: ModelConfig) -> list[Ablation]:
    """The main KEMM without each of its parts, one at a time.

    Args:
        others: networks that are trained anyway; one that equals an ablation is not trained again.
        model: the study's settings of the network.
    """
    return list(_parts(main, others, model))


def modality_subsets(main: ModelSpec, others: Sequence[ModelSpec], model: ModelConfig) -> list[Ablation]:
    """The main KEMM with every set of modalities but all. Background knowledge stays where anything can be asked."""
    there = [one for one in MODALITIES if one in main.inputs]
    found = []
    for size in range(1, len(there)):
        for kept in combinations(there, size):
            asked = "background" in main.inputs and not {"genes", "slides"}.isdisjoint(kept)
            inputs = tuple(one for one in main.inputs if one in kept or (one == "background" and asked))
            found.append(
                Ablation(
                    spec=_with_inputs(
                        main, others, model, f"only-{'+'.join(kept)}", ", ".join(kept) + " alone", inputs
                    ),
                    change=", ".join(kept),
                    family="modalities",
                )
            )
    return found


def _parts(main: ModelSpec, others: Sequence[ModelSpec], model: ModelConfig) -> Iterator[Ablation]:
    for part, words in (
        ("report", "without the report"),
        ("background", "without background knowledge"),
        ("slides", "without slides"),
        ("genes", "without genes"),
        ("covariates", "without covariates"),
    ):
        inputs = tuple(one for one in main.inputs if one != part)
        if part in main.inputs and set(inputs) - {"background"}:
            spec = _with_inputs(main, others, model, f"without-{part}", words, inputs)
            yield Ablation(spec=spec, change=words, family="part")
    for variant in VARIANTS.values():
        if all(one in main.inputs for one in variant.needs):
            yield Ablation(
                spec=_named(main, variant.name, variant.change),
                change=variant.change,
                family="part",
                variant=variant,
            )
    has_tokens = not {"genes", "slides"}.isdisjoint(main.inputs)
    changes: list[tuple[str, str, dict[str, Any]]] = [
        ("learned-queries", "learned queries in place of knowledge", {"queries": "learned"}),
        ("gated-pooling", "gated pooling in place of KECM", {"evidence": "gated"}),
        ("one-way", "attention one way", {"two_way": False})
        if model.two_way
        else ("two-way", "attention both ways", {"two_way": True}),
    ]
    for name, words, change in changes:
        if has_tokens and model.queries == "knowledge" and model.evidence == "knowledge":
            yield Ablation(spec=_changed(main, model, name, words, change), change=words, family="part")
    for offset, words in (("none", "without the linear offset"), ("clinical", "beyond the covariates alone")):
        changed = _changed(main, model, f"offset-{offset}", words, {"offset": offset})
        if changed.views != main.views and (offset == "none" or changed.views):
            yield Ablation(spec=changed, change=words, family="part")


def _with_inputs(
    main: ModelSpec,
    others: Sequence[ModelSpec],
    model: ModelConfig,
    name: str,
    words: str,
    inputs: tuple[str, ...],
) -> ModelSpec:
    views = offset_views(inputs, model)
    for known in others:
        if (
            known.network == main.network
            and known.model is None
            and (set(known.inputs), known.views) == (set(inputs), views)
        ):
            return known
    return replace(_named(main, name, words), inputs=inputs, views=views)


def _changed(main: ModelSpec, model: ModelConfig, name: str, words: str, change: dict[str, Any]) -> ModelSpec:
    changed = model.model_copy(update=change)
    return replace(_named(main, name, words), model=changed, views=offset_views(main.inputs, changed))


def _named(main: ModelSpec, name: str, words: str) -> ModelSpec:
    return replace(
        main, name=name, title=f"KEMM, {words}", description=f"The main model, {words}.", role="ablation"
    )
