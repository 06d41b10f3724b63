"""Comparisons, growth and their tables, against numbers worked by hand."""

from __future__ import annotations

import pytest
from benchmarks.training.candidates import Candidate
from benchmarks.training.ceilings import Ceilings
from benchmarks.training.cohort import make_cohort
from benchmarks.training.comparison import compare
from benchmarks.training.growth import (
    Point,
    exponent,
    growth_table,
    works_of_growing_bags,
    works_of_growing_cohorts,
)
from benchmarks.training.launches import Launches
from benchmarks.training.measure import Measurement
from benchmarks.training.page import page
from benchmarks.training.table import Table, comparison_table, markdown, number, terminal
from benchmarks.training.work import Work

# 10 patients in 5 folds: 40 patients are trained on in an epoch. 1,000 patches; 8.192 MB read at 8.192 GB/s: 1 ms.
WORK = Work(cases=10, patches=100, spread=0)
CEILINGS = Ceilings(device="made up", threads=2, products={"wide": {"fp32": 1e9, "bf16": 1e9}}, copy_gb=8.192)
SLOW = Candidate(name="slow", title="slow | one", trainer="nowhere:Slow")
FAST = Candidate(name="fast", title="fast one", trainer="nowhere:Fast")


def measured(*seconds: float, memory: int = 10**9, card: int = 0) -> list[Measurement]:
    return [
        Measurement(seconds=one, core_seconds=2 * one, peak_memory=memory, peak_device_memory=card)
        for one in seconds
    ]


def test_medians_and_ratios_of_a_hand_worked_comparison() -> None:
    # In the busy second round both take ten times as long; the ratio of each round is 2, 2.5 and 2.
    rounds = {"slow": measured(4, 50, 4), "fast": measured(2, 20, 2, memory=2 * 10**9)}
    slow, fast = compare([SLOW, FAST], rounds, WORK, CEILINGS)
    assert (slow.seconds, slow.fastest, slow.slowest, slow.core_seconds) == (4, 4, 50, 8)
    assert (slow.patients_per_second, fast.patients_per_second) == (10, 20)
    assert (slow.ratio, fast.ratio) == (1, 2)
    assert fast.peak_memory == 2e9
    assert fast.share_of_floor == pytest.approx(0.001 / 2)


def test_a_comparison_as_markdown_and_in_the_terminal() -> None:
    lines = compare([SLOW, FAST], {"slow": measured(4), "fast": measured(0.25)}, WORK, None)
    table = comparison_table(lines)
    assert markdown(table) == (
        "|  | patients/s | seconds | core s | memory GB | of the floor | ratio |\n"
        "| --- | --: | --: | --: | --: | --: | --: |\n"
        "| slow \\| one | 10.0 | 4.00 (4.00 to 4.00) | 8.00 | 1.00 | - | 1.00 |\n"
        "| fast one | 160 | 0.250 (0.250 to 0.250) | 0.500 | 1.00 | - | 16.00 |\n"
    )
    assert terminal(Table(("", "b"), (("long name", "1"), ("x", "1,234")))) == (
        "               b\nlong name      1\nx          1,234\n"
    )


def test_memory_of_a_card_has_a_column_only_with_one() -> None:
    without = comparison_table(compare([SLOW], {"slow": measured(4)}, WORK, None))
    on_card = comparison_table(compare([SLOW], {"slow": measured(4, card=3 * 10**9)}, WORK, None))
    assert "card GB" not in without.columns
    assert on_card.rows[0][on_card.columns.index("card GB")] == "3.00"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.01234, "0.0123"),
        (0.1234, "0.123"),
        (0.9996, "1.00"),
        (1.234, "1.23"),
        (9.996, "10.0"),
        (12.34, "12.3"),
        (99.96, "100"),
        (1234.5, "1,234"),
        (0.0, "0.0000"),
    ],
)
def test_numbers_have_three_digits_that_count(value: float, said: str) -> None:
    assert number(value) == said


def test_growth_names_the_exponent() -> None:
    # Ten times the size, a hundred times the seconds.
    square = [Point(100, 2.0, 1e9), Point(1000, 200.0, 2e9)]
    assert exponent(square) == pytest.approx(2)
    assert exponent(square[:1]) is None
    table = growth_table({"slow": square}, "patches")
    assert table.columns == ("", "100 patches", "1,000 patches", "exponent")
    assert table.rows == (("slow", "2.00 s, 1.0 GB", "200 s, 2.0 GB", "2.00"),)


def test_works_that_grow() -> None:
    bags = [make_cohort(work) for work in works_of_growing_bags(Work(text=1), sizes=(30, 60))]
    assert [cohort.patches for cohort in bags] == [(30,) * 5, (60,) * 5]
    cohorts = works_of_growing_cohorts(Work(), sizes=(10, 20))
    assert [(work.cases, work.patches) for work in cohorts] == [(10, 200), (20, 200)]


def test_the_page_has_all_sections() -> None:
    lines = compare([SLOW], {"slow": measured(4)}, WORK, CEILINGS)
    grown = {"patches": {"slow": [Point(100, 2.0, 1e9)]}}
    text = page([SLOW], lines, WORK, 1, CEILINGS, Launches(11, 22, 33), grown)
    assert text.startswith("# Speed of training\n")
    assert "10 patients, 1,000 patches (100 to 100 a patient, median 100)" in text
    assert "11 operations forward and 22 backward, and 33 for a step" in text
    # 1,000 patches * 4 folds * 4 * 1024 * 256 = 4.19e9 operations.
    assert "| non-linear adapter, fp32 | 4.19 | 0.0082 | 0.0010 |" in text
    assert "## Growth with patches" in text


def test_a_busy_machine_is_named() -> None:
    from benchmarks.training.comparison import busy

    quiet = compare([SLOW], {"slow": measured(4, 5, 6)}, WORK, None)
    loaded = compare([SLOW, FAST], {"slow": measured(4, 5, 6), "fast": measured(1, 2, 3)}, WORK, None)
    assert busy(quiet) == ""
    assert busy(loaded) == (
        "The machine was busy: of 'fast one' the slowest round took 3.0 times as long as the fastest. "
        "Trust the ratios more than the seconds, or measure again."
    )
