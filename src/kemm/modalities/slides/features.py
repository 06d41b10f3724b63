"""Patch features of slides, from the point where `kemm slides` or another tool has made them.

The features of all slides are packed end to end into one memory-mapped file, a case's slides side by
side, so that training reads a bag in one piece.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kemm.core.errors import Faults, InputError, KemmError, nearest
from kemm.core.files import read_features, read_numbers, require_file, sha256_of
from kemm.core.files.output import cannot_write
from kemm.core.provenance import fingerprint
from kemm.core.settings import Section
from kemm.modalities.slides.bag import peek_about
from kemm.modalities.slides.naming import SHOWN_SLIDES, case_of_name, listed_names
from kemm.modalities.slides.reader import SLIDE_SUFFIXES
from kemm.modalities.slides.tile_encoder import TileEncoderConfig
from kemm.modalities.slides.tiles import TilesConfig
from kemm.modalities.slides.tissue import TissueConfig

FEATURE_SUFFIXES = (".h5", ".hdf5", ".pt", ".pth", ".npy", ".safetensors")
PACKING = 3
"""Raised when the same files would be packed in another way."""
PROBED_BYTES = 256 * 2**20
"""Feature files are opened before a run up to this total; the rest of a large study when they are packed."""


class SlidesConfig(Section):
    """Whole-slide images, or features of them that another tool made."""

    images: str | None = None
    """Folder with the scanner's files, also in folders below it; `kemm slides` makes patch features of them."""
    features: str = "features"
    """Folder of the study that `kemm slides` writes a file of patch features a slide into."""
    mpp: float | None = Field(None, gt=0.05, lt=20)
    """Micrometres a pixel at full resolution, of all slides; by default what each file says."""
    tile_side_um: float | None = Field(None, gt=1, le=10_000)
    """Side of a tile on the tissue in micrometres; by default what the encoder was trained for."""
    tissue: TissueConfig = Field(default_factory=TissueConfig)
    tiles: TilesConfig = Field(default_factory=TilesConfig)
    encoder: TileEncoderConfig = Field(default_factory=TileEncoderConfig)

    folder: str | None = None
    """Folder with one file of patch features a slide (.h5, .pt, .npy, .safetensors), named by its slide; by default
    what `kemm slides` wrote."""
    slide_ids: str | None = None
    """Column of the clinical table with the slides of a case, separated by ";". By default a file belongs
    to the case whose id starts its name."""
    table: str | None = None
    """Or a table of slide-level features: one row a slide, numbers in all columns but the id's."""
    case: str = "case_id"
    """The id column of that table."""

    @property
    def bags(self) -> str | None:
        """The folder whose files of patch features are used."""
        return self.folder if self.folder is not None or self.images is None else self.features


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

    @property
    def bags(self) -> int:
        """What is packed one by one: files, or the table's cases."""
        return self.table_cases if self.table is not None else sum(map(len, self.files.values()))


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


