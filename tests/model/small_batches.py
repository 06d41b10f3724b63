"""Batches of made-up cases for a network of every input, with any modality missing in any case."""

from collections.abc import Collection, Sequence
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor

from kemm.model.batch import CaseBatch, Inputs, Tokens
from kemm.model.kemm import BACKGROUND_KINDS, ModelConfig

TEXT, KINDS, STATEMENTS, BACKGROUND = 6, 5, 4, 3
GROUPS, GROUP_FEATURES = 3, 2
PATCHES, PATCH_FEATURES = 7, 4
COVARIATES, COVARIATE_FEATURES = 3, 2

EVERYTHING = ("report", "background", "genes", "slides", "covariates")
EDGES = torch.tensor([0.0, 10.0, 25.0, 60.0])


def inputs(names: Collection[str]) -> Inputs:
    """Widths of the modalities named, as a study that has only these gives them."""
    return Inputs(
        text=TEXT if {"report", "background"} & set(names) else 0,
        statement_kinds=KINDS if "report" in names else 0,
        gene_groups=GROUPS if "genes" in names else 0,
        gene_features=GROUP_FEATURES if "genes" in names else 0,
        slide_features=PATCH_FEATURES if "slides" in names else 0,
        covariates=COVARIATES if "covariates" in names else 0,
        covariate_features=COVARIATE_FEATURES if "covariates" in names else 0,
        background=("genes", "slides") if "background" in names else (),
    )


def batch(
    cases: int, names: Collection[str], *, seed: int = 0, missing: Sequence[Collection[str]] = ()
) -> CaseBatch:
    """Cases with all of `names`; `missing[i]` are those that case i lacks."""
    generator = torch.Generator().manual_seed(seed)

    def tokens(name: str, count: int, width: int, kinds: int = 0) -> Tokens:
        present = torch.ones(cases, count, dtype=torch.bool)
        for case, lacks in enumerate(missing):
            present[case] = name not in lacks
        kind = torch.randint(kinds, (cases, count), generator=generator) if kinds else None
        return Tokens(torch.randn(cases, count, width, generator=generator), present, kind)

    every = {
        "report": tokens("report", STATEMENTS, TEXT, KINDS),
        "genes": tokens("genes", GROUPS, GROUP_FEATURES),
        "slides": tokens("slides", PATCHES, PATCH_FEATURES),
        "covariates": tokens("covariates", COVARIATES, COVARIATE_FEATURES),
    }
    background = {
        name: tokens("background", BACKGROUND, TEXT, BACKGROUND_KINDS) for name in ("genes", "slides")
    }
    offset = torch.randn(cases, generator=generator)
    return CaseBatch(
        {name: one for name, one in every.items() if name in names},
        background if "background" in names else {},
        offset,
    )


def take(whole: CaseBatch, rows: Sequence[int]) -> CaseBatch:
    """Some cases of a batch."""

    def some(tokens: Tokens) -> Tokens:
        at = list(rows)
        return Tokens(tokens.values[at], tokens.present[at], None if tokens.kind is None else tokens.kind[at])

    return CaseBatch(
        {name: some(one) for name, one in whole.tokens.items()},
        {name: some(one) for name, one in whole.background.items()},
        None if whole.offset is None else whole.offset[list(rows)],
    )


def awake(model: torch.nn.Module, seed: int = 5) -> torch.nn.Module:
    """The network as if it had learned something: it begins by adding nothing to the offset."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def settings(**always: Any) -> list[ModelConfig]:
    """The default network, and one for each other value of each choice that a name or a switch makes."""
    found = [ModelConfig(**always)]
    for name, field in ModelConfig.model_fields.items():
        if name == "offset":
            continue  # whoever makes the batches sees to it
        choices: tuple[Any, ...] = ()
        if get_origin(field.annotation) is Literal:
            choices = get_args(field.annotation)
        elif field.annotation is bool:
            choices = (True, False)
        found += [ModelConfig(**{**always, name: one}) for one in choices if one != field.default]
    return found


def changed(config: ModelConfig) -> str:
    """What a configuration changes of the default, for a test's name."""
    default = ModelConfig()
    differs = {
        name: getattr(config, name)
        for name in ("queries", *ModelConfig.model_fields)
        if name not in ("width", "heads", "dropout", "learned_queries", "intervals")
        and getattr(config, name) != getattr(default, name)
    }
    return " ".join(f"{name}={value}" for name, value in differs.items()) or "default"


def outcomes(cases: int, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Months up to the last edge, and events, at least one of each kind."""
    generator = torch.Generator().manual_seed(seed)
    months = 1 + 58 * torch.rand(cases, generator=generator)
    event = torch.rand(cases, generator=generator) < 0.5
    event[0], event[-1] = True, False
    return months, event
