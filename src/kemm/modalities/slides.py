"""Slides, from the point where another tool has made patch features of them.

The features of all slides are packed end to end into one memory-mapped file, a case's slides side by
side, so that training reads a bag in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kemm.core.errors import Faults, InputError, KemmError, nearest
from kemm.core.files import read_features, read_numbers, sha256_of
from kemm.core.provenance import fingerprint
from kemm.core.settings import Section

FEATURE_SUFFIXES = (".h5", ".hdf5", ".pt", ".pth", ".npy", ".safetensors")


class SlidesConfig(Section):
    """Features of whole-slide images."""

    folder: str | None = None
    """Folder with one file of patch features a slide (.h5, .pt, .npy, .safetensors); each file is named by its slide."""
    slide_ids: str | None = None
    """Column of the clinical table with the slides of a case, separated by ";". By default a file belongs
    to the case whose id starts its name."""
    table: str | None = None
    """Or a table of slide-level features: one row a slide, numbers in all columns but the id's."""
    case: str = "case_id"
    """The id column of that table."""


@dataclass(frozen=True)
class SlideSource:
    """Which files (or table rows) hold the slides of which case."""

    files: Mapping[str, tuple[Path, ...]]
    """By case id; for a table empty."""
    table: tuple[Path, str] | None
    """Path and id column of a table of slide-level features."""
    identity: str
    """Changes whenever a file does."""
    table_cases: int = 0
    """Cases of the cohort in that table."""

    @property
    def cases(self) -> int:
        """Cases with at least one slide."""
        return self.table_cases if self.table is not None else len(self.files)


