"""A made-up study of a few cases, and what tests do to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from kemm.demo import make_demo_study
from kemm.pipeline.progress import Silent

CASES = 40
QUICK: dict[str, Any] = {
    "folds": {"kind": "stratified", "count": 2},
    "model": {"width": 8, "heads": 2, "intervals": 4, "together": False},
    "training": {"seeds": [0], "epochs": 2, "inner_parts": 2},
    "comparators": {"without_covariates": False},
    "evaluation": {"bootstraps": 100, "truth": "truth.csv"},
}
"""Settings with which a whole run takes seconds. Nothing is learned with them; that is not the question here."""


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


Kemm = Callable[..., Said]
"""`kemm("check", study)`: the command line."""


@dataclass(frozen=True)
class StudyFolder:
    """A study's folder, and ways to change what is in it."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def settings(self) -> dict[str, Any]:
        """What study.yaml says."""
        settings: dict[str, Any] = yaml.safe_load((self.path / "study.yaml").read_text())
        return settings

    def set(self, **changes: Any) -> None:
        """Change settings: `cohort__case="id"` sets cohort.case. None takes a setting away."""
        settings = self.settings
        for key, value in changes.items():
            *sections, last = key.split("__")
            place = settings
            for section in sections:
                place = place.setdefault(section, {})
            if value is None:
                place.pop(last, None)
            else:
                place[last] = value
        (self.path / "study.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))

    @property
    def table(self) -> pd.DataFrame:
        """The clinical table, as text."""
        return pd.read_csv(self.path / "clinical.csv", dtype=str, keep_default_na=False)

    def write(self, table: pd.DataFrame) -> None:
        """Replace the clinical table."""
        table.to_csv(self.path / "clinical.csv", index=False)

    def set_cell(self, row: int, column: str, value: str) -> None:
        """Change a cell of the clinical table; `row` as messages count, from 1."""
        table = self.table
        table.loc[row - 1, column] = value
        self.write(table)

    def set_column(self, column: str, values: Any) -> None:
        """Change a column of the clinical table."""
        table = self.table
        table[column] = values
        self.write(table)

    @property
    def with_report(self) -> list[str]:
        """Cases that have a report, in order."""
        return sorted(path.stem for path in (self.path / "reports").iterdir())

    @property
    def predictions(self) -> bytes:
        """The bytes of the run's predictions."""
        return (self.path / "runs" / "latest" / "predictions.parquet").read_bytes()

    def entries(self, kind: str) -> list[Path]:
        """The store's finished entries of a kind."""
        return sorted(path.parent for path in (self.path / ".kemm" / kind).glob("*/entry.json"))

    def scratch(self) -> list[Path]:
        """What is half written, anywhere in the study."""
        return sorted(self.path.rglob("*.part"))


class Told(Silent):
    """Keeps what a run tells: lines, and how far each stage came, of how much."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stages: dict[str, list[int]] = {}

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Any]:
        self.stages[name] = counts = [done, total]

        class Step(Silent):
            def advance(self, note: str = "", count: int = 1) -> None:
                counts[0] += count

        yield Step()

    def say(self, line: str) -> None:
        self.lines.append(line)


def small_study(folder: Path) -> StudyFolder:
    """A demo of a few cases with quick settings."""
    study = StudyFolder(make_demo_study(folder, cases=CASES))
    settings = study.settings | QUICK
    (study.path / "study.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return study


def copy_of(study: StudyFolder, to: Path) -> StudyFolder:
    """A copy to break; `to` must not exist."""
    shutil.copytree(study.path, to)
    return StudyFolder(to)
