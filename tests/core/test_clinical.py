from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kemm.core.clinical import CohortReading, read_cohort
from kemm.core.cohort import CohortConfig
from kemm.core.errors import Faults, InputError, InvalidInput
from kemm.core.outcomes import trend

GOOD = """id,months,dead,age,sex,stage,site
NA,10,1,60,female,Stage I,A1
001,20.5,0,,male,Stage IIB,A1
1e5,3,1,71,female,Stage X,
b,44,0.0,55,male,[Discrepancy],B2
a,30,1.0,50.5,female,IV,B2
"""
OS = {"time": "months", "event": "dead"}
COVARIATES = {
    "age": {"kind": "numeric"},
    "sex": {"kind": "categorical"},
    "stage": {"kind": "ordinal", "order": "ajcc"},
}


def config(**changes: Any) -> CohortConfig:
    settings = {
        "table": "clinical.csv",
        "case": "id",
        "cancer_type": "KIRC",
        "site": "site",
        "endpoints": {"OS": OS},
        "covariates": COVARIATES,
    }
    return CohortConfig.model_validate(settings | changes)


def read(folder: Path, text: str = GOOD, **changes: Any) -> tuple[CohortReading | None, Faults]:
    (folder / "clinical.csv").write_text(text)
    faults = Faults()
    return read_cohort(config(**changes), lambda path: folder / path, faults), faults


def errors(folder: Path, text: str = GOOD, **changes: Any) -> list[str]:
    reading, faults = read(folder, text, **changes)
    assert reading is None
    return [str(fault) for fault in faults.errors]


def warnings_of(folder: Path, text: str = GOOD, **changes: Any) -> list[str]:
    reading, faults = read(folder, text, **changes)
    assert reading is not None, [str(fault) for fault in faults.errors]
    return [str(fault) for fault in faults.warnings]


