import numpy as np
import pytest
from simulated_cases import Simulated, simulate

from kemm.survival.metrics import (
    UndefinedMetric,
    calibration_groups,
    calibration_slope,
    decision_curve,
    integrated_calibration_index,
    kaplan_meier,
    observed_over_expected,
)

HORIZON = 30.0


@pytest.fixture(scope="module")
def many() -> Simulated:
    return simulate(3000, seed=7)


def truth(cohort: Simulated, *, stretched: float = 1.0) -> np.ndarray:
    """The chance each case had of passing the horizon, or with its log hazard stretched."""
    return np.exp(-np.exp(stretched * cohort.risk) * HORIZON / 40)


def test_true_chances_are_calibrated(many: Simulated) -> None:
    args = (many.months, many.event, truth(many), HORIZON)
    slope = calibration_slope(*args)
    assert slope.lower < 1 < slope.upper
    assert slope.upper - slope.lower < 0.2
    assert observed_over_expected(*args) == pytest.approx(1, abs=0.04)
    assert integrated_calibration_index(*args) < 0.02
    for group in calibration_groups(*args):
        assert group.lower - 0.02 < group.predicted < group.upper + 0.02


def test_predictions_twice_as_extreme_have_half_the_slope(many: Simulated) -> None:
    args = (many.months, many.event, truth(many, stretched=2.0), HORIZON)
    assert calibration_slope(*args).slope == pytest.approx(0.5, abs=0.05)
    assert integrated_calibration_index(*args) > 0.05


def test_too_hopeful_predictions_see_more_events_than_expected(many: Simulated) -> None:
    assert observed_over_expected(many.months, many.event, np.sqrt(truth(many)), HORIZON) > 1.2


def test_calibration_index_is_the_known_distance() -> None:
    # Two kinds of case, constant hazards, chances 0.3 and 0.6 of the event; both predicted 0.1 too low.
    quantiles = (np.arange(1000) + 0.5) / 1000
    months = HORIZON * np.concatenate([np.log(quantiles) / np.log(passed) for passed in (0.7, 0.4)])
    event = np.ones(2000, dtype=bool)
    survival = np.repeat([0.8, 0.5], 1000)
    index = integrated_calibration_index(months, event, survival, HORIZON)
    assert index == pytest.approx(0.1, abs=0.01)


def test_groups_are_ordered_by_predicted_risk_and_hold_everyone(many: Simulated) -> None:
    groups = calibration_groups(many.months, many.event, truth(many), HORIZON, groups=4)
    assert [group.cases for group in groups] == [750] * 4
    predicted = [group.predicted for group in groups]
    assert predicted == sorted(predicted)
    assert sum(group.events for group in groups) == (many.event & (many.months <= HORIZON)).sum()


def test_equal_predictions_share_a_group() -> None:
    months, event = np.arange(1.0, 11), np.ones(10, dtype=bool)
    groups = calibration_groups(months, event, np.full(10, 0.5), 5.0)
    assert [(group.cases, group.events, group.observed) for group in groups] == [(10, 5, 0.5)]


def test_a_group_not_followed_to_the_horizon_has_no_observation() -> None:
    months = np.array([1.0, 2, 3, 9, 9, 9])
    event = np.array([True, False, False, False, False, False])
    low, high = calibration_groups(months, event, np.repeat([0.3, 0.9], 3), 5.0, groups=2)
    assert (low.observed, low.lower, low.upper) == (0, 0, 0)
    assert (high.observed, high.lower, high.upper) == (None, None, None)
    assert high.predicted == pytest.approx(0.7)


@pytest.mark.parametrize("measure", [calibration_slope, integrated_calibration_index])
def test_the_same_prediction_for_everyone_has_no_slope(cohort, measure) -> None:
    with pytest.raises(UndefinedMetric, match="the same survival is predicted for everyone"):
        measure(cohort.months, cohort.event, np.full(200, 0.5), HORIZON)


@pytest.mark.parametrize("measure", [calibration_slope, integrated_calibration_index])
def test_no_event_by_the_horizon_has_no_slope(cohort, measure) -> None:
    with pytest.raises(UndefinedMetric, match="no Cox model without an event"):
        measure(cohort.months, cohort.event, truth(cohort), cohort.months.min() / 2)


def test_beyond_the_follow_up_there_is_no_index(cohort) -> None:
    with pytest.raises(UndefinedMetric, match="calibration index: no case was followed to 999 months"):
        integrated_calibration_index(cohort.months, cohort.event, truth(cohort), 999.0)


