"""How time and memory grow: with patches at a few patients, and with patients at small bags."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.training.candidates import Candidate
from benchmarks.training.comparison import measure_in_turns
from benchmarks.training.measure import Machine
from benchmarks.training.table import Table, number
from benchmarks.training.work import Work

PATCHES = (1_000, 3_000, 10_000, 30_000, 100_000)
CASES_AT_MANY_PATCHES = 5
CASES = (100, 500, 1_000, 5_000)
PATCHES_AT_MANY_CASES = 200


@dataclass(frozen=True)
class Point:
    """A candidate at one size."""

    size: int
    seconds: float
    peak_memory: float


Growth = dict[str, list[Point]]
"""By a candidate's title, sizes ascending."""


def works_of_growing_bags(work: Work, sizes: Sequence[int] = PATCHES) -> list[Work]:
    """A few patients, all with bags of one size, which grows."""
    same = {"cases": CASES_AT_MANY_PATCHES, "folds": min(work.folds, CASES_AT_MANY_PATCHES), "spread": 0.0}
    return [_changed(work, **same, patches=size) for size in sizes]


def works_of_growing_cohorts(work: Work, sizes: Sequence[int] = CASES) -> list[Work]:
    """Small bags, of more and more patients."""
    return [_changed(work, patches=PATCHES_AT_MANY_CASES, cases=size) for size in sizes]


def measure_growth(
    candidates: Sequence[Candidate],
    works: Sequence[Work],
    size_of: Callable[[Work], int],
    folder: Path,
    machine: Machine,
    rounds: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> Growth:
    """Candidates in turns at each size."""
    grown: Growth = {candidate.title: [] for candidate in candidates}
    for work in works:
        say(f"{work.cases:,} patients of about {work.patches:,} patches")
        found = measure_in_turns(candidates, work, folder, machine, rounds, say)
        for candidate in candidates:
            here = found[candidate.name]
            seconds = median(one.seconds for one in here)
            memory = median(max(one.peak_memory, one.peak_device_memory) for one in here)
            grown[candidate.title].append(Point(size_of(work), seconds, memory))
    return grown


def exponent(points: Sequence[Point]) -> float | None:
    """Of size, in seconds, by least squares on logarithms: 1 is linear. None with fewer than two sizes."""
    if len({point.size for point in points}) < 2:
        return None
    sizes = [math.log(point.size) for point in points]
    times = [math.log(point.seconds) for point in points]
    centre, middle = sum(sizes) / len(sizes), sum(times) / len(times)
    together = sum((size - centre) * (time - middle) for size, time in zip(sizes, times, strict=True))
    return together / sum((size - centre) ** 2 for size in sizes)


def growth_table(growth: Growth, what: str) -> Table:
    """Seconds an epoch and peak GB at each size, and the exponent."""
    sizes = [point.size for point in next(iter(growth.values()))]
    rows = []
    for title, points in growth.items():
        slope = exponent(points)
        cells = [f"{number(point.seconds)} s, {point.peak_memory / 1e9:.1f} GB" for point in points]
        rows.append((title, *cells, "-" if slope is None else f"{slope:.2f}"))
    return Table(("", *(f"{size:,} {what}" for size in sizes), "exponent"), tuple(rows))


def _changed(work: Work, **settings: float) -> Work:
    # Not model_copy, which checks nothing.
    return Work(**(work.model_dump() | settings))