@dataclass(frozen=True)
class SlideBags:
    """Patch features of each case: rows offsets[i] to offsets[i + 1] of a packed (patch, width) array."""

    features: NDArray[np.floating]
    offsets: NDArray[np.int64]
    slides: tuple[tuple[PackedSlide, ...], ...] = ()
    """Of each case, in the order of its patches; empty where they are not files of patches."""

    def __reduce__(self) -> tuple[object, ...]:
        # For a worker: pickled as it is, a memory map would be sent with all its bytes.
        mapped = self.features.filename if isinstance(self.features, np.memmap) else None
        if mapped is None:
            return SlideBags, (self.features, self.offsets, self.slides)
        return _mapped, (Path(mapped), self.offsets, self.slides)

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

    def slides_of(self, row: int) -> tuple[PackedSlide, ...]:
        """Whose patches a case's are, as far as known."""
        return self.slides[row] if self.slides else ()


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
            require_file(path)
            return SlideSource({}, (path, config.case), fingerprint(PACKING, sha256_of(path), config))
        if config.bags is not None:
            return _find_files(config, resolve, case_ids, slide_ids, faults)
    except KemmError as error:
        faults.add_error(error)
        return None
    faults.add(
        "slides has neither images nor a folder nor a table",
        "Set slides.images (the scanner's files) or slides.folder (features of them), or remove the section.",
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


def probe_slides(source: SlideSource, faults: Faults) -> int:
    """Open the first feature files, to find what is wrong with them before a run; returns how many."""
    width, left, opened = 0, PROBED_BYTES, 0
    for path in [path for paths in source.files.values() for path in paths]:
        if left <= 0:
            break
        opened += 1
        try:
            left -= path.stat().st_size
            bag = read_features(path)
        except KemmError as error:
            faults.add_error(error)
            continue
        width = width or bag.shape[1]
        if bag.shape[1] != width:
            faults.add_error(_other_width(path, bag.shape[1], width))
    return opened


def _other_width(path: Path, width: int, before: int) -> InputError:
    return InputError(
        f"{path}: features are {width} wide, those of the slides before are {before}. "
        "Use one encoder for all slides of a study."
    )


def _find_files(
    config: SlidesConfig,
    resolve: Callable[[str], Path],
    case_ids: Sequence[str],
    slide_ids: Mapping[str, str] | None,
    faults: Faults,
) -> SlideSource | None:
    folder = resolve(str(config.bags))
    by_stem = (
        {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in FEATURE_SUFFIXES}
        if folder.is_dir()
        else {}
    )
    if not by_stem and config.folder is None:
        faults.add(
            "there are no patch features of the slides yet", "Make them: `kemm slides STUDY`.", file=folder
        )
        return None
    if not folder.is_dir():
        faults.add(
            "there is no such folder", "Set slides.folder to where the feature files are.", file=folder
        )
        return None
    if not by_stem:
        faults.add(
            f"no file ends in {', '.join(FEATURE_SUFFIXES)}",
            "Put one file of patch features a slide there.",
            file=folder,
        )
        return None
    if slide_ids is not None:
        files = _listed(by_stem, case_ids, slide_ids, folder, faults)
    else:
        files = _named_by_case(by_stem, case_ids)
    if not files:
        wanted = next(iter((slide_ids or {}).values()), None) or case_ids[0]
        faults.add(
            f"none of the {len(by_stem)} feature files belongs to a case: a file is called "
            f"{next(iter(by_stem))!r}, a {'slide' if slide_ids is not None else 'case'} {wanted.split(';')[0]!r}",
            f"Name files by their slide; {nearest(wanted.split(';')[0], by_stem)}",
            file=folder,
        )
        return None
    before = len(faults.errors)
    _checked(files, folder, resolve, faults)
    if len(faults.errors) > before:
        return None
    _of_one_encoder(files, folder, faults)
    # Size and time stand for the bytes: hashing a terabyte of features on each start would take hours.
    stamps = [
        [case, [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in paths]]
        for case, paths in sorted(files.items())
    ]
    return SlideSource(files, None, fingerprint(PACKING, stamps, config))


def _checked(
    files: Mapping[str, tuple[Path, ...]], folder: Path, resolve: Callable[[str], Path], faults: Faults
) -> None:
    """Faults of the files that are used; somebody else's are not looked at."""
    used = {path for paths in files.values() for path in paths}
    stems = {path.stem: path for path in used}
    for path in sorted(folder.iterdir()):
        if path.stem in stems and path.suffix.lower() in FEATURE_SUFFIXES and path not in used:
            faults.add(
                f"slide {path.stem} has two files, {stems[path.stem].name} and {path.name}",
                "Keep one of them there.",
                file=folder,
            )
    for path in sorted(used):
        try:
            if path.is_symlink():
                resolve(str(path))
            require_file(path)
        except KemmError as error:
            faults.add_error(error)


def _of_one_encoder(files: Mapping[str, tuple[Path, ...]], folder: Path, faults: Faults) -> None:
    """Bags of two encoders may be equally wide, and mean nothing side by side."""
    made: dict[tuple[str, float | None], list[str]] = {}
    for paths in files.values():
        for path in paths:
            about = peek_about(path)
            if about is not None:
                side = None if about.tile_side_um is None else round(about.tile_side_um, 3)
                made.setdefault((about.encoder, side), []).append(path.stem)
    if len(made) > 1:
        kinds = "; ".join(
            f"{encoder}{'' if side is None else f' on {side:g} micrometres'}: {len(names)}, such as {names[0]}"
            for (encoder, side), names in sorted(made.items(), key=lambda one: -len(one[1]))
        )
        faults.add(
            f"bags were made in {len(made)} ways ({kinds})",
            "Make all of them alike: run `kemm slides` until no slide fails, and move the others away.",
            file=folder,
        )


def _listed(
    by_stem: Mapping[str, Path],
    case_ids: Sequence[str],
    slide_ids: Mapping[str, str],
    folder: Path,
    faults: Faults,
) -> dict[str, tuple[Path, ...]]:
    """The files of the slides that the clinical table lists for each case."""
    files: dict[str, tuple[Path, ...]] = {}
    case_of: dict[str, str] = {}
    without: list[str] = []
    for case in case_ids:
        names = [_bag_name(name, by_stem) for name in listed_names(slide_ids.get(case, ""))]
        for name in names:
            if name in case_of:
                faults.add(
                    f"slide {name} is listed for two cases, {case_of[name]} and {case}",
                    "A slide is of one patient: correct the column of slides.slide_ids.",
                )
            case_of[name] = case
        without += [name for name in names if name not in by_stem]
        if found := tuple(by_stem[name] for name in names if name in by_stem):
            files[case] = found
    if without and files:
        shown = ", ".join(without[:SHOWN_SLIDES]) + (", ..." if len(without) > SHOWN_SLIDES else "")
        faults.warn(
            f"{len(without)} of {len(case_of)} slides listed for cases have no feature file: {shown}",
            "Extract them too, or go on without.",
            file=folder,
        )
    return files


def _bag_name(listed: str, by_stem: Mapping[str, Path]) -> str:
    """A slide may be listed with its suffix and folder; its bag is named without."""
    path = Path(listed)
    if listed not in by_stem and path.suffix.lower() in SLIDE_SUFFIXES:
        return path.parent.name if path.suffix.lower() == ".dcm" else path.stem
    return listed


def _named_by_case(by_stem: Mapping[str, Path], case_ids: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """The files whose name is a case's id, or begins with it and a separator; the longest such id counts."""
    known = set(case_ids)
    files: dict[str, tuple[Path, ...]] = {}
    for stem, path in by_stem.items():
        case = case_of_name(stem, known)
        if case is not None:
            files[case] = (*files.get(case, ()), path)
    return {case: files[case] for case in case_ids if case in files}


def pack_slides(
    source: SlideSource,
    case_ids: Sequence[str],
    features: Path,
    offsets: Path,
    on_slide: Callable[[], None] = lambda: None,
) -> tuple[tuple[PackedSlide, ...], ...]:
    """Write the packed features (.npy) and the offsets (.npy) of the cases, in their order; returns their slides.

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
                raise _other_width(name, bag.shape[1], width)
            if writer is np.float16 and np.abs(bag).max() > np.finfo(np.float16).max:
                raise InputError(
                    f"{name}: a feature is {np.abs(bag).max():g}, beyond what 16 bits hold. Rescale the features."
                )
            handle.write(np.ascontiguousarray(bag, dtype=writer).tobytes())
            lengths[row] += bag.shape[0]
            if source.table is None:
                slides[row].append(PackedSlide.of(name, bag))
            on_slide()
        if writer is None:
            raise InputError("no slide of any case could be read. Look at the slides section of study.yaml.")
        handle.seek(0)
        handle.write(_npy_header((int(lengths.sum()), width), np.dtype(writer)))
    np.save(offsets, np.concatenate([[0], lengths.cumsum()]), allow_pickle=False)
    return tuple(map(tuple, slides))


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


def open_slides(features: Path, offsets: Path, slides: tuple[tuple[PackedSlide, ...], ...] = ()) -> SlideBags:
    """Packed slides, memory-mapped. `slides`: what `pack_slides` returned."""
    return _mapped(features, np.load(offsets, allow_pickle=False), slides)


def _mapped(
    features: Path, offsets: NDArray[np.int64], slides: tuple[tuple[PackedSlide, ...], ...]
) -> SlideBags:
    return SlideBags(np.load(features, mmap_mode="r", allow_pickle=False), offsets, slides)
