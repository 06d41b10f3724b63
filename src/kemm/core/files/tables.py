"""Tables: as text for whoever knows what the columns mean, or wide and numeric."""

from __future__ import annotations

import csv
import io
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kemm.core.errors import Fault, InputError, InvalidInput, nearest
from kemm.core.files.kinds import PARQUET, ZIP, refuse_other_kinds
from kemm.core.files.paths import require_file
from kemm.core.files.text import read_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".xlsx")
MAX_TABLE_BYTES = 4 * 2**30
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
_SEPARATOR_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons"}

MISSING_WORDS = frozenset(
    {
        *("", "NA", "N/A", "#N/A", "na", "n/a", "NaN", "nan", "null", "NULL", "None", "none"),
        *(".", "-", "--", "'--", "not reported", "Not Reported"),
        *("[Not Available]", "[Not Applicable]", "[Not Evaluated]", "[Unknown]", "[Discrepancy]"),
    }
)
"""Cells that say nothing, in a column of numbers or categories. Never applied to ids."""


def read_table(path: Path) -> pd.DataFrame:
    """A CSV, TSV, Parquet or Excel table with every cell as text, "" where there is none.

    Ids survive: "NA", "001" and "1e5" are what they look like. Columns are text too, and duplicate
    names stay as they are. Empty rows at the end are dropped.

    Raises:
        InputError: Not a table of that kind; names what the file is instead.
    """
    import pandas as pd

    suffix = _table_suffix(path)
    if suffix == ".parquet":
        table = _arrow_table(path)
        return _frame(
            [str(name) for name in table.column_names], [_texts(column) for column in table.columns]
        )
    if suffix == ".xlsx":
        return _read_excel(path)
    text, separator = _delimited_text(path)
    with _parse_errors(path):
        rows = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, **_AS_IS)
    # The header is taken as a row of its own, because pandas renames duplicate columns silently.
    names = [str(name).strip() for name in rows.iloc[0]]
    return _tidy(rows.iloc[1:].reset_index(drop=True), names)


def table_columns(path: Path) -> list[str]:
    """The column names of a table, at the cost of its first line.

    Raises:
        InputError: Not a table of that kind.
    """
    suffix = _table_suffix(path)
    if suffix == ".parquet":
        return [str(name) for name in _parquet_file(path).schema_arrow.names]
    if suffix == ".xlsx":
        return [str(name) for name in _read_excel(path).columns]
    refuse_other_kinds(path, expected="a table in plain text")
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
        return [name.strip() for name in _cells(handle.readline().rstrip("\r\n"), _SEPARATORS[suffix])]


def read_numbers(path: Path, id_column: str | None = None) -> tuple[list[str], pd.DataFrame]:
    """A wide numeric table: row ids as text, and float32 columns, NaN where a cell is empty.

    `id_column` names the column with the row ids; by default the first. Duplicate column names are
    kept as they are, for the caller to name. The reader for genomics, where reading 20,000 columns as
    text would take minutes.

    Raises:
        InputError: Not a table; cells that are not finite numbers, all of them with row and column.
    """
    import numpy as np
    import pandas as pd

    suffix = _table_suffix(path)
    names, ids, columns = _raw_delimited(path, id_column) if suffix in _SEPARATORS else _raw(path, id_column)
    faults: list[Fault] = []
    values = np.empty((len(ids), len(names)), dtype=np.float32)
    for index, (name, column) in enumerate(zip(names, columns, strict=True)):
        values[:, index], wrong = _as_float32(column)
        faults += [_not_a_number(path, row, name, ids[row], column) for row in np.flatnonzero(wrong).tolist()]
    if faults:
        raise InvalidInput(faults)
    return ids, pd.DataFrame(values, columns=pd.Index(names, dtype=object))


def read_frame(path: Path) -> pd.DataFrame:
    """A table of kemm's own making, as typed Parquet."""
    require_file(path)
    return _pandas(_arrow_table(path))


# --- delimited text ---------------------------------------------------------------------------

_AS_IS: dict[str, Any] = {
    "header": None,
    "keep_default_na": False,
    "na_filter": False,
    "skip_blank_lines": False,
}


def _table_suffix(path: Path) -> str:
    require_file(path)
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        refuse_other_kinds(path, expected="a table")
        raise InputError(
            f"{path}: tables end in {', '.join(TABLE_SUFFIXES)}, not {suffix!r}. Convert it, or rename it."
        )
    return suffix


