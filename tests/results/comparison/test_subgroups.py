"""C in parts of the patients, against counts within those parts and planted interactions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from compared_parts import half_the_truth, parts_of, true_risk

from kemm.core.cohort import Case, Cohort, Covariate, Outcome
from kemm.core.types import CaseId
from kemm.results.comparison.groupings import (
    Grouping,
    by_cut,
    by_level,
    by_main_stage,
    by_site,
    usual_groupings,
)
from kemm.results.comparison.matching import matched
from kemm.results.comparison.subgroups import subgroups
from kemm.survival.metrics import combined_concordance, count_pairs

NAMES = ("main", "clinical")
MODEL, REFERENCE = parts_of(true_risk), parts_of(half_the_truth)
CASES = sorted(case for part in MODEL for case in part.cases)
# Every other case of each fold, whatever its features.
SEX = by_level("sex", {case: ("F", "M")[(int(case[-4:]) // 5) % 2] for case in CASES})


def test_c_of_a_level_is_that_of_its_pairs_within_folds() -> None:
    found = subgroups(MODEL, REFERENCE, [SEX], names=NAMES, resamples=100, seed=0)
    for row in found.tables[0].rows:
        pairs = []
        for part in MODEL:
            here = np.array([SEX.level_of[case] == row.level for case in part.cases])
            pairs.append(count_pairs(part.months[here], part.event[here], part.risk[here]))
        assert row.model.value == pytest.approx(combined_concordance(pairs).c)
        assert row.gain.value == pytest.approx(row.model.value - row.reference.value)
        assert row.gain.low < row.gain.value < row.gain.high
    assert [row.cases for row in found.tables[0].rows] == [250, 250]
    assert sum(row.events for row in found.tables[0].rows) == found.whole.events
    assert found.whole.cases == 500
    assert (found.model, found.reference, found.tables[0].missing) == ("main", "clinical", 0)


def test_a_level_that_holds_everyone_is_the_whole() -> None:
    everyone = by_level("all", dict.fromkeys(CASES, "all"))
    found = subgroups(MODEL, REFERENCE, [everyone], names=NAMES, resamples=100, seed=0)
    assert found.tables[0].rows[0].gain.value == found.whole.gain.value


def test_a_gain_in_one_level_only_is_an_interaction_and_an_even_one_is_not() -> None:
    even = subgroups(MODEL, REFERENCE, [SEX], names=NAMES, resamples=300, seed=0).tables[0]
    assert even.rows[0].interaction is None
    assert even.rows[1].interaction.value == pytest.approx(even.rows[1].gain.value - even.rows[0].gain.value)
    assert even.rows[1].interaction.low < 0 < even.rows[1].interaction.high

    men_only = []
    for part, known in zip(MODEL, REFERENCE, strict=True):
        men = np.array([SEX.level_of[case] == "M" for case in part.cases])
        men_only.append(replace(part, risk=np.where(men, part.risk, known.risk)))
    uneven = subgroups(men_only, REFERENCE, [SEX], names=NAMES, resamples=300, seed=0).tables[0]
    women, men_row = uneven.rows
    assert (women.gain.value, women.gain.low, women.gain.high) == (0, 0, 0)
    assert men_row.interaction.low > 0


def test_few_events_are_a_dash_and_the_next_level_is_what_others_are_compared_with() -> None:
    few = dict.fromkeys(CASES[:8], "few")
    levels = {**{case: SEX.level_of[case] for case in CASES[8:-5]}, **few}
    grouping = Grouping("group", ("few", "F", "M", "nobody"), levels)
    table = subgroups(MODEL, REFERENCE, [grouping], names=NAMES, resamples=100, seed=0).tables[0]
    first, second, third, nobody = table.rows
    assert first.gain.value is None
    assert first.gain.reason == f"{first.events} events, fewer than 10"
    assert (first.cases, first.interaction) == (8, None)
    assert second.interaction is None
    assert third.interaction.value == pytest.approx(third.gain.value - second.gain.value)
    assert (nobody.cases, nobody.model.reason) == (0, "0 events, fewer than 10")
    assert table.missing == 5


def test_a_seed_repeats_the_intervals_and_levels_do_not_share_their_draws() -> None:
    one = subgroups(MODEL, REFERENCE, [SEX], names=NAMES, resamples=100, seed=3)
    assert subgroups(MODEL, REFERENCE, [SEX], names=NAMES, resamples=100, seed=3) == one
    # Two levels of equal patients: drawn alike, their gains would never differ.
    doubled = [
        replace(
            part,
            cases=(*(f"{case}-a" for case in part.cases), *(f"{case}-b" for case in part.cases)),
            **{
                name: np.concatenate([getattr(part, name)] * 2)
                for name in ("months", "event", "risk", "high", "survival")
            },
        )
        for part in MODEL
    ]
    lesser = [
        replace(part, risk=np.concatenate([known.risk] * 2))
        for part, known in zip(doubled, REFERENCE, strict=True)
    ]
    twins = by_level("twin", {case: case[-1] for part in doubled for case in part.cases})
    row = subgroups(doubled, lesser, [twins], names=NAMES, resamples=100, seed=0).tables[0].rows[1]
    assert row.interaction.value == 0
    assert row.interaction.low < 0 < row.interaction.high


def test_only_cases_that_both_predict_are_compared_in_one_order() -> None:
    part, other = MODEL[0], REFERENCE[0]
    rows = np.arange(len(other.cases))[::-1][10:]
    shuffled = replace(
        other,
        cases=tuple(other.cases[row] for row in rows),
        **{name: getattr(other, name)[rows] for name in ("months", "event", "risk", "high", "survival")},
    )
    (found,) = matched([part, MODEL[1]], [shuffled])
    assert found.model.cases == found.reference.cases == part.cases[:-10]
    assert found.reference.risk.tolist() == other.risk[:-10].tolist()
    assert found.model.months.tolist() == found.reference.months.tolist()
    assert matched([part], [replace(shuffled, fold=3)]) == []


# --- groupings


def test_groupings_are_fixed_by_the_values_alone() -> None:
    age = by_cut("age", {"a": 64.9, "b": 65.0, "c": None}, 65)
    assert (age.levels, dict(age.level_of)) == (
        ("below 65", "65 and above"),
        {"a": "below 65", "b": "65 and above"},
    )
    stage = by_main_stage("stage", {"a": 2.25, "b": 4.0, "c": 1.05, "d": None, "e": 0.0})
    assert stage.levels == ("stage 0", "stage I", "stage II", "stage IV")
    assert stage.level_of["a"] == "stage II"
    sites = by_site(dict(zip("abcdefg", ["X", "X", "Z", "Y", "W", None, "X"], strict=True)), largest=2)
    assert sites.levels == ("X", "W", "all other sites")
    assert sites.level_of == {
        "a": "X",
        "b": "X",
        "c": "all other sites",
        "d": "all other sites",
        "e": "W",
        "g": "X",
    }
    assert by_site({"a": "X", "b": "Y"}, largest=2).levels == ("X", "Y")


def test_the_usual_groupings_are_those_the_cohort_has() -> None:
    def case(number: int, **covariates: float | str | None) -> Case:
        return Case(
            id=CaseId(f"case-{number}"),
            cancer_type="KIRC",
            site=f"site-{number}",
            outcomes={"OS": Outcome(months=1.0, event=True)},
            covariates=covariates,
        )

    cases = (
        case(0, sex="F", age=70.0, stage=3.0, grade=1.0),
        case(1, sex=None, age=50.0, stage=1.25, grade=None),
    )
    covariates = (
        Covariate(name="sex", kind="categorical", levels=("F",)),
        Covariate(name="age", kind="numeric"),
        Covariate(name="stage", kind="ordinal", levels=("IA", "III")),
        Covariate(name="grade", kind="ordinal", levels=("G1", "G2")),
    )
    found = usual_groupings(Cohort(cases, "OS", covariates), age_cut=60)
    assert [each.variable for each in found] == ["sex", "age", "stage", "site"]
    assert [dict(each.level_of) for each in found] == [
        {"case-0": "F"},
        {"case-0": "60 and above", "case-1": "below 60"},
        {"case-0": "stage III", "case-1": "stage I"},
        {"case-0": "site-0", "case-1": "site-1"},
    ]
    assert [each.variable for each in usual_groupings(Cohort(cases, "OS", ()))] == ["site"]