def replaced(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


# --- what is right ----------------------------------------------------------------------------


def test_a_good_table_becomes_the_cohort_it_describes(tmp_path: Path) -> None:
    reading, _ = read(tmp_path)
    assert reading is not None
    cohort = reading.cohort
    assert cohort.ids == ["001", "1e5", "NA", "a", "b"]
    assert cohort.months.tolist() == [20.5, 3, 10, 30, 44]
    assert cohort.event.tolist() == [False, True, True, True, False]
    assert cohort.sites == ["A1", None, "A1", "B2", "B2"]
    assert [case.covariates["age"] for case in cohort.cases] == [None, 71, 60, 50.5, 55]
    assert [case.covariates["stage"] for case in cohort.cases] == [2.25, None, 1.0, 4.0, None]
    assert [case.covariates["sex"] for case in cohort.cases] == ["male", "female", "female", "female", "male"]
    assert [covariate.levels for covariate in cohort.covariates] == [
        (),
        ("female", "male"),
        ("Stage I", "Stage IIB", "IV"),
    ]
    assert reading.dropped == {}
    assert list(reading.table["id"]) == ["NA", "001", "1e5", "b", "a"]


def test_days_and_years_become_months(tmp_path: Path) -> None:
    # 30.4375 days a month, 12 months a year.
    for unit, expected in (("days", 10 / 30.4375), ("years", 120)):
        reading, _ = read(tmp_path, endpoints={"OS": OS | {"unit": unit}})
        assert reading is not None
        assert reading.cohort.cases[2].outcomes["OS"].months == pytest.approx(expected)


def test_an_endpoint_may_be_unknown_for_a_case_that_another_knows(tmp_path: Path) -> None:
    text = "id,months,dead,dss_months,dss\nx,5,1,5,1\ny,6,1,,\nz,7,0,7,\nw,9,0,0,1\n"
    endpoints = {"OS": OS, "DSS": {"time": "dss_months", "event": "dss"}}
    reading, faults = read(tmp_path, text, endpoints=endpoints, covariates={}, site=None)
    assert reading is not None, faults.errors
    assert [sorted(case.outcomes) for case in reading.cohort.cases] == [["OS"], ["DSS", "OS"], ["OS"], ["OS"]]


def test_cases_without_the_chosen_outcome_are_left_out_and_counted(tmp_path: Path) -> None:
    text = GOOD + "c,,1,60,male,IV,B2\nd,9,NA,60,male,IV,B2\ne,0,1,60,male,IV,B2\n"
    reading, _ = read(tmp_path, text)
    assert reading is not None
    assert len(reading.cohort) == 5
    assert reading.dropped == {"no OS outcome": 2, "zero follow-up": 1}
    assert len(reading.table) == 8


def test_zero_follow_up_may_be_kept_as_half_a_day(tmp_path: Path) -> None:
    reading, _ = read(tmp_path, GOOD + "e,0,1,60,male,IV,B2\n", zero_months="keep")
    assert reading is not None
    assert reading.dropped == {}
    assert reading.cohort.months[-1] == pytest.approx(0.5 / 30.4375)


def test_codes_may_be_words_and_settings_may_be_unquoted(tmp_path: Path) -> None:
    words = (
        GOOD.replace(",1,", ",Dead,")
        .replace(",0,", ",alive,")
        .replace(",0.0,", ",ALIVE,")
        .replace(",1.0,", ",dead,")
    )
    reading, _ = read(
        tmp_path, words, endpoints={"OS": OS | {"event_value": "Dead", "censored_value": "Alive"}}
    )
    assert reading is not None
    assert reading.cohort.event.sum() == 3
    reading, _ = read(tmp_path, endpoints={"OS": OS | {"event_value": 0, "censored_value": 1}})
    assert reading is not None
    assert reading.cohort.event.sum() == 2


def test_none_and_a_minus_are_answers_in_a_category(tmp_path: Path) -> None:
    text = GOOD.replace("female", "none").replace("male", "-")
    reading, _ = read(tmp_path, text)
    assert reading is not None
    assert reading.cohort.covariates[1].levels == ("-", "none")


def test_an_ordinal_takes_its_rank_from_the_order_given(tmp_path: Path) -> None:
    text = "id,months,dead,grade,ecog\na,5,1,g1,0\nb,6,1,G3,2.0\nc,7,0,GX,1\nd,8,0,,\n"
    covariates = {
        "grade": {"kind": "ordinal", "order": ["G1", "G2", "G3"]},
        "status": {"kind": "ordinal", "order": [0, 1, 2], "column": "ecog"},
    }
    reading, faults = read(tmp_path, text, covariates=covariates, site=None)
    assert reading is not None, faults.errors
    assert [case.covariates["grade"] for case in reading.cohort.cases] == [0.0, 2.0, None, None]
    assert [case.covariates["status"] for case in reading.cohort.cases] == [0.0, 2.0, 1.0, None]


def test_the_fingerprint_changes_with_every_outcome_site_and_covariate(tmp_path: Path) -> None:
    texts = [
        GOOD,
        *(replaced(*pair) for pair in (("20.5", "20"), ("A1", "A2"), ("71", "72"), ("44,0.0", "44,1"))),
    ]
    prints = []
    for text in [*texts, GOOD]:
        reading, _ = read(tmp_path, text)
        assert reading is not None
        prints.append(reading.cohort.fingerprint)
    assert prints[0] == prints[-1]
    assert len(set(prints)) == len(texts)


# --- what is wrong ----------------------------------------------------------------------------


def test_all_faults_are_told_in_one_message_each_with_its_place_and_remedy(tmp_path: Path) -> None:
    text = """id,months,dead,age,sex,stage,site
a,ten,1,60,female,Stage I,A1
a,-4,0,old,male,Stage V,A1
,inf,2,71,female,Stage X,B2
"""
    reading, faults = read(tmp_path, text)
    assert reading is None
    with pytest.raises(InvalidInput) as raised:
        faults.raise_if_any()
    message = str(raised.value)
    for expected in (
        "clinical.csv, row 3, column 'id': the case id is empty. Give every row its id",
        "clinical.csv, column 'id', case a: the case stands in 2 rows (rows 1, 2). A table has one row a case",
        "clinical.csv, row 1, column 'months', case a: 'ten' is not a time. Give a number of months",
        "clinical.csv, row 3, column 'months': 'inf' is not a time",
        "clinical.csv, row 2, column 'months', case a: -4 months of follow-up: a time cannot be negative",
        "1 cell neither '1' (event) nor '0' (censored), the first in row 3",
        "clinical.csv, row 2, column 'age', case a: 'old' is not a number, and 'age' is declared numeric",
        "clinical.csv, row 2, column 'stage', case a: 'Stage V' is not a stage on the ajcc order",
    ):
        assert expected in message
    assert message.startswith("9 faults in the input:")  # and: no case has an outcome


def test_a_missing_column_suggests_the_nearest_and_the_setting(tmp_path: Path) -> None:
    found = errors(
        tmp_path,
        endpoints={"OS": {"time": "month", "event": "deat"}},
        covariates={"years": {"kind": "numeric"}},
    )
    assert found == [
        "clinical.csv: there is no column 'month'. Did you mean 'months'? Set cohort.endpoints.OS.time in study.yaml.",
        "clinical.csv: there is no column 'deat'. Did you mean 'dead'? Set cohort.endpoints.OS.event in study.yaml.",
        (
            "clinical.csv: there is no column 'years'. Choose from: age, dead, id, months, sex, site, stage. "
            "Set cohort.covariates.years.column in study.yaml."
        ),
    ]


def test_a_column_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    found = errors(tmp_path, GOOD.replace("age,", "months,"), covariates={})
    assert found == [
        (
            "clinical.csv, column 'months': 2 columns have this name, so it is not clear which is meant. "
            "Rename or drop all but one."
        )
    ]


def test_a_missing_table_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "clinical.csv").write_text(GOOD)
    faults = Faults()
    assert read_cohort(config(table="clinica.csv"), lambda path: tmp_path / path, faults) is None
    assert "there is no such file; did you mean 'clinical.csv'?" in str(faults.errors[0])


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    assert errors(tmp_path, GOOD.split("\n")[0]) == [
        "clinical.csv: the table has a header but no rows. Give one row a case."
    ]


