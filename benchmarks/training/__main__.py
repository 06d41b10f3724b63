"""Measure training, and print or write what was found."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.training import __doc__ as described
from benchmarks.training.candidates import CANDIDATES, Candidate
from benchmarks.training.ceilings import highest
from benchmarks.training.cohort import make_cohort, say_sizes
from benchmarks.training.comparison import busy, compare, measure_in_turns
from benchmarks.training.growth import (
    CASES,
    Growth,
    growth_table,
    measure_growth,
    works_of_growing_bags,
    works_of_growing_cohorts,
)
from benchmarks.training.launches import Launches, launches_of_peer
from benchmarks.training.measure import Machine, ceilings
from benchmarks.training.page import ceilings_table, floor_table, page
from benchmarks.training.peer import PeerFold
from benchmarks.training.table import LEGEND, comparison_table, terminal
from benchmarks.training.work import Work
from kemm.core.errors import KemmError

GROWN = ("kemm-run-non-linear-fp32", "kemm-run-non-linear-bf16", "kemm-run-linear-bf16")
"""Beside the baseline; others grow alike, and 5,000 patients take the baseline a quarter of an hour."""


def main() -> None:
    asked = _asked()
    work = Work(cases=asked.cases, patches=asked.patches, heads=asked.heads)
    machine = Machine(device=asked.device, threads=asked.threads)
    wanted = [one for one in CANDIDATES if one is CANDIDATES[0] or one.name in asked.candidates]
    try:
        # The folder is as large as the cohort in fp32: 4 KB a patch.
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            run(wanted, work, machine, asked.rounds, asked.growth, asked.most, Path(folder), asked.write)
    except KemmError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def run(
    wanted: Sequence[Candidate],
    work: Work,
    machine: Machine,
    rounds: int,
    growing: Sequence[str],
    most: int,
    folder: Path,
    write: Path | None,
) -> None:
    """Everything that was asked for, in order; the page is written after each part."""
    print(say_sizes(make_cohort(work).patches), flush=True)
    before = ceilings(work, machine)
    launches = _launches(work, machine)
    print(f"baseline, operations a patient: {launches}")
    found = measure_in_turns(wanted, work, folder, machine, rounds, _say, epochs_before=1)
    # Twice, as other work on the machine may have lowered one of them.
    best = highest(before, ceilings(work, machine))
    print(f"{best.device}, {best.threads} threads; copy {best.copy_gb:.1f} GB/s")
    print(terminal(ceilings_table(best)))
    print(terminal(floor_table(wanted, work, best)), flush=True)
    lines = compare(wanted, found, work, best)
    print(terminal(comparison_table(lines)), LEGEND, busy(lines), sep="\n", flush=True)
    told = shlex.join(sys.argv[1:])
    grown: dict[str, Growth] = {}

    def keep() -> None:
        # After each part: growth takes hours, and what was measured before it should not hang on it.
        if write is not None:
            write.write_text(page(wanted, lines, work, rounds, best, launches, grown, told), encoding="utf-8")

    keep()
    some = [one for one in wanted if one is wanted[0] or one.name in GROWN]
    for what, works, size_of in (
        ("patches", works_of_growing_bags(work), lambda one: one.patches),
        (
            "patients",
            works_of_growing_cohorts(work, [size for size in CASES if size <= most]),
            lambda one: one.cases,
        ),
    ):
        if what in growing:
            grown[what] = measure_growth(some, works, size_of, folder, machine, say=_say)
            print(terminal(growth_table(grown[what], what)), flush=True)
            keep()


def _launches(work: Work, machine: Machine) -> Launches:
    # How many operations there are does not depend on how many patches they work on.
    small = make_cohort(Work(**(work.model_dump() | {"patches": 100, "spread": 0.0})))
    fold = PeerFold(small, 0, torch.device(machine.device))
    return launches_of_peer(fold, small.draw_bag(fold.training[0]))


def _say(line: str) -> None:
    print(line, flush=True)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description=described,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--cases", type=int, default=20, help="patients")
    parser.add_argument("--patches", type=int, default=6000, help="median patches of a patient")
    parser.add_argument(
        "--heads", type=int, default=4, help="of attention; as many queries a knowledge token"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="the same for all candidates"
    )
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument(
        "--candidates",
        nargs="*",
        choices=[candidate.name for candidate in CANDIDATES],
        default=[candidate.name for candidate in CANDIDATES],
        help="the baseline is always measured",
    )
    parser.add_argument("--growth", nargs="*", choices=["patches", "patients"], default=[])
    parser.add_argument("--most", type=int, default=max(CASES), help="grow to at most so many patients")
    parser.add_argument("--folder", type=Path, help="where files are written for the time being")
    parser.add_argument("--write", type=Path, help="write the page of the documentation")
    return parser.parse_args()


if __name__ == "__main__":
    main()
