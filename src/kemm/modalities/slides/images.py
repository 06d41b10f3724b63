"""Which scanner's file belongs to which case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kemm.core.errors import Faults, KemmError, nearest
from kemm.core.provenance import fingerprint
from kemm.modalities.slides.naming import SHOWN_SLIDES, case_of_name, listed_names
from kemm.modalities.slides.reader import FOREIGN, SLIDE_SUFFIXES

PICTURES = (".png", ".jpg", ".jpeg")
"""Also found beside slides, as thumbnails; not taken for slides of a format that is not read."""


@dataclass(frozen=True)
class SlideImage:
    """A scanner's file."""

    name: str
    """Of the file, without its suffix; the name of its bag."""
    path: Path
    case: str

    @property
    def identity(self) -> str:
        """Changes when the file does. Size and time stand for the bytes: hashing terabytes would take days."""
        files = [self.path, *self._parts]
        stamps = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
        return fingerprint(stamps)

    @property
    def _parts(self) -> list[Path]:
        """Of formats that keep their pixels in a folder beside."""
        folder = self.path.with_suffix("")
        if self.path.suffix.lower() not in (".mrxs", ".vms", ".vmu") or not folder.is_dir():
            return []
        return sorted(path for path in folder.iterdir() if path.is_file())


@dataclass(frozen=True)
class Images:
    """The slides of a cohort."""

    found: tuple[SlideImage, ...]
    """In the order of cases."""
    failed: Mapping[str, KemmError] = field(default_factory=dict)
    """By name: files that may not be opened."""
    strangers: int = 0
    """Slides in the folder that belong to no case."""


def find_images(
    folder: Path,
    case_ids: Sequence[str],
    slide_ids: Mapping[str, str] | None,
    resolve: Callable[[str], Path],
    faults: Faults,
) -> Images:
    """The slides below a folder that belong to cases. `slide_ids`: the clinical table's cell, by case."""
    if not folder.is_dir():
        faults.add("there is no such folder", "Set slides.images to where the slides are.", file=folder)
        return Images(())
    known = {*SLIDE_SUFFIXES, *FOREIGN} - {*PICTURES}
    # A link that leads nowhere is a slide that fails, not one that is passed over.
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in known and (path.is_file() or path.is_symlink())
    )
    # Of a slide in DICOM each level is a file of its own: OpenSlide finds the others from any of them.
    paths = _first_of_each_folder(paths, ".dcm")
    if not paths:
        faults.add(
            f"no file ends in {', '.join(SLIDE_SUFFIXES)}",
            "Put the scanner's files there, or correct slides.images.",
            file=folder,
        )
        return Images(())
    by_name: dict[str, Path] = {}
    for path in paths:
        name = _name_of(path)
        if name in by_name:
            faults.add(
                f"two slides are called {name}: {by_name[name].relative_to(folder)} and {path.relative_to(folder)}",
                "Rename one of them: a bag of features is named by its slide.",
                file=folder,
            )
        by_name[name] = path
    if slide_ids is None:
        owner = {name: case_of_name(name, set(case_ids)) for name in by_name}
    else:
        owner = _owners(by_name, folder, case_ids, slide_ids, faults)
    order = {case: place for place, case in enumerate(case_ids)}
    mine = sorted(
        ((case, name) for name, case in owner.items() if case is not None),
        key=lambda pair: (order[pair[0]], pair[1]),
    )
    if not mine:
        wanted = next((cell for cell in (slide_ids or {}).values() if cell), None) or case_ids[0]
        faults.add(
            f"none of the {len(by_name)} slides belongs to a case: a slide is called {next(iter(by_name))!r}, "
            f"a {'slide' if slide_ids is not None else 'case'} {wanted.split(';')[0]!r}",
            f"Name slides by their case, or list them in the column slides.slide_ids; "
            f"{nearest(wanted.split(';')[0], by_name)}",
            file=folder,
        )
    found, failed = [], {}
    for case, name in mine:
        try:
            found.append(SlideImage(name, resolve(str(by_name[name])), case))
        except KemmError as error:
            failed[name] = error
    return Images(tuple(found), failed, len(by_name) - len(mine))


def _name_of(path: Path) -> str:
    return path.parent.name if path.suffix.lower() == ".dcm" else path.stem


def _first_of_each_folder(paths: Sequence[Path], suffix: str) -> list[Path]:
    seen: set[Path] = set()
    kept = []
    for path in paths:
        if path.suffix.lower() == suffix:
            if path.parent in seen:
                continue
            seen.add(path.parent)
        kept.append(path)
    return kept


def _owners(
    by_name: Mapping[str, Path],
    folder: Path,
    case_ids: Sequence[str],
    slide_ids: Mapping[str, str],
    faults: Faults,
) -> dict[str, str | None]:
    """The case that lists each slide, by its name, its file name or its path below the folder."""
    called = {name: name for name in by_name}
    called |= {path.name: name for name, path in by_name.items()}
    called |= {path.relative_to(folder).as_posix(): name for name, path in by_name.items()}
    owner: dict[str, str | None] = {}
    without = []
    for case in case_ids:
        for listed in listed_names(slide_ids.get(case, "")):
            if listed not in called:
                without.append(listed)
                continue
            name = called[listed]
            if owner.get(name, case) != case:
                faults.add(
                    f"slide {name} is listed for two cases, {owner[name]} and {case}",
                    "A slide is of one patient: correct the column of slides.slide_ids.",
                )
            owner[name] = case
    if without:
        shown = ", ".join(without[:SHOWN_SLIDES]) + (", ..." if len(without) > SHOWN_SLIDES else "")
        faults.warn(
            f"{len(without)} slides listed for cases are not there: {shown}",
            "Copy them too, or go on without.",
            file=folder,
        )
    return owner