def test_the_same_wrong_text_in_many_cells_is_one_fault_that_names_the_rows(tmp_path: Path) -> None:
    text = GOOD.replace(",60,", ",old,").replace(",71,", ",old,").replace(",55,", ",60 years,")
    assert errors(tmp_path, text) == [
        (
            "clinical.csv, column 'age': 'old' is not a number, and 'age' is declared numeric (2 cells: rows 1, 3). "
            "Correct the cell (decimal point, no units), leave it empty, or set cohort.covariates.age.kind: categorical."
        ),
        (
            "clinical.csv, row 4, column 'age', case b: '60 years' is not a number, and 'age' is declared numeric. "
            "Correct the cell (decimal point, no units), leave it empty, or set cohort.covariates.age.kind: categorical."
        ),
    ]


def test_undeclared_event_codes_are_shown_with_their_counts_and_the_setting(tmp_path: Path) -> None:
    words = GOOD.replace(",1,", ",Dead,").replace(",0,", ",Alive,")
    (found,) = errors(tmp_path, words, covariates={})[:1]
    assert found == (
        "clinical.csv, column 'dead': 3 cells neither '1' (event) nor '0' (censored), the first in row 1 "
        "(case NA). The column holds 'Dead' in 2 rows, 'Alive' in 1 row, '0.0' in 1 row, '1.0' in 1 row. "
        "Declare the two values in study.yaml: cohort.endpoints.OS.event_value and "
        "cohort.endpoints.OS.censored_value; empty cells mean that the outcome is not known."
    )


def test_one_value_cannot_mean_both(tmp_path: Path) -> None:
    found = errors(tmp_path, endpoints={"OS": OS | {"censored_value": "1.0"}})
    assert "event_value and censored_value are both '1'" in found[0]
    assert "under cohort.endpoints.OS, which value means that the event happened" in found[0]


@pytest.mark.parametrize(
    ("dead", "expected"),
    [
        (
            "00000",
            "all 5 cases are censored for OS: there is nothing to learn from. Check cohort.endpoints.OS",
        ),
        ("00100", "only 1 of 5 cases has an event of OS; at least 2 are needed"),
        ("     ", "no case has an outcome of OS"),
    ],
)
def test_too_few_events_to_learn_from_are_refused(tmp_path: Path, dead: str, expected: str) -> None:
    rows = "".join(f"c{index},{index + 5},{status}\n" for index, status in enumerate(dead))
    (found,) = errors(tmp_path, "id,months,dead\n" + rows, covariates={}, site=None)
    assert expected in found


