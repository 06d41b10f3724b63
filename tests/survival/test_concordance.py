import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kemm.survival.metrics import (
    Concordance,
    UndefinedMetric,
    combined_concordance,
    count_pairs,
    dynamic_auc,
    harrell_c,
    uno_c,
    usable_tau,
)

whole_months = arrays(np.float64, 10, elements=st.integers(1, 5).map(float))
events = arrays(np.bool_, 10)
coarse_risks = arrays(np.float64, 10, elements=st.integers(-3, 3).map(float))


def months_and_risk(cohort) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """With ties in risk, and without ties in time."""
    return cohort.months, cohort.event, cohort.risk.round(1)


def test_c_of_a_hand_worked_case() -> None:
    # Comparable: (1,2), (1,3), (1,4), (3,4) by month. Right: 1>2, 1=4 (half), 3>4; wrong: 1<3.
    months, event = np.array([1.0, 2, 3, 4]), np.array([True, False, True, False])
    assert harrell_c(months, event, np.array([2.0, 1, 5, 2])) == Concordance(concordant=2.5, comparable=4.0)


def test_a_case_censored_at_the_time_of_an_event_outlived_it() -> None:
    assert harrell_c(np.array([2.0, 2]), np.array([True, False]), np.array([1.0, 0])).c == 1


def test_two_events_at_one_time_are_not_compared() -> None:
    with pytest.raises(UndefinedMetric, match="no case with an event was outlived by another"):
        harrell_c(np.array([2.0, 2]), np.array([True, True]), np.array([1.0, 0]))


@given(whole_months, events, coarse_risks)
def test_c_is_a_count_over_pairs(months: np.ndarray, event: np.ndarray, risk: np.ndarray) -> None:
    concordant, comparable = 0.0, 0.0
    for i, j in itertools.permutations(range(10), 2):
        if event[i] and (months[i] < months[j] or (months[i] == months[j] and not event[j])):
            comparable += 1
            concordant += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    assert count_pairs(months, event, risk) == Concordance(concordant=concordant, comparable=comparable)


@given(whole_months, events, coarse_risks, st.permutations(range(10)))
def test_c_sees_only_the_ranks_and_not_the_order_of_cases(
    months: np.ndarray, event: np.ndarray, risk: np.ndarray, order: list[int]
) -> None:
    original = count_pairs(months, event, risk)
    assert count_pairs(months[order], event[order], np.exp(3 * risk)[order]) == original
    reverse = count_pairs(months, event, -risk)
    assert reverse.concordant == original.comparable - original.concordant


@pytest.mark.parametrize("name", ["cohort", "tied_cohort"])
def test_c_is_that_of_scikit_survival_and_lifelines(request: pytest.FixtureRequest, name: str) -> None:
    sksurv = pytest.importorskip("sksurv.metrics")
    lifelines = pytest.importorskip("lifelines.utils")
    months, event, risk = months_and_risk(request.getfixturevalue(name))
    ours = harrell_c(months, event, risk)
    c, concordant, discordant, tied, _ = sksurv.concordance_index_censored(event, months, risk)
    assert ours.c == pytest.approx(c)
    assert ours.comparable == concordant + discordant + tied
    assert ours.c == pytest.approx(lifelines.concordance_index(months, -risk, event))


def test_a_risk_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="the risk of 1 of 2 cases is not a finite number"):
        harrell_c(np.array([1.0, 2]), np.array([True, True]), np.array([1.0, np.nan]))


def test_folds_combine_by_their_pairs() -> None:
    folds = [Concordance(concordant=9.0, comparable=10.0), Concordance(concordant=30.0, comparable=90.0)]
    assert combined_concordance([*folds, Concordance(concordant=0.0, comparable=0.0)]).c == 0.39


def test_folds_without_any_pair_are_refused() -> None:
    with pytest.raises(UndefinedMetric, match="C has no value"):
        combined_concordance([Concordance(concordant=0.0, comparable=0.0)])


# --- Uno


def test_uno_c_of_a_hand_worked_case() -> None:
    # Training: censored at 2 of {2, 3}, so G is 1 up to 2 and then a half.
    train = np.array([2.0, 3]), np.array([False, True])
    months, event = np.array([1.0, 2.5, 3]), np.array([True, True, False])
    # Event at 1 (weight 1): beats both. Event at 2.5 (weight 4): loses to the last.
    c = uno_c(*train, months, event, np.array([9.0, 1, 2]), tau=3.0)
    assert c == Concordance(concordant=2.0, comparable=6.0)


