"""What lies in a study folder: which table is which, and where reports and features are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from kemm.core.columns import UNANSWERED, numbers
from kemm.core.errors import KemmError, UnknownName
from kemm.core.files import MISSING_WORDS, TABLE_SUFFIXES, read_table, table_columns
from kemm.modalities.background import load_background
from kemm.scaffold.clinical import ClinicalGuess, guess_clinical, guess_id, plain

FEATURE_SUFFIXES = (".h5", ".hdf5", ".pt", ".pth", ".npy", ".safetensors")
WIDE = 1000
"""More columns than this are read by name only: they are measurements."""
LONG_TEXT = 200
"""Characters that the median cell of a column of reports has at least."""
_SAMPLE = 200

_SLIDE_NAMES = re.compile(r"slide|wsi|patch|tile|image|histo|patho|hif")
_GROUP_NAMES = re.compile(r"hallmark|signature|pathway|gene_?sets?|groups?(?:_|$)")
_GENE_DATA = re.compile(r"rna|expr|mrna|fpkm|tpm|cnv|cna|gistic|mut|meth|prot|rppa")


@dataclass(frozen=True)
class ReportsGuess:
    """Where the reports seem to be: a table, or a folder of text files."""

    place: str
    case: str | None = None
    """None: a folder."""
    text: str | None = None


@dataclass(frozen=True)
class GenomicsGuess:
    """A wide table of measurements."""

    file: str
    columns: int
    case: str | None
    """None where genes are in rows."""
    gene: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class SlidesGuess:
    """A folder of patch features, or a table with a row a slide."""

    place: str
    case: str | None = None
    """None: a folder."""


@dataclass
class Findings:
    """What was found in a study folder."""

    clinical: ClinicalGuess | None = None
    cancer_type: str | None = None
    cancer_type_from: str = ""
    cancer_type_column: str | None = None
    reports: ReportsGuess | None = None
    genomics: list[GenomicsGuess] = field(default_factory=list)
    groups: str | None = None
    slides: SlidesGuess | None = None
    folds: list[str] = field(default_factory=list)
    """Patterns of given folds, with {fold}."""
    notes: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """What was found, as a person reads it."""
        return [*self._about_cohort(), *self._about_modalities(), *self.notes]

    def _about_cohort(self) -> list[str]:
        clinical = self.clinical
        if clinical is None:
            return ["no clinical table was found: put one into the folder and name its columns in study.yaml"]
        said = [f"{clinical.file} is the clinical table: {clinical.rows} rows, ids in {clinical.case!r}"]
        for endpoint in clinical.endpoints:
            said.append(
                f"{endpoint.name}: {endpoint.time} in {endpoint.unit} (guessed from {endpoint.unit_from}), "
                f"{endpoint.event} with {endpoint.event_value!r} = event, {endpoint.censored_value!r} = censored; "
                f"found {endpoint.values}: check which is which"
            )
        if not clinical.endpoints:
            said.append("no columns with a time and an event were recognised: name them in cohort.endpoints")
        if clinical.covariates:
            said.append(
                "covariates: " + ", ".join(f"{each.name} ({each.kind})" for each in clinical.covariates)
            )
        said.append(
            f"sites in {clinical.site!r}: folds will keep them apart"
            if clinical.site
            else "no column with the site was recognised"
        )
        if self.cancer_type_column:
            said.append(f"cancer types in {self.cancer_type_column!r}")
        elif self.cancer_type:
            said.append(f"cancer type {self.cancer_type}, from {self.cancer_type_from}")
        else:
            said.append("the cancer type is for you to fill in: cohort.cancer_type")
        return said

    def _about_modalities(self) -> list[str]:
        said = []
        if self.reports is not None:
            said.append(f"reports in {self.reports.place}")
        for table in self.genomics:
            group = f", as one group {table.group!r}" if table.group else ""
            said.append(f"genomics in {table.file}: {table.columns} columns{group}")
        if self.groups is not None:
            said.append(f"gene groups in {self.groups}")
        if self.slides is not None:
            said.append(f"slide features in {self.slides.place}")
        if self.folds:
            said.append(f"folds in {', '.join(self.folds)}: see the section folds")
        missing = [
            name
            for name, found in (
                ("reports", self.reports),
                ("genomics", self.genomics),
                ("slide features", self.slides),
            )
            if not found
        ]
        if missing:
            said.append(f"not found: {', '.join(missing)} (their sections are commented out)")
        return said


@dataclass(frozen=True)
class _Sheet:
    """A table as it lies in the folder; without its cells where it is too wide to be read as text."""

    file: str
    columns: list[str]
    table: pd.DataFrame | None

    def cells(self, name: str) -> pd.Series[str]:
        """One column's cells."""
        assert self.table is not None
        return self.table.iloc[:, self.columns.index(name)].str.strip()