def test_another_endpoint_without_events_is_only_a_warning(tmp_path: Path) -> None:
    text = "id,months,dead,pfi\na,5,1,0\nb,6,1,0\n"
    found = warnings_of(
        tmp_path,
        text,
        endpoints={"OS": OS, "PFI": {"time": "months", "event": "pfi"}},
        covariates={},
        site=None,
    )
    assert any("all 2 cases are censored for PFI" in warning for warning in found)


def test_an_unknown_endpoint_is_refused(tmp_path: Path) -> None:
    (found,) = errors(tmp_path, endpoint="PFS")
    assert (
        found
        == "cohort.endpoint is 'PFS', which is not one of cohort.endpoints. In study.yaml, choose from: OS."
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cancer_type": None}, "the cancer type is not declared. Set cohort.cancer_type in study.yaml"),
        (
            {"cancer_type": "?"},
            "cohort.cancer_type in study.yaml is still a question. Answer it: a TCGA code",
        ),
        ({"cancer_type_column": "sex"}, "cohort.cancer_type and cohort.cancer_type_column are both set"),
        (
            {"cancer_type": None, "cancer_type_column": "site"},
            "clinical.csv, row 3, column 'site', case 1e5: the cancer type is missing",
        ),
    ],
)
def test_the_cancer_type_must_be_said_once(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    (found,) = errors(tmp_path, **changes)
    assert expected in found


def test_a_value_outside_the_order_is_named_with_the_order(tmp_path: Path) -> None:
    text = "id,months,dead,grade\na,5,1,G1\nb,6,1,High\nc,7,0,G2\n"
    covariates = {"grade": {"kind": "ordinal", "order": ["G1", "G2"]}}
    (found,) = errors(tmp_path, text, covariates=covariates, site=None)
    assert found == (
        "clinical.csv, row 2, column 'grade', case b: 'High' is not in the order of 'grade' (G1 < G2). "
        "Correct the cell, leave it empty, or add the value to cohort.covariates.grade.order in study.yaml."
    )


@pytest.mark.parametrize(
    ("order", "expected"),
    [(None, "the ordinal covariate 'stage' has no order"), (["I", "i"], "has a value twice: I, i")],
)
def test_an_ordinal_needs_an_order_without_repeats(tmp_path: Path, order: Any, expected: str) -> None:
    assert expected in errors(tmp_path, covariates={"stage": {"kind": "ordinal", "order": order}})[0]


def test_stage_groups_and_t_categories_do_not_mix(tmp_path: Path) -> None:
    (found,) = errors(tmp_path, replaced("Stage IIB", "T2"))
    assert "'stage' mixes stage groups with T, N or M categories" in found


# --- what is doubtful -------------------------------------------------------------------------


def test_fewer_than_a_hundred_events_are_a_warning(tmp_path: Path) -> None:
    assert any("OS has 3 events, fewer than 100" in warning for warning in warnings_of(tmp_path))


def test_sites_and_times_that_are_missing_are_warnings(tmp_path: Path) -> None:
    found = warnings_of(tmp_path, GOOD + "c,,1,60,male,IV,B2\nd,,1,60,male,IV,B2\n")
    assert any("the site is missing in 1 of 7 cases" in warning for warning in found)
    assert any(
        "2 cases with an event but no time, and so no OS outcome: c, d" in warning for warning in found
    )


@pytest.mark.parametrize(
    ("unit", "factor", "looks"),
    [
        ("months", 30.4375, "days"),
        ("months", 0.04, "years"),
        ("days", 1, "months"),
        ("years", 12, "months or days"),
    ],
)
def test_a_unit_that_does_not_fit_the_numbers_is_doubted(
    tmp_path: Path, unit: str, factor: float, looks: str
) -> None:
    rows = "".join(f"c{i},{months * factor},{i % 2}\n" for i, months in enumerate([9, 14, 22, 31, 47, 60]))
    found = warnings_of(
        tmp_path, "id,months,dead\n" + rows, endpoints={"OS": OS | {"unit": unit}}, covariates={}, site=None
    )
    assert any(
        f"{unit} looks like {looks}. If so, set cohort.endpoints.OS.unit" in warning for warning in found
    )


def test_a_covariate_that_says_nothing_is_named_and_an_empty_one_left_out(tmp_path: Path) -> None:
    text = "id,months,dead,grade,sex\na,5,1,,f\nb,6,1,[Not Available],f\nc,7,0,NA,f\n"
    covariates = {"grade": {"kind": "categorical"}, "sex": {"kind": "categorical"}}
    reading, faults = read(tmp_path, text, covariates=covariates, site=None)
    assert reading is not None
    assert [covariate.name for covariate in reading.cohort.covariates] == ["sex"]
    found = [str(warning) for warning in faults.warnings]
    assert any("the covariate 'grade' is missing in every case, and is left out" in each for each in found)
    assert any("the covariate 'sex' is the same in every case ('f')" in each for each in found)


def test_a_category_of_many_values_is_doubted(tmp_path: Path) -> None:
    rows = "".join(f"c{i},{i + 5},{i % 2},v{i}\n" for i in range(60))
    found = warnings_of(
        tmp_path, "id,months,dead,note\n" + rows, covariates={"note": {"kind": "categorical"}}, site=None
    )
    assert any("'note' has 60 different values in 60 cases" in warning for warning in found)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("months", "numeric"), ("days", "numeric"), ("status", "categorical"), ("died", "numeric")],
)
def test_a_covariate_that_is_the_outcome_is_found(tmp_path: Path, name: str, kind: str) -> None:
    rows = "".join(
        f"c{i},{i + 5},{i % 2},{(i + 5) * 30.4},{'Dead' if i % 2 else 'Alive'},{i % 2}\n" for i in range(40)
    )
    found = warnings_of(
        tmp_path, "id,months,dead,days,status,died\n" + rows, covariates={name: {"kind": kind}}, site=None
    )
    assert any(f"the covariate {name!r} tells the outcome" in warning for warning in found)


