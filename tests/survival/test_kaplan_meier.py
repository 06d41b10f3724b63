import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kemm.survival.metrics import UndefinedMetric, censoring_curve, kaplan_meier, logrank, usable_tau

whole_months = arrays(np.float64, 12, elements=st.integers(0, 6).map(float))
events = arrays(np.bool_, 12)

# Freireich's 6-mercaptopurine arm, the textbook example (Cox & Oakes 1984, table 1.1).
REMISSION = np.array(
    [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35], dtype=float
)
RELAPSED = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], dtype=bool)


def test_curve_of_a_textbook_example() -> None:
    curve = kaplan_meier(REMISSION, RELAPSED)
    at = curve.at(np.array([5.9, 6, 7, 10, 13, 16, 22, 23, 35]))
    published = [1, 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448, 0.448]
    np.testing.assert_allclose(at, published, atol=6e-4)
    assert curve.at_risk_at(np.array([0.0, 6, 6.5, 23, 35, 36])).tolist() == [21, 21, 17, 6, 1, 0]
    assert curve.median() == 23


def test_counts_of_a_hand_worked_case() -> None:
    curve = kaplan_meier(np.array([2.0, 1, 2, 2, 5]), np.array([True, True, False, True, False]))
    assert curve.months.tolist() == [1, 2, 5]
    assert curve.at_risk.tolist() == [5, 4, 1]
    assert curve.events.tolist() == [1, 2, 0]
    assert curve.censored.tolist() == [0, 1, 1]
    np.testing.assert_allclose(curve.survival, [0.8, 0.4, 0.4])


def test_curve_and_interval_are_those_of_lifelines(tied_cohort) -> None:
    lifelines = pytest.importorskip("lifelines")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = lifelines.KaplanMeierFitter().fit(tied_cohort.months, tied_cohort.event)
    ours = kaplan_meier(tied_cohort.months, tied_cohort.event)
    inside = (ours.survival > 0) & (ours.survival < 1)
    frame = oracle.survival_function_.join(oracle.confidence_interval_).loc[ours.months].to_numpy()
    np.testing.assert_allclose(ours.survival, frame[:, 0])
    np.testing.assert_allclose(ours.lower[inside], frame[inside, 1])
    np.testing.assert_allclose(ours.upper[inside], frame[inside, 2])


def test_interval_has_no_width_where_the_curve_is_certain() -> None:
    curve = kaplan_meier(np.array([1.0, 2, 3, 4]), np.array([False, True, True, True]))
    lower, upper = curve.interval_at(np.array([1.0, 4.0]))
    assert lower.tolist() == upper.tolist() == [1, 0]


@given(whole_months, events)
def test_curve_falls_within_its_interval(months: np.ndarray, event: np.ndarray) -> None:
    curve = kaplan_meier(months, event)
    assert (np.diff(curve.survival) <= 0).all()
    assert (curve.lower <= curve.survival).all()
    assert (curve.survival <= curve.upper).all()
    assert curve.at_risk[0] == 12
    assert (curve.events + curve.censored).sum() == 12


@given(whole_months, st.permutations(range(12)))
def test_curve_without_censoring_is_the_share_still_free(months: np.ndarray, order: list[int]) -> None:
    curve = kaplan_meier(months[order], np.ones(12, dtype=bool))
    expected = [(months > month).mean() for month in curve.months]
    np.testing.assert_allclose(curve.survival, expected, atol=1e-12)


def test_curve_beyond_the_follow_up_is_refused() -> None:
    curve = kaplan_meier(np.array([1.0, 2]), np.array([True, False]))
    with pytest.raises(
        UndefinedMetric, match="survival at 3 months: the last of these cases was followed for 2"
    ):
        curve.at(np.array([1.0, 3.0]))


def test_after_the_last_event_of_all_nobody_is_free_of_it() -> None:
    curve = kaplan_meier(np.array([1.0, 2]), np.array([True, True]))
    assert curve.at(np.array([9.0])).tolist() == [0]


def test_a_median_that_is_not_reached_is_none() -> None:
    assert kaplan_meier(np.array([1.0, 2, 3]), np.array([True, False, False])).median() is None


def test_no_cases_have_no_curve() -> None:
    with pytest.raises(UndefinedMetric, match="Kaplan-Meier curve: there are no cases"):
        kaplan_meier(np.empty(0), np.empty(0, dtype=bool))


# --- censoring