def survey(folder: Path) -> Findings:
    """Look at every table and folder of a study folder, one level deep, and guess what each is."""
    findings = Findings()
    sheets = _sheets(folder, findings.notes)
    _find_clinical(sheets, findings)
    _find_cancer_type(folder, sheets, findings)
    others = [sheet for sheet in sheets if findings.clinical is None or sheet.file != findings.clinical.file]
    candidates: list[tuple[float, ReportsGuess]] = []
    for sheet in others:
        _find_role(sheet, findings, candidates)
    candidates.sort(key=lambda each: (-each[0], len(each[1].place)))
    for _, guess in candidates[:1]:
        findings.reports = guess
    for _, guess in candidates[1:]:
        findings.notes.append(f"{guess.place} holds long texts too; only {candidates[0][1].place} is used")
    _find_folders(folder, findings)
    return findings


def _sheets(folder: Path, notes: list[str]) -> list[_Sheet]:
    sheets = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in TABLE_SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        try:
            columns = table_columns(path)
            table = read_table(path) if len(columns) <= WIDE else None
            sheets.append(_Sheet(path.name, columns if table is None else list(table.columns), table))
        except KemmError as error:
            notes.append(f"{path.name} was passed over: {str(error).splitlines()[0]}")
    return sheets


def _find_clinical(sheets: list[_Sheet], findings: Findings) -> None:
    guesses = [guess_clinical(sheet.file, sheet.table) for sheet in sheets if sheet.table is not None]
    named = [guess for guess in guesses if re.search(r"clinic|patient|cohort", plain(guess.file))]
    best = max(guesses, key=lambda guess: guess.score, default=None)
    if best is not None and best.score == 0:
        best = next(iter(named), None)
    findings.clinical = best
    if best is not None:
        findings.notes.extend(best.notes)


def _find_cancer_type(folder: Path, sheets: list[_Sheet], findings: Findings) -> None:
    clinical = findings.clinical
    if clinical is not None:
        sheet = next(sheet for sheet in sheets if sheet.file == clinical.file)
        for column in clinical.cancer_type_columns:
            values = sorted(set(sheet.cells(column)) - MISSING_WORDS)
            codes = [_cancer_code(value) for value in values]
            if not values or None in codes:
                continue
            if len(set(codes)) == 1:
                findings.cancer_type = codes[0]
                findings.cancer_type_from = f"the column {column!r}"
            else:
                findings.cancer_type_column = column
            return
    for word in re.split(r"[^A-Za-z]+", folder.resolve().name):
        if len(word) >= 3 and (known := _cancer_code(word)) is not None:
            findings.cancer_type, findings.cancer_type_from = known, "the name of the folder"
            return


def _cancer_code(text: str) -> str | None:
    try:
        return load_background(text).code
    except UnknownName:
        return None