def simulated(rng: np.random.Generator, cases: int, event_share: float, severity: float) -> pd.DataFrame:
    """Exponential deaths, faster with every stage, and uniform censoring that knows nothing of stages."""
    stage = rng.integers(1, 5, cases)
    death = rng.exponential(60 / np.exp(severity * (stage - 2.5)))
    censoring = rng.uniform(0, np.quantile(death, event_share) * 2, cases)
    return pd.DataFrame(
        {
            "id": [f"c{index}" for index in range(cases)],
            "months": np.minimum(death, censoring) + 0.01,
            "dead": (death <= censoring).astype(int),
            "stage": stage,
        }
    )


STAGE = {"stage": {"kind": "ordinal", "order": ["1", "2", "3", "4"]}}
EXCHANGED = {"event_value": "0", "censored_value": "1"}


@pytest.mark.parametrize("seed", range(5))
def test_an_exchanged_coding_is_found_from_the_stage_and_a_right_one_is_not_doubted(
    tmp_path: Path, seed: int
) -> None:
    frame = simulated(np.random.default_rng(seed), 400, 0.4, 0.8).rename(columns={"dead": "status"})
    text = frame.to_csv(index=False)
    for coding, doubted in ({}, False), (EXCHANGED, True):
        endpoints = {"OS": {"time": "months", "event": "status"} | coding}
        found = warnings_of(tmp_path, text, endpoints=endpoints, covariates=STAGE, site=None)
        doubts = [warning for warning in found if "may be exchanged" in warning]
        assert bool(doubts) is doubted
        if doubted:
            assert "a worse stage goes with earlier censoring" in doubts[0]
            assert (
                "exchange event_value ('0') and censored_value ('1') under cohort.endpoints.OS" in doubts[0]
            )


@pytest.mark.parametrize(
    ("column", "coding", "reason"),
    [
        ("censorship", {}, "the column 'censorship' seems to say who is censored"),
        ("is_dead", EXCHANGED, "the column 'is_dead' seems to say who had an event"),
        ("vital", {"event_value": "Alive", "censored_value": "Dead"}, "'Alive' is declared to be an event"),
    ],
)
def test_names_and_words_that_contradict_the_declaration_are_doubted(
    tmp_path: Path, column: str, coding: dict[str, str], reason: str
) -> None:
    values = ("Alive", "Dead") if column == "vital" else ("0", "1")
    rows = "".join(f"c{i},{i + 5},{values[i % 2]}\n" for i in range(10))
    endpoints = {"OS": {"time": "months", "event": column} | coding}
    found = warnings_of(
        tmp_path, f"id,months,{column}\n" + rows, endpoints=endpoints, covariates={}, site=None
    )
    assert any(reason in warning for warning in found)