def _delimited_text(path: Path) -> tuple[str, str]:
    """The text of a delimited table, its rows checked to be equally long, and its separator."""
    separator = _SEPARATORS[path.suffix.lower()]
    text = read_text(path, expected="a table in plain text", most_bytes=MAX_TABLE_BYTES).rstrip("\n") + "\n"
    header = text.split("\n", 1)[0]
    if not header.strip():
        raise InputError(f"{path}: the first line is empty. Put the names of the columns there.")
    others = [other for other in _SEPARATOR_NAMES if other != separator and other in header]
    if separator not in header and others:
        raise InputError(
            f"{path}: columns are separated by {_SEPARATOR_NAMES[others[0]]}, not by {_SEPARATOR_NAMES[separator]}. "
            "Save it with commas as .csv, or with tabs as .tsv."
        )
    _refuse_ragged(path, text, separator)
    return text, separator


def _refuse_ragged(path: Path, text: str, separator: str) -> None:
    faults: list[Fault] = []
    wanted = 0
    for row, width in enumerate(_widths(text, separator)):
        if row == 0:
            wanted = width
        elif width not in (wanted, 0):
            hint = (
                "The header lacks a name for the first column: give it one (in R, write with col.names=NA)."
                if width == wanted + 1 and row == 1
                else "Give every row as many cells as the header; text that contains the separator or a line end "
                'needs "quotes".'
            )
            faults.append(
                Fault(
                    problem=f"{width} cells, where the header has {wanted}",
                    remedy=hint,
                    file=str(path),
                    row=row,
                )
            )
    if faults:
        raise InvalidInput(faults)


def _widths(text: str, separator: str) -> Iterator[int]:
    """The number of cells of each row, 0 where the line is blank."""
    if '"' not in text:
        for line in text.split("\n"):
            yield line.count(separator) + 1 if line else 0
        return
    limit = csv.field_size_limit(len(text) + 1)  # a cell may hold a whole report
    try:
        for cells in csv.reader(io.StringIO(text), delimiter=separator):
            yield len(cells)
    finally:
        csv.field_size_limit(limit)


