"""Turn a report into uniform statements, each standing on a quote."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Protocol, runtime_checkable

from kemm.core.types import Statement
from kemm.modalities.reports.deidentify import deidentify
from kemm.modalities.reports.fields import CANNOT_BE_ASSESSED, Field, fields_for, verify
from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.outcome import Removed, hide_orders, hide_outcomes
from kemm.modalities.reports.rules.candidate import Candidate
from kemm.modalities.reports.rules.unassessed import SAID
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
        digest = hashlib.sha256(rules_fingerprint().encode())
        for name in sorted(self.site_names):
            digest.update(f"{len(name)}:{name}".encode())
        return f"rules/{digest.hexdigest()[:16]}"

    def refine(self, text: str, *, cancer_type: str | None = None) -> RefinedReport:
        """Read every field the text states; keep the best of the remaining sentences.

        The rules run in time linear in the length of the text.
        """
        ready = prepare(text, site_names=self.site_names)
        layout = Layout(ready.text, cancer_type)
        answers = _answers(layout)
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
def rules_fingerprint() -> str:
    """Of everything in this package that reads or checks a report."""
    # Of the source itself: a version that people must remember to raise would leave stale statements.
    digest = hashlib.sha256()
    for folder in ("kemm.modalities.reports", "kemm.modalities.reports.rules"):
        for file in sorted(files(folder).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".py"):
                digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def _answers(layout: Layout) -> list[Statement]:
    """One statement a field, in the order of the registry; "cannot be assessed" where there is no better."""
    fields = fields_for(layout.organ).values()
    stated = {field.name: found for field in fields if (found := _answer(field, layout)) is not None}
    for said in islice(SAID.finditer(layout.text), _MOST_SAID):
        clause = layout.clause_at(said.start())
        start, end = max(clause.start, said.start() - _REACH), min(clause.end, said.end() + _REACH)
        for field in fields:
            if field.name not in stated:
                for candidate in field.unassessed_in(layout, start, end):
                    statement = field.statement(
                        CANNOT_BE_ASSESSED, layout.source[candidate.start : candidate.end], candidate.start
                    )
                    if verify(statement, layout.source) is None:
                        stated[field.name] = statement
                        break
    return [stated[field.name] for field in fields if field.name in stated]


_REACH = 140
# No report says it so often; a text that does may not cost more than others.
_MOST_SAID = 100


def _answer(field: Field, layout: Layout) -> Statement | None:
    by_rank: dict[int, list[Statement]] = {}
    for candidate in field.find(layout):
        by_rank.setdefault(candidate.rank, []).extend(_statements(field, layout, candidate))
    for rank in sorted(by_rank):
        statements = by_rank[rank]
        if statements:
            statements.sort(key=lambda statement: statement.start or 0)
            value = field.choose([str(statement.value) for statement in statements])
            return next(statement for statement in statements if statement.value == value)
    return None


def _statements(field: Field, layout: Layout, candidate: Candidate) -> Iterable[Statement]:
    quote = layout.source[candidate.start : candidate.end]
    value = candidate.value or field.parse(quote)
    if value is not None:
        statement = field.statement(value, quote, candidate.start)
        if verify(statement, layout.source) is None:
            yield statement
