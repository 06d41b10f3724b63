"""Tables as Markdown and in the terminal, from the same cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.training.comparison import Line

LEGEND = (
    "patients/s: patients trained on, each counted in every fold that trains on it; seconds: one epoch of all folds, "
    "median (fastest to slowest round); core s: the same, summed over cores; memory: peak of the process, pages of "
    "mapped files included; of the floor: the least time the machine allows, as a share of the time taken; "
    "ratio: times as fast as the first row, rounds paired."
)


@dataclass(frozen=True)
class Table:
    """The first column holds names; all others are numbers, already in words."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def comparison_table(lines: Sequence[Line]) -> Table:
    """A row a candidate. Memory of a card has a column only where there is one."""
    on_card = any(line.peak_device_memory for line in lines)
    columns: tuple[str, ...] = ("", "patients/s", "seconds", "core s", "memory GB")
    columns += (("card GB",) if on_card else ()) + ("of the floor", "ratio")
    rows = []
    for line in lines:
        cells: tuple[str, ...] = (
            line.title,
            number(line.patients_per_second),
            f"{number(line.seconds)} ({number(line.fastest)} to {number(line.slowest)})",
            number(line.core_seconds),
            f"{line.peak_memory / 1e9:.2f}",
        )
        cells += (f"{line.peak_device_memory / 1e9:.2f}",) if on_card else ()
        share = "-" if line.share_of_floor is None else f"{line.share_of_floor:.0%}"
        rows.append((*cells, share, f"{line.ratio:.2f}"))
    return Table(columns, tuple(rows))


def number(value: float) -> str:
    """Three digits that count, without an exponent: 0.0123, 1.23, 12.3, 1,234."""
    if value >= 99.95:
        return f"{value:,.0f}"
    digits = next(digits for digits in (1, 2, 3, 4) if value >= 9.995 / 10 ** (digits - 1) or digits == 4)
    return f"{value:.{digits}f}"


def markdown(table: Table) -> str:
    """Numbers to the right."""
    rules = ["---", *["--:"] * (len(table.columns) - 1)]
    lines = [table.columns, rules, *table.rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def terminal(table: Table) -> str:
    """Columns in line, two spaces apart."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(table.columns))]
    return "".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        + "\n"
        for line in lines
    )