def _cells(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


@contextmanager
def _parse_errors(path: Path) -> Iterator[None]:
    import pandas as pd

    try:
        yield
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(
            f"{path}: this is not a table: {str(error).strip()}. "
            'Every row needs as many cells as the header, and every quote (") its partner.'
        ) from error


def _tidy(body: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Without the empty rows at the end, and the empty, nameless columns that spreadsheets leave."""
    import numpy as np
    import pandas as pd

    filled: NDArray[np.bool_] = (body != "").to_numpy()
    rows = int(np.flatnonzero(filled.any(axis=1))[-1]) + 1 if filled.any() else 0
    kept = [index for index, name in enumerate(names) if name or filled[:, index].any()]
    table = body.iloc[:rows, kept]
    table.columns = pd.Index([names[index] for index in kept], dtype=object)
    return table


def _frame(names: list[str], columns: list[list[str]]) -> pd.DataFrame:
    import pandas as pd

    body = pd.DataFrame(dict(enumerate(columns)), dtype=object).astype(str)
    body.columns = pd.Index(names, dtype=object)
    return body


# --- Parquet and Excel ------------------------------------------------------------------------


def _parquet_file(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    refuse_other_kinds(path, expected="a Parquet table", accept=(PARQUET,))
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable_parquet(path, error) from error


def _arrow_table(path: Path) -> pa.Table:
    import pyarrow as pa

    try:
        return _parquet_file(path).read()
    except (pa.ArrowException, OSError) as error:
        raise _unreadable_parquet(path, error) from error


def _unreadable_parquet(path: Path, error: Exception) -> InputError:
    reason = (str(error).splitlines() or ["damaged"])[0]
    return InputError(f"{path}: this is not a readable Parquet table: {reason}. Copy or write it again.")


def _pandas(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    return frame


def _texts(column: pa.ChunkedArray) -> list[str]:
    return [_cell_text(cell) for cell in column.to_pylist()]


def _cell_text(value: object) -> str:
    if value is None or value != value:  # only NaN differs from itself
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, list):
        return ";".join(_cell_text(each) for each in value)
    return str(value)


def _read_excel(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        import openpyxl
    except ImportError as error:
        raise InputError(
            f"{path}: reading Excel needs the optional part: pip install 'kemm[excel]' (or save the sheet as .csv)"
        ) from error
    refuse_other_kinds(path, expected="an Excel workbook", accept=(ZIP,))
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MAX_TABLE_BYTES:
            raise InputError(
                f"{path}: unpacks to {unpacked:,} bytes, more than the {MAX_TABLE_BYTES:,} a table may have. "
                "Save the sheet as .csv."
            )
        with warnings.catch_warnings():
            # About styles and validations of the workbook, which do not concern its cells.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                rows = [
                    [_cell_text(cell) for cell in row]
                    for row in book.worksheets[0].iter_rows(values_only=True)
                ]
            finally:
                book.close()
    except InputError:
        raise
    except Exception as error:  # the parser meets damage with exceptions of every kind
        raise InputError(
            f"{path}: this is not a readable Excel workbook ({error}). Save the sheet as .csv."
        ) from error
    if not rows or not any(rows[0]):
        raise InputError(
            f"{path}: the first row of the first sheet is empty. Put the names of the columns there."
        )
    width = max(len(row) for row in rows)
    padded = [row + [""] * (width - len(row)) for row in rows]
    names = [name.strip() for name in padded[0]]
    body = pd.DataFrame(padded[1:], columns=pd.RangeIndex(width), dtype=object)
    table = _tidy(body, names)
    if "" in list(table.columns):
        raise InputError(f"{path}: a column with cells has no name. Name it in the first row, or delete it.")
    return table


# --- wide numeric tables ----------------------------------------------------------------------


def _position(path: Path, names: list[str], id_column: str | None) -> int:
    if id_column is None:
        return 0
    if id_column not in names:
        raise InputError(f"{path}: there is no column {id_column!r}; {nearest(id_column, names)}")
    return names.index(id_column)


def _raw(path: Path, id_column: str | None) -> tuple[list[str], list[str], list[pd.Series[Any]]]:
    """Names, row ids and columns as stored, of a Parquet or Excel table."""
    if path.suffix.lower() != ".parquet":
        frame = read_table(path)
        names = list(frame.columns)
        position = _position(path, names, id_column)
        ids = frame.iloc[:, position].tolist()
    else:
        table = _arrow_table(path)
        names = [str(name) for name in table.column_names]
        position = _position(path, names, id_column)
        ids = _texts(table.column(position))
        frame = _pandas(table)
    others = [index for index in range(len(names)) if index != position]
    return [names[index] for index in others], ids, [frame.iloc[:, index] for index in others]


def _raw_delimited(path: Path, id_column: str | None) -> tuple[list[str], list[str], list[pd.Series[Any]]]:
    """Names, row ids and columns of a delimited table; only what is not a number stays text."""
    import pandas as pd

    text, separator = _delimited_text(path)
    header, _, body = text.partition("\n")
    if header.count('"') % 2:
        raise InputError(f"{path}: a column name contains a line end. Rename the column.")
    names = [name.strip() for name in _cells(header, separator)]
    position = _position(path, names, id_column)
    others = [index for index in range(len(names)) if index != position]
    if not body.strip():
        return [names[index] for index in others], [], [pd.Series([], dtype=float) for _ in others]
    with _parse_errors(path):
        ids = pd.read_csv(io.StringIO(body), sep=separator, dtype=str, usecols=[position], **_AS_IS)
        frame = pd.read_csv(
            io.StringIO(body),
            sep=separator,
            usecols=others,
            low_memory=False,
            **_AS_IS | {"na_filter": True, "na_values": sorted(MISSING_WORDS)},
        )
    return (
        [names[index] for index in others],
        ids.iloc[:, 0].tolist(),
        [frame.iloc[:, index] for index in range(len(others))],
    )


def _as_float32(column: pd.Series[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The numbers of a column, and which cells are none: text, or not finite."""
    import numpy as np
    import pandas as pd

    with np.errstate(over="ignore"):  # too large for 32 bits becomes infinite, and is a fault below
        if column.dtype.kind in "fiub":
            numbers = column.to_numpy(dtype=np.float32, na_value=np.nan)
            return numbers, np.isinf(numbers)
        text = pd.Series([_cell_text(cell).strip() for cell in column], dtype=object)
        missing = text.isin(MISSING_WORDS).to_numpy()
        parsed = pd.to_numeric(text.where(~missing, None), errors="coerce").to_numpy(dtype=np.float32)
    return parsed, ~missing & ~np.isfinite(parsed)


def _not_a_number(path: Path, row: int, name: str, case: str, column: pd.Series[Any]) -> Fault:
    return Fault(
        problem=f"{_cell_text(column.iloc[row])!r} is not a finite number",
        remedy="Correct the cell, leave it empty, or drop the column.",
        file=str(path),
        row=row + 1,
        column=name,
        case=case or None,
    )
