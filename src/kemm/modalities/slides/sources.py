"""Which files of patch features, made by `kemm slides` or another tool, are whose; and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kemm.core.errors import Faults, InputError, KemmError, nearest
from kemm.core.files import read_features, read_numbers, require_file, sha256_of
from kemm.core.provenance import fingerprint
from kemm.modalities.slides.bag import peek_about
from kemm.modalities.slides.config import SlidesConfig
from kemm.modalities.slides.naming import SHOWN_SLIDES, case_of_name, listed_names
from kemm.modalities.slides.reader import SLIDE_SUFFIXES

FEATURE_SUFFIXES = (".h5", ".hdf5", ".pt", ".pth", ".npy", ".safetensors")
PACKING = 3
"""Raised when the same files would be packed in another way."""
PROBED_BYTES = 256 * 2**20
"""Feature files are opened before a run up to this total; the rest of a large study when they are packed."""


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
            faults.add_error(other_width(path, bag.shape[1], width))
    return opened


def other_width(path: Path, width: int, before: int) -> InputError:
    """A slide whose features are no match for those before."""
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
