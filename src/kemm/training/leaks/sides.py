"""Who is on which side of a fold: cases, patients under two ids, hospitals."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from kemm.core.cohort import Cohort
from kemm.training.leaks.finding import Finding, Where, apart, in_folds, named
from kemm.training.splits import Fold

# A barcode goes on with the sample and its vial; the first three parts are the patient.
_BARCODE = re.compile(r"(TCGA-\w{2}-\w{4})(?:-.*)?", re.IGNORECASE)


def twice_in_folds(cohort: Cohort, folds: Sequence[Fold]) -> list[Finding]:
    """Cases in the training and the test part of one fold, and in the test parts of two."""
    found = []
    for fold in folds:
        both = sorted(set(fold.train) & set(fold.test))
        if both:
            ids = tuple(cohort.ids[row] for row in both)
            found.append(
                Finding(
                    kind="case on two sides",
                    severity="error",
                    told=f"Fold {fold.index} trains and tests on the same cases: {named(ids)}.",
                    remedy="Divide the cases anew, each on one side of a fold.",
                    where=Where(cases=ids, folds=(fold.index,)),
                )
            )
    tested = Counter(row for fold in folds for row in set(fold.test))
    again = sorted(row for row, times in tested.items() if times > 1)
    if again:
        ids = tuple(cohort.ids[row] for row in again)
        within = tuple(fold.index for fold in folds if set(again) & set(fold.test))
        found.append(
            Finding(
                kind="case on two sides",
                severity="error",
                told=f"Cases are in the test part of more than one of {in_folds(within)}: {named(ids)}.",
                remedy="Test each case once: it would count twice in every number.",
                where=Where(cases=ids, folds=within),
            )
        )
    return found


def same_patients(cohort: Cohort, folds: Sequence[Fold]) -> list[Finding]:
    """Ids that mean one patient: samples of one barcode, and ids that differ in spelling only."""
    rows_of: dict[str, list[int]] = {}
    for row, case in enumerate(cohort.ids):
        rows_of.setdefault(_patient(case), []).append(row)
    found = []
    for rows in rows_of.values():
        if len(rows) == 1:
            continue
        ids, within = tuple(cohort.ids[row] for row in rows), apart(rows, folds)
        found.append(
            Finding(
                kind="same patient",
                severity="error" if within else "warning",
                told=f"The ids {named(ids)} look like one patient"
                + (f", who is on both sides of {in_folds(within)}." if within else "."),
                remedy="Keep one row a patient.",
                where=Where(cases=ids, folds=within),
            )
        )
    return found


def _patient(case: str) -> str:
    barcode = _BARCODE.fullmatch(case.strip())
    return barcode.group(1).upper() if barcode else " ".join(case.casefold().split())


def shared_sites(cohort: Cohort, folds: Sequence[Fold]) -> list[Finding]:
    """The share of test cases whose hospital is in the training part of their fold."""
    shared, tested, within = list[str](), 0, list[int]()
    for fold in folds:
        trained = {cohort.sites[row] for row in fold.train} - {None}
        known = [cohort.ids[row] for row in fold.test if cohort.sites[row] in trained]
        tested += len(fold.test)
        shared += known
        within += [fold.index] if known else []
    if not shared:
        return []
    sites = len({cohort.sites[row] for row, case in enumerate(cohort.ids) if case in set(shared)})
    return [
        Finding(
            kind="shared sites",
            severity="warning",
            told=f"{len(shared)} of {tested} test cases ({len(shared) / tested:.0%}), of {sites} "
            f"site{'' if sites == 1 else 's'}, come from hospitals that their fold trains on.",
            remedy="Set folds.kind: site, or read every C beside what the site alone predicts.",
            where=Where(cases=tuple(shared), columns=("site",), folds=tuple(within)),
        )
    ]
