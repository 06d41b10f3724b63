"""Genomics as read: one number a case and column, each column a gene and a data type."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from kemm.core.errors import Faults, InputError, InvalidInput, nearest
from kemm.core.files import read_numbers
from kemm.core.provenance import fingerprint
from kemm.core.types import CaseId
from kemm.modalities.genomics.settings import GenomicsConfig, GenomicsTableConfig

UNNAMED_TYPE = "value"
"""The data type of a table that names none."""
SHOWN_NAMES = 5


class Column(NamedTuple):
    """What a column of numbers is about."""

    gene: str
    data_type: str

    def __str__(self) -> str:
        return f"{self.gene} {self.data_type}"


@dataclass(frozen=True, eq=False)
class Genomics:
    """The cohort's cases that have any genomics, in the order of the cohort."""

    case_ids: tuple[CaseId, ...]
    columns: tuple[Column, ...]
    values: Float[np.ndarray, "case column"]
    """As in the tables, float32; NaN where not measured."""
    own_groups: Mapping[str, tuple[int, ...]]
    """Columns of the tables that form a group of their own, by its name."""

    @cached_property
    def data_types(self) -> tuple[str, ...]:
        """The data types there are, sorted."""
        return tuple(sorted({column.data_type for column in self.columns}))

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever a case, a column, a group or a value does."""
        return fingerprint(
            list(self.case_ids),
            [list(column) for column in self.columns],
            {name: list(members) for name, members in self.own_groups.items()},
            np.ascontiguousarray(self.values).tobytes(),
        )

    def values_of(self, case_ids: Iterable[CaseId]) -> Float[np.ndarray, "case column"]:
        """One row a case asked for; a case without genomics is a row of NaN."""
        row_of = {case: row for row, case in enumerate(self.case_ids)}
        rows = np.array([row_of.get(case, -1) for case in case_ids], dtype=np.intp)
        found = rows >= 0
        values = np.full((len(rows), len(self.columns)), np.nan, dtype=np.float32)
        values[found] = self.values[rows[found]]
        return values

    def aligned_to(self, columns: Sequence[Column]) -> Genomics:
        """The same cases with the columns a fitted model knows, in its order; NaN where this has none.

        Raises:
            InputError: Not one of these columns is here.
        """
        place_of = {column: place for place, column in enumerate(self.columns)}
        places = np.array([place_of.get(column, -1) for column in columns], dtype=np.intp)
        found = places >= 0
        if not found.any():
            raise InputError(
                f"none of the {len(columns):,} genomic columns the model was fitted on ({_some(map(str, columns))}) "
                f"is in the data, which has {_some(map(str, self.columns))}. "
                "Name genes and data types as in the study the model comes from."
            )
        values = np.full((len(self.case_ids), len(columns)), np.nan, dtype=np.float32)
        values[:, found] = self.values[:, places[found]]
        return Genomics(self.case_ids, tuple(columns), values, {})


@dataclass(frozen=True, eq=False)
class _Table:
    """One table, reduced to the cohort's cases."""

    columns: list[Column]
    row_of: dict[CaseId, int]
    values: Float[np.ndarray, "case column"]


def read_genomics(
    config: GenomicsConfig, resolve: Callable[[str], Path], case_ids: Sequence[CaseId], faults: Faults
) -> Genomics | None:
    """All genomic tables of a study, side by side, for those of `case_ids` that are in one of them.

    `resolve` turns a path of the settings into a file. Whatever is wrong goes to `faults`; None where
    nothing could be read.

    Raises:
        PolicyError: `resolve` refused a path.
    """
    read: list[tuple[GenomicsTableConfig, _Table]] = []
    for settings in config.tables:
        try:
            table = _read_table(settings, resolve(settings.path), case_ids, faults)
        except InputError as error:
            faults.add_error(error)
            continue
        if table is not None:
            read.append((settings, table))
    if not read:
        return None
    _report_columns_in_two_tables(read, faults)

    cases = tuple(case for case in case_ids if any(case in table.row_of for _, table in read))
    columns: list[Column] = []
    own_groups: dict[str, tuple[int, ...]] = {}
    values = np.full((len(cases), sum(len(table.columns) for _, table in read)), np.nan, dtype=np.float32)
    for settings, table in read:
        places = range(len(columns), len(columns) + len(table.columns))
        columns += table.columns
        here = [row for row, case in enumerate(cases) if case in table.row_of]
        values[here, places.start : places.stop] = table.values[[table.row_of[cases[row]] for row in here]]
        if settings.group is not None:
            own_groups[settings.group] = own_groups.get(settings.group, ()) + tuple(places)
    _report_unknown_types(config, columns, faults)
    return Genomics(cases, tuple(columns), values, own_groups)


