"""Finished runs: where they are, and their results. Loads nothing that computes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from kemm.core.errors import InputError, IntegrityError, KemmError, UsageError
from kemm.core.files import read_frame, read_json
from kemm.core.study_file import run_folder
from kemm.results.records import Evaluation, Explanation

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_RUN = "latest"
RECORD = "run.json"
"""Written after all other records of a run, and taken away before any of them is written anew."""
REPORT = "report.html"
CHECKLIST, CHECKLIST_PAGE = "tripod.json", "tripod.html"


@dataclass(frozen=True)
class RunResult:
    """Where a run's results are, and the results."""

    folder: Path
    evaluation: Evaluation
    explanation: Explanation | None

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / REPORT

    @property
    def predictions(self) -> pd.DataFrame:
        """A row a model, fold, seed and case: risk, survival on a grid of months."""
        return read_frame(self.folder / "predictions.parquet")

    @property
    def table(self) -> pd.DataFrame:
        """A row a model: C with interval, SD over folds, and the other measures."""
        return models_frame(self.evaluation)


def finished_folder(study: Path, name: str) -> Path:
    """The folder of a finished run of the study in a folder.

    Raises:
        InputError: There is no such run.
    """
    folder = named_run(study, name)
    if not (folder / RECORD).is_file():
        runs = sorted(path.parent.name for path in folder.parent.glob(f"*/{RECORD}"))
        raise InputError(
            f"{folder}: no finished run is there. "
            + (
                f"There are: {', '.join(runs)}. Name one with --name."
                if runs
                else f"Run `kemm run {study}` first."
            )
        )
    return folder


def named_run(study: Path, name: str) -> Path:
    """The folder of a run, finished or not, of the study in a folder.

    Raises:
        UsageError: No folder can be called so.
    """
    check_name(name)
    return run_folder(study, name)


def check_name(name: str) -> None:
    """Refuse a name of a run that no folder can have.

    Raises:
        UsageError: No folder can be called so.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(
            f"a run cannot be called {name!r}: its name becomes a folder. Use letters, digits, dots, - and _."
        )


def read_run(folder: Path) -> RunResult:
    """A finished run's results.

    Raises:
        IntegrityError: A record is damaged, or of another version.
    """
    explanation = folder / "explanation.json"
    return RunResult(
        folder,
        read_record(folder / "evaluation.json", Evaluation),
        read_record(explanation, Explanation) if explanation.is_file() else None,
    )


Model = TypeVar("Model", bound=BaseModel)


def read_record(path: Path, model: type[Model]) -> Model:
    """A record of a run.

    Raises:
        IntegrityError: It is damaged, or of another version.
    """
    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        raise IntegrityError(
            f"{path}: not a record as this version of kemm writes it ({error.error_count()} differences). "
            f"Delete {path.with_name(RECORD)} and run again: it is made anew from what is in the store."
        ) from error


def models_frame(evaluation: Evaluation) -> pd.DataFrame:
    """The table of models as a frame: values with their interval and SD, empty where undefined."""
    import pandas as pd

    rows = []
    for model in evaluation.models:
        c = model.metrics["harrell_c"]
        row: dict[str, Any] = {
            "model": model.name,
            "title": model.title,
            "cases": c.cases,
            "events": c.events,
        }
        for name, cell in model.metrics.items():
            row[name] = cell.value
            if name == "harrell_c":
                row |= {"harrell_c_low": cell.low, "harrell_c_high": cell.high, "harrell_c_sd": cell.sd}
        rows.append(row)
    return pd.DataFrame(rows)


def fingerprint_of(folder: Path) -> str | None:
    """The fingerprint of all that a finished run was made of; None where it is not finished, or damaged."""
    names = (
        *(RECORD, REPORT, CHECKLIST, CHECKLIST_PAGE),
        *("evaluation.json", "explanation.json", "predictions.parquet", "models.csv"),
    )
    if not all((folder / name).is_file() for name in names):
        return None
    try:
        record = read_json(folder / RECORD)
    except KemmError:
        return None  # it is made again
    found = record.get("fingerprint") if isinstance(record, dict) else None
    return found if isinstance(found, str) else None