def test_a_case_with_its_event_is_not_at_risk_of_being_censored_at_that_time() -> None:
    # Month 2: one event and one censored; of the two not yet gone, one is censored: G falls to a half.
    curve = censoring_curve(np.array([2.0, 2, 3]), np.array([True, False, True]))
    assert curve.at(np.array([1.9, 2, 3])).tolist() == [1, 0.5, 0.5]
    assert curve.just_before(np.array([2.0, 2.1])).tolist() == [1, 0.5]


def test_censoring_curve_is_that_of_scikit_survival(tied_cohort) -> None:
    nonparametric = pytest.importorskip("sksurv.nonparametric")
    times, expected = nonparametric.kaplan_meier_estimator(
        tied_cohort.event, tied_cohort.months, reverse=True
    )
    ours = censoring_curve(tied_cohort.months, tied_cohort.event)
    np.testing.assert_allclose(ours.at(times), expected)


def test_tau_needs_ten_test_cases_at_risk() -> None:
    train = np.arange(1.0, 101)
    everyone_dies = np.ones(100, dtype=bool)
    assert usable_tau(train, everyone_dies, np.arange(1.0, 31)) == 21
    assert (np.arange(1.0, 31) >= 21).sum() == 10


def test_tau_needs_a_twentieth_of_the_training_cases_not_censored() -> None:
    # 40 training cases censored one a month: after month 38 two are left, G = 0.05.
    train = np.arange(1.0, 41)
    assert usable_tau(train, np.zeros(40, dtype=bool), np.full(20, 99.0)) == 38


def test_tau_does_not_pass_the_training_follow_up() -> None:
    assert usable_tau(np.array([5.0, 8.0]), np.array([True, True]), np.full(20, 99.0)) == 8


def test_tau_with_few_test_cases_is_refused() -> None:
    with pytest.raises(UndefinedMetric, match="no usable horizon: 9 test cases, and 10 must be at risk"):
        usable_tau(np.arange(1.0, 9), np.ones(8, dtype=bool), np.arange(1.0, 10))


def test_tau_where_everyone_is_lost_at_once_is_refused() -> None:
    with pytest.raises(UndefinedMetric, match=r"censoring curve is never >= 0\.05"):
        usable_tau(np.ones(9), np.zeros(9, dtype=bool), np.arange(1.0, 20))


# --- log-rank


def test_logrank_of_a_hand_worked_case() -> None:
    # Group a dies at 1 and 3, b at 2 and 4. At risk a/all: 2/4, 1/3, 1/2, 0/1.
    # Observed a: 2; expected 1/2 + 1/3 + 1/2 = 4/3; variance 1/4 + 2/9 + 1/4 = 13/18.
    result = logrank(np.array([1.0, 3, 2, 4]), np.ones(4, dtype=bool), np.array(["a", "a", "b", "b"]))
    assert result.statistic == pytest.approx((2 / 3) ** 2 / (13 / 18))
    assert result.degrees_of_freedom == 1


@pytest.mark.parametrize("groups", [2, 4])
def test_logrank_is_that_of_lifelines(tied_cohort, groups: int) -> None:
    statistics = pytest.importorskip("lifelines.statistics")
    group = np.digitize(tied_cohort.features[:, 0], np.linspace(-1, 1, groups + 1)[1:-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = statistics.multivariate_logrank_test(tied_cohort.months, group, tied_cohort.event)
    ours = logrank(tied_cohort.months, tied_cohort.event, group)
    assert ours.degrees_of_freedom == groups - 1
    assert ours.statistic == pytest.approx(oracle.test_statistic)
    assert ours.p == pytest.approx(oracle.p_value)


def test_logrank_of_one_group_is_refused() -> None:
    with pytest.raises(UndefinedMetric, match="needs two groups; all cases are in one"):
        logrank(np.array([1.0, 2]), np.array([True, True]), np.array([0, 0]))


def test_logrank_without_events_is_refused() -> None:
    with pytest.raises(UndefinedMetric, match="needs events; all cases are censored"):
        logrank(np.array([1.0, 2]), np.array([False, False]), np.array([0, 1]))


def test_logrank_of_groups_never_at_risk_together_is_refused() -> None:
    with pytest.raises(UndefinedMetric, match="at no event were cases of two groups at risk"):
        logrank(np.array([1.0, 2, 3]), np.array([False, True, True]), np.array([0, 1, 1]))
