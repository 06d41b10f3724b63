"""The made-up cohort has the sizes it should, and is the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.training.bags import from_memory, from_slide_files, write_slide_files
from benchmarks.training.cohort import make_cohort, say_sizes
from benchmarks.training.work import Work
from pydantic import ValidationError

SMALL = Work(cases=6, patches=40, features=8, width=4, heads=2, text=5, gene_groups=3, folds=3, background=4)


def test_sizes_are_log_normal_about_the_median() -> None:
    patches = np.array(make_cohort(Work(cases=2000, text=1, gene_groups=1)).patches)
    # The standard error of the median of 2,000 draws is 1.2533 * 0.78 / sqrt(2000) = 2.2 % of it.
    assert np.median(patches) == pytest.approx(6000, rel=0.07)
    assert np.log(patches).std() == pytest.approx(0.78, abs=0.04)
    # The mean of a log-normal is exp(0.78 ** 2 / 2) = 1.355 medians.
    assert patches.mean() == pytest.approx(1.355 * 6000, rel=0.08)


def test_sizes_stay_within_their_bounds() -> None:
    patches = make_cohort(Work(cases=300, patches=50, spread=3, most=200, text=1, gene_groups=1)).patches
    assert min(patches) == 1
    assert max(patches) == 200


def test_without_spread_every_patient_has_the_median() -> None:
    cohort = make_cohort(Work(cases=30, patches=7, spread=0))
    assert set(cohort.patches) == {7}
    assert {len(slides) for slides in cohort.slides} >= {1, 2}


def test_two_cohorts_of_the_same_work_are_equal_and_another_seed_differs() -> None:
    one, same, other = (
        make_cohort(SMALL),
        make_cohort(SMALL),
        make_cohort(SMALL.model_copy(update={"seed": 1})),
    )
    assert one.slides == same.slides
    for name in ("months", "event", "genes", "knowledge", "risk"):
        assert torch.equal(getattr(one, name), getattr(same, name))
    assert torch.equal(one.draw_bag(2), same.draw_bag(2))
    assert not torch.equal(one.genes, other.genes)


def test_a_larger_cohort_begins_with_the_smaller() -> None:
    small, large = make_cohort(SMALL), make_cohort(SMALL.model_copy(update={"cases": 9}))
    assert large.slides[:6] == small.slides
    assert torch.equal(large.draw_bag(5), small.draw_bag(5))
    assert torch.equal(large.months[:6], small.months)


def test_background_is_shared_and_statements_are_not() -> None:
    knowledge = make_cohort(SMALL).knowledge
    assert knowledge.shape == (6, 16, 5)
    assert torch.equal(knowledge[0, 12:], knowledge[1, 12:])
    assert (knowledge[0, :12] != knowledge[1, :12]).any(dim=1).all()


def test_no_feature_is_zero() -> None:
    cohort = make_cohort(SMALL)
    assert all((cohort.draw_bag(case) != 0).all() for case in range(6))


def test_each_patient_is_trained_on_in_all_folds_but_one() -> None:
    cohort = make_cohort(SMALL)
    visits = [case for fold in range(3) for case in cohort.training_cases(fold)]
    assert sorted(visits) == sorted(2 * list(range(6)))
    assert cohort.training_visits == len(visits) == 12


def test_files_give_the_bags_that_memory_gives(tmp_path: Path) -> None:
    cohort = make_cohort(SMALL)
    folder = write_slide_files(cohort, tmp_path)
    files = list(folder.iterdir())
    assert len(files) == sum(map(len, cohort.slides))
    # A file of a slide holds that slide only: 4 bytes a number, and at most 4 KB around them.
    assert sum(path.stat().st_size for path in files) < 4 * 8 * sum(cohort.patches) + 4096 * len(files)
    read, kept = from_slide_files(cohort, folder), from_memory(cohort, torch.device("cpu"))
    for case in range(6):
        assert torch.equal(read(case), kept(case))
    before = {path: path.stat().st_mtime_ns for path in files}
    assert write_slide_files(cohort, tmp_path) == folder
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_sizes_in_a_line() -> None:
    assert say_sizes([1000, 1, 5]) == "3 patients, 1,006 patches (1 to 1,000 a patient, median 5)"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"width": 10}, "width 10 is not a multiple of heads 4"),
        ({"fewest": 9, "most": 8}, "fewest patches 9 are more than most 8"),
        ({"background": 17}, "background 17 is more than all knowledge, 16"),
        ({"cases": 3}, "5 folds need as many patients; there are 3"),
    ],
)
def test_work_that_does_not_fit_together_is_refused(settings: dict[str, int], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Work(**settings)
