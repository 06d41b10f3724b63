"""Folds: who trains and who tests. A patient is on one side only, and by default so is a site."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from kemm.core.cohort import Cohort
from kemm.core.errors import Fault, Faults, InputError, InvalidInput, KemmError, UsageError, nearest
from kemm.core.files import read_table
from kemm.core.settings import Section

UNKNOWN_SITE = "(unknown site)"
FEWEST_TEST_EVENTS = 2
"""With fewer, the concordance of a fold rests on one patient or on none."""


class FoldsConfig(Section):
    """How the cohort is divided for cross-validation."""

    kind: Literal["auto", "site", "stratified", "files"] = "auto"
    """Site-disjoint, stratified by event, or given as files. "auto": site-disjoint where the cohort has a site column."""
    count: int = Field(5, ge=2)
    """How many folds."""
    seed: int = 0
    """Which division; the same seed gives the same folds."""
    files: str | None = None
    """For "files": the path of each fold's table, with {fold} for its number from 0; columns case_id and split."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One division of the cohort; rows of the cohort, in its order."""

    index: int
    train: tuple[int, ...]
    test: tuple[int, ...]


KIND_NAMES = {"site": "site-disjoint", "stratified": "stratified", "files": "given"}


def fold_kind(config: FoldsConfig, cohort: Cohort) -> str:
    """The kind of folds as reports name it: "site-disjoint", "stratified" or "given"."""
    return KIND_NAMES[_kind(config, cohort)]


def _kind(config: FoldsConfig, cohort: Cohort) -> str:
    if config.files is not None:
        return "files"
    if config.kind == "auto":
        return "site" if any(site is not None for site in cohort.sites) else "stratified"
    return config.kind


def make_folds(config: FoldsConfig, cohort: Cohort, resolve: Callable[[str], Path]) -> list[Fold]:
    """The folds of a cohort, each checked.

    Raises:
        InputError: Too few sites or events for so many folds; a patient on two sides; all named.
    """
    kind = _kind(config, cohort)
    if kind == "files":
        if config.files is None:
            raise UsageError(
                'folds.kind is "files", but folds.files is not set. Give the path, with {fold} in it.'
            )
        folds = _given(config, config.files, cohort, resolve)
    else:
        part = _by_site(config, cohort) if kind == "site" else _dealt(cohort.event, config.count, config.seed)
        rows = np.arange(len(cohort))
        folds = [
            Fold(index=k, train=tuple(rows[part != k].tolist()), test=tuple(rows[part == k].tolist()))
            for k in range(config.count)
        ]
    _check(folds, cohort, kind)
    return folds


def _dealt(event: NDArray[np.bool_], count: int, seed: int) -> NDArray[np.int64]:
    """The part of each case: those with and those without the event dealt out in turn, each shuffled."""
    order = np.random.default_rng(seed).permutation(len(event))
    dealt = np.concatenate([order[event[order]], order[~event[order]]])
    part = np.empty(len(event), dtype=np.int64)
    part[dealt] = np.arange(len(event)) % count
    return part


def _by_site(config: FoldsConfig, cohort: Cohort) -> NDArray[np.int64]:
    """Largest sites first, each to the fold that is shortest of events (then of cases)."""
    if all(site is None for site in cohort.sites):
        raise InputError(
            "site-disjoint folds need to know each case's site. Name its column in cohort.site, or set "
            "folds.kind: stratified (test and training parts may then share hospitals)."
        )
    sites = [site or UNKNOWN_SITE for site in cohort.sites]
    names = sorted(set(sites))
    if len(names) < config.count:
        raise InputError(
            f"site-disjoint folds need at least as many sites as folds: {len(names)} site{'' if len(names) == 1 else 's'}, "
            f"{config.count} folds. "
            "Set folds.count lower, or folds.kind: stratified (test and training parts then share hospitals)."
        )
    of_site = {name: np.array([site == name for site in sites]) for name in names}
    chance = dict(zip(names, np.random.default_rng(config.seed).random(len(names)), strict=True))
    events = {name: int(cohort.event[rows].sum()) for name, rows in of_site.items()}
    cases = {name: int(rows.sum()) for name, rows in of_site.items()}
    load = np.zeros((config.count, 2))
    part = np.empty(len(cohort), dtype=np.int64)
    share = np.array([max(cohort.event.sum(), 1), len(cohort)])
    for name in sorted(names, key=lambda name: (-events[name], -cases[name], chance[name])):
        weight = np.array([events[name], cases[name]]) / share
        # A fold must not overflow in cases for the sake of events: squares punish the fullest.
        cost = ((load + weight) ** 2).sum(axis=1) - (load**2).sum(axis=1)
        fold = int(cost.argmin())
        load[fold] += weight
        part[of_site[name]] = fold
    return part


