"""The work of units: models fitted on the training part of folds, test parts predicted, both kept."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from kemm.core.files import write_arrays, write_frame, write_json
from kemm.core.provenance import fingerprint
from kemm.core.store import Store
from kemm.model.kemm import KEMM, count_parameters
from kemm.model.rooms import give_back
from kemm.model.survival_model import SurvivalModel
from kemm.training.checkpoint import Checkpoint
from kemm.training.comparators import ModelSpec
from kemm.training.cost import keep_cost, measuring
from kemm.training.crossval import KIND, Crossval, Placed, Work
from kemm.training.device import resolve_device
from kemm.training.features import FoldTransforms
from kemm.training.fitted import FittedFold
from kemm.training.linear import Stack
from kemm.training.methods import RiskModel, fit_method
from kemm.training.networks import Seeded, untrained
from kemm.training.occlusion import Explained, explain
from kemm.training.patch_attention import write_patch_attention
from kemm.training.splits import Fold
from kemm.training.together import predict
from kemm.training.trainer import History, held_out, train
from kemm.training.under_way import Teller, Training, telling

CHECKPOINTS = "checkpoints"
"""In the store."""
GRID = tuple(float(month) for month in range(0, 241, 3))
"""Months at which survival is predicted. Fixed, so that no outcome of a test part can shape it."""


def run_placed(contexts: Sequence[Crossval], placed: Placed) -> float:
    """`run_work`, where tasks are of several cross-validations that go to every worker once."""
    return run_work(contexts[placed.context], placed.work)


def run_work(context: Crossval, work: Work) -> float:
    """Fit one model on each of some folds, predict their test parts, keep both. Returns the seconds it took."""
    store = Store(context.store)
    spec, keys = context.spec(work.model), [context.key(task) for task in work.tasks]
    folds = [context.fold(fold) for fold in work.folds]
    shared = [fitted(context, fold) for fold in folds]  # for all models: no cost of this one
    name = keys[0] if len(keys) == 1 else fingerprint(keys)
    checkpoint = Checkpoint(context.store / CHECKPOINTS / f"{name}.safetensors")
    with ExitStack() as opened:
        opened.callback(give_back)
        folders = [
            opened.enter_context(store.adding(KIND, key, model=spec.name, fold=fold))
            for key, fold in zip(keys, work.folds, strict=True)
        ]
        if spec.is_network:
            begun = Training(
                model=spec.name,
                fold=folds[0].index,
                epochs=context.training.epochs,
                cases=sum(len(fold.train) for fold in folds),
            )
            teller = opened.enter_context(telling(context.store, keys[0], begun))
            with measuring(checkpoint.exists) as costs:
                trained = _networks(context, shared, spec, folders, checkpoint, teller)
            if context.is_explained(spec):  # as no other model is: not to be held against it
                for one, seeded, folder in zip(shared, trained, folders, strict=True):
                    _explain(context, one, spec, seeded, folder)
        else:
            with measuring(resumed=False) as costs:
                for one, folder in zip(shared, folders, strict=True):
                    _comparator(context, one, spec, folder)
    checkpoint.remove()
    for key in keys:
        keep_cost(store, key, costs[0], len(keys))
    return costs[0].seconds


_FITTED: list[tuple[Crossval, FittedFold]] = []
"""The last fold that this process worked on."""


def fitted(context: Crossval, fold: Fold) -> FittedFold:
    """What is fitted on the fold's training part. Kept for the next unit of the same fold in this process."""
    for known, found in _FITTED:
        if known is context and found.fold is fold:
            return found
    _FITTED.clear()
    transforms = FoldTransforms.fit(
        context.data, fold.train, config=context.features, text=context.text, genomics=context.genomics
    )
    features = transforms.apply(context.data, (*fold.train, *fold.test))
    rows = list(fold.train)
    cohort = context.data.cohort
    found = FittedFold(fold, transforms, features, cohort.months[rows], cohort.event[rows])
    _FITTED.append((context, found))
    return found


def _comparator(context: Crossval, shared: FittedFold, spec: ModelSpec, folder: Path) -> None:
    test = shared.test
    model, crossed = _fit(shared, spec)
    views = {name: shared.features.views[name].take(test) for name in spec.views}
    risk = model.log_risk(views) if views else np.zeros(len(test))
    threshold = float(np.median(crossed)) if views else 0.0
    frame = _predictions(context, shared.fold, spec, 0, risk, model.survival(risk, np.array(GRID)), threshold)
    write_frame(folder / "predictions.parquet", _known(frame, shared, spec.views))
    write_json(folder / "about.json", model.about())


def _fit(shared: FittedFold, spec: ModelSpec) -> tuple[RiskModel, NDArray[np.float64]]:
    """A model that is no network, and the cross-fitted log risks of the training cases."""
    if spec.method == "ridge":
        stack, parts = shared.stack(spec.views, seed=0)
        return stack, np.sum([np.zeros(len(shared.months)), *parts.values()], axis=0)
    views = {name: shared.features.views[name].take(shared.train) for name in spec.views}
    return fit_method(spec.method, views, shared.months, shared.event, seed=0)


def _known(frame: pd.DataFrame, shared: FittedFold, views: Sequence[str]) -> pd.DataFrame:
    """Without test cases that have none of these views: no guess passes for a prediction."""
    if not views:
        return frame
    known = np.any([shared.features.views[name].present[shared.test] for name in views], axis=0)
    ids = frame["case_id"].unique()[known]
    return frame[frame["case_id"].isin(ids)].reset_index(drop=True)


