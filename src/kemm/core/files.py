"""The one module that opens files: reading what may be hostile, writing what must be whole.

Never a pickle. Tables are read as text and typed by whoever knows the column. What is written is
written aside, flushed, and renamed into place, so what exists is complete.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kemm.core.errors import InputError, IntegrityError, KemmError, PolicyError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".xlsx")
MAX_TEXT_BYTES = 64 * 2**20
MAX_ARRAY_BYTES = 64 * 2**30
_CHUNK = 2**20


# --- where a path may point -------------------------------------------------------------------


def resolve(path: str | Path, root: Path, allowed: Sequence[Path] = ()) -> Path:
    """The file a user's path names, below `root` or one of the declared `allowed` folders.

    Raises:
        PolicyError: It points elsewhere (through "..", an absolute path or a link).
    """
    target = (root / Path(path).expanduser()).resolve()
    for folder in (root, *allowed):
        if target.is_relative_to(folder.resolve()):
            return target
    raise PolicyError(
        f"{path!s} points outside the study folder {root}, to {target}. "
        "Move the file into the study, or declare the folder it is in: "
        "`data_root: /that/folder` in study.yaml (or --set data_root=/that/folder)."
    )


def safe_name(text: str) -> str:
    """A file name for an id: readable where it can be, never a path, never ambiguous."""
    readable = "".join(character if character.isalnum() or character in "-_" else "_" for character in text)[
        :40
    ]
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


# --- what a file is ---------------------------------------------------------------------------

_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "a git-lfs pointer, not the file itself",
        "run `git lfs pull` where it came from",
    ),
    (b"<!doctype html", "an HTML page (a login or error page?)", "download it again, signed in"),
    (b"<html", "an HTML page (a login or error page?)", "download it again, signed in"),
    (b"\x1f\x8b", "a gzip archive", "unpack it with gunzip"),
    (b"\xff\xfe", "text in UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save it as UTF-8"),
    (b"%PDF", "a PDF", "export its text first"),
    (b"\xd0\xcf\x11\xe0", "an old Office file (.xls, .doc)", "save it as .xlsx or .csv"),
    (b"\x89PNG", "a PNG picture", "give the text or table it shows"),
    (b"\xff\xd8\xff", "a JPEG picture", "give the text or table it shows"),
    (b"PK\x03\x04", "a zip archive (or a renamed .xlsx)", "unpack it, or give it its true suffix"),
    (b"PAR1", "a Parquet file", "rename it to .parquet"),
    (b"\x89HDF", "an HDF5 file", "rename it to .h5"),
    (b"\x80\x02", "a Python pickle", "it can run code and is never opened; export it in another format"),
    (b"\x80\x04", "a Python pickle", "it can run code and is never opened; export it in another format"),
    (b"\x80\x05", "a Python pickle", "it can run code and is never opened; export it in another format"),
)


def require_file(path: Path) -> None:
    """Raise `InputError` unless `path` is a readable, regular, non-empty file."""
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        from kemm.core.errors import nearest

        hint = (
            f"; {nearest(path.name, siblings)}"
            if siblings
            else f"; the folder {path.parent} does not exist or is empty"
        )
        raise InputError(f"{path}: there is no such file{hint}")
    if not path.is_file():
        raise InputError(
            f"{path}: this is not a regular file but a {'folder' if path.is_dir() else 'device'}. Name a file."
        )
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes). Copy it again.")


def _refuse_other_kinds(path: Path, *, expected: str, accept: Sequence[bytes] = ()) -> None:
    with path.open("rb") as handle:
        head = handle.read(512)
    for signature, what, remedy in _SIGNATURES:
        if signature in accept:
            continue
        if head.lower().lstrip().startswith(signature) or head.startswith(signature):
            raise InputError(f"{path}: expected {expected}, but this is {what}. To mend it: {remedy}.")
    if not accept and b"\0" in head:
        raise InputError(f"{path}: expected {expected}, but this is a binary file. Export it as text.")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


# --- text and tables --------------------------------------------------------------------------


def read_text(path: Path, *, expected: str = "plain text in UTF-8") -> str:
    """The text of a file; a byte-order mark is dropped, line ends become "\\n".

    Raises:
        InputError: Missing, empty, binary, not UTF-8, or above 64 MiB.
    """
    require_file(path)
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise InputError(
            f"{path}: {path.stat().st_size:,} bytes are more than the {MAX_TEXT_BYTES:,} a text may have."
        )
    _refuse_other_kinds(path, expected=expected)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: expected {expected}, but byte {error.start} is not UTF-8. Save it as UTF-8."
        ) from error
    if "\0" in text:
        raise InputError(f"{path}: expected {expected}, but this is a binary file. Export it as text.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_table(path: Path) -> pd.DataFrame:
    """A CSV, TSV, Parquet or Excel table with every cell as text, "" where there is none.

    Ids survive: "NA", "001" and "1e5" are what they look like. Columns are text too.

    Raises:
        InputError: Not a table of that kind; names what the file is instead.
    """
    import pandas as pd

    require_file(path)
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise InputError(
            f"{path}: tables end in {', '.join(TABLE_SUFFIXES)}, not {suffix!r}. Convert it, or rename it."
        )
    if suffix == ".parquet":
        frame = _read_parquet(path)
        return pd.DataFrame({str(name): _as_text(frame[name]) for name in frame.columns})
    if suffix == ".xlsx":
        return _read_excel(path)
    _refuse_other_kinds(path, expected="a table in plain text")
    return _read_delimited(path, ".tsv" if suffix == ".txt" else suffix)


def _read_delimited(path: Path, suffix: str) -> pd.DataFrame:
    import pandas as pd

    separator = "," if suffix == ".csv" else "\t"
    text = read_text(path, expected="a table in plain text")
    header = text.split("\n", 1)[0]
    if separator == "," and "," not in header and (";" in header or "\t" in header):
        found = ";" if ";" in header else "tab"
        raise InputError(
            f"{path}: columns are separated by {found!r}, not by commas. Save it with commas, or as .tsv."
        )
    import io

    try:
        frame = pd.read_csv(
            io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, na_filter=False, header=None
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(
            f"{path}: this is not a table: {str(error).strip()}. Every row needs as many cells as the header."
        ) from error
    # The header is taken as a row of its own, because pandas renames duplicate columns silently.
    names = [str(name).strip() for name in frame.iloc[0]]
    table = frame.iloc[1:].reset_index(drop=True)
    table.columns = pd.Index(names)
    return table


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    _refuse_other_kinds(path, expected="a Parquet table", accept=(b"PAR1",))
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise InputError(
            f"{path}: this is not a readable Parquet table: {str(error).splitlines()[0]}"
        ) from error
    frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    return frame


def _read_excel(path: Path) -> pd.DataFrame:
    import zipfile

    import pandas as pd

    try:
        import openpyxl
    except ImportError as error:
        raise InputError(
            f"{path}: reading Excel needs the optional part: pip install 'kemm[excel]' (or save the sheet as .csv)"
        ) from error
    _refuse_other_kinds(path, expected="an Excel workbook", accept=(b"PK\x03\x04",))
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (
        zipfile.BadZipFile,
        KeyError,
        ValueError,
        openpyxl.utils.exceptions.InvalidFileException,
    ) as error:
        raise InputError(f"{path}: this is not a readable Excel workbook: {error}") from error
    try:
        rows = [list(row) for row in book.worksheets[0].iter_rows(values_only=True)]
    finally:
        book.close()
    if not rows:
        raise InputError(f"{path}: the first sheet is empty. Put the table on the first sheet.")
    names = ["" if name is None else str(name).strip() for name in rows[0]]
    body = pd.DataFrame([["" if cell is None else _cell_text(cell) for cell in row] for row in rows[1:]])
    body = body.reindex(columns=range(len(names)), fill_value="")
    body.columns = pd.Index(names)
    return body


def _cell_text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _as_text(column: pd.Series[Any]) -> pd.Series[str]:
    missing = column.isna()
    return column.map(_cell_text, na_action="ignore").astype(object).where(~missing, "").astype(str)


def read_numbers(path: Path, id_column: str | None = None) -> tuple[list[str], pd.DataFrame]:
    """A wide numeric table: row ids as text, and float32 columns, NaN where a cell is empty.

    `id_column` names the column with the row ids; by default the first. Duplicate column names are
    kept as they are, for the caller to name. The reader for genomics, where reading 20,000 columns as text would
    take minutes.

    Raises:
        InputError: Not a table; a cell that is not a number, with its row and column.
    """
    import numpy as np
    import pandas as pd

    if path.suffix.lower() == ".parquet":
        require_file(path)
        frame = _read_parquet(path)
        frame.columns = pd.Index([str(name) for name in frame.columns])
    else:
        frame = read_table(path)
    names = list(frame.columns)
    if id_column is None:
        position = 0
    elif id_column in names:
        position = names.index(id_column)
    else:
        from kemm.core.errors import nearest

        raise InputError(f"{path}: there is no column {id_column!r}; {nearest(id_column, names)}")
    ids = _as_text(frame.iloc[:, position]).tolist()
    body = (
        frame.drop(columns=frame.columns[position])
        if names.count(names[position]) == 1
        else frame.iloc[:, 1:]
    )
    columns: list[NDArray[np.float32]] = []
    for index, name in enumerate(body.columns):
        column = body.iloc[:, index]
        if column.dtype.kind in "fiub":
            columns.append(column.to_numpy(dtype=np.float32, na_value=np.nan))
            continue
        text = _as_text(column)
        numbers = pd.to_numeric(text.where(~text.isin(MISSING_WORDS)), errors="coerce")
        wrong = numbers.isna() & ~text.isin(MISSING_WORDS)
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise InputError(
                f"{path}, row {row + 1}, column {name!r}: {text.iloc[row]!r} is not a number. "
                "Correct the cell, leave it empty, or drop the column."
            )
        columns.append(numbers.to_numpy(dtype=np.float32))
    values = np.stack(columns, axis=1) if columns else np.empty((len(ids), 0), dtype=np.float32)
    return ids, pd.DataFrame(values, columns=body.columns)


MISSING_WORDS = frozenset(
    {"", "NA", "N/A", "na", "n/a", "NaN", "nan", "null", "NULL", "None", "none", ".", "-", "[Not Available]"}
)
"""Cells that say nothing, in a column of numbers or categories. Never applied to ids."""


# --- arrays -----------------------------------------------------------------------------------


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The named arrays of a safetensors file.

    Raises:
        IntegrityError: The file is damaged or is something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    require_file(path)
    try:
        return dict(load_file(path))
    except (SafetensorError, ValueError) as error:
        raise IntegrityError(
            f"{path}: not a whole safetensors file ({error}). Delete it; the next run makes it again."
        ) from error


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays as safetensors, whole or not at all."""
    import numpy as np
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_bytes(path, save(contiguous, dict(metadata or {})))