def test_uno_c_is_that_of_scikit_survival(training, cohort) -> None:
    sksurv = pytest.importorskip("sksurv.metrics")
    util = pytest.importorskip("sksurv.util")
    months, event, risk = months_and_risk(cohort)
    tau = usable_tau(training.months, training.event, months)
    expected = sksurv.concordance_index_ipcw(
        util.Surv.from_arrays(training.event, training.months),
        util.Surv.from_arrays(event, months),
        risk,
        tau=tau,
    )[0]
    assert uno_c(training.months, training.event, months, event, risk, tau).c == pytest.approx(expected)


@given(whole_months, events, coarse_risks)
def test_uno_c_without_censoring_in_training_is_harrells(
    months: np.ndarray, event: np.ndarray, risk: np.ndarray
) -> None:
    plain = count_pairs(months, event, risk)
    assume(plain.comparable)
    weighted = uno_c(np.arange(1.0, 9), np.ones(8, dtype=bool), months, event, risk, tau=99.0)
    assert weighted.c == pytest.approx(plain.c)


def test_uno_c_takes_no_event_from_tau_on() -> None:
    months, event, risk = np.array([1.0, 2, 3]), np.array([True, True, False]), np.array([3.0, 1, 2])
    train = np.arange(1.0, 9), np.ones(8, dtype=bool)
    assert uno_c(*train, months, event, risk, tau=2.0).c == 1
    assert uno_c(*train, months, event, risk, tau=2.1).c == pytest.approx(2 / 3)


def test_uno_c_without_an_event_before_tau_is_refused() -> None:
    train = np.arange(1.0, 9), np.ones(8, dtype=bool)
    with pytest.raises(UndefinedMetric, match="no comparable pair with an event before 1 months"):
        uno_c(*train, np.array([1.0, 2]), np.array([True, True]), np.array([1.0, 2]), tau=1.0)


def test_uno_c_beyond_the_training_follow_up_is_refused() -> None:
    train = np.array([1.0, 2]), np.array([True, False])
    with pytest.raises(UndefinedMetric, match="no training case was followed to 5 months, so G is unknown"):
        uno_c(*train, np.array([5.0, 6]), np.array([True, False]), np.array([1.0, 2]), tau=9.0)


# --- AUC at a horizon


def test_auc_of_a_hand_worked_case() -> None:
    # G is 1 up to month 2, then a half. Events at 1 (weight 1) and 2.5 (weight 2); beyond 4: two cases.
    train = np.array([2.0, 9]), np.array([False, True])
    months, event = np.array([1.0, 2.5, 3, 5, 6]), np.array([True, True, False, False, True])
    # Weight 1 beats both; weight 2 beats one and ties with the other: (2 + 2 * 1.5) / (3 * 2).
    auc = dynamic_auc(*train, months, event, np.array([9.0, 5, 99, 5, 1]), horizon=4.0)
    assert auc == pytest.approx(5 / 6)


def test_auc_is_that_of_scikit_survival(training, cohort) -> None:
    sksurv = pytest.importorskip("sksurv.metrics")
    util = pytest.importorskip("sksurv.util")
    months, event, risk = months_and_risk(cohort)
    horizons = [10.0, 30.0, 60.0]
    expected = sksurv.cumulative_dynamic_auc(
        util.Surv.from_arrays(training.event, training.months),
        util.Surv.from_arrays(event, months),
        risk,
        horizons,
    )[0]
    ours = [
        dynamic_auc(training.months, training.event, months, event, risk, horizon) for horizon in horizons
    ]
    np.testing.assert_allclose(ours, expected)


@pytest.mark.parametrize(
    ("horizon", "why"),
    [(0.5, "AUC at 0.5 months: no case has the event by then"), (9.0, "no case was followed beyond it")],
)
def test_auc_without_both_kinds_of_case_is_refused(horizon: float, why: str) -> None:
    train = np.arange(1.0, 9), np.ones(8, dtype=bool)
    with pytest.raises(UndefinedMetric, match=why):
        dynamic_auc(*train, np.array([1.0, 2]), np.array([True, True]), np.array([1.0, 2]), horizon=horizon)
