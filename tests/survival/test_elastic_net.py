"""The elastic-net Cox path against an oracle, its optimality conditions, and its special cases."""

import warnings

import numpy as np
import pytest
from simulated_cases import Simulated, simulate

from kemm.survival.cox_regression import (
    CoxFailure,
    ElasticNetPath,
    PartialLikelihood,
    fit_cox,
    log_partial_likelihood,
    penalty_grid,
)

Array = np.ndarray


def path_of(cases: Simulated, l1_ratio: float = 0.5) -> ElasticNetPath:
    return ElasticNetPath(cases.features, cases.months, cases.event, l1_ratio=l1_ratio)


def coefficients_of(path: ElasticNetPath) -> Array:
    return np.array([path.fit(penalty).coefficients for penalty in penalty_grid(path.largest_penalty)])


def correlated(cases: int, features: int, seed: int, *, whole_months: bool = False) -> Simulated:
    """Neighbouring features tell much the same."""
    some = simulate(cases, seed, features=features, whole_months=whole_months)
    mixed = some.features + np.roll(some.features, 1, axis=1)
    return Simulated(mixed, some.truth, some.months, some.event)


@pytest.mark.parametrize("l1_ratio", [0.2, 0.5, 1.0])
@pytest.mark.parametrize(("cases", "features"), [(150, 12), (60, 90)])
def test_the_path_is_that_of_scikit_survival(l1_ratio: float, cases: int, features: int) -> None:
    linear_model = pytest.importorskip("sksurv.linear_model")
    util = pytest.importorskip("sksurv.util")
    some = correlated(cases, features, seed=3)
    path = path_of(some, l1_ratio)
    penalties = penalty_grid(path.largest_penalty)[:30]
    ours = np.array([path.fit(penalty).coefficients for penalty in penalties])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = linear_model.CoxnetSurvivalAnalysis(
            l1_ratio=l1_ratio, alphas=penalties, tol=1e-14, max_iter=1_000_000
        ).fit(some.features, util.Surv.from_arrays(some.event, some.months))
    theirs = oracle.coef_.T
    assert len(theirs) == 30
    assert np.count_nonzero(ours[29]) > 5
    # The oracle's descent ends a little early where features are many: its conditions hold to 1e-5, ours to 1e-13.
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(("cases", "features"), [(200, 10), (80, 150)])
def test_every_fit_satisfies_the_optimality_conditions_with_ties(cases: int, features: int) -> None:
    some = correlated(cases, features, seed=5, whole_months=True)
    path = path_of(some, l1_ratio=0.7)
    likelihood = PartialLikelihood(some.features, some.months, some.event)
    assert likelihood.has_ties
    for penalty in penalty_grid(path.largest_penalty):
        found = path.fit(penalty).coefficients
        slope = likelihood.gradient(found) / cases - penalty * 0.3 * found
        bound = penalty * 0.7
        kept = found != 0
        np.testing.assert_allclose(slope[kept], bound * np.sign(found[kept]), atol=1e-6 * bound)
        assert (np.abs(slope[~kept]) <= bound * (1 + 1e-6)).all()


def test_the_largest_penalty_is_the_smallest_that_keeps_nothing(cohort: Simulated) -> None:
    path = path_of(cohort)
    assert np.count_nonzero(path.fit(path.largest_penalty).coefficients) == 0
    assert np.count_nonzero(path.fit(0.99 * path.largest_penalty).coefficients) == 1


def test_with_hardly_any_share_of_the_lasso_it_is_a_ridge(cohort: Simulated) -> None:
    penalty = 0.05
    elastic = path_of(cohort, l1_ratio=1e-9).fit(penalty)
    ridge = fit_cox(cohort.features, cohort.months, cohort.event, ridge=penalty * len(cohort.months))
    np.testing.assert_allclose(elastic.coefficients, ridge.coefficients, rtol=1e-5)
    assert elastic.log_likelihood == pytest.approx(ridge.log_likelihood)


