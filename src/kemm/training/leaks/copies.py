"""The same report, slide or genes under two ids: one patient may be on both sides of a fold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from kemm.training.dataset import StudyData
from kemm.training.leaks.finding import Finding, Kind, Where, apart, in_folds, named
from kemm.training.leaks.similar import similar_pairs, words_of
from kemm.training.splits import Fold

FEWEST_WORDS = 20
"""Shorter texts are alike without being one patient's."""
SURE_WORDS = 100
"""From so many on, the same words are the same patient's. Forms of 70 words are filled in alike for several
patients of a hospital: in BRCA of TCGA, seven times."""
FEWEST_VALUES = 8
"""Rows of fewer different numbers, such as mutations, are alike by chance."""
DECIMALS = 4
"""To which measurements are compared: tables of one patient are rounded differently."""


def copied_reports(data: StudyData, folds: Sequence[Fold]) -> list[Finding]:
    """Reports that say the same, word by word or nearly, whatever their spacing, case and masks."""
    words = {
        row: said
        for row, report in enumerate(data.reports)
        if report is not None and len(said := words_of(report.text)) >= FEWEST_WORDS
    }
    same = _groups((row, " ".join(said).encode()) for row, said in words.items())
    found = [
        _finding(
            "same report",
            f"have the same report of {len(words[rows[0]])} words",
            rows,
            data,
            folds,
            is_sure=len(words[rows[0]]) >= SURE_WORDS,
        )
        for rows in same
    ]
    first_of = {row: rows[0] for rows in same for row in rows}
    distinct = {row: said for row, said in words.items() if first_of.get(row, row) == row}
    found += [
        _finding(
            "similar report",
            f"have nearly the same report ({likeness:.0%} of its phrases)",
            rows,
            data,
            folds,
            is_sure=False,
        )
        for rows, likeness in similar_pairs(distinct)
    ]
    return found


def copied_slides(data: StudyData, folds: Sequence[Fold]) -> list[Finding]:
    """Slides whose patch features are the same."""
    if data.slides is None:
        return []
    same = _groups(_slides(data))
    return [_finding("same slide", "have a slide of the same features", rows, data, folds) for rows in same]


def _slides(data: StudyData) -> Iterator[tuple[int, bytes]]:
    slides = data.slides
    assert slides is not None
    for row in np.flatnonzero(slides.present).tolist():
        digests = [slide.digest for slide in slides.slides_of(row)]
        if digests:
            yield from ((row, digest.encode()) for digest in sorted(set(digests)))
        else:
            bag = slides.bag(row)
            if len(np.unique(bag)) >= min(FEWEST_VALUES, slides.width):
                yield row, np.ascontiguousarray(bag).tobytes()


def copied_genes(data: StudyData, folds: Sequence[Fold]) -> list[Finding]:
    """Cases with the same numbers in all columns of a data type."""
    if data.genomics is None:
        return []
    found, row_of = [], {case: row for row, case in enumerate(data.cohort.ids)}
    for data_type in data.genomics.data_types:
        columns = [
            place for place, column in enumerate(data.genomics.columns) if column.data_type == data_type
        ]
        values = np.round(data.genomics.values[:, columns], DECIMALS) + 0.0
        measured = (
            (row_of[case], own.tobytes())
            for case, own in zip(data.genomics.case_ids, values, strict=True)
            if case in row_of and len(np.unique(own[~np.isnan(own)])) >= FEWEST_VALUES
        )
        found += [
            _finding(
                "same genes",
                f"have the same {data_type} values in all {len(columns)} columns",
                rows,
                data,
                folds,
                columns=(data_type,),
            )
            for rows in _groups(measured)
        ]
    return found


def _groups(contents: Iterable[tuple[int, bytes]]) -> list[list[int]]:
    """Rows that have the same content, two or more each; a group once, whatever it shares."""
    rows_of: dict[bytes, list[int]] = {}
    for row, content in contents:
        rows_of.setdefault(hashlib.sha256(content).digest(), []).append(row)
    return [list(rows) for rows in sorted({tuple(rows) for rows in rows_of.values() if len(rows) > 1})]


def _finding(
    kind: Kind,
    what: str,
    rows: Sequence[int],
    data: StudyData,
    folds: Sequence[Fold],
    *,
    columns: tuple[str, ...] = (),
    is_sure: bool = True,
) -> Finding:
    ids, within = tuple(data.cohort.ids[row] for row in rows), apart(rows, folds)
    return Finding(
        kind=kind,
        severity="error" if within and is_sure else "warning",
        told=f"The cases {named(ids)} {what}"
        + (f", and are on both sides of {in_folds(within)}." if within else "."),
        remedy="Find out whose it is: keep one row a patient, or correct the file that was given twice.",
        where=Where(cases=ids, columns=columns, folds=within),
    )