@dataclass(frozen=True)
class SlideBags:
    """Patch features of each case: rows offsets[i] to offsets[i + 1] of a packed (patch, width) array."""

    features: NDArray[np.floating]
    offsets: NDArray[np.int64]

    @property
    def width(self) -> int:
        """Numbers a patch."""
        return int(self.features.shape[1])

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether each case has a patch, (case,)."""
        return np.diff(self.offsets) > 0

    def bag(self, row: int) -> NDArray[np.float32]:
        """All patches of a case, (patch, width)."""
        return np.asarray(self.features[self.offsets[row] : self.offsets[row + 1]], dtype=np.float32)


def find_slides(
    config: SlidesConfig,
    resolve: Callable[[str], Path],
    case_ids: Sequence[str],
    slide_ids: Mapping[str, str] | None,
    faults: Faults,
) -> SlideSource | None:
    """The slides of a cohort's cases. `slide_ids`: the clinical table's cell, by case."""
    if config.table is not None and config.folder is not None:
        faults.add("slides.table and slides.folder are both set", "Keep one of them.", file="study.yaml")
        return None
    try:
        if config.table is not None:
            path = resolve(config.table)
            return SlideSource({}, (path, config.case), fingerprint(sha256_of(path), config))
        if config.folder is not None:
            return _find_files(config, resolve(config.folder), case_ids, slide_ids, faults)
    except (KemmError, FileNotFoundError) as error:
        faults.add_error(
            error if isinstance(error, KemmError) else KemmError(f"{config.table}: there is no such file")
        )
        return None
    faults.add(
        "slides has neither a folder nor a table",
        "Set slides.folder, or remove the section.",
        file="study.yaml",
    )
    return None


def read_table_cases(source: SlideSource, case_ids: Sequence[str], faults: Faults) -> SlideSource:
    """The same source, its table read once to count the cases it has and to find what is wrong in it.

    Raises:
        InputError: Not a table of numbers.
    """
    assert source.table is not None
    path, column = source.table
    ids, _ = read_numbers(path, column)
    cases = len(set(ids) & set(case_ids))
    if not cases:
        faults.add(
            f"none of its {len(ids)} rows belongs to a case: its ids look like {ids[0] if ids else ''!r}, "
            f"the cohort's like {case_ids[0]!r}",
            "Give both the same ids (slides.case names the column).",
            file=path,
        )
    return replace(source, table_cases=cases)


def _find_files(
    config: SlidesConfig,
    folder: Path,
    case_ids: Sequence[str],
    slide_ids: Mapping[str, str] | None,
    faults: Faults,
) -> SlideSource | None:
    if not folder.is_dir():
        faults.add(
            "there is no such folder", "Set slides.folder to where the feature files are.", file=folder
        )
        return None
    by_stem = {
        path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in FEATURE_SUFFIXES
    }
    if not by_stem:
        faults.add(
            f"no file ends in {', '.join(FEATURE_SUFFIXES)}",
            "Put one file of patch features a slide there.",
            file=folder,
        )
        return None
    files: dict[str, tuple[Path, ...]] = {}
    for case in case_ids:
        if slide_ids is not None:
            names = [name.strip() for name in slide_ids.get(case, "").split(";") if name.strip()]
            found = [by_stem[name] for name in names if name in by_stem]
        else:
            found = [path for stem, path in by_stem.items() if _belongs(stem, case)]
        if found:
            files[case] = tuple(found)
    if not files:
        wanted = next(iter((slide_ids or {}).values()), None) or case_ids[0]
        faults.add(
            f"none of the {len(by_stem)} feature files belongs to a case: a file is called "
            f"{next(iter(by_stem))!r}, a {'slide' if slide_ids is not None else 'case'} {wanted.split(';')[0]!r}",
            f"Name files by their slide; {nearest(wanted.split(';')[0], by_stem)}",
            file=folder,
        )
        return None
    # Size and time stand for the bytes: hashing a terabyte of features on each start would take hours.
    stamps = [
        [case, [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in paths]]
        for case, paths in sorted(files.items())
    ]
    return SlideSource(files, None, fingerprint(stamps, config))


def _belongs(stem: str, case: str) -> bool:
    return stem == case or (stem.startswith(case) and stem[len(case)] in "-_. ")


def pack_slides(
    source: SlideSource,
    case_ids: Sequence[str],
    features: Path,
    offsets: Path,
    on_slide: Callable[[], None] = lambda: None,
) -> None:
    """Write the packed features (.npy) and the offsets (.npy) of the cases, in their order.

    Raises:
        InputError: A file has another width than the first; a file or the table is not readable.
    """
    lengths = np.zeros(len(case_ids), dtype=np.int64)
    width, writer = 0, None
    with features.open("wb") as handle:
        for row, bag, name in _bags(source, case_ids):
            if writer is None:
                width = bag.shape[1]
                writer = (
                    np.float16
                    if np.abs(np.nan_to_num(bag)).max() < 1e4 and source.table is None
                    else np.float32
                )
                handle.write(b"\0" * HEADER_BYTES)
            if bag.shape[1] != width:
                raise InputError(
                    f"{name}: features are {bag.shape[1]} wide, those of the slides before are {width}. "
                    "Use one encoder for all slides of a study."
                )
            if writer is np.float16 and np.abs(bag).max() > np.finfo(np.float16).max:
                raise InputError(
                    f"{name}: a feature is {np.abs(bag).max():g}, beyond what 16 bits hold. Rescale the features."
                )
            handle.write(np.ascontiguousarray(bag, dtype=writer).tobytes())
            lengths[row] += bag.shape[0]
            on_slide()
        if writer is None:
            raise InputError("no slide of any case could be read. Look at the slides section of study.yaml.")
        handle.seek(0)
        handle.write(_npy_header((int(lengths.sum()), width), np.dtype(writer)))
    np.save(offsets, np.concatenate([[0], lengths.cumsum()]), allow_pickle=False)


HEADER_BYTES = 128


def _npy_header(shape: tuple[int, int], dtype: np.dtype[np.floating]) -> bytes:
    """A version 1.0 .npy header, padded to a fixed size so that it can be written last."""
    text = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    body = text.ljust(HEADER_BYTES - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body.encode("ascii")


def _bags(source: SlideSource, case_ids: Sequence[str]) -> Iterator[tuple[int, NDArray[np.float32], Path]]:
    """(row, bag, name) for each slide, in the order of cases."""
    if source.table is None:
        for row, case in enumerate(case_ids):
            for path in source.files.get(case, ()):
                yield row, read_features(path), path
        return
    path, column = source.table
    ids, numbers = read_numbers(path, column)
    rows_of: dict[str, list[int]] = {}
    for position, case in enumerate(ids):
        rows_of.setdefault(case, []).append(position)
    values = numbers.to_numpy(dtype=np.float32)
    for row, case in enumerate(case_ids):
        if case in rows_of:
            yield row, values[rows_of[case]], path


def open_slides(features: Path, offsets: Path) -> SlideBags:
    """Packed slides, memory-mapped."""
    return SlideBags(
        np.load(features, mmap_mode="r", allow_pickle=False), np.load(offsets, allow_pickle=False)
    )
