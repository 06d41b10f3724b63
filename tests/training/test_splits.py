"""Folds: nobody on two sides, no hospital in both parts, every case tested once, events shared out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from kemm.core.cohort import Case, Cohort, Outcome
from kemm.core.errors import InputError, InvalidInput, PolicyError, UsageError
from kemm.core.files import resolve
from kemm.core.types import CaseId
from kemm.training.splits import (
    Fold,
    FoldsConfig,
    fold_kind,
    folds_frame,
    inner_parts,
    make_folds,
)


def cohort_of(event: Sequence[bool], sites: Sequence[str | None] | None = None) -> Cohort:
    """Cases c00, c01, ... whose outcomes are as given."""
    return Cohort(
        tuple(
            Case(
                id=CaseId(f"c{row:02d}"),
                cancer_type="KIRC",
                site=sites[row] if sites else None,
                outcomes={"OS": Outcome(months=float(row + 1), event=happened)},
                covariates={},
            )
            for row, happened in enumerate(event)
        ),
        "OS",
        (),
    )


def nowhere(path: str) -> Path:
    raise AssertionError(f"nothing is read for these folds, but {path}")


def made(cohort: Cohort, **settings: object) -> list[Fold]:
    return make_folds(FoldsConfig.model_validate(settings), cohort, nowhere)


counts = st.integers(2, 5)


@st.composite
def cohorts(draw: st.DrawFn, with_sites: bool = False) -> tuple[Cohort, int]:
    """A cohort that is large enough for its number of folds."""
    count = draw(counts)
    event = [True] * draw(st.integers(2 * count, 30)) + [False] * draw(st.integers(0, 40))
    event = draw(st.permutations(event))
    if not with_sites:
        return cohort_of(event), count
    names = draw(st.lists(st.sampled_from([*"ABCDEFGHIJ", None]), min_size=len(event), max_size=len(event)))
    return cohort_of(event, names), count


def check_partition(folds: Sequence[Fold], cohort: Cohort) -> None:
    """Every case is tested once, and trains wherever it is not tested."""
    everyone = set(range(len(cohort)))
    assert sorted(row for fold in folds for row in fold.test) == sorted(everyone)
    for fold in folds:
        assert set(fold.train) == everyone - set(fold.test)


# --- properties --------------------------------------------------------------------------------


@given(cohorts(), st.integers(0, 100))
def test_stratified_folds_share_out_cases_and_events_evenly(made_up: tuple[Cohort, int], seed: int) -> None:
    cohort, count = made_up
    folds = made(cohort, kind="stratified", count=count, seed=seed)
    check_partition(folds, cohort)
    sizes = [len(fold.test) for fold in folds]
    events = [int(cohort.event[list(fold.test)].sum()) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    assert max(events) - min(events) <= 1
    assert folds == made(cohort, kind="stratified", count=count, seed=seed)


@given(cohorts(with_sites=True), st.integers(0, 100))
def test_site_disjoint_folds_never_share_a_site(made_up: tuple[Cohort, int], seed: int) -> None:
    cohort, count = made_up
    try:
        folds = made(cohort, kind="site", count=count, seed=seed)
    except InputError:
        reject()  # sites cannot be cut: there are too few, or one holds nearly all events
    check_partition(folds, cohort)
    for fold in folds:
        # Cases without a known site are kept together, too.
        assert not {cohort.sites[row] for row in fold.train} & {cohort.sites[row] for row in fold.test}


@given(st.lists(st.booleans(), min_size=6, max_size=60), counts, st.integers(0, 100))
def test_inner_parts_are_a_partition_balanced_in_events(event: list[bool], count: int, seed: int) -> None:
    happened = np.array(event)
    parts = inner_parts(happened, count, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(event)))
    events = [int(happened[part].sum()) for part in parts]
    assert max(events) - min(events) <= 1


@given(cohorts())
def test_the_order_of_cases_shapes_the_folds_only_through_their_places(made_up: tuple[Cohort, int]) -> None:
    # Outcomes other than the event, and names, do not.
    cohort, count = made_up
    renamed = Cohort(
        tuple(
            Case(
                id=CaseId(f"x{row}"),
                cancer_type="LUAD",
                site=None,
                outcomes={"OS": Outcome(months=100.0 - row, event=bool(cohort.event[row]))},
                covariates={},
            )
            for row in range(len(cohort))
        ),
        "OS",
        (),
    )
    assert made(cohort, count=count) == made(renamed, count=count)


# --- hand-worked -------------------------------------------------------------------------------


def test_sites_are_dealt_largest_first_to_the_emptiest_fold() -> None:
    # Events 6, 4, 3, 2, 1 of ten, eight, six, four and two cases, half of each: A | B, then C joins B
    # (4 < 6), D joins A (6 < 7), E joins B (7 < 8).
    sites = ["A"] * 12 + ["B"] * 8 + ["C"] * 6 + ["D"] * 4 + ["E"] * 2
    cohort = cohort_of([True, False] * 16, sites)
    folds = made(cohort, kind="site", count=2)
    parts = [{cohort.sites[row] for row in fold.test} for fold in folds]
    assert parts == [{"A", "D"}, {"B", "C", "E"}]


def test_another_seed_gives_other_stratified_folds() -> None:
    cohort = cohort_of([True, False] * 15)
    assert made(cohort, seed=0) != made(cohort, seed=1)


def test_folds_are_by_site_where_sites_are_known_and_stratified_where_not() -> None:
    known = cohort_of([True, False] * 4, list("ABCDABCD"))
    unknown = cohort_of([True, False] * 4)
    assert fold_kind(FoldsConfig(), known) == "site-disjoint"
    assert fold_kind(FoldsConfig(), unknown) == "stratified"
    assert fold_kind(FoldsConfig(kind="stratified"), known) == "stratified"
    assert fold_kind(FoldsConfig(files="{fold}.csv"), known) == "given"


def test_too_few_sites_are_told_with_what_to_do() -> None:
    cohort = cohort_of([True] * 6, ["A", "A", "A", "B", "B", "B"])
    with pytest.raises(
        InputError,
        match=r"at least as many sites as folds: 2 sites, 5 folds\. Set folds\.count lower, or folds\.kind: stratified",
    ):
        made(cohort, kind="site")


def test_one_site_is_counted_in_the_singular() -> None:
    with pytest.raises(InputError, match=r": 1 site, 2 folds\."):
        made(cohort_of([True] * 6, ["A"] * 6), kind="site", count=2)


def test_folds_by_site_without_sites_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"need to know each case's site\. Name its column in cohort\.site, or"
    ):
        made(cohort_of([True] * 6), kind="site", count=2)


def test_a_fold_with_one_event_or_none_is_told() -> None:
    # Three events over two folds: two and one.
    cohort = cohort_of([True, True, True, *[False] * 7])
    with pytest.raises(InvalidInput) as caught:
        made(cohort, kind="stratified", count=2)
    assert [str(fault) for fault in caught.value.faults] == [
        "fold 0 has 1 event in its training part of 5 cases. "
        "Set folds.count lower, so that every part has two events or more.",
        "fold 1 has 1 event in its test part of 5 cases. "
        "Set folds.count lower, so that every part has two events or more.",
    ]


def test_a_site_that_holds_all_events_is_told() -> None:
    cohort = cohort_of([True] * 4 + [False] * 4, ["A"] * 4 + ["B"] * 4)
    with pytest.raises(InvalidInput) as caught:
        made(cohort, kind="site", count=2)
    assert (
        "fold 1 has no events in its test part of 4 cases. Set folds.count lower, or folds.kind: strat"
        in str(caught.value)
    )


# --- given -------------------------------------------------------------------------------------


def written(folder: Path, *folds: dict[str, str]) -> None:
    for index, fold in enumerate(folds):
        pd.DataFrame({"case_id": list(fold), "split": list(fold.values())}).to_csv(
            folder / f"fold_{index}.csv", index=False
        )


def given_folds(folder: Path, cohort: Cohort, count: int = 2) -> list[Fold]:
    config = FoldsConfig(files="fold_{fold}.csv", count=count)
    return make_folds(config, cohort, lambda path: resolve(path, folder))


SIX = cohort_of([True] * 6)
FIRST = {"c00": "test", "c01": "test", "c02": "train", "c03": "train", "c04": "train", "c05": "train"}
SECOND = {"c00": "train", "c01": "train", "c02": "test", "c03": "test", "c04": "test", "c05": "test"}


def test_given_folds_are_taken_as_they_are(tmp_path: Path) -> None:
    written(tmp_path, FIRST, SECOND)
    assert given_folds(tmp_path, SIX) == [
        Fold(index=0, test=(0, 1), train=(2, 3, 4, 5)),
        Fold(index=1, test=(2, 3, 4, 5), train=(0, 1)),
    ]


def test_val_is_the_outer_part_where_there_is_no_test_and_trains_where_there_is(tmp_path: Path) -> None:
    only_val = FIRST | {"c00": "val", "c01": " Val "}
    both = SECOND | {"c00": "val"}
    written(tmp_path, only_val, both)
    first, second = given_folds(tmp_path, SIX)
    assert first.test == (0, 1)
    assert (second.train, second.test) == ((0, 1), (2, 3, 4, 5))


def test_cases_of_other_cohorts_in_a_fold_are_passed_over(tmp_path: Path) -> None:
    written(tmp_path, FIRST | {"stranger": "test"}, SECOND)
    assert given_folds(tmp_path, SIX)[0].test == (0, 1)


def test_cases_that_a_fold_does_not_name_are_in_neither_part(tmp_path: Path) -> None:
    shorter = {case: split for case, split in FIRST.items() if case != "c05"}
    written(tmp_path, shorter, SECOND)
    first = given_folds(tmp_path, SIX)[0]
    assert 5 not in (*first.train, *first.test)


def test_a_patient_on_both_sides_or_tested_twice_is_told_with_names(tmp_path: Path) -> None:
    written(tmp_path, FIRST, SECOND | {"c01": "test"})
    pd.concat(
        [pd.read_csv(tmp_path / "fold_0.csv"), pd.DataFrame({"case_id": ["c02"], "split": ["test"]})]
    ).to_csv(tmp_path / "fold_0.csv", index=False)
    with pytest.raises(InvalidInput) as caught:
        given_folds(tmp_path, SIX)
    told = [str(fault) for fault in caught.value.faults]
    assert told[:2] == [
        "fold 0 trains and tests on the same cases: c02. A patient may be on one side only.",
        "fold 1 tests cases another fold tests too: c01, c02. Each patient may be tested once.",
    ]
    assert "Divide the cases otherwise, so that every part has two events or more." in told[2]


def test_all_bad_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "fold_0.csv").write_text("case,split\nc00,test\n")
    (tmp_path / "fold_1.csv").write_text("case_id,split\nc00,test\nc01,tset\n")
    (tmp_path / "fold_3.csv").write_text("case_id,split\n")
    (tmp_path / "fold_4.csv").write_text("case_id,split\nx1,test\nc01,train\n")
    with pytest.raises(InvalidInput) as caught:
        given_folds(tmp_path, SIX, count=5)
    told = [str(fault).replace(f"{tmp_path}/", "") for fault in caught.value.faults]
    assert told == [
        "fold_0.csv: one column must be called 'case_id'; did you mean 'case'? "
        "Each fold's table says train or test for every case.",
        "fold_1.csv, row 2, column 'split': 'tset' is not train, val or test. Write one of them.",
        "fold_2.csv: there is no such file; did you mean 'fold_4.csv'?",
        "fold_3.csv: the table has a header but no rows. Give one row a case.",
        "fold_4.csv: no case of the cohort is in the test part. "
        "The file's ids look like 'x1', the cohort's like 'c00'. Give both the same ids.",
    ]


def test_a_path_out_of_the_study_is_refused(tmp_path: Path) -> None:
    config = FoldsConfig(files="../fold_{fold}.csv", count=2)
    with pytest.raises(InvalidInput, match="points outside the study folder") as caught:
        make_folds(config, SIX, lambda path: resolve(path, tmp_path))
    assert caught.value.exit_code == PolicyError.exit_code


def test_files_need_a_place_for_the_number_of_the_fold() -> None:
    with pytest.raises(UsageError, match=r"folds\.files is 'folds\.csv'; write \{fold\} where the number"):
        made(SIX, files="folds.csv")
    with pytest.raises(UsageError, match=r'folds\.kind is "files", but folds\.files is not set'):
        made(SIX, kind="files")


def test_the_table_of_folds_has_a_row_a_case_and_fold(tmp_path: Path) -> None:
    written(tmp_path, FIRST, SECOND)
    frame = folds_frame(given_folds(tmp_path, SIX), SIX)
    assert list(frame.columns) == ["fold", "case_id", "split"]
    assert len(frame) == 12
    assert frame[(frame["fold"] == 0) & (frame["split"] == "test")]["case_id"].tolist() == ["c00", "c01"]
