"""A study's data, whole: what the stages before training hand over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kemm.core.cohort import Case, Cohort
from kemm.modalities.background import Background
from kemm.modalities.genomics import Genomics, GroupSelection
from kemm.modalities.reports import RefinedReport
from kemm.modalities.slides import SlideBags


@dataclass(frozen=True)
class StudyData:
    """Everything known about the cases of a cohort; lists are in the cohort's order."""

    cohort: Cohort
    reports: tuple[RefinedReport | None, ...]
    """None where a case has no report."""
    background: Mapping[str, Background]
    """By cancer type."""
    genomics: Genomics | None
    groups: GroupSelection | None
    """Which columns of `genomics` form which gene group."""
    slides: SlideBags | None
    text_vectors: Mapping[str, NDArray[np.float32]]
    """Vectors of texts that a pretrained encoder made before; empty where the encoder is fitted."""
    identity: str
    """Changes whenever an input or a refiner does. Outcomes are not part of it."""

    @property
    def has_reports(self) -> bool:
        """Whether any case has a report."""
        return any(report is not None for report in self.reports)

    def with_reports(self, reports: Mapping[int, RefinedReport | None]) -> StudyData:
        """The same study with the reports of some rows replaced."""
        return replace(
            self, reports=tuple(reports.get(row, report) for row, report in enumerate(self.reports))
        )

    def with_cases(self, cases: Mapping[int, Case]) -> StudyData:
        """The same study with some rows' cases replaced."""
        changed = tuple(cases.get(row, case) for row, case in enumerate(self.cohort.cases))
        return replace(self, cohort=replace(self.cohort, cases=changed))
