"""A study's data, whole: what the stages before training hand over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from kemm.core.cohort import Cohort
from kemm.core.provenance import fingerprint
from kemm.modalities.background import Background
from kemm.modalities.genomics import Genomics
from kemm.modalities.reports import RefinedReport
from kemm.modalities.slides import SlideBags


@dataclass(frozen=True)
class StudyData:
    """Everything known about the cases of a cohort; lists are in the cohort's order."""

    cohort: Cohort
    reports: tuple[RefinedReport | None, ...]
    """None where a case has no report."""
    texts: tuple[str, ...]
    """The de-identified report, "" where there is none."""
    background: Mapping[str, Background]
    """By cancer type."""
    genomics: Genomics | None
    slides: SlideBags | None
    inputs_identity: str
    """Changes whenever an input file or a refiner does. Outcomes are not part of it."""