def test_very_many_events_are_doubted_unless_the_stage_supports_them(tmp_path: Path) -> None:
    frame = simulated(np.random.default_rng(0), 400, 0.97, 0.8)
    assert frame["dead"].mean() > 0.8
    text = frame.to_csv(index=False)
    alone = warnings_of(tmp_path, text, covariates={}, site=None)
    assert any("of the cases have the event, which is unusual" in warning for warning in alone)
    supported = warnings_of(tmp_path, text, covariates=STAGE, site=None)
    assert not any("exchanged" in warning for warning in supported)


def test_the_trend_of_a_hand_worked_case() -> None:
    # Times 1 2 3, all events, ranks 1 0 0. At risk at 1: mean 1/3, variance 2/9; later: rank 0 only.
    # Score 1 - 1/3 = 2/3; z = (2/3) / sqrt(2/9) = sqrt(2).
    months, event = np.array([3.0, 1.0, 2.0]), np.array([True, True, True])
    assert trend(months, event, np.array([0.0, 1.0, 0.0])) == pytest.approx(2**0.5)
    assert trend(months, ~event, np.array([0.0, 1.0, 0.0])) == 0


# --- real data, and size ----------------------------------------------------------------------

DATA = Path(os.environ.get("KEMM_DATA") or Path(__file__).parents[3] / "shared" / "data")


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here (set KEMM_DATA)")
@pytest.mark.parametrize(
    ("name", "cases", "events"), [("BRCA", 1078, 151), ("LUAD", 509, 183), ("KIRC", 535, 177)]
)
def test_the_real_cohorts_are_read_whole_and_their_exchanged_coding_is_found(
    tmp_path: Path, name: str, cases: int, events: int
) -> None:
    table = pd.read_csv(DATA / "tcga" / name / "clinical.csv", dtype=str, keep_default_na=False)
    # Only the stage can tell: the names of the columns are out of the way.
    neutral = {"event": "os", "dss_event": "dss", "pfi_event": "pfi"}
    table.rename(columns=neutral).to_csv(tmp_path / "clinical.csv", index=False)
    for coding, expected in ({}, events), (EXCHANGED, cases - events):
        endpoints = {
            each.upper(): {"time": f"{each}_months", "event": each} | coding for each in ("os", "dss", "pfi")
        }
        faults = Faults()
        settings = config(
            case="case_id",
            cancer_type=name,
            site="site_code",
            endpoints=endpoints,
            covariates={"age": {"kind": "numeric"}, "stage": {"kind": "ordinal", "order": "ajcc"}},
        )
        reading = read_cohort(settings, lambda path: tmp_path / path, faults)
        assert reading is not None, [str(fault) for fault in faults.errors]
        assert len(reading.cohort) == cases
        assert int(reading.cohort.event.sum()) == expected
        doubts = [str(each) for each in faults.warnings if "may be exchanged" in str(each)]
        assert len(doubts) == (3 if coding else 0)


def test_ten_thousand_rows_are_read(tmp_path: Path) -> None:
    frame = simulated(np.random.default_rng(1), 10_000, 0.4, 0.8).assign(site="A", age=61.5, sex="f")
    (tmp_path / "clinical.csv").write_text(frame.to_csv(index=False))
    faults = Faults()
    settings = config(covariates=COVARIATES)
    reading = read_cohort(settings, lambda path: tmp_path / path, faults)
    assert reading is not None
    assert len(reading.cohort) == 10_000


def test_an_error_while_reading_is_collected_like_the_others(tmp_path: Path) -> None:
    def refuse(path: str) -> Path:
        raise InputError(f"{path}: no")

    faults = Faults()
    assert read_cohort(config(), refuse, faults) is None
    assert [str(fault) for fault in faults.errors] == ["clinical.csv: no"]
