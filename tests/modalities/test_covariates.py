"""Clinical covariates as numbers, worked by hand."""

import json

import numpy as np
import pytest

from kemm.core.cohort import Case, Covariate
from kemm.core.types import CaseId
from kemm.modalities.covariates import CovariateTransform

AGE = Covariate(name="age", kind="numeric")
STAGE = Covariate(name="stage", kind="ordinal", levels=("I", "II", "III"))
TYPE = Covariate(name="type", kind="categorical", levels=("clear", "mixed", "papillary"))


def case(**covariates: float | str | None) -> Case:
    return Case(id=CaseId("c"), cancer_type="KIRC", site=None, outcomes={}, covariates=covariates)


TRAINING = [
    case(age=40.0, stage=0.0, type="clear"),
    case(age=60.0, stage=2.0, type="papillary"),
    case(age=80.0, stage=None, type="clear"),
    case(age=60.0, stage=1.0, type="mixed"),
]
AGE_SCALE = np.sqrt((20**2 + 20**2) / 4)


@pytest.fixture
def transform() -> CovariateTransform:
    return CovariateTransform.fit([AGE, STAGE, TYPE], TRAINING)


def test_the_design_matrix_of_hand_worked_cases(transform: CovariateTransform) -> None:
    stage_scale = np.sqrt(2 / 3)
    # "clear" is the most frequent type, and so the reference; of the others, each once, names decide.
    assert transform.columns == ["age", "stage", "stage: missing", "type: mixed", "type: papillary"]
    np.testing.assert_allclose(
        transform.design(TRAINING),
        [
            [-20 / AGE_SCALE, -1 / stage_scale, 0, 0, 0],
            [0, 1 / stage_scale, 0, 0, 1],
            [20 / AGE_SCALE, 0, 1, 0, 0],
            [0, 0, 0, 1, 0],
        ],
        atol=1e-12,
    )


def test_a_missing_value_is_the_training_mean_or_the_reference_level(transform: CovariateTransform) -> None:
    np.testing.assert_array_equal(transform.design([case(age=None, stage=1.0, type=None)]), [[0, 0, 0, 0, 0]])
    (
        np.testing.assert_array_equal(transform.design([case()])[0, 2], 1),
        "stage has a column that says it is missing",
    )


def test_missing_has_a_column_only_where_training_cases_lack_the_value(transform: CovariateTransform) -> None:
    assert "age: missing" not in transform.columns
    assert "type: missing" not in transform.columns


def test_a_level_that_training_did_not_have_is_the_reference(transform: CovariateTransform) -> None:
    unseen = transform.design([case(age=60.0, stage=1.0, type="collecting duct")])
    np.testing.assert_array_equal(unseen, transform.design([case(age=60.0, stage=1.0, type="clear")]))


@pytest.mark.parametrize("same", ["constant", "missing in all", "constant where known"])
def test_a_covariate_that_tells_nothing_in_training_is_left_out(same: str) -> None:
    values = {"constant": [5.0, 5.0], "missing in all": [None, None], "constant where known": [5.0, None]}[
        same
    ]
    transform = CovariateTransform.fit([AGE], [case(age=value) for value in values])
    assert (transform.names, transform.columns) == ([], [])
    assert transform.design(TRAINING).shape == (4, 0)
    values_, present = transform.tokens(TRAINING)
    assert values_.shape[:2] == present.shape == (4, 0)


def test_tokens_of_hand_worked_cases(transform: CovariateTransform) -> None:
    values, present = transform.tokens([TRAINING[1], case(age=None, stage=None, type="collecting duct")])
    assert transform.names == ["age", "stage", "type"]
    assert values.shape == (2, 3, 3)
    np.testing.assert_allclose(values[0], [[0, 0, 0], [np.sqrt(1.5), 0, 0], [0, 0, 1]], rtol=1e-6)
    assert not values[1].any()
    # A level nobody in training had is known to be none of theirs; a missing value is no token.
    assert present.tolist() == [[True, True, True], [False, False, True]]


def test_a_design_of_some_covariates_is_their_columns(transform: CovariateTransform) -> None:
    np.testing.assert_array_equal(
        transform.design(TRAINING, only=["age", "type"]), transform.design(TRAINING)[:, [0, 3, 4]]
    )
    assert transform.design(TRAINING, only=[]).shape == (4, 0)


def test_a_restored_transform_is_the_same(transform: CovariateTransform) -> None:
    stored = json.loads(json.dumps(transform.state(), allow_nan=False))
    restored = CovariateTransform.from_state(stored)
    assert restored == transform
    strange = [*TRAINING, case(age=None, stage=7.5, type="?")]
    np.testing.assert_array_equal(restored.design(strange), transform.design(strange))
    for one, other in zip(restored.tokens(strange), transform.tokens(strange), strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_case_is_made_by_itself(transform: CovariateTransform) -> None:
    together = transform.design(TRAINING)
    for row, one in enumerate(TRAINING):
        np.testing.assert_array_equal(transform.design([one])[0], together[row])


def test_a_covariate_that_a_case_does_not_name_is_missing(transform: CovariateTransform) -> None:
    np.testing.assert_array_equal(
        transform.design([case(age=60.0)]), transform.design([case(age=60.0, stage=None, type=None)])
    )


def test_nobody_has_an_empty_design(transform: CovariateTransform) -> None:
    assert transform.tokens([])[0].shape == (0, 3, 3)
    assert len(transform.design([])) == 0
