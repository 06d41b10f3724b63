"""Writing: aside, flushed, and renamed into place, so that what exists is whole."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kemm.core.errors import InputError, IntegrityError, KemmError
from kemm.core.files.paths import require_file

if TYPE_CHECKING:
    import pandas as pd

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A scratch path beside `path`, renamed onto it when the block ends well, removed when not.

    Raises:
        InputError: Nothing can be written there; names the path and what to do.
    """
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Created by us, with the permissions the user's umask gives: the results speak of patients.
        os.close(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield scratch
        with scratch.open("rb+") as handle:
            os.fsync(handle.fileno())
        scratch.replace(path)
    except OSError as error:
        if error.filename is not None and Path(error.filename) not in (scratch, path):
            raise  # something else that the block touched
        raise cannot_write(path, error) from error
    finally:
        scratch.unlink(missing_ok=True)


def make_private(path: Path) -> None:
    """Make sure of a file that its owner alone may read and write; an empty one is made where there is none.

    Raises:
        InputError: It cannot be made, or is somebody else's.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made with these permissions, not given them afterwards: in between, others could open it.
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            if hasattr(os, "fchmod"):
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> KemmError:
    """What to tell a user whose `path` cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(
            f"{path}: the disk is full. Free some space and run again: what was finished is kept."
        )
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        reason = "a folder on the way to it is a file"
    else:
        reason = os.strerror(error.errno) if error.errno else str(error)
    return InputError(f"{path}: cannot be written ({reason}). Choose another folder or mend its permissions.")


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes, whole or not at all."""
    with writing(path) as scratch:
        scratch.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Write JSON, whole or not at all; NaN and infinity are bugs and raise."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """A JSON file of kemm's own.

    Raises:
        IntegrityError: Not JSON.
    """
    require_file(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(
            f"{path}: not whole JSON ({error}). Delete it; the next run makes it again."
        ) from error


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as Parquet, or as CSV where the name says so, whole or not at all.

    In CSV, text that a spreadsheet would run as a formula (leading = + - @) gets an apostrophe.
    """
    with writing(path) as scratch:
        if path.suffix == ".csv":
            safe = _defused(frame)
            safe.to_csv(
                scratch,
                index=False,
                lineterminator="\n",
                # A lone carriage return ends a row for many readers, and is not quoted unless all text is.
                quoting=csv.QUOTE_NONNUMERIC if _has_carriage_return(safe) else csv.QUOTE_MINIMAL,
            )
        else:
            frame.to_parquet(scratch, index=False)


def _defused(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    columns = [
        frame.iloc[:, index].map(_defuse)
        if not pd.api.types.is_numeric_dtype(frame.dtypes.iloc[index])
        else frame.iloc[:, index]
        for index in range(frame.shape[1])
    ]
    safe = pd.concat(columns, axis=1) if columns else frame
    return safe.set_axis([_defuse(name) for name in frame.columns], axis=1)


def _has_carriage_return(frame: pd.DataFrame) -> bool:
    return any(
        isinstance(cell, str) and "\r" in cell
        for index in range(frame.shape[1])
        for cell in frame.iloc[:, index].unique()
    )


def _defuse(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip(" ").startswith(_FORMULA_STARTS) else cell
