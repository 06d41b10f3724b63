"""The networks of a fold as they begin: which cases each is fitted on and held to, and the offset it adds to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from kemm.model.baselines import BASELINES
from kemm.model.kemm import build_head, build_kemm
from kemm.model.survival_model import SurvivalModel
from kemm.survival import discrete_time
from kemm.training.comparators import KEMM_NETWORK, ModelSpec
from kemm.training.crossval import Crossval
from kemm.training.device import resolve_device, resolve_precision
from kemm.training.fitted import FittedFold
from kemm.training.linear import Stack
from kemm.training.reading import Reader
from kemm.training.splits import inner_parts
from kemm.training.trainer import OPTIMISTIC, Ensemble, Member, Outcomes


@dataclass(frozen=True)
class Seeded:
    """The ensemble of one seed, and the linear model it adds to."""

    seed: int
    stack: Stack | None
    ensemble: Ensemble


def untrained(context: Crossval, shared: FittedFold, spec: ModelSpec) -> list[Seeded]:
    """The networks of a fold as they begin, by seed."""
    cohort, fold = context.data.cohort, shared.fold
    outer = Outcomes.of(fold.train, cohort.months, cohort.event)
    precision = resolve_precision(context.training.precision, resolve_device(context.training.device))
    found = []
    for seed in context.training.seeds:
        stack, offset, crossed = _offset(shared, spec, seed)
        memory = context.memory(spec)
        reader = Reader(shared.features, spec.inputs, offset, precision)
        if memory is not None:
            reader = replace(reader, keep=memory.keep, hold=memory.held)
        beyond = (spec.model or context.model).learn_beyond
        learning = replace(reader, offset=_learning_offset(beyond, shared, crossed, offset))
        members = _members(context, shared, spec, outer, seed)
        found.append(Seeded(seed, stack, Ensemble(members, reader, learning)))
    return found


def _members(
    context: Crossval,
    shared: FittedFold,
    spec: ModelSpec,
    outer: Outcomes,
    seed: int,
) -> list[Member]:
    """The networks of one seed: each is fitted on all but one part of the training part, and held to that part."""
    cohort, count = context.data.cohort, context.training.inner_parts
    parts = list(inner_parts(shared.event, count, seed))
    everything = np.arange(len(outer))
    held = [outer.take(part) for part in parts]
    fits = [outer.take(np.setdiff1d(everything, part)) for part in parts]
    if context.training.selection == OPTIMISTIC:
        held, fits = [Outcomes.of(shared.fold.test, cohort.months, cohort.event)], [outer]
    return [
        Member(
            new_model(context, shared, spec, outer, 1000 * seed + number), fit, select, 1000 * seed + number
        )
        for number, (fit, select) in enumerate(zip(fits, held, strict=True))
    ]


def new_model(
    context: Crossval, shared: FittedFold, spec: ModelSpec, outer: Outcomes, seed: int
) -> SurvivalModel:
    """An untrained network for the training part `outer`."""
    torch.manual_seed(seed)
    settings = spec.model or context.model
    edges = discrete_time.fit_intervals(outer.months, outer.event, settings.intervals)
    inputs = shared.features.inputs(spec.inputs)
    if spec.network == KEMM_NETWORK:
        model: SurvivalModel = build_kemm(settings, inputs, edges)
    else:
        assert spec.network is not None
        baseline = BASELINES[spec.network]
        if baseline.needs_prototypes:
            inputs = replace(
                inputs, prototypes=torch.from_numpy(shared.prototypes(context.baselines.prototypes))
            )
        model = baseline.build(context.baselines, inputs, build_head(settings, edges))
    model.head.start_at(outer.months, outer.event)
    return model


def _offset(
    shared: FittedFold, spec: ModelSpec, seed: int
) -> tuple[Stack | None, torch.Tensor | None, Mapping[str, NDArray[np.float64]]]:
    """The linear predictor the network adds to: cross-fitted for training cases, for all others from all of them.

    Also its cross-fitted parts, by view.
    """
    if not spec.views:
        return None, None, {}
    stack, crossed = shared.stack(spec.views, seed)
    offset = stack.log_risk({name: shared.features.views[name] for name in spec.views})
    offset[shared.train] = sum(crossed.values())
    return stack, torch.from_numpy(offset.astype(np.float32)), crossed


def _learning_offset(
    beyond: Literal["none", "clinical", "offset"],
    shared: FittedFold,
    crossed: Mapping[str, NDArray[np.float64]],
    offset: torch.Tensor | None,
) -> torch.Tensor | None:
    """What branches are trained on top of; only training cases' values are ever used."""
    if beyond == "offset":
        return offset
    if beyond == "none" or "covariates" not in crossed:
        return None
    clinical = np.zeros(len(shared.features.rows), dtype=np.float32)
    clinical[shared.train] = crossed["covariates"]
    return torch.from_numpy(clinical)
