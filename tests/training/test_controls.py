"""Controls: honest models pass, a planted leak fails, and what cannot be decided says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_study import TRAINING, crossval, folds_of, permuted, small_study, spec

from kemm.core.cohort import Cohort
from kemm.pipeline.controls import ControlsConfig, run_controls
from kemm.results.comparison.controls_record import Control, Controls
from kemm.training.dataset import StudyData
from kemm.training.planting import MODALITIES, plant, signal, worse_than_expected
from kemm.training.splits import Fold

QUICK = ControlsConfig(permutations=10, most_permutations=24, noises=3, epochs=2, bootstraps=100)


def folds(cohort: Cohort) -> Sequence[Fold]:
    return folds_of(replace(small_study(10).data, cohort=cohort))


def of(found: Controls, name: str) -> Control:
    return next(one for one in found.controls if one.name == name)


@pytest.fixture(scope="module")
def study() -> StudyData:
    return small_study(140, seed=5, missing=0.0).data


@pytest.fixture(scope="module")
def clinical(study: StudyData, tmp_path_factory: pytest.TempPathFactory) -> Controls:
    base = crossval(study, tmp_path_factory.mktemp("controls"))
    return run_controls(base, [spec("clinical")], folds, config=QUICK)


def test_an_honest_model_passes(clinical: Controls) -> None:
    assert [(one.name, one.passed, one.note) for one in clinical.controls[:3]] == [
        ("permuted outcomes", True, ""),
        ("planted signal", True, ""),
        ("noise", True, ""),
    ]
    assert clinical.faults == []


def test_each_control_says_what_was_done_and_what_must_hold(clinical: Controls) -> None:
    control = of(clinical, "permuted outcomes")
    assert control.done.startswith("Outcomes (months and event together) were exchanged among all 140 cases")
    assert "within 0.50 ± 0.03, with a standard error of at most 0.015" in control.criterion
    assert control.standard_error is not None
    assert control.standard_error == pytest.approx(
        np.std(control.repeats, ddof=1) / np.sqrt(len(control.repeats))
    )
    assert 10 <= len(control.repeats) <= 24
    assert control.value == pytest.approx(np.mean(control.repeats))
    planted = of(clinical, "planted signal")
    assert planted.value is not None
    assert planted.low is not None
    assert planted.high is not None
    assert planted.low <= planted.value <= planted.high
    assert "planted in covariates" in planted.done


def test_controls_are_the_same_again_and_nothing_is_trained_twice(
    study: StudyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = crossval(study, tmp_path)
    quick = QUICK.model_copy(update={"most_permutations": 10})
    first = run_controls(base, [spec("clinical")], folds, config=quick)
    monkeypatch.setattr("kemm.training.units._comparator", lambda *_: pytest.fail("trained again"))
    assert run_controls(base, [spec("clinical")], folds, config=quick) == first


def test_data_that_were_prepared_with_the_outcomes_in_sight_fail(study: StudyData, tmp_path: Path) -> None:
    def leaky(data: StudyData) -> StudyData:
        """A score of prognosis that was made before folds, on everybody."""
        return plant(data, "covariates", signal(data, 0.5, seed=9), seed=9)

    found = run_controls(crossval(study, tmp_path), [spec("clinical")], folds, config=QUICK, prepare=leaky)
    control = of(found, "permuted outcomes")
    assert control.passed is False
    assert control.low is not None
    assert control.low > 0.53
    assert control in found.faults


def test_a_model_that_is_trained_on_its_test_cases_fails(study: StudyData, tmp_path: Path) -> None:
    def overlapping(cohort: Cohort) -> Sequence[Fold]:
        everyone = tuple(range(len(cohort)))
        return [replace(fold, train=everyone) for fold in folds(cohort)]

    found = run_controls(crossval(study, tmp_path), [spec("genes")], overlapping, config=QUICK)
    assert of(found, "permuted outcomes").passed is False


def test_a_network_goes_through_the_same_controls(study: StudyData, tmp_path: Path) -> None:
    base = crossval(study, tmp_path, training=TRAINING.model_copy(update={"seeds": [0, 1]}))
    least = ControlsConfig(
        permutations=2, most_permutations=2, noises=2, epochs=1, bootstraps=100, precision=0.5
    )
    found = run_controls(base, [spec("kemm+clinical")], folds, config=least)
    assert [one.value is not None for one in found.controls] == [True] * 4
    assert of(found, "planted signal").passed is True
    assert found.settings["most epochs of networks"] == "1"


def test_too_few_cases_are_not_decided_rather_than_failed(tmp_path: Path) -> None:
    data = permuted(small_study(30, seed=1, missing=0.0).data, 0)
    few = QUICK.model_copy(update={"permutations": 3, "most_permutations": 3})
    control = of(
        run_controls(crossval(data, tmp_path), [spec("clinical")], folds, config=few), "permuted outcomes"
    )
    assert control.passed is None
    assert "3 repeats are too few for so small a cohort: the standard error is 0.0" in control.note


def test_a_model_that_cannot_see_what_is_planted_is_not_judged_by_it(
    study: StudyData, tmp_path: Path
) -> None:
    found = run_controls(crossval(study, tmp_path), [spec("age+sex")], folds, config=QUICK)
    assert [one.name for one in found.controls] == ["permuted outcomes", "site alone"]


def test_models_are_controlled_together_as_they_are_alone(
    study: StudyData, clinical: Controls, tmp_path: Path
) -> None:
    both = run_controls(crossval(study, tmp_path), [spec("genes"), spec("clinical")], folds, config=QUICK)
    assert [one.model for one in both.controls] == ["genes"] * 3 + ["clinical"] * 3 + ["site"]
    assert both.controls[3:] == clinical.controls


@pytest.mark.parametrize("modality", [one for one in MODALITIES if one != "covariates"])
def test_a_signal_is_found_in_each_modality(study: StudyData, tmp_path: Path, modality: str) -> None:
    quick = QUICK.model_copy(update={"permutations": 2, "most_permutations": 2, "noises": 2})
    planted = of(
        run_controls(crossval(study, tmp_path), [spec(modality)], folds, config=quick), "planted signal"
    )
    assert planted.passed, planted
    assert f"planted in {modality}" in planted.done


def test_a_model_that_learns_nothing_does_not_find_what_is_planted(study: StudyData, tmp_path: Path) -> None:
    deaf = replace(spec("genes"), name="deaf", views=())
    quick = QUICK.model_copy(update={"permutations": 2, "most_permutations": 2, "noises": 2})
    found = run_controls(crossval(study, tmp_path), [deaf], folds, config=quick)
    assert (of(found, "planted signal").value, of(found, "planted signal").passed) == (0.0, False)
    assert found.faults == [of(found, "planted signal")]


# --- the hospital ------------------------------------------------------------------------------


def test_a_hospital_that_predicts_is_a_warning_and_no_fault(study: StudyData, tmp_path: Path) -> None:
    worse = worse_than_expected(study.cohort.months, study.cohort.event) > 0
    sorted_out = study.with_cases(
        {
            row: replace(case, site=f"{'A' if worse[row] else 'B'}{row % 2}")
            for row, case in enumerate(study.cohort.cases)
        }
    )
    found = run_controls(crossval(sorted_out, tmp_path), [], folds, config=QUICK)
    control = of(found, "site alone")
    assert (control.passed, control.is_fault) == (False, False)
    assert found.faults == []
    assert found.warnings == [control]
    assert "part of every C may be the hospital and no medicine" in control.note


def test_without_hospitals_there_is_nothing_to_judge(study: StudyData, tmp_path: Path) -> None:
    nowhere = study.with_cases({row: replace(case, site=None) for row, case in enumerate(study.cohort.cases)})
    control = of(run_controls(crossval(nowhere, tmp_path), [], folds, config=QUICK), "site alone")
    assert control.passed is None
    assert control.note == "No case's hospital is known: name its column in cohort.site."
