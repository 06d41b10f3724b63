"""From what each fold found to drivers, attention and the stories of some cases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kemm.core.cohort import Case, Cohort, Covariate, Outcome
from kemm.core.types import CaseId, Statement
from kemm.results.explanation import Findings, attention_pairs, build_explanation, drivers
from kemm.results.predictions import Predictions
from kemm.results.records import CaseStory, Explanation
from kemm.training.comparators import ModelSpec
from kemm.training.splits import Fold

MODEL = ModelSpec(
    name="main",
    title="Main",
    description="",
    role="kemm",
    inputs=("report", "genes", "slides", "covariates"),
    views=(),
)


def effect(case: str, modality: str, name: str, size: float) -> dict[str, Any]:
    return {"case": case, "modality": modality, "name": name, "effect": size, "statement": None}


def look(query: str, key: str, weight: float, cases: int) -> dict[str, Any]:
    return {"modality": "genes", "query": query, "key": key, "weight": weight, "cases": cases}


# --- drivers ---------------------------------------------------------------------------------


def test_a_driver_is_the_mean_of_its_effects_over_the_cases_that_have_it() -> None:
    sizes = [0.5, -0.1, 0.3, 0.2, 0.1]
    (driver,) = drivers([effect(f"c{k}", "report", "grade", size) for k, size in enumerate(sizes)])
    assert (driver.name, driver.modality, driver.cases) == ("grade", "report", 5)
    assert driver.mean_effect == pytest.approx(0.2)
    assert driver.mean_abs_effect == pytest.approx(0.24)


def test_drivers_come_strongest_first_whatever_their_sign() -> None:
    found = drivers(
        [effect(f"c{k}", "covariates", "age", -0.6) for k in range(5)]
        + [effect(f"c{k}", "report", "grade", 0.4) for k in range(5)]
        + [effect(f"c{k}", "genes", "age", 0.1) for k in range(5)]
    )
    assert [(one.modality, one.name) for one in found] == [
        ("covariates", "age"),
        ("report", "grade"),
        ("genes", "age"),
    ]


def test_what_fewer_than_five_cases_have_is_an_anecdote() -> None:
    four = [effect(f"c{k}", "report", "sarcomatoid", 3.0) for k in range(4)]
    assert drivers(four) == []
    assert len(drivers([*four, effect("c4", "report", "sarcomatoid", 3.0)])) == 1


def test_drivers_of_equal_strength_are_in_the_order_of_their_names() -> None:
    found = drivers([effect(f"c{k}", "genes", name, 0.2) for name in ("b", "c", "a") for k in range(5)])
    assert [one.name for one in found] == ["a", "b", "c"]


# --- attention -------------------------------------------------------------------------------


def test_pairs_of_folds_are_weighted_by_their_cases() -> None:
    (pair,) = attention_pairs([look("grade", "DNA repair", 2.0, 30), look("grade", "DNA repair", 1.0, 10)])
    assert (pair.query, pair.key) == ("grade", "DNA repair")
    assert pair.weight == pytest.approx(1.75)


def test_pairs_come_by_how_far_above_an_even_share_and_rare_ones_are_left_out() -> None:
    found = attention_pairs(
        [look("pT", "x", 1.2, 40), look("pT", "y", 3.0, 40), look("pN", "x", 9.0, 4), look("pN", "y", 2.0, 5)]
    )
    assert [(one.query, one.key) for one in found] == [("pT", "y"), ("pN", "y"), ("pT", "x")]


# --- stories ---------------------------------------------------------------------------------


CASES = 24
SEEDS = (0, 1)


def cohort() -> Cohort:
    cases = tuple(
        Case(
            id=CaseId(f"case-{row:02d}"),
            cancer_type="KIRC",
            site=None,
            outcomes={"OS": Outcome(months=10.0 + row, event=row % 2 == 0)},
            covariates={"age": 40.0 + row, "stage": None if row == 0 else 2.0, "sex": "female"},
        )
        for row in range(CASES)
    )
    covariates = (
        Covariate(name="age", kind="numeric"),
        Covariate(name="stage", kind="ordinal", levels=("I", "II", "III", "IV")),
        Covariate(name="sex", kind="categorical", levels=("female", "male")),
    )
    return Cohort(cases, "OS", covariates)


FOLDS = [
    Fold(index=0, train=tuple(range(12, 24)), test=tuple(range(12))),
    Fold(index=1, train=tuple(range(12)), test=tuple(range(12, 24))),
]


def frame(spread: Mapping[int, float] | None = None) -> pd.DataFrame:
    """Risk rises with the row within each fold, on another scale in each; seeds differ by twice `spread`."""
    rows = []
    for row in range(CASES):
        for seed in SEEDS:
            risk = (
                row % 12
                + (100 if row >= 12 else 0)
                + (-1) ** seed * (spread or {}).get(row, 0.01 * (row + 1))
            )
            rows.append(
                {
                    "model": "main",
                    "fold": int(row >= 12),
                    "seed": seed,
                    "case_id": f"case-{row:02d}",
                    "risk": float(risk),
                    "threshold": 0.0,
                    "survival@0": 1.0,
                    "survival@12": 0.9 - row / 100,
                    "survival@24": 0.8 - row / 100,
                }
            )
    return pd.DataFrame(rows)


GRADE = Statement(kind="grade", text="Tumour grade: G3", value="3", quote="Grade 3", start=0, end=7)
PROSE = Statement(kind="sentence", text="Capsule is involved.", quote="Capsule is involved.", start=9, end=29)


def findings(effects: Sequence[Mapping[str, Any]] = ()) -> Findings:
    return Findings.of(
        [
            {
                "effects": list(effects),
                "looks": [look("grade", "DNA repair", 2.0, 12)],
                "looked_at": {"case-11": {"grade": ["DNA repair", "Hypoxia"]}},
                "patches": {"case-11": [[17, 3.14159], [4, 1.5]]},
            },
            {"effects": [], "looks": [], "looked_at": {}, "patches": {"case-23": [[2, 2.0]]}},
        ]
    )


def explained(
    found: Findings | None = None,
    table: pd.DataFrame | None = None,
    statements: Mapping[str, Sequence[Statement]] | None = None,
) -> Explanation:
    predictions = Predictions(frame() if table is None else table, cohort(), FOLDS)
    return build_explanation(
        found or findings(),
        predictions,
        MODEL,
        {"case-11": [GRADE, PROSE]} if statements is None else statements,
        [12.0, 18.0],
    )


def story(found: Explanation, case: str) -> CaseStory:
    return next(one for one in found.cases if one.case == case)


def test_stories_are_of_the_highest_and_lowest_of_their_folds_and_the_surest_and_least_sure() -> None:
    """Ranks are within folds: the second fold's risks are all larger by 100, and that means nothing."""
    chosen = {one.case: one.certainty for one in explained().cases}
    assert chosen == {
        "case-23": "highest risk",
        "case-11": "highest risk",
        "case-00": "lowest risk",
        "case-12": "lowest risk",
        "case-01": "most certain",
        "case-02": "most certain",
        "case-22": "least certain",
        "case-21": "least certain",
    }


