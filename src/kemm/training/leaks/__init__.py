"""What a model could know of its test cases that it must not: looked for in the data, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from kemm.training.dataset import StudyData
from kemm.training.leaks.copies import copied_genes, copied_reports, copied_slides
from kemm.training.leaks.covariates import telling_covariates
from kemm.training.leaks.finding import SEVERITIES, Finding, Kind, Severity, Where
from kemm.training.leaks.sides import same_patients, shared_sites, twice_in_folds
from kemm.training.leaks.told import told_outcomes
from kemm.training.splits import Fold

__all__ = ["Finding", "Kind", "Severity", "Where", "audit_leaks"]


def audit_leaks(data: StudyData, folds: Sequence[Fold]) -> list[Finding]:
    """Every leak that can be seen in the data, the gravest first; the same study gives the same list.

    No finding has a word of a report in it.
    """
    found = [
        *twice_in_folds(data.cohort, folds),
        *same_patients(data.cohort, folds),
        *copied_reports(data, folds),
        *copied_slides(data, folds),
        *copied_genes(data, folds),
        *telling_covariates(data.cohort),
        *told_outcomes(data),
        *shared_sites(data.cohort, folds),
    ]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
