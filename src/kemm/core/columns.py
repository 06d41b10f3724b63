"""The columns of one table with a row a case: found by name, cleaned, their faults named by row and case."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kemm.core.errors import Faults, nearest
from kemm.core.files import MISSING_WORDS

SHOWN_ROWS = 10
UNANSWERED = "?"
"""What `kemm init` writes where only the user knows."""


class Columns:
    """A table of text, whose faults are collected with file, row, column and case."""

    def __init__(self, table: pd.DataFrame, file: str, faults: Faults) -> None:
        self.table = table
        self.file = file
        self.faults = faults
        self.ids: list[str] = [""] * len(table)
        """Case of each row, once `read_ids` has read them."""

    def get(self, name: str, setting: str) -> pd.Series[str] | None:
        """The column `name`, stripped of outer spaces; None, with a fault, where there is not exactly one.

        `setting` is the key of study.yaml that names the column, for the remedy.
        """
        names = list(self.table.columns)
        if name == UNANSWERED:
            self.faults.add(
                f"{setting} in study.yaml is still a question",
                f"Name the column there, one of: {', '.join(names)}.",
                file=self.file,
            )
            return None
        count = names.count(name)
        if count == 1:
            return self.table.iloc[:, names.index(name)].str.strip()
        if count == 0:
            hint = nearest(name, [each for each in names if each])
            self.faults.add(
                f"there is no column {name!r}",
                f"{hint[0].upper()}{hint[1:]}{'' if hint.endswith('?') else '.'} Set {setting} in study.yaml.",
                file=self.file,
            )
        else:
            self.faults.add(
                f"{count} columns have this name, so it is not clear which is meant",
                "Rename or drop all but one.",
                file=self.file,
                column=name,
            )
        return None

    def read_ids(self, name: str, setting: str) -> bool:
        """Take the case ids from the column `name`; False, with faults, where it cannot be.

        Empty and repeated ids are faults too, but the rows stay, so that their other faults are found.
        """
        column = self.get(name, setting)
        if column is None:
            return False
        self.ids = column.tolist()
        rows_by_id: dict[str, list[int]] = {}
        for row, case in enumerate(self.ids):
            rows_by_id.setdefault(case, []).append(row)
        empty = rows_by_id.pop("", [])
        if empty:
            self.faults.add(
                f"the case id is empty{_cells(empty)}",
                "Give every row its id, or delete the row.",
                file=self.file,
                row=empty[0] + 1 if len(empty) == 1 else None,
                column=name,
            )
        for case, rows in rows_by_id.items():
            if len(rows) > 1:
                self.faults.add(
                    f"the case stands in {len(rows)} rows ({_rows(rows)})",
                    "A table has one row a case: keep one, and give several slides in one cell, separated by ';'.",
                    file=self.file,
                    column=name,
                    case=case,
                )
        return True

    def refuse(
        self,
        column: pd.Series[str],
        wrong: NDArray[np.bool_],
        problem: Callable[[str], str],
        remedy: str,
    ) -> None:
        """A fault for every different value in the cells that are `wrong`, naming their rows and case."""
        name = str(column.name)
        rows_by_value: dict[str, list[int]] = {}
        for row in np.flatnonzero(wrong).tolist():
            rows_by_value.setdefault(column.iloc[row], []).append(row)
        for value, rows in rows_by_value.items():
            alone = len(rows) == 1
            self.faults.add(
                problem(value) + _cells(rows),
                remedy,
                file=self.file,
                row=rows[0] + 1 if alone else None,
                column=name,
                case=self.ids[rows[0]] or None if alone else None,
            )

    def warn(self, problem: str, remedy: str, column: str | None = None) -> None:
        """A doubt about this table."""
        self.faults.warn(problem, remedy, file=self.file, column=column)


def numbers(column: pd.Series[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The numbers of a column, NaN where missing or wrong, and which cells are wrong: text, or not finite."""
    missing = column.isin(MISSING_WORDS).to_numpy()
    values = np.array(
        [np.nan if absent else _number(text) for text, absent in zip(column, missing, strict=True)]
    )
    wrong = ~missing & ~np.isfinite(values)
    return np.where(wrong, np.nan, values), wrong


def counted(count: int, thing: str) -> str:
    """ "1 case", "2 cases"."""
    return f"{count} {thing}" + ("" if count == 1 else "s")


def _number(text: str) -> float:
    try:
        return float(text) if "_" not in text else np.nan
    except ValueError:
        return np.nan


def _cells(rows: list[int]) -> str:
    return "" if len(rows) == 1 else f" ({len(rows)} cells: {_rows(rows)})"


def _rows(rows: list[int]) -> str:
    shown = ", ".join(str(row + 1) for row in rows[:SHOWN_ROWS])
    return f"rows {shown}" + (f" and {len(rows) - SHOWN_ROWS} more" if len(rows) > SHOWN_ROWS else "")
