"""Candidates side by side on the same work: measured in turns, so that a busy minute meets all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.training.candidates import Candidate
from benchmarks.training.ceilings import Ceilings
from benchmarks.training.cohort import make_cohort
from benchmarks.training.floor import floor_of
from benchmarks.training.measure import Machine, Measurement, measure, store
from benchmarks.training.work import Work

BUSY = 1.6
"""Times as long as the fastest round."""
Rounds = dict[str, list[Measurement]]
"""By candidate: one measurement a round, rounds in order."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A candidate in the table: medians over rounds."""

    title: str
    patients_per_second: float
    """Trained on, each counted in every fold that trains on it."""
    seconds: float
    fastest: float
    slowest: float
    core_seconds: float
    peak_memory: float
    """Of the process, in bytes."""
    peak_device_memory: float
    share_of_floor: float | None
    """Floor over seconds: 1 is as fast as the machine allows. None where ceilings were not measured."""
    ratio: float
    """How many times faster than the baseline of the same round."""


def measure_in_turns(
    candidates: Sequence[Candidate],
    work: Work,
    folder: Path,
    machine: Machine,
    rounds: int,
    say: Callable[[str], None] = lambda line: None,
    *,
    epochs_before: int = 0,
) -> Rounds:
    """Every candidate once a round."""
    for candidate in candidates:
        store(candidate, work, folder, machine)
    found: Rounds = {candidate.name: [] for candidate in candidates}
    for number in range(1, rounds + 1):
        for candidate in candidates:
            one = measure(candidate, work, folder, machine, epochs_before=epochs_before)
            found[candidate.name].append(one)
            say(f"round {number} of {rounds}, {candidate.name}: {one.seconds:.2f} s")
    return found


def compare(
    candidates: Sequence[Candidate], rounds: Rounds, work: Work, ceilings: Ceilings | None
) -> list[Line]:
    """The table's lines; the first candidate is the baseline."""
    cohort = make_cohort(work)
    baseline = rounds[candidates[0].name]
    lines = []
    for candidate in candidates:
        found = rounds[candidate.name]
        seconds = [one.seconds for one in found]
        middle = median(seconds)
        floor = floor_of(cohort.patches, work, candidate.adapter, candidate.precision)
        # A round's own baseline was measured next to it, under the same load.
        ratios = [other.seconds / one.seconds for other, one in zip(baseline, found, strict=True)]
        lines.append(
            Line(
                title=candidate.title,
                patients_per_second=cohort.training_visits / middle,
                seconds=middle,
                fastest=min(seconds),
                slowest=max(seconds),
                core_seconds=median(one.core_seconds for one in found),
                peak_memory=median(one.peak_memory for one in found),
                peak_device_memory=median(one.peak_device_memory for one in found),
                share_of_floor=None if ceilings is None else floor.seconds(ceilings) / middle,
                ratio=median(ratios),
            )
        )
    return lines


def busy(lines: Sequence[Line]) -> str:
    """A warning where rounds of the same work differ too much for seconds to be trusted; else nothing."""
    worst = max(lines, key=lambda line: line.slowest / line.fastest)
    apart = worst.slowest / worst.fastest
    if apart < BUSY:
        return ""
    return (
        f"The machine was busy: of {worst.title!r} the slowest round took {apart:.1f} times as long as the fastest. "
        "Trust the ratios more than the seconds, or measure again."
    )