def _networks(
    context: Crossval,
    shared: Sequence[FittedFold],
    spec: ModelSpec,
    folders: Sequence[Path],
    checkpoint: Checkpoint,
    teller: Teller,
) -> list[list[Seeded]]:
    """The networks of each fold, trained; what they forecast is written."""
    seeded = [untrained(context, one, spec) for one in shared]
    teller.trains(sum(len(one.ensemble.members) for one in seeded[0]))
    histories = train(
        [one.ensemble for own in seeded for one in own],
        context.training,
        rows=range(len(context.data.cohort)),
        steps=context.steps,
        checkpoint=checkpoint,
        on_epoch=teller.epoch,
    )
    teller.predicts()
    for fold, own, folder in zip(shared, seeded, folders, strict=True):
        _write_network(context, fold, spec, own, [histories.pop(0) for _ in own], folder)
    return seeded


def _write_network(
    context: Crossval,
    shared: FittedFold,
    spec: ModelSpec,
    seeded: Sequence[Seeded],
    histories: Sequence[History],
    folder: Path,
) -> None:
    """Predict the test part of a fold, and write what there is to keep."""
    fold = shared.fold
    everyone = [(one.ensemble, member) for one in seeded for member in one.ensemble.members]
    forecasts = predict(
        [member.model for _, member in everyone],
        [one.reader for one, _ in everyone],
        [fold.test for _ in everyone],
        device=resolve_device(context.training.device),
    )
    frames, about = [], []
    every_held = held_out([one.ensemble for one in seeded], context.training)
    for one, history, held in zip(seeded, histories, every_held, strict=True):
        seed, stack, members = one.seed, one.stack, list(one.ensemble.members)
        known = torch.cat([one.output() for one in held])
        known_months, known_event = (
            torch.cat([one.months for one in held]),
            torch.cat([one.event for one in held]),
        )
        risks, curves = [], []
        for number, member in enumerate(members):
            member.model.head.fit_baseline(known, known_months, known_event)
            output = forecasts.pop(0).output
            risks.append(member.model.head.risk(output).double().numpy())
            curves.append(_survival(member.model, output, float(shared.months.max())))
            _save_member(folder, seed, number, member.model, stack)
        frames.append(
            _predictions(
                context,
                fold,
                spec,
                seed,
                np.mean(risks, axis=0),
                np.mean(curves, axis=0),
                float(members[0].model.head.risk(known).median()),
            )
        )
        about.append(
            {
                "seed": seed,
                "best_epoch": history.best_epoch,
                "apart": history.apart,
                "inner_loss": history.inner_loss,
                "parameters": count_parameters(members[0].model),
                "branch_weights": dict(
                    zip(members[0].model.branches, members[0].model.weights.tolist(), strict=True)
                ),
                "offset_weights": dict(stack.weights) if stack else {},
            }
        )
    predicted = pd.concat(frames, ignore_index=True)
    if spec.role in ("baseline", "ablation"):
        predicted = _known(predicted, shared, [name for name in spec.inputs if name in shared.features.views])
    write_frame(folder / "predictions.parquet", predicted)
    write_json(folder / "about.json", about)


def _explain(
    context: Crossval, shared: FittedFold, spec: ModelSpec, seeded: Sequence[Seeded], folder: Path
) -> None:
    """What risks stand on. One network a seed: the others say much the same, at as much time again."""
    first = [(one.ensemble.members[0].model, one.stack) for one in seeded]
    explained: Explained = explain(
        context.data,
        shared.transforms,
        shared.features,
        spec,
        [(model, stack) for model, stack in first if isinstance(model, KEMM)],
        shared.fold.test,
    )
    write_json(folder / "explained.json", explained.as_json())
    write_patch_attention(folder, explained.attention)
    _save_transforms(folder, shared.transforms)


def _survival(model: SurvivalModel, output: torch.Tensor, last_month: float) -> NDArray[np.float64]:
    """Survival on the grid; NaN after the training cases' follow-up."""
    grid = np.array(GRID)
    curve = np.full((len(output), len(grid)), np.nan)
    known = grid <= np.float32(last_month)
    with torch.inference_mode():
        curve[:, known] = model.head.survival(
            output, torch.from_numpy(grid[known].astype(np.float32))
        ).numpy()
    return curve


def _predictions(
    context: Crossval,
    fold: Fold,
    spec: ModelSpec,
    seed: int,
    risk: NDArray[np.float64],
    survival: NDArray[np.float64],
    threshold: float,
) -> pd.DataFrame:
    """A row a test case. Outcomes are joined later, by whoever evaluates."""
    return pd.DataFrame(
        {
            "model": spec.name,
            "fold": fold.index,
            "seed": seed,
            "case_id": [context.data.cohort.ids[row] for row in fold.test],
            "risk": risk,
            "threshold": threshold,
            **{f"survival@{month:g}": survival[:, column] for column, month in enumerate(GRID)},
        }
    )


def _save_member(folder: Path, seed: int, number: int, model: SurvivalModel, stack: Stack | None) -> None:
    arrays = {f"model.{name}": value.numpy() for name, value in model.state_dict().items()}
    if stack is not None:
        for name, one in stack.models.items():
            arrays |= {
                f"stack.{name}.mean": one.mean,
                f"stack.{name}.scale": one.scale,
                f"stack.{name}.coefficients": one.coefficients,
                f"stack.{name}.weight": np.array([stack.weights[name], stack.scales[name]]),
            }
    write_arrays(folder / f"member-{seed}-{number}.safetensors", arrays)


def _save_transforms(folder: Path, transforms: FoldTransforms) -> None:
    about, arrays = transforms.state()
    write_json(folder / "transforms.json", about)
    write_arrays(folder / "transforms.safetensors", arrays)
