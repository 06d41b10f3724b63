"""A study's data with one thing put in another's place, to see what that thing is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kemm.core.provenance import fingerprint
from kemm.modalities.background import Background, RiskStatements, cancer_types, load_background
from kemm.modalities.reports import RefinedReport
from kemm.modalities.reports.raw import as_written
from kemm.modalities.reports.stage import without_stage
from kemm.training.dataset import StudyData


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A change of a study's data."""

    name: str
    change: str
    """In words, for a table."""
    needs: tuple[str, ...]
    """Inputs without which there is nothing to change."""
    make: Callable[[StudyData], StudyData]
    sentences: bool = False
    """Whether a report's own sentences must become tokens, which they need not otherwise."""


def varied(data: StudyData, variant: Variant) -> StudyData:
    """The changed data, under an identity of its own: no unit is taken for one of the study as it is."""
    return replace(variant.make(data), identity=fingerprint(data.identity, "variant", variant.name))


def _with_each_report(data: StudyData, change: Callable[[RefinedReport], RefinedReport]) -> StudyData:
    return data.with_reports(
        {row: change(report) for row, report in enumerate(data.reports) if report is not None}
    )


def _other_background(data: StudyData) -> StudyData:
    """That of the cancer type, of those kemm has, whose statements share the fewest words with one's own."""
    known = {one.code: load_background(one.code) for one in cancer_types()}
    return replace(data, background={name: _farthest(own, known) for name, own in data.background.items()})


def _farthest(own: Background, known: Mapping[str, Background]) -> Background:
    mine = _words(own)

    def shared(code: str) -> float:
        other = _words(known[code])
        return len(mine & other) / len(mine | other)

    return known[min((code for code in known if code != own.code), key=lambda code: (shared(code), code))]


def _words(background: Background) -> set[str]:
    return {word for *_, said in background.lists() for one in said for word in one.text.lower().split()}


def _shuffled_background(data: StudyData) -> StudyData:
    return replace(data, background={name: _dealt_anew(one) for name, one in data.background.items()})


def _dealt_anew(background: Background) -> Background:
    """All statements dealt out over the same places, so that none tells its modality or risk any more."""
    cells = [said for *_, said in background.lists()]
    texts = [one.text for said in cells for one in said]
    order = np.random.default_rng(0).permutation(len(texts))
    if len(texts) > 1 and (order == np.arange(len(texts))).all():
        order = np.roll(order, 1)
    dealt = iter([texts[place] for place in order])
    high_slides, low_slides, high_genes, low_genes = ([next(dealt) for _ in said] for said in cells)
    return background.model_copy(
        update={
            "slides": _risks(high_slides, low_slides) if background.slides is not None else None,
            "genes": _risks(high_genes, low_genes) if background.genes is not None else None,
        }
    )


def _risks(high: Sequence[str], low: Sequence[str]) -> RiskStatements:
    return RiskStatements(high=tuple(high), low=tuple(low))


VARIANTS: dict[str, Variant] = {
    one.name: one
    for one in (
        Variant(
            name="raw-report",
            change="raw report in place of refined statements",
            needs=("report",),
            make=lambda data: _with_each_report(data, as_written),
            sentences=True,
        ),
        Variant(
            name="without-stage-in-report",
            change="stage and pTNM masked in the report",
            needs=("report",),
            make=lambda data: _with_each_report(data, without_stage),
        ),
        Variant(
            name="other-background",
            change="background of another cancer type",
            needs=("background",),
            make=_other_background,
        ),
        Variant(
            name="shuffled-background",
            change="background shuffled",
            needs=("background",),
            make=_shuffled_background,
        ),
    )
}
"""By name."""