# --- one table --------------------------------------------------------------------------------


def _read_table(
    settings: GenomicsTableConfig, path: Path, case_ids: Sequence[CaseId], faults: Faults
) -> _Table | None:
    row_names, row_values, column_names = _read_oriented(settings, path, case_ids)
    by_case = settings.rows == "cases"
    ids, names = (row_names, column_names) if by_case else (column_names, row_names)
    values = row_values if by_case else row_values.T

    if not _report_cases(settings, path, ids, names, case_ids, faults):
        return None
    wanted = set(case_ids)
    first_row: dict[CaseId, int] = {}
    for row, name in enumerate(ids):
        case = CaseId(name)
        if case in wanted:
            first_row.setdefault(case, row)

    kept = _report_names(path, names, by_case, faults)
    columns = _columns(settings, path, [names[place] for place in kept], faults)
    rows = list(first_row.values())
    chosen = np.ascontiguousarray(values[np.ix_(rows, kept)], dtype=np.float32)
    measured = (~np.isnan(chosen)).sum(axis=1) > 0
    present = [case for case, any_value in zip(first_row, measured, strict=True) if any_value]
    if not present or not columns:
        faults.add(
            "the table holds no number for any case of the cohort",
            "Fill it in, or take it out of study.yaml.",
            file=path,
        )
        return None
    return _Table(columns, {case: row for row, case in enumerate(present)}, chosen[measured])


def _read_oriented(
    settings: GenomicsTableConfig, path: Path, case_ids: Sequence[CaseId]
) -> tuple[list[str], Float[np.ndarray, "row column"], list[str]]:
    id_column = settings.case if settings.rows == "cases" else settings.gene
    try:
        names, frame = read_numbers(path, id_column)
    except InvalidInput as error:
        if settings.rows == "genes":  # the reader takes the name of every row for a case
            raise InvalidInput([replace(fault, case=fault.column) for fault in error.faults]) from error
        raise
    except InputError as error:
        if settings.rows == "cases" and _headed_by_cases(path, case_ids):
            raise InputError(
                f"{path}: the columns are headed by ids of cases, so its rows are genes. "
                "Add `rows: genes` to this table in study.yaml."
            ) from error
        raise
    return [name.strip() for name in names], frame.to_numpy(), [str(name).strip() for name in frame.columns]


def _headed_by_cases(path: Path, case_ids: Sequence[CaseId]) -> bool:
    try:
        _, frame = read_numbers(path)
    except InputError:
        return False
    return not set(case_ids).isdisjoint(frame.columns)


def _columns(settings: GenomicsTableConfig, path: Path, names: Sequence[str], faults: Faults) -> list[Column]:
    if settings.data_type is not None:
        return [Column(name, settings.data_type) for name in names]
    split = [name.rpartition(settings.separator) for name in names]
    bare = [name for name, (gene, _, kind) in zip(names, split, strict=True) if not gene or not kind]
    if len(bare) == len(names):
        return [Column(name, UNNAMED_TYPE) for name in names]
    if bare:
        faults.add(
            f"{_number(len(bare), 'column')} without a data type beside others that have one: {_some(bare)}",
            f'Name them like "GENE{settings.separator}type", or move them to a table of their own.',
            file=path,
        )
    return [
        Column(gene, kind) if gene and kind else Column(name, UNNAMED_TYPE)
        for name, (gene, _, kind) in zip(names, split, strict=True)
    ]


# --- what can be wrong with it ----------------------------------------------------------------


def _report_cases(
    settings: GenomicsTableConfig,
    path: Path,
    ids: Sequence[str],
    names: Sequence[str],
    case_ids: Sequence[CaseId],
    faults: Faults,
) -> bool:
    """Whether any row is a case of the cohort, once each; says what is wrong if not."""
    known = set(case_ids)
    counts = Counter(name for name in ids if name in known)
    if not counts:
        faults.add(
            f"none of its {_number(len(ids), 'case')} ({_some(ids)}) is in the cohort ({_some(case_ids)})",
            _remedy_for_ids(settings, ids, names, case_ids),
            file=path,
        )
        return False
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        faults.add(
            f"{_number(len(repeated), 'case')} in more than one "
            f"{'row' if settings.rows == 'cases' else 'column'}: {_some(repeated)}",
            "Keep one sample a case: kemm does not choose among them.",
            file=path,
        )
    samples = _samples(ids, [case for case in case_ids if case not in counts])
    if samples:
        sample, case = samples[0]
        faults.warn(
            f"{_number(len({of for _, of in samples}), 'case')} of the cohort found only under longer or "
            f"otherwise spelt ids, such as {sample!r} for case {case!r}",
            "They count as cases without genomics; rename them in the table if they are meant.",
            file=path,
        )
    return True


