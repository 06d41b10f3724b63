"""The page of the documentation, from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.training.candidates import Candidate
from benchmarks.training.ceilings import DTYPES, Ceilings
from benchmarks.training.cohort import make_cohort, say_sizes
from benchmarks.training.comparison import Line, busy
from benchmarks.training.floor import floor_of
from benchmarks.training.growth import Growth, growth_table
from benchmarks.training.launches import Launches
from benchmarks.training.table import LEGEND, Table, comparison_table, markdown, number
from benchmarks.training.work import Work

HEAD = """# Speed of training

Written by `python -m benchmarks.training{asked}`; change the program, not this page.
"""
BASELINE = """The baseline is this project's own, shaped like the field's code bases: one patient a step, one fold after
another, a key and a value for every patch, a `.pt` file a slide read at each step. Where the field differs it takes
the cheaper way: a step of the optimiser every 32 patients, no dropout of patches, no evaluation inside the epoch.
Files are read from the operating system's cache: they were written just before."""


def page(
    candidates: Sequence[Candidate],
    lines: Sequence[Line],
    work: Work,
    rounds: int,
    ceilings: Ceilings,
    launches: Launches,
    growth: Mapping[str, Growth],
    asked: str = "",
) -> str:
    """All sections, as Markdown; `growth` is by what grows, `asked` is how the program was called."""
    cohort = make_cohort(work)
    parts = [
        HEAD.format(asked=asked and f" {asked}"),
        f"{ceilings.device}, {ceilings.threads} threads. The second epoch of {work.folds}-fold training (the first also takes "
        "memory from the system, which no later one does): "
        f"{say_sizes(cohort.patches)}, features of width {work.features:,}, adapter of width {work.width}, "
        f"{work.knowledge} knowledge tokens x {work.heads} heads, {work.gene_groups} gene groups. "
        f"Candidates in turns, {rounds} round{'' if rounds == 1 else 's'}, each in a process of its own, whose threads "
        "sleep while they wait (OMP_WAIT_POLICY=PASSIVE).\n",
        markdown(comparison_table(lines)),
        f"{LEGEND}\n",
        *([f"{busy(lines)}\n"] if busy(lines) else []),
        f"{BASELINE}\n",
        f"For each patient it starts {launches.forward:,} operations forward and {launches.backward:,} backward, and "
        f"{launches.optimiser:,} for a step of the optimiser.\n",
        "## The floor\n",
        "What no arrangement of the work avoids: with a non-linear adapter its product with every patch, forward and "
        "for the gradient of its weights, in every fold that trains on the patch; with a linear one, which folds into "
        "queries and values, reading each patch once forward and once backward.\n",
        markdown(floor_table(candidates, work, ceilings)),
        markdown(ceilings_table(ceilings)),
        f"Copy: {number(ceilings.copy_gb)} GB/s, read and written bytes together.\n",
    ]
    for what, grown in growth.items():
        parts += [
            f"## Growth with {what}\n",
            "Seconds of the first epoch, and the process's most memory.\n",
            markdown(growth_table(grown, what)),
        ]
    return "\n".join(parts)


def ceilings_table(ceilings: Ceilings) -> Table:
    """GFLOP/s by shape."""
    rows = ((shape, *(number(rate[name]) for name in DTYPES)) for shape, rate in ceilings.products.items())
    return Table(("matrix product", *(f"{name} GFLOP/s" for name in DTYPES)), tuple(rows))


def floor_table(candidates: Sequence[Candidate], work: Work, ceilings: Ceilings) -> Table:
    """The floors that candidates are held against, each once."""
    patches = make_cohort(work).patches
    kinds = dict.fromkeys((candidate.adapter, candidate.precision) for candidate in candidates)
    rows = []
    for adapter, precision in kinds:
        floor = floor_of(patches, work, adapter, precision)
        rows.append(
            (
                f"{adapter} adapter, {precision}",
                number(floor.operations / 1e9),
                number(floor.bytes / 1e9),
                number(floor.seconds(ceilings)),
            )
        )
    return Table(("", "10^9 operations", "GB read", "seconds"), tuple(rows))
