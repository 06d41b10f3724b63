"""Patch features of all slides, packed end to end into one memory-mapped file.

A case's slides lie side by side, so that training reads its bag in one piece.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kemm.core.errors import InputError
from kemm.core.files import read_features, read_numbers
from kemm.core.files.output import cannot_write
from kemm.modalities.slides.sources import SlideSource, other_width


@dataclass(frozen=True)
class PackedSlide:
    """A slide within its case's bag, and which patches it has: a file of as many others is told from it."""

    slide: str
    patches: int
    digest: str
    """Of its features, in their order."""

    @classmethod
    def of(cls, path: Path, features: NDArray[np.float32]) -> PackedSlide:
        """Of a file, and what `read_features` gives of it."""
        digest = hashlib.sha256(np.ascontiguousarray(features, dtype="<f4").data).hexdigest()
        return cls(path.stem, len(features), digest[:32])


@dataclass(frozen=True, eq=False)
class SlideBags:
    """Patch features of each case: rows offsets[i] to offsets[i + 1] of a packed (patch, width) array."""

    features: NDArray[np.floating]
    offsets: NDArray[np.int64]
    slides: tuple[tuple[PackedSlide, ...], ...] = ()
    """Of each case, in the order of its patches; empty where they are not files of patches."""
    means: NDArray[np.float32] | None = None
    """Mean patch of each case, (case, width), zero where it has none. None for tables of measurements, which may lack
    values and have tails: those are looked at one by one."""

    def __reduce__(self) -> tuple[object, ...]:
        # For a worker: pickled as it is, a memory map would be sent with all its bytes.
        mapped = self.features.filename if isinstance(self.features, np.memmap) else None
        if mapped is None:
            return SlideBags, (self.features, self.offsets, self.slides, self.means)
        return _mapped, (Path(mapped), self.offsets, self.slides, self.means)

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

    def expect(self, start: int, stop: int) -> None:
        """Have the system read these rows of `features` while something else is computed: they are wanted next."""
        self._advise("MADV_WILLNEED", start, stop)

    def leave(self, start: int, stop: int) -> None:
        """Have the system take these rows of `features` out of memory: they are not wanted soon, and stay in the file."""
        self._advise("MADV_DONTNEED", start, stop)

    def _advise(self, advice: str, start: int, stop: int) -> None:
        mapped = getattr(self.features, "_mmap", None)
        if mapped is None or start >= stop or not hasattr(mmap, advice):
            return
        assert isinstance(self.features, np.memmap)
        row, header = self.features.strides[0], self.features.offset % mmap.ALLOCATIONGRANULARITY
        first = (header + start * row) // mmap.PAGESIZE * mmap.PAGESIZE
        mapped.madvise(getattr(mmap, advice), first, header + stop * row - first)

    def slides_of(self, row: int) -> tuple[PackedSlide, ...]:
        """Whose patches a case's are, as far as known."""
        return self.slides[row] if self.slides else ()


def pack_slides(
    source: SlideSource,
    case_ids: Sequence[str],
    features: Path,
    offsets: Path,
    on_slide: Callable[[], None] = lambda: None,
) -> tuple[tuple[PackedSlide, ...], ...]:
    """Write the packed features (.npy) and the offsets (.npy) of the cases, in their order; returns their slides.

    Beside the features, means.npy gets the mean patch of each case, unless the source is a table.

    Raises:
        InputError: A file has another width than the first; a file or the table is not readable; the
            disk is full.
    """
    try:
        return _pack(source, case_ids, features, offsets, on_slide)
    except OSError as error:
        if error.filename not in (None, str(features), str(offsets)):
            raise  # not what is written, but something that is read
        raise cannot_write(features, error) from error


def _pack(
    source: SlideSource,
    case_ids: Sequence[str],
    features: Path,
    offsets: Path,
    on_slide: Callable[[], None],
) -> tuple[tuple[PackedSlide, ...], ...]:
    slides: list[list[PackedSlide]] = [[] for _ in case_ids]
    lengths = np.zeros(len(case_ids), dtype=np.int64)
    sums: dict[int, NDArray[np.float64]] = {}
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
                raise other_width(name, bag.shape[1], width)
            if writer is np.float16 and np.abs(bag).max() > np.finfo(np.float16).max:
                raise InputError(
                    f"{name}: a feature is {np.abs(bag).max():g}, beyond what 16 bits hold. Rescale the features."
                )
            handle.write(np.ascontiguousarray(bag, dtype=writer).tobytes())
            lengths[row] += bag.shape[0]
            if source.table is None:
                slides[row].append(PackedSlide.of(name, bag))
                sums[row] = sums.get(row, 0) + bag.sum(axis=0, dtype=np.float64)
            on_slide()
        if writer is None:
            raise InputError("no slide of any case could be read. Look at the slides section of study.yaml.")
        handle.seek(0)
        handle.write(_npy_header((int(lengths.sum()), width), np.dtype(writer)))
    np.save(offsets, np.concatenate([[0], lengths.cumsum()]), allow_pickle=False)
    if source.table is None:
        means = np.zeros((len(case_ids), width), dtype=np.float32)
        for row, total in sums.items():
            means[row] = total / max(lengths[row], 1)
        np.save(features.with_name(MEANS), means, allow_pickle=False)
    return tuple(map(tuple, slides))


HEADER_BYTES = 128
MEANS = "means.npy"


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


def open_slides(features: Path, offsets: Path, slides: tuple[tuple[PackedSlide, ...], ...] = ()) -> SlideBags:
    """Packed slides, memory-mapped. `slides`: what `pack_slides` returned."""
    means = features.with_name(MEANS)
    return _mapped(
        features,
        np.load(offsets, allow_pickle=False),
        slides,
        np.load(means, allow_pickle=False) if means.is_file() else None,
    )


def _mapped(
    features: Path,
    offsets: NDArray[np.int64],
    slides: tuple[tuple[PackedSlide, ...], ...],
    means: NDArray[np.float32] | None,
) -> SlideBags:
    # Copy on write, and nobody writes: torch takes no view of an array that is read-only.
    return SlideBags(np.load(features, mmap_mode="c", allow_pickle=False), offsets, slides, means)