def _given(config: FoldsConfig, pattern: str, cohort: Cohort, resolve: Callable[[str], Path]) -> list[Fold]:
    if "{fold}" not in pattern:
        raise UsageError(f"folds.files is {pattern!r}; write {{fold}} where the number of the fold stands.")
    row_of: dict[str, int] = {case: row for row, case in enumerate(cohort.ids)}
    folds, faults = [], Faults()
    for index in range(config.count):
        try:
            path = resolve(pattern.replace("{fold}", str(index)))
            table = read_table(path)
            for name in ("case_id", "split"):
                if list(table.columns).count(name) != 1:
                    hint = nearest(name, map(str, table.columns))
                    raise InputError(
                        f"{path}: one column must be called {name!r}; {hint.removesuffix('?')}"
                        f"{'?' if hint.endswith('?') else '.'} Each fold's table says train or test for every case."
                    )
            folds.append(_given_fold(index, path, table, row_of))
        except KemmError as error:
            faults.add_error(error)
    faults.raise_if_any()
    return folds


def _given_fold(index: int, path: Path, table: pd.DataFrame, row_of: dict[str, int]) -> Fold:
    if table.empty:
        raise InputError(f"{path}: the table has a header but no rows. Give one row a case.")
    split = table["split"].str.strip().str.lower()
    unknown = ~split.isin(["train", "test", "val"])
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        raise InputError(
            f"{path}, row {row + 1}, column 'split': {table['split'].iloc[row]!r} is not train, val or test. "
            "Write one of them."
        )
    ids = table["case_id"].str.strip()
    # Where a file has no "test", its "val" is the outer part. Beside a "test", "val" trains: the inner
    # part is this program's own.
    outer = split == ("test" if (split == "test").any() else "val")
    known = ids.isin(list(row_of))
    train = sorted({row_of[case] for case in ids[known & ~outer]})
    test = sorted({row_of[case] for case in ids[known & outer]})
    if not train or not test:
        raise InputError(
            f"{path}: no case of the cohort is in the {'training' if not train else 'test'} part. "
            f"The file's ids look like {ids.iloc[0]!r}, the cohort's like {next(iter(row_of))!r}. Give both the same ids."
        )
    return Fold(index=index, train=tuple(train), test=tuple(test))


_FEW_EVENTS = {
    "site": "Set folds.count lower, or folds.kind: stratified, so that every part has two events or more.",
    "stratified": "Set folds.count lower, so that every part has two events or more.",
    "files": "Divide the cases otherwise, so that every part has two events or more.",
}


def _check(folds: Sequence[Fold], cohort: Cohort, kind: str) -> None:
    """What must hold for any folds, whoever made them."""
    faults = []
    seen: dict[int, int] = {}
    for fold in folds:
        both = sorted(set(fold.train) & set(fold.test))
        if both:
            faults.append(
                Fault(
                    problem=f"fold {fold.index} trains and tests on the same cases: {_names(both, cohort)}",
                    remedy="A patient may be on one side only.",
                )
            )
        again = sorted(row for row in fold.test if row in seen)
        if again:
            faults.append(
                Fault(
                    problem=f"fold {fold.index} tests cases another fold tests too: {_names(again, cohort)}",
                    remedy="Each patient may be tested once.",
                )
            )
        seen.update(dict.fromkeys(fold.test, fold.index))
        if kind == "site":
            sites = {cohort.sites[row] for row in fold.train} & {cohort.sites[row] for row in fold.test}
            assert not sites, f"site-disjoint folds share {sites}"
        for part, rows in (("test", fold.test), ("training", fold.train)):
            events = int(cohort.event[list(rows)].sum())
            if events < FEWEST_TEST_EVENTS:
                faults.append(
                    Fault(
                        problem=f"fold {fold.index} has {events or 'no'} event{'' if events == 1 else 's'} "
                        f"in its {part} part of {len(rows)} cases",
                        remedy=_FEW_EVENTS[kind],
                    )
                )
    if faults:
        raise InvalidInput(faults)


def _names(rows: Sequence[int], cohort: Cohort) -> str:
    shown = ", ".join(cohort.ids[row] for row in rows[:5])
    return shown + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")


def inner_parts(event: NDArray[np.bool_], count: int, seed: int) -> list[NDArray[np.int64]]:
    """Positions of each of `count` parts of a training part, balanced in events."""
    part = _dealt(event, count, seed)
    return [np.flatnonzero(part == k) for k in range(count)]


def folds_frame(folds: Sequence[Fold], cohort: Cohort) -> pd.DataFrame:
    """One row a case and fold: fold, case_id, split."""
    return pd.DataFrame(
        [
            {"fold": fold.index, "case_id": cohort.ids[row], "split": split}
            for fold in folds
            for split, rows in (("train", fold.train), ("test", fold.test))
            for row in rows
        ]
    )