def test_a_case_that_is_chosen_twice_is_told_once() -> None:
    spread = dict.fromkeys(range(CASES), 0.5) | {23: 9.0, 11: 8.0, 0: 0.0}
    cases = [one.case for one in explained(table=frame(spread)).cases]
    assert len(cases) == len(set(cases)) == 8


def test_the_same_findings_are_told_in_the_same_way_whatever_the_order_of_rows() -> None:
    effects = [effect(f"case-{k:02d}", "report", "grade", 0.1 * k) for k in range(12)]
    shuffled = frame().sample(frac=1, random_state=0)
    assert explained(findings(effects), shuffled) == explained(findings(effects))


def test_a_story_gives_risk_outcome_and_survival() -> None:
    told = story(explained(), "case-11")
    assert (told.months, told.event, told.fold) == (21, False, 0)
    assert told.risk == pytest.approx(11)
    assert told.risk_percentile == 100
    assert told.spread == pytest.approx(0.12)
    # Half way between 12 and 24 months: 0.79 and 0.69.
    assert told.survival == {"12": pytest.approx(0.79), "18": pytest.approx(0.74)}
    assert story(explained(), "case-00").risk_percentile == 0


def test_covariates_are_shown_as_a_reader_knows_them() -> None:
    assert story(explained(), "case-11").covariates == {"age": "51", "stage": "III", "sex": "female"}
    assert story(explained(), "case-00").covariates["stage"] == "not known"


