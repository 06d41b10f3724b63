"""One leak: what it is, how grave, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from kemm.training.splits import Fold

Kind = Literal[
    "case on two sides",
    "same patient",
    "same report",
    "similar report",
    "same slide",
    "same genes",
    "covariate tells the outcome",
    "covariate of follow-up",
    "report tells the outcome",
    "shared sites",
]
Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

SHOWN = 5
"""Ids that a sentence names; `Where` has them all."""


@dataclass(frozen=True, kw_only=True)
class Where:
    """The places of a leak; what does not apply is empty."""

    cases: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    folds: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A leak, or what looks like one."""

    kind: Kind
    severity: Severity
    """An error makes results worthless; a warning may flatter them; a note tells what was done."""
    told: str
    """One sentence, without a word of any report."""
    remedy: str
    where: Where = field(default_factory=Where)


def apart(rows: Sequence[int], folds: Sequence[Fold]) -> tuple[int, ...]:
    """The folds that train on some of these rows and test on others."""
    wanted = set(rows)
    return tuple(fold.index for fold in folds if wanted & set(fold.train) and wanted & set(fold.test))


def named(ids: Sequence[str]) -> str:
    """The first of some ids, and how many more there are."""
    shown = ", ".join(ids[:SHOWN])
    return shown + (f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else "")


def in_folds(folds: Sequence[int]) -> str:
    """ "fold 2", "folds 0, 3"."""
    return f"fold{'' if len(folds) == 1 else 's'} {', '.join(map(str, folds))}"