def _remedy_for_ids(
    settings: GenomicsTableConfig, ids: Sequence[str], names: Sequence[str], case_ids: Sequence[CaseId]
) -> str:
    if not set(names).isdisjoint(case_ids):
        other = "genes" if settings.rows == "cases" else "cases"
        return f"The ids of the cohort stand on the other side of the table: write `rows: {other}` in study.yaml."
    samples = _samples(ids, case_ids)
    if samples:
        sample, case = samples[0]
        if len(sample) > len(case):
            return (
                f"{sample!r} looks like a sample of case {case!r}. Keep one sample a case in the table, "
                f"and give it the id of the case; ids are never cut by kemm."
            )
        return f"{sample!r} looks like case {case!r}, spelt otherwise. Spell ids as in the clinical table."
    column = f"`case: {settings.case}`" if settings.rows == "cases" else "`rows: genes`"
    return f"Check {column} in study.yaml, and that both tables use the same ids."


def _samples(ids: Sequence[str], case_ids: Sequence[CaseId]) -> list[tuple[str, CaseId]]:
    """Ids that are those of cases but for a suffix ("-01A"), the case of letters, or dots for hyphens."""
    case_of = {_uniform(case): case for case in case_ids}
    found: list[tuple[str, CaseId]] = []
    for name in ids:
        uniform = _uniform(name)
        ends = [len(uniform), *(match.start() for match in re.finditer("-", uniform))]
        case = next((case_of[uniform[:end]] for end in ends if uniform[:end] in case_of), None)
        if case is not None:
            found.append((name, case))
    return found


def _uniform(case: str) -> str:
    return re.sub(r"[._\s]", "-", case.strip().upper())


def _report_names(path: Path, names: Sequence[str], by_case: bool, faults: Faults) -> list[int]:
    """Places of the columns to keep: the first of each name, none without a name."""
    nameless = sum(not name for name in names)
    what = "column" if by_case else "row"
    if nameless:
        faults.warn(
            f"{_number(nameless, what)} without the name of a gene", "Left out; name them to keep.", file=path
        )
    counts = Counter(name for name in names if name)
    repeated = [f"{name} ({count} times)" for name, count in counts.items() if count > 1]
    if repeated:
        faults.add(
            f"{_number(len(repeated), 'gene')} in more than one {what}: {_some(repeated)}",
            "Keep one of each, or take their mean: kemm does not choose.",
            file=path,
        )
    seen: set[str] = set()
    kept: list[int] = []
    for place, name in enumerate(names):
        if name and name not in seen:
            seen.add(name)
            kept.append(place)
    return kept


def _report_columns_in_two_tables(read: Sequence[tuple[GenomicsTableConfig, _Table]], faults: Faults) -> None:
    table_of: dict[Column, str] = {}
    shared: dict[tuple[str, str], list[Column]] = {}
    for settings, table in read:
        for column in set(table.columns):
            if column in table_of:
                shared.setdefault((table_of[column], settings.path), []).append(column)
            else:
                table_of[column] = settings.path
    for (one, other), columns in shared.items():
        faults.add(
            f"{_number(len(columns), 'column')} also in {one}: {_some(sorted(map(str, columns)))}",
            "Keep each in one table, or tell them apart with `data_type:` in study.yaml.",
            file=other,
        )


def _report_unknown_types(config: GenomicsConfig, columns: Sequence[Column], faults: Faults) -> None:
    known = {column.data_type for column in columns}
    for name in config.transforms:
        if name not in known:
            faults.warn(
                f"genomics.transforms names the data type {name!r}, which no table has; {nearest(name, known)}",
                "It is not used.",
            )


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    shown = ", ".join(listed[:SHOWN_NAMES])
    return f"{shown}, ..." if len(listed) > SHOWN_NAMES else shown


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
