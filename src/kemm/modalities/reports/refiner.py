"""Turn a report into uniform statements, each standing on a quote."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Protocol, runtime_checkable

from kemm.core.types import Statement
from kemm.modalities.reports.deidentify import deidentify
from kemm.modalities.reports.fields import FIELDS, Field, verify
from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.outcome import Removed, hide_orders, hide_outcomes
from kemm.modalities.reports.rules import (
    grade,
    histology,
    margins,
    markers,
    nodes,
    site,
    size,
    spread,
    staging,
)
from kemm.modalities.reports.rules.candidate import Candidate
from kemm.modalities.reports.sentences import choose_sentences


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """What a refiner claimed and the report does not bear out."""

    kind: str
    """The field as claimed."""
    value: str | None
    quote: str | None
    why: str


@dataclass(frozen=True, kw_only=True)
class RefinedReport:
    """What was read from one report, and what was kept from being read.

    Attributes:
        statements: first the fields that are stated, in the order of the registry, then sentences.
        text: the report as it was read: masked, and exactly as long as the source, so that
            `text[start:end]` is the quote of every statement.
        masked: how many spans of each kind were hidden as identifying.
        removed: sentences hidden because they tell the outcome.
        flagged: sentences hidden because they read like instructions to a machine.
        left_out: how many further sentences were not kept.
        dropped: claims that could not be verified, and so are no statements.
    """

    statements: tuple[Statement, ...]
    text: str
    masked: Mapping[str, int]
    removed: tuple[Removed, ...] = ()
    flagged: tuple[Removed, ...] = ()
    left_out: int = 0
    dropped: tuple[Dropped, ...] = ()


@runtime_checkable
class Refiner(Protocol):
    """Reads one report at a time. Knows nothing of files, folds or caching."""

    @property
    def identity(self) -> str:
        """Changes whenever the same text could be refined differently; part of every stored key."""
        ...

    def refine(self, text: str, *, cancer_type: str | None = None) -> RefinedReport:
        """Refine one report. `cancer_type` is a hint (such as "BRCA") that the text overrules."""
        ...


@dataclass(frozen=True)
class Prepared:
    """A report made ready for any refiner: nothing identifying, no outcome, no orders."""

    text: str
    masked: Mapping[str, int]
    removed: tuple[Removed, ...]
    flagged: tuple[Removed, ...]


def prepare(text: str, *, site_names: Sequence[str] = ()) -> Prepared:
    """Hide what no refiner may see. The text keeps its length."""
    clean = deidentify(text, site_names=site_names)
    shown, removed = hide_outcomes(clean.text)
    shown, flagged = hide_orders(shown)
    return Prepared(shown, clean.masked, removed, flagged)


Finder = Callable[[Layout], Iterator[Candidate]]


def _largest(values: Sequence[str]) -> str:
    return max(values, key=float)


def _most_frequent(values: Sequence[str]) -> str:
    counts = Counter(values)
    return max(counts, key=lambda value: counts[value])  # of equals, the one named first


def _first(values: Sequence[str]) -> str:
    return values[0]


def _highest_stage(values: Sequence[str]) -> str:
    # X says that nothing is known; any other category says more.
    return max(values, key=lambda value: ("X" not in value, value[:2], len(value), value))


def _worst_margin(values: Sequence[str]) -> str:
    return next(value for value in ("positive", "close", "negative") if value in values)


_RULES: Mapping[str, tuple[Finder, Callable[[Sequence[str]], str], tuple[str, ...]]] = {
    # field: where to look, which of equally good answers counts, organs it is asked of (none: all)
    "histologic_type": (histology.find_histologic_type, _first, ()),
    "grade": (grade.find_grade, _largest, ()),
    "tumor_size_cm": (size.find_size, _largest, ()),
    "pT": (staging.find_t, _highest_stage, ()),
    "pN": (staging.find_n, _highest_stage, ()),
    "pM": (staging.find_m, _highest_stage, ()),
    "stage_group": (staging.find_stage_group, _highest_stage, ()),
    "nodes_examined": (nodes.find_examined, _largest, ()),
    "nodes_positive": (nodes.find_positive, _largest, ()),
    "lymphovascular_invasion": (spread.LYMPHOVASCULAR.find, spread.worst, ()),
    "perineural_invasion": (spread.PERINEURAL.find, spread.worst, ()),
    "margins": (margins.find_margins, _worst_margin, ()),
    "laterality": (site.find_laterality, _most_frequent, ()),
    "necrosis": (spread.NECROSIS.find, spread.worst, ()),
    "multifocal": (spread.MULTIFOCAL.find, spread.worst, ()),
    "ER": (markers.find_er, _first, ("breast",)),
    "PR": (markers.find_pr, _first, ("breast",)),
    "HER2": (markers.find_her2, _first, ("breast",)),
    "pleural_invasion": (spread.PLEURAL.find, spread.worst, ("lung",)),
    "extrarenal_extension": (spread.EXTRARENAL.find, spread.worst, ("kidney",)),
    "renal_vein_invasion": (spread.RENAL_VEIN.find, spread.worst, ("kidney",)),
    "sarcomatoid": (spread.SARCOMATOID.find, spread.worst, ("kidney",)),
    "myometrial_invasion": (spread.find_myometrial, _first, ("uterus",)),
    "cervical_stroma": (spread.CERVICAL_STROMA.find, spread.worst, ("uterus",)),
}


@dataclass(frozen=True)
class RulesRefiner:
    """The offline refiner: patterns of pathology English, the same answer on every machine.

    Args:
        site_names: names or codes of hospitals to hide, beyond what de-identification finds itself.
    """

    site_names: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """A fingerprint of every rule, and of the names that are hidden."""
        digest = hashlib.sha256(_rules_fingerprint().encode())
        for name in sorted(self.site_names):
            digest.update(f"{len(name)}:{name}".encode())
        return f"rules/{digest.hexdigest()[:16]}"

    def refine(self, text: str, *, cancer_type: str | None = None) -> RefinedReport:
        """Read every field the text states; keep the best of the remaining sentences.

        The rules run in time linear in the length of the text.
        """
        ready = prepare(text, site_names=self.site_names)
        layout = Layout(ready.text, cancer_type)
        answers = [answer for field in FIELDS.values() if (answer := _answer(field, layout)) is not None]
        sentences, left_out = choose_sentences(layout, answers)
        return RefinedReport(
            statements=(*answers, *sentences),
            text=ready.text,
            masked=ready.masked,
            removed=ready.removed,
            flagged=ready.flagged,
            left_out=left_out,
        )


@cache
def _rules_fingerprint() -> str:
    # Of the source itself: a version that people must remember to raise would leave stale statements.
    digest = hashlib.sha256()
    for folder in ("kemm.modalities.reports", "kemm.modalities.reports.rules"):
        for file in sorted(files(folder).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".py"):
                digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def _answer(field: Field, layout: Layout) -> Statement | None:
    find, choose, organs = _RULES[field.name]
    if organs and layout.organ not in organs:
        return None
    by_rank: dict[int, list[Statement]] = {}
    for candidate in find(layout):
        by_rank.setdefault(candidate.rank, []).extend(_statements(field, layout, candidate))
    for rank in sorted(by_rank):
        statements = by_rank[rank]
        if statements:
            statements.sort(key=lambda statement: statement.start or 0)
            value = choose([str(statement.value) for statement in statements])
            return next(statement for statement in statements if statement.value == value)
    return None


def _statements(field: Field, layout: Layout, candidate: Candidate) -> Iterable[Statement]:
    quote = layout.source[candidate.start : candidate.end]
    value = candidate.value or field.parse(quote)
    if value is not None:
        statement = field.statement(value, quote, candidate.start)
        if verify(statement, layout.source) is None:
            yield statement
