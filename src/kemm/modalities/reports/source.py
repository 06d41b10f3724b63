"""Reports as the user has them: a table with a text column, or a folder of text files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import Field

from kemm.core.errors import Faults, KemmError, nearest
from kemm.core.files import MISSING_WORDS, read_table, read_text
from kemm.core.settings import Section
from kemm.modalities.reports.names import LABELS

SHOWN_CASES = 5


class ReportsConfig(Section):
    """The pathologists' reports."""

    table: str | None = None
    """A table with one report a row; several rows of a case are read as one report, in their order."""
    folder: str | None = None
    """Or a folder with one CASE.txt a case."""
    case: str = "case_id"
    """The table's column with the case."""
    text: str = "text"
    """The table's column with the report."""
    refiner: str = "rules"
    """Who refines reports into statements: "rules" (offline, reproducible), or "llm", the language model of section `llm`."""
    mask: list[str] = Field(default_factory=list)
    """Names to mask besides barcodes, identifiers, dates and the cohort's site codes: hospitals, towns, surgeons."""
    names_model: str | None = None
    """A token classification model (a folder or a Hugging Face name) that finds further names to mask, such as one made for
    de-identification. Needs kemm[text]."""
    names_labels: list[str] = Field(default_factory=lambda: list(LABELS), min_length=1)
    """Which of its labels are masked."""
    covariates: list[str] = Field(default_factory=list)
    """Fields read from reports that become covariates beside the clinical ones: `grade`, `pT`, `nodes_positive`, ..."""


def read_reports(
    config: ReportsConfig, resolve: Callable[[str], Path], case_ids: Sequence[str], faults: Faults
) -> dict[str, str]:
    """Each case's report, as far as there is one; all that is wrong goes to `faults`."""
    if (config.table is None) == (config.folder is None):
        faults.add(
            "reports needs either a table or a folder",
            "Set one of reports.table and reports.folder.",
            file="study.yaml",
        )
        return {}
    try:
        if config.table is not None:
            path = resolve(config.table)
            found = _from_table(config, path, case_ids, faults)
        else:
            path = resolve(str(config.folder))
            found = _from_folder(path, resolve, case_ids, faults)
    except KemmError as error:
        faults.add_error(error)
        return {}
    wanted = set(case_ids)
    reports = {case: text for case, text in found.items() if case in wanted}
    if found and not reports:
        stranger = next(iter(found))
        faults.add(
            f"none of its {len(found)} reports belongs to a case: its ids look like {stranger!r}, "
            f"the cohort's like {case_ids[0]!r}",
            "Give both the same ids (reports.case names the column).",
            file=path,
        )
    return reports


def _from_table(config: ReportsConfig, path: Path, case_ids: Sequence[str], faults: Faults) -> dict[str, str]:
    table = read_table(path)
    names = [str(name) for name in table.columns]
    wrong = False
    for name in (config.case, config.text):
        if names.count(name) == 1:
            continue
        wrong = True
        if name in names:
            faults.add(
                f"{names.count(name)} columns have this name, so it is not clear which is meant",
                "Rename or drop all but one.",
                file=path,
                column=name,
            )
        else:
            hint = nearest(name, names)
            faults.add(
                f"there is no column {name!r}",
                f"{hint[0].upper()}{hint[1:]} Set reports.case and reports.text in study.yaml.",
                file=path,
            )
    if wrong:
        return {}
    texts: dict[str, str] = {}
    for case, text in zip(table[config.case].str.strip(), table[config.text], strict=True):
        said = "" if text.strip() in MISSING_WORDS else text
        texts[case] = f"{texts[case]}\n\n{said}" if said and texts.get(case) else said or texts.get(case, "")
    return _without_empty(texts, case_ids, path, faults)


def _from_folder(
    folder: Path, resolve: Callable[[str], Path], case_ids: Sequence[str], faults: Faults
) -> dict[str, str]:
    if not folder.is_dir():
        faults.add("there is no such folder", "Set reports.folder to where the text files are.", file=folder)
        return {}
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".txt")
    if not paths:
        faults.add("no file ends in .txt", "Put one CASE.txt a case there.", file=folder)
        return {}
    wanted = set(case_ids)
    # Somebody else's report is not opened.
    texts = {path.stem: _read(path, resolve, faults) if path.stem in wanted else "" for path in paths}
    return _without_empty(texts, case_ids, folder, faults)


def _without_empty(
    texts: dict[str, str], case_ids: Sequence[str], place: Path, faults: Faults
) -> dict[str, str]:
    """The reports without those of the cohort's cases that are empty, which are told in one warning."""
    wanted = set(case_ids)
    empty = [case for case, text in texts.items() if case in wanted and not text.strip()]
    if empty:
        shown = ", ".join(empty[:SHOWN_CASES]) + (", ..." if len(empty) > SHOWN_CASES else "")
        faults.warn(
            f"{len(empty)} report{' is' if len(empty) == 1 else 's are'} empty: {shown}",
            "Such a case is taken to have no report.",
            file=place,
        )
    for case in empty:
        del texts[case]
    return texts


def _read(path: Path, resolve: Callable[[str], Path], faults: Faults) -> str:
    try:
        if path.is_symlink():
            resolve(str(path))
        if path.is_file() and path.stat().st_size == 0:
            return ""
        return read_text(path, expected="a report in plain text")
    except KemmError as error:
        faults.add_error(error)
        return "unreadable"  # told already; not to be told again as empty