def read_features(path: Path) -> NDArray[np.float32]:
    """Patch features of one slide as (patch, width), from .h5, .pt, .npy or .safetensors.

    HDF5: the dataset "features" (as CLAM, TRIDENT and STAMP write it). Anything that could make the
    reader open another file or run code is refused.

    Raises:
        InputError: Another shape, dtype or kind of file. PolicyError: pickled code, external links.
    """
    import numpy as np

    require_file(path)
    suffix = path.suffix.lower()
    if suffix in (".h5", ".hdf5"):
        array = _read_h5(path)
    elif suffix in (".pt", ".pth"):
        array = _read_pt(path)
    elif suffix == ".npy":
        try:
            array = np.load(path, allow_pickle=False, mmap_mode="r")
        except ValueError as error:
            raise PolicyError(
                f"{path}: this .npy holds pickled objects or is damaged ({error}). Pickles can run code and are never opened; "
                "save the features as a plain float array."
            ) from error
    elif suffix == ".safetensors":
        arrays = read_arrays(path)
        name = "features" if "features" in arrays else next(iter(arrays), "")
        if not name:
            raise InputError(f"{path}: holds no array. Save the features under the name 'features'.")
        array = arrays[name]
    else:
        raise InputError(f"{path}: patch features end in .h5, .pt, .npy or .safetensors, not {suffix!r}.")
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or array.shape[0] == 0 or array.dtype.kind != "f":
        raise InputError(
            f"{path}: patch features must be floats of shape (patch, width) with one patch or more, "
            f"not {array.dtype} of shape {tuple(array.shape)}."
        )
    values = np.asarray(array, dtype=np.float32)
    if not np.isfinite(values).all():
        row = int((~np.isfinite(values)).any(axis=1).argmax())
        raise InputError(f"{path}: patch {row} has a feature that is not finite. Extract this slide again.")
    return values


