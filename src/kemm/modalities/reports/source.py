"""Reports as the user has them: a table with a text column, or a folder of text files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import Field

from kemm.core.errors import Faults, KemmError, nearest
from kemm.core.files import read_table, read_text
from kemm.core.settings import Section

FEWEST_CHARACTERS = 20


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
    """Who refines reports into statements: "rules" (offline, reproducible)."""
    mask: list[str] = Field(default_factory=list)
    """Names to mask besides barcodes, identifiers, dates and the cohort's site codes: hospitals, towns, surgeons."""


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
            found = _from_table(config, path, faults)
        else:
            path = resolve(str(config.folder))
            found = _from_folder(path, case_ids, faults)
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


def _from_table(config: ReportsConfig, path: Path, faults: Faults) -> dict[str, str]:
    table = read_table(path)
    names = [str(name) for name in table.columns]
    missing = [name for name in (config.case, config.text) if name not in names]
    for name in missing:
        hint = nearest(name, names)
        faults.add(f"there is no column {name!r}", hint[:1].upper() + hint[1:], file=path)
    if missing:
        return {}
    texts: dict[str, str] = {}
    for row, (case, text) in enumerate(zip(table[config.case], table[config.text], strict=True), start=1):
        if not text.strip():
            faults.warn(
                f"row {row}: the report of case {case} is empty",
                "The case is taken to have no report.",
                file=path,
            )
            continue
        texts[case] = f"{texts[case]}\n\n{text}" if case in texts else text
    return texts


def _from_folder(folder: Path, case_ids: Sequence[str], faults: Faults) -> dict[str, str]:
    if not folder.is_dir():
        faults.add("there is no such folder", "Set reports.folder to where the text files are.", file=folder)
        return {}
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".txt")
    if not paths:
        faults.add("no file ends in .txt", "Put one CASE.txt a case there.", file=folder)
        return {}
    wanted, texts = set(case_ids), {}
    for path in paths:
        if path.stem not in wanted:
            texts[path.stem] = ""  # somebody else's report is not opened
            continue
        if path.stat().st_size == 0 or not (text := _read(path, faults)).strip():
            faults.warn("the report is empty", "The case is taken to have no report.", file=path)
            continue
        texts[path.stem] = text
    return texts


def _read(path: Path, faults: Faults) -> str:
    try:
        return read_text(path, expected="a report in plain text")
    except KemmError as error:
        faults.add_error(error)
        return "unreadable"  # told already; not to be told again as empty