def test_certainty_does_not_break_the_slope(cohort) -> None:
    survival = truth(cohort)
    survival[0], survival[1] = 0.0, 1.0
    slope = calibration_slope(cohort.months, cohort.event, survival, HORIZON)
    assert 0 < slope.lower < slope.slope < slope.upper < 2


def test_nothing_expected_has_no_ratio() -> None:
    with pytest.raises(UndefinedMetric, match="the event is predicted for nobody"):
        observed_over_expected(np.array([1.0]), np.array([True]), np.array([1.0]), 1.0)


@pytest.mark.parametrize(
    "measure",
    [calibration_groups, calibration_slope, integrated_calibration_index, observed_over_expected],
)
def test_calibration_of_nobody_or_of_no_probability_is_refused(measure) -> None:
    with pytest.raises(UndefinedMetric, match="there are no cases"):
        measure(np.empty(0), np.empty(0, dtype=bool), np.empty(0), 1.0)
    with pytest.raises(ValueError, match="1 of 2 predicted survivals are not between 0 and 1"):
        measure(np.array([1.0, 2]), np.array([True, True]), np.array([0.5, np.nan]), 1.0)


# --- decision curve


def test_net_benefit_of_a_hand_worked_case() -> None:
    # Of 10 cases 4 are treated at a threshold of 0.25: 3 with the event, 1 without.
    months = np.array([1.0, 1, 1, 9, 1, 9, 9, 9, 9, 9])
    event = months == 1
    survival = np.array([0.2] * 4 + [0.9] * 6)
    curve = decision_curve(months, event, survival, 5.0, [0.25])
    assert curve.model[0] == pytest.approx(0.3 - 0.1 / 3)
    assert curve.treat_all[0] == pytest.approx(0.4 - 0.6 / 3)
    assert curve.treated.tolist() == [0.4]


def test_a_censored_case_is_shared_out_by_the_kaplan_meier_curve() -> None:
    # All treated: one event, then one censored, then one event among the two left.
    months, event = np.array([1.0, 2, 3, 9]), np.array([True, False, True, False])
    curve = decision_curve(months, event, np.zeros(4), 5.0, [0.5])
    survival = 3 / 4 * 1 / 2
    assert curve.model[0] == pytest.approx((1 - survival) - survival)


def test_treating_nobody_has_no_benefit_and_treating_all_is_the_reference(many: Simulated) -> None:
    curve = decision_curve(many.months, many.event, truth(many), HORIZON, [0.0001, 0.99999999])
    assert curve.treated.tolist() == [1, 0]
    assert curve.model[0] == curve.treat_all[0]
    assert curve.model[1] == 0


def test_true_chances_are_never_worse_than_treating_all_or_none(many: Simulated) -> None:
    curve = decision_curve(many.months, many.event, truth(many), HORIZON, np.linspace(0.1, 0.9, 9))
    assert (curve.model >= np.maximum(curve.treat_all, 0) - 0.005).all()
    assert (curve.model > np.maximum(curve.treat_all, 0) + 0.02).any()
    prevalence = 1 - kaplan_meier(many.months, many.event).at(np.array([HORIZON]))[0]
    assert curve.treat_all[4] == pytest.approx(prevalence - (1 - prevalence))


def test_a_threshold_whose_cases_were_not_followed_is_left_out_and_named() -> None:
    months, event = np.array([1.0, 2, 9, 9]), np.array([True, False, False, False])
    curve = decision_curve(months, event, np.array([0.2, 0.2, 0.6, 0.6]), 5.0, [0.3, 0.5])
    assert curve.thresholds.tolist() == [0.3]
    assert curve.undefined == (0.5,)


def test_a_horizon_nobody_was_followed_to_is_refused() -> None:
    with pytest.raises(
        UndefinedMetric, match="survival at 5 months: the last of these cases was followed for 2"
    ):
        decision_curve(np.array([1.0, 2]), np.array([True, False]), np.array([0.5, 0.5]), 5.0, [0.6])


def test_a_threshold_that_is_no_risk_is_refused() -> None:
    with pytest.raises(ValueError, match="a threshold is a risk between 0 and 1, not 1"):
        decision_curve(np.array([1.0]), np.array([True]), np.array([0.5]), 1.0, [1.0])


def test_a_decision_curve_of_nobody_is_refused() -> None:
    with pytest.raises(UndefinedMetric, match="decision curve: there are no cases"):
        decision_curve(np.empty(0), np.empty(0, dtype=bool), np.empty(0), 5.0, [0.5])