def _read_h5(path: Path) -> NDArray[Any]:
    import h5py

    try:
        handle = h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"{path}: this is not a whole HDF5 file ({error}). Copy or extract it again."
        ) from error
    with handle:
        link = handle.get("features", getlink=True)
        if link is None:
            raise InputError(
                f"{path}: there is no dataset 'features'; it holds: {', '.join(handle) or 'nothing'}"
            )
        if not isinstance(link, h5py.HardLink):
            raise PolicyError(
                f"{path}: 'features' is a link to another place and is not followed. Copy the data into the file."
            )
        dataset = handle["features"]
        if not isinstance(dataset, h5py.Dataset):
            raise InputError(f"{path}: 'features' is a group, not a dataset.")
        if dataset.external or dataset.is_virtual:
            raise PolicyError(
                f"{path}: 'features' is stored in other files, which are not opened. Copy the data into the file."
            )
        if dataset.nbytes > MAX_ARRAY_BYTES:
            raise InputError(
                f"{path}: 'features' declares {dataset.nbytes:,} bytes, above the limit of {MAX_ARRAY_BYTES:,}."
            )
        values: NDArray[Any] = dataset[()]
        return values


def _read_pt(path: Path) -> NDArray[Any]:
    import pickle

    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise PolicyError(
            f"{path}: refused, because this .pt is damaged or holds Python objects that could run code. "
            "Save a plain tensor: torch.save(features, path)."
        ) from error
    if isinstance(loaded, dict) and isinstance(loaded.get("features"), torch.Tensor):
        loaded = loaded["features"]
    if not isinstance(loaded, torch.Tensor):
        raise InputError(f"{path}: holds a {type(loaded).__name__}, not a tensor of shape (patch, width).")
    values: NDArray[Any] = loaded.float().numpy()
    return values


