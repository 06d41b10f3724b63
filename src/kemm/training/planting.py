"""Columns put into a study to see what models make of them: a signal that must be found, noise that must not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from kemm.core.cohort import Covariate
from kemm.core.errors import UsageError
from kemm.core.provenance import fingerprint
from kemm.core.types import Statement
from kemm.modalities.genomics import Column, GeneGroup
from kemm.modalities.reports import RefinedReport
from kemm.modalities.slides import SlideBags
from kemm.training.dataset import StudyData

Array = NDArray[np.float64]
Modality = Literal["covariates", "genes", "slides", "report"]
MODALITIES: tuple[Modality, ...] = ("covariates", "genes", "slides", "report")

NAME = "planted"
SHARE = 0.05
"""Of a wide modality's columns, as many more are planted: one among thousands is lost in its principal components."""
FEWEST_COLUMNS = 4
MOST_CODES = 10
"""Where no genomic column has more different values, all are codes, and what is planted is one."""
MOST_NUMBERS = 500_000_000
"""Of patch features: with planted columns they are copied into memory."""
WITHIN = 0.5
"""Deviation of each planted column (and patch) about the case's value, which has deviation 1."""


def worse_than_expected(months: Array, event: NDArray[np.bool_]) -> Array:
    """Normal scores of the martingale residuals of the outcomes without covariates: higher = died sooner than most.

    Months and event of each case; the result has mean 0 and deviation about 1.

    References:
        Therneau, Grambsch & Fleming (1990), Biometrika 77, doi:10.1093/biomet/77.1.147.
    """
    times = np.unique(months[event])
    at_risk = (months[:, None] >= times).sum(axis=0)
    hazard = (event[:, None] & (months[:, None] == times)).sum(axis=0) / at_risk
    residual = event - ((months[:, None] >= times) * hazard).sum(axis=1)
    score: Array = ndtri((rankdata(residual) - 0.375) / (len(residual) + 0.25))
    scaled: Array = score / score.std()
    return scaled


def signal(data: StudyData, strength: float, seed: int) -> Array:
    """A number of each case whose correlation with `worse_than_expected` is `strength`; the rest of it is noise."""
    known = worse_than_expected(data.cohort.months, data.cohort.event)
    noise = np.random.default_rng(seed).normal(size=len(known))
    mixed: Array = strength * known + np.sqrt(1 - strength**2) * noise
    return mixed


def plant(data: StudyData, modality: Modality, values: Array, seed: int) -> StudyData:
    """The same study, where each case's value shows in a modality, for the cases that have it.

    Raises:
        UsageError: Nothing can be planted there; says why.
    """
    draws = np.random.default_rng((seed, MODALITIES.index(modality)))
    planted = _PLANTERS[modality](data, values, draws)
    return replace(planted, identity=fingerprint(data.identity, NAME, modality, seed, values.tolist()))


def _covariates(data: StudyData, values: Array, draws: np.random.Generator) -> StudyData:
    cases = {
        row: replace(case, covariates={**case.covariates, NAME: float(values[row])})
        for row, case in enumerate(data.cohort.cases)
    }
    changed = data.with_cases(cases)
    covariates = (*data.cohort.covariates, Covariate(name=NAME, kind="numeric"))
    return replace(changed, cohort=replace(changed.cohort, covariates=covariates))


def _genes(data: StudyData, values: Array, draws: np.random.Generator) -> StudyData:
    genomics, groups = data.genomics, data.groups
    if genomics is None or groups is None:
        raise UsageError("nothing can be planted in genes: the study has none. Choose another modality.")
    row_of = {case: row for row, case in enumerate(data.cohort.ids)}
    own = values[[row_of[case] for case in genomics.case_ids]]
    count = max(FEWEST_COLUMNS, round(SHARE * len(genomics.columns)))
    columns = own[:, None] + WITHIN * draws.normal(size=(len(own), count))
    if len(np.unique(genomics.values[~np.isnan(genomics.values)][:100_000])) <= MOST_CODES:
        columns = (columns > 0).astype(np.float64)
    columns[np.isnan(genomics.values).all(axis=1)] = np.nan
    width = len(genomics.columns)
    group = GeneGroup(
        name=NAME, columns=tuple(range(width, width + count)), genes_measured=count, genes_listed=count
    )
    return replace(
        data,
        genomics=replace(
            genomics,
            columns=(*genomics.columns, *(Column(f"{NAME}{place}", NAME) for place in range(count))),
            values=np.concatenate([genomics.values, columns.astype(np.float32)], axis=1),
        ),
        groups=replace(groups, groups=(*groups.groups, group)),
    )


def _slides(data: StudyData, values: Array, draws: np.random.Generator) -> StudyData:
    slides = data.slides
    if slides is None:
        raise UsageError("nothing can be planted in slides: the study has none. Choose another modality.")
    if slides.features.size > MOST_NUMBERS:
        raise UsageError(
            f"nothing was planted in slides: their {slides.features.size:,} numbers would be copied into memory, and "
            f"{MOST_NUMBERS:,} are the most. Choose another modality, or fewer cases."
        )
    count = max(FEWEST_COLUMNS, round(SHARE * slides.width))
    of_patch = np.repeat(values, np.diff(slides.offsets))
    columns = of_patch[:, None] + WITHIN * draws.normal(size=(len(of_patch), count))
    features = np.concatenate([np.asarray(slides.features), columns.astype(slides.features.dtype)], axis=1)
    means = slides.means
    if means is not None:
        rows = [
            columns[start:stop].mean(axis=0) if stop > start else np.zeros(count)
            for start, stop in zip(slides.offsets[:-1], slides.offsets[1:], strict=True)
        ]
        means = np.concatenate([means, np.array(rows, dtype=np.float32)], axis=1)
    return replace(data, slides=SlideBags(features, slides.offsets, slides.slides, means))


_SAID = ("Planted mark is slight.", "Planted mark is plain.", "Planted mark is heavy.")


def _report(data: StudyData, values: Array, draws: np.random.Generator) -> StudyData:
    if not data.has_reports:
        raise UsageError("nothing can be planted in reports: the study has none. Choose another modality.")
    if data.text_vectors:
        raise UsageError(
            "nothing was planted in reports: a pretrained text encoder has read them already. "
            "Choose another modality, or the encoder that is fitted."
        )
    thirds = np.digitize(values, np.quantile(values, [1 / 3, 2 / 3]))
    return data.with_reports(
        {
            row: _saying(report, _SAID[thirds[row]])
            for row, report in enumerate(data.reports)
            if report is not None
        }
    )


def _saying(report: RefinedReport, said: str) -> RefinedReport:
    """The report with one sentence more, which stands on its own quote."""
    start = len(report.text) + 1
    sentence = Statement(kind="sentence", text=said, quote=said, start=start, end=start + len(said))
    return replace(report, text=f"{report.text} {said}", statements=(*report.statements, sentence))


_PLANTERS: dict[Modality, Callable[[StudyData, Array, np.random.Generator], StudyData]] = {
    "covariates": _covariates,
    "genes": _genes,
    "slides": _slides,
    "report": _report,
}
