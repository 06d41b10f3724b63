import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kemm.survival.metrics import UndefinedMetric, brier, brier_skill, integrated_brier, kaplan_meier

UNCENSORED = np.arange(1.0, 9), np.ones(8, dtype=bool)


def true_survival(cohort, horizons: np.ndarray) -> np.ndarray:
    return np.exp(-np.exp(cohort.risk)[:, None] * horizons / 40)


def test_brier_of_a_hand_worked_case() -> None:
    # G is 1 before month 2 and a half from then on; the horizon is 3.
    train = np.array([2.0, 9]), np.array([False, True])
    months, event = np.array([1.0, 2.5, 2.6, 5]), np.array([True, True, False, True])
    survival = np.array([[0.2], [0.5], [0.9], [0.7]])
    # Event at 1: 0.04. Event at 2.5: 0.25 * 2. Censored at 2.6: nothing. Beyond 3: 0.09 * 2.
    expected = (0.04 + 0.5 + 0.18) / 4
    assert brier(*train, months, event, survival, np.array([3.0])) == pytest.approx(expected)


def test_brier_and_its_integral_are_those_of_scikit_survival(training, cohort) -> None:
    sksurv = pytest.importorskip("sksurv.metrics")
    util = pytest.importorskip("sksurv.util")
    horizons = np.linspace(5, 60, 12)
    survival = true_survival(cohort, horizons)
    known = util.Surv.from_arrays(training.event, training.months)
    tested = util.Surv.from_arrays(cohort.event, cohort.months)
    args = (training.months, training.event, cohort.months, cohort.event, survival, horizons)
    np.testing.assert_allclose(brier(*args), sksurv.brier_score(known, tested, survival, horizons)[1])
    expected = sksurv.integrated_brier_score(known, tested, survival, horizons)
    assert integrated_brier(*args) == pytest.approx(expected)


@given(arrays(np.float64, 6, elements=st.floats(0, 1)), st.permutations(range(6)))
def test_brier_without_censoring_is_the_mean_squared_error(survival: np.ndarray, order: list[int]) -> None:
    months, horizon = np.arange(1.0, 7)[order], np.array([3.0])
    score = brier(*UNCENSORED, months, np.ones(6, dtype=bool), survival[order][:, None], horizon)
    assert score[0] == pytest.approx((((np.arange(1, 7) > 3) - survival) ** 2).mean())


def test_the_true_curve_has_skill_and_the_reference_has_none(training, cohort) -> None:
    horizons = np.linspace(5, 60, 12)
    outcomes = (training.months, training.event, cohort.months, cohort.event)
    assert brier_skill(*outcomes, true_survival(cohort, horizons), horizons).skill > 0.15
    reference = kaplan_meier(training.months, training.event).at(horizons)
    same_for_all = np.tile(reference, (len(cohort.months), 1))
    assert brier_skill(*outcomes, same_for_all, horizons).skill == 0


def test_a_good_ranking_with_a_useless_curve_has_negative_skill(training, cohort) -> None:
    horizons = np.linspace(5, 60, 12)
    useless = true_survival(cohort, horizons) ** 20
    skill = brier_skill(training.months, training.event, cohort.months, cohort.event, useless, horizons)
    assert skill.skill < 0
    assert skill.skill == 1 - skill.model / skill.kaplan_meier


def test_brier_where_the_censoring_curve_is_unknown_is_refused() -> None:
    with pytest.raises(UndefinedMetric, match="no training case was followed to 9 months, so G is unknown"):
        brier(*UNCENSORED, np.array([1.0]), np.array([True]), np.array([[0.5]]), np.array([9.0]))


def test_a_survival_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 1 predicted survivals are not between 0 and 1"):
        brier(*UNCENSORED, np.array([1.0]), np.array([True]), np.array([[np.nan]]), np.array([2.0]))


def test_an_integral_over_one_horizon_is_refused() -> None:
    with pytest.raises(UndefinedMetric, match="needs two or more horizons in ascending order"):
        integrated_brier(*UNCENSORED, np.array([1.0]), np.array([True]), np.array([[0.5]]), np.array([2.0]))


def test_brier_of_nobody_is_refused() -> None:
    with pytest.raises(UndefinedMetric, match="Brier score: there are no cases"):
        brier(*UNCENSORED, np.empty(0), np.empty(0, dtype=bool), np.empty((0, 1)), np.array([2.0]))
    nobody = np.empty(0), np.empty(0, dtype=bool)
    with pytest.raises(UndefinedMetric, match="censoring curve: there are no cases"):
        brier(*nobody, np.array([1.0]), np.array([True]), np.array([[0.5]]), np.array([2.0]))


def test_skill_beside_a_faultless_curve_is_refused() -> None:
    everyone_dies_at_once = np.ones(4), np.ones(4, dtype=bool)
    horizons, survival = np.array([0.25, 0.5]), np.ones((1, 2))
    with pytest.raises(UndefinedMetric, match="the Kaplan-Meier curve is already without error"):
        brier_skill(*everyone_dies_at_once, np.array([9.0]), np.array([True]), survival, horizons)