def _find_role(sheet: _Sheet, findings: Findings, reports: list[tuple[float, ReportsGuess]]) -> None:
    ids = findings.clinical.ids if findings.clinical is not None else frozenset()
    name = plain(Path(sheet.file).stem)
    if _GROUP_NAMES.search(name) and (sheet.table is None or _case_column(sheet, ids) is None):
        findings.groups = findings.groups or sheet.file
        return
    if len(ids & set(sheet.columns)) > max(2, len(sheet.columns) // 2):
        gene = next(column for column in sheet.columns if column not in ids)
        findings.genomics.append(GenomicsGuess(sheet.file, len(sheet.columns) - 1, None, gene=gene))
        return
    case = _case_column(sheet, ids)
    if sheet.table is not None:
        text = _text_column(sheet)
        if text is not None and case is not None:
            cases = sheet.cells(case)
            coverage = len(set(cases) & ids) / max(1, len(ids)) if ids else 1.0
            reports.append((coverage * cases.nunique() / len(cases), ReportsGuess(sheet.file, case, text)))
            return
        measured = [column for column in sheet.columns if column != case and _is_numeric(sheet.cells(column))]
        if case is None or len(measured) < max(5, 0.9 * (len(sheet.columns) - 1)):
            findings.notes.append(f"{sheet.file} was not recognised, and is not used")
            return
    if _SLIDE_NAMES.search(name) and not _GENE_DATA.search(name):
        findings.slides = findings.slides or SlidesGuess(sheet.file, case or UNANSWERED)
        return
    findings.genomics.append(
        GenomicsGuess(sheet.file, len(sheet.columns) - 1, case or sheet.columns[0], group=_group(sheet, case))
    )


def _case_column(sheet: _Sheet, ids: frozenset[str]) -> str | None:
    """The column that shares most ids with the clinical table; by its name where that cannot be seen."""
    if sheet.table is None:
        return next(
            (name for name in sheet.columns if _looks_like_id(name)),
            None,
        )
    columns = {name: sheet.cells(name) for name in sheet.columns if sheet.columns.count(name) == 1 and name}
    shared = {name: len(set(column) & ids) for name, column in columns.items()}
    best = max(shared, key=lambda name: shared[name], default=None)
    if best is not None and shared[best] > 0:
        return best
    return None if ids else guess_id(columns)


def _looks_like_id(name: str) -> bool:
    return re.search(r"case|patient|sample|subject|barcode|id$", plain(name)) is not None


def _text_column(sheet: _Sheet) -> str | None:
    lengths = {}
    for name in sheet.columns:
        if sheet.columns.count(name) > 1:
            continue
        cells = sheet.cells(name)
        filled = cells[cells != ""]
        if len(filled):
            lengths[name] = float(filled.str.len().median())
    longest = max(lengths, key=lambda name: lengths[name], default=None)
    return longest if longest is not None and lengths[longest] >= LONG_TEXT else None


def _is_numeric(column: pd.Series[str]) -> bool:
    values, wrong = numbers(column.iloc[:_SAMPLE])
    return bool(not wrong.any() and not np.isnan(values).all())


def _group(sheet: _Sheet, case: str | None) -> str | None:
    """The name of the one group that a table's columns form, where they are not genes: "chromosome arms"."""
    kinds = {name.rpartition("__")[2] for name in sheet.columns if name != case}
    if len(kinds) != 1 or _GENE_DATA.search(next(iter(kinds)).casefold()):
        return None
    return Path(sheet.file).stem.replace("_", " ")


def _find_folders(folder: Path, findings: Findings) -> None:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".gmt" and path.is_file():
            findings.groups = findings.groups or path.name
        if not path.is_dir() or path.name.startswith(".") or path.name in ("runs", "refined"):
            continue
        suffixes = {file.suffix.lower() for file in path.iterdir()}
        if suffixes & set(FEATURE_SUFFIXES) and (findings.slides is None or findings.slides.case is not None):
            findings.slides = SlidesGuess(path.name)
        elif ".txt" in suffixes and findings.reports is None:
            findings.reports = ReportsGuess(path.name)
        findings.folds += [
            str(file.relative_to(folder)).removesuffix("0.csv") + "{fold}.csv"
            for file in sorted(path.rglob("*0.csv"))
            if _is_fold(file)
        ]


def _is_fold(file: Path) -> bool:
    try:
        return {"case_id", "split"} <= set(table_columns(file))
    except KemmError:
        return False