def test_a_fit_does_not_depend_on_the_penalties_before_it() -> None:
    some = correlated(100, 40, seed=7)
    path = path_of(some)
    smallest = penalty_grid(path.largest_penalty)[25]
    np.testing.assert_allclose(coefficients_of(path)[25], path_of(some).fit(smallest).coefficients, atol=1e-7)


def test_the_same_cases_in_another_order_give_the_same_fit() -> None:
    some = correlated(90, 20, seed=8, whole_months=True)
    order = np.random.default_rng(0).permutation(90)
    other = Simulated(some.features[order], some.truth, some.months[order], some.event[order])
    np.testing.assert_allclose(coefficients_of(path_of(some)), coefficients_of(path_of(other)), atol=1e-7)


def test_a_constant_feature_and_a_copy_are_no_trouble() -> None:
    some = simulate(120, seed=9, features=3)
    features = np.column_stack([some.features, np.full(120, 7.0), some.features[:, 0]])
    found = coefficients_of(ElasticNetPath(features, some.months, some.event))
    assert (found[:, 3] == 0).all()
    np.testing.assert_allclose(found[:, 0], found[:, 4], atol=1e-7)
    assert found[-1, 0] != 0


def test_a_lasso_of_a_feature_and_its_copy_gives_them_the_sum_of_one() -> None:
    some = simulate(120, seed=9, features=3)
    alone = coefficients_of(path_of(some, l1_ratio=1.0))
    doubled = np.column_stack([some.features, some.features[:, 0]])
    both = coefficients_of(ElasticNetPath(doubled, some.months, some.event, l1_ratio=1.0))
    np.testing.assert_allclose(both[:, 0] + both[:, 3], alone[:, 0], atol=1e-6)


def test_a_feature_that_orders_the_events_keeps_a_finite_coefficient() -> None:
    months = np.arange(1.0, 41.0)
    features = np.column_stack([-months / 10, np.random.default_rng(0).normal(size=40)])
    found = coefficients_of(ElasticNetPath(features, months, np.ones(40, dtype=bool)))
    assert np.isfinite(found).all()
    assert (np.diff(found[:, 0]) > 0).all()


def test_planted_features_enter_first_among_many() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(300, 500))
    until_event = rng.exponential(30 * np.exp(-features[:, 40] + features[:, 200]))
    until_censored = rng.uniform(5, 100, size=300)
    path = ElasticNetPath(features, np.minimum(until_event, until_censored), until_event <= until_censored)
    for penalty in penalty_grid(path.largest_penalty):
        found = path.fit(penalty).coefficients
        if np.count_nonzero(found) >= 2:
            break
    assert np.flatnonzero(found).tolist() == [40, 200]
    assert found[40] > 0 > found[200]


def test_the_likelihood_of_log_risks_is_that_of_their_features(tied_cohort: Simulated) -> None:
    coefficients = np.array([0.4, -0.2, 0.1])
    whole = PartialLikelihood(tied_cohort.features, tied_cohort.months, tied_cohort.event)
    log_risk = tied_cohort.features @ coefficients
    assert log_partial_likelihood(log_risk, tied_cohort.months, tied_cohort.event) == pytest.approx(
        whole.value(coefficients), rel=1e-12
    )


def test_what_cannot_be_fitted_is_refused(cohort: Simulated) -> None:
    nobody = np.zeros(len(cohort.months), dtype=bool)
    with pytest.raises(CoxFailure, match="no Cox model without an event"):
        ElasticNetPath(cohort.features, cohort.months, nobody)
    holes = cohort.features.copy()
    holes[0, 0] = np.nan
    with pytest.raises(CoxFailure, match="not finite: 1 of the"):
        ElasticNetPath(holes, cohort.months, cohort.event)
    with pytest.raises(ValueError, match="l1_ratio is 0; it lies above 0"):
        path_of(cohort, l1_ratio=0.0)
    with pytest.raises(ValueError, match="the penalty is 0; it must be above 0"):
        path_of(cohort).fit(0.0)