def test_a_storys_effects_are_its_own() -> None:
    effects = [
        effect("case-11", "report", "grade", 0.7),
        effect("case-00", "report", "grade", -0.2),
        effect("case-11", "covariates", "age", 0.3),
        effect("case-11", "genes", "DNA repair", -0.1),
        effect("case-11", "genes", "Hypoxia", 0.4),
        effect("case-11", "slides", "all patches", 0.2),
    ]
    told = story(explained(findings(effects)), "case-11")
    grade, prose = told.statements
    assert (grade.kind, grade.quote, grade.start, grade.end) == ("grade", "Grade 3", 0, 7)
    assert grade.effect == 0.7
    assert grade.looked_at == ["DNA repair", "Hypoxia"]
    assert prose.effect is None, "sentences are left out together, so no one of them has an effect of its own"
    assert told.covariate_effects == {"age": 0.3}
    assert [(one.name, one.mean_effect) for one in told.gene_groups] == [
        ("Hypoxia", 0.4),
        ("DNA repair", -0.1),
    ]
    assert [one.name for one in told.slide_tokens] == [
        "all patches",
        "patch 17 (3.1 times the even share)",
        "patch 4 (1.5 times the even share)",
    ]
    assert told.missing == []


def test_what_a_case_does_not_have_is_named() -> None:
    effects = [effect("case-00", "genes", "Hypoxia", 0.4)]
    found = explained(findings(effects))
    assert story(found, "case-00").missing == ["report", "slides"]
    assert story(found, "case-11").missing == ["genes", "slides"]
    assert story(found, "case-00").statements == []


def test_a_report_from_which_nothing_was_refined_is_not_missing() -> None:
    found = explained(findings([effect("case-00", "report", "report", 0.1)]))
    assert "report" not in story(found, "case-00").missing


def test_with_one_seed_nobody_is_more_certain_than_another_and_stories_are_still_told() -> None:
    one_seed = frame()[lambda table: table["seed"] == 0]
    found = explained(table=one_seed)
    assert len(found.cases) == 8
    assert all(told.spread == 0 for told in found.cases)


def test_of_few_cases_as_many_stories_are_told_as_there_are_cases() -> None:
    few = frame()[lambda table: table["case_id"].isin(["case-03", "case-05", "case-15"])]
    found = explained(table=few)
    assert sorted(told.case for told in found.cases) == ["case-03", "case-05", "case-15"]


def test_folds_are_put_together_and_the_record_is_plain_json() -> None:
    effects = [effect(f"case-{k:02d}", "report", "grade", 0.1 * k) for k in range(12)]
    found = explained(findings(effects))
    assert found.model == "main"
    assert [one.name for one in found.drivers] == ["grade"]
    assert [(one.query, one.key) for one in found.attention] == [("grade", "DNA repair")]
    assert "Neither effects nor attention say what causes the outcome." in " ".join(found.notes)
    assert Explanation.model_validate_json(found.model_dump_json()) == found
    json.loads(found.model_dump_json(), parse_constant=pytest.fail)


def test_without_any_finding_there_are_still_stories() -> None:
    nothing = Findings.of([{"effects": [], "looks": [], "looked_at": {}, "patches": {}}])
    found = explained(nothing, statements={})
    assert (found.drivers, found.attention) == ([], [])
    assert all(told.missing == ["report", "genes", "slides"] for told in found.cases)
    assert np.isfinite([told.risk for told in found.cases]).all()