# --- writing ----------------------------------------------------------------------------------


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A scratch path beside `path`, renamed onto it when the block ends well, removed when not.

    Raises:
        KemmError: Nothing can be written there; names the path and what to do.
    """
    scratch: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(descriptor)
        scratch = Path(name)
        yield scratch
        with scratch.open("rb+") as handle:
            os.fsync(handle.fileno())
        scratch.chmod(0o644)
        scratch.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if scratch is not None:
            scratch.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> KemmError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(
            f"{path}: the disk is full. Free some space and run again: what was finished is kept."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(
            f"{path}: cannot be written ({os.strerror(error.errno)}). Choose another folder or mend its permissions."
        )
    return InputError(f"{path}: cannot be written: {error}")


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
    """A JSON file.

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
            _defused(frame).to_csv(scratch, index=False)
        else:
            frame.to_parquet(scratch, index=False)


def _defused(frame: pd.DataFrame) -> pd.DataFrame:
    safe = frame.copy()
    for name in safe.columns:
        if safe[name].dtype.kind == "O" or str(safe[name].dtype) in ("str", "string"):
            safe[name] = [
                f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
                for cell in safe[name]
            ]
    return safe


def read_frame(path: Path) -> pd.DataFrame:
    """A table of kemm's own making, as typed Parquet."""
    require_file(path)
    return _read_parquet(path)


# --- one process a folder ---------------------------------------------------------------------


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process. A lock left by a dead process of this host is taken over.

    Raises:
        PolicyError: Another live process holds it; says which.
    """
    lock = folder / "lock.json"
    mine = {"pid": os.getpid(), "host": socket.gethostname()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                _take_over_if_stale(lock)
                continue
            with os.fdopen(descriptor, "w") as handle:
                json.dump(mine, handle)
            break
    except OSError as error:
        raise _cannot_write(lock, error) from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _take_over_if_stale(lock: Path) -> None:
    try:
        holder = json.loads(lock.read_text())
    except FileNotFoundError:
        return
    except json.JSONDecodeError:
        holder = {}  # killed between creating and writing the lock
    if holder.get("host", socket.gethostname()) == socket.gethostname() and not _alive(
        int(holder.get("pid", -1))
    ):
        lock.unlink(missing_ok=True)
        return
    raise PolicyError(
        f"{lock.parent} is in use by process {holder.get('pid')} on {holder.get('host')}. "
        f"Wait for it, or use another --name; if that process is gone, delete {lock}."
    )


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
