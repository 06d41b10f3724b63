"""Cross-validation of a study: what it needs, its units trained, their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from kemm.config import Study, StudyConfig
from kemm.core.errors import InputError
from kemm.core.files import read_json
from kemm.execution import Mapper
from kemm.pipeline.progress import Progress
from kemm.pipeline.watching import describe_memory, describe_precision, watching
from kemm.training.comparators import ModelSpec
from kemm.training.crossval import Crossval, Placed, Task, finished, read_unit
from kemm.training.dataset import StudyData
from kemm.training.splits import Fold
from kemm.training.units import run_placed

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


def available(data: StudyData) -> list[str]:
    """What models can be made of, as `models_of` takes it."""
    cohort = data.cohort
    there = {
        "covariates": bool(cohort.covariates),
        "age+sex": any(one.name.lower() in ("age", "sex", "gender") for one in cohort.covariates),
        "report": data.has_reports,
        "background": bool(data.background),
        "genes": data.genomics is not None,
        "slides": data.slides is not None,
        "site": any(site is not None for site in cohort.sites),
    }
    return [name for name, is_there in there.items() if is_there]


def require_network(study: Study, models: Sequence[ModelSpec]) -> None:
    """Refuse a study that has nothing but outcomes.

    Raises:
        InputError: The main model is no network.
    """
    if not models[-1].is_network:
        raise InputError(
            f"{study.name}: there is nothing to learn from. Give the study covariates, reports, genomics or slides."
        )


def crossval_of(
    config: StudyConfig, data: StudyData, folds: Sequence[Fold], models: Sequence[ModelSpec], store: Path
) -> Crossval:
    """The cross-validation that a study's settings ask for."""
    return Crossval(
        data=data,
        folds=tuple(folds),
        models=tuple(models),
        features=config.features,
        text=config.text,
        genomics=config.genomics,
        model=config.model,
        training=config.training,
        store=store,
        baselines=config.baselines,
    )


def train(contexts: Sequence[Crossval], mapper: Mapper, progress: Progress) -> None:
    """Every unit of some cross-validations of one store that is not there yet.

    Raises:
        UsageError: Patches need more memory than `training.memory_gb`.
        PartialError: A worker was killed; run again to go on.
    """
    total, left = 0, list[tuple[int, Task]]()
    for place, context in enumerate(contexts):
        tasks = context.tasks()
        done = set(finished(context, tasks))
        total += len(tasks)
        left += [(place, task) for task in tasks if task not in done]
    networks = [(place, task) for place, task in left if contexts[place].spec(task.model).is_network]
    places = sorted({place for place, _ in networks})
    said = [line for place in places for line in describe_memory(contexts[place])]
    if places:
        said += describe_precision(contexts[places[0]])
    for line in dict.fromkeys(said):
        progress.say(line)
    work = [
        Placed(place, one)
        for place, context in enumerate(contexts)
        for one in context.work([task for where, task in left if where == place])
    ]
    keys = [contexts[place].key(task) for place, task in networks]
    with (
        progress.stage("train and predict", total, total - len(left)) as step,
        watching(contexts[0].store, keys, step),
        closing(mapper(run_placed, tuple(contexts), work)) as results,
    ):
        for placed, _ in results:
            folds = placed.work.folds
            which = f"fold {folds[0]}" if len(folds) == 1 else f"{len(folds)} folds"
            step.advance(f"{placed.work.model}, {which}", len(folds))
    for line in sorted({line for place, task in networks for line in _one_by_one(contexts[place], task)}):
        progress.say(line)


def predictions_of(context: Crossval) -> pd.DataFrame:
    """The predictions of all units, which are finished."""
    import pandas as pd

    return pd.concat([read_unit(context, task)[0] for task in context.tasks()], ignore_index=True)


def _one_by_one(context: Crossval, task: Task) -> list[str]:
    """A line, where networks had to be computed one after another."""
    reasons = {one["apart"] for one in read_json(read_unit(context, task)[1] / "about.json")}
    return [
        f"{task.model}: its networks were trained one after another, not in one pass: {reason}"
        for reason in reasons
        if reason
    ]
