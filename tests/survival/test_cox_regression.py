import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_cases import simulate

from kemm.survival.cox import partial_likelihood_loss
from kemm.survival.cox_regression import CoxFailure, PartialLikelihood, choose_ridge, fit_cox, fit_cox_path


def lifelines_fit(cohort, **settings_of_fitter) -> np.ndarray:
    lifelines = pytest.importorskip("lifelines")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(cohort.features).assign(months=cohort.months, event=cohort.event)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitter = lifelines.CoxPHFitter(**settings_of_fitter)
        fitter.fit(frame, "months", "event", fit_options={"precision": 1e-10})
    return fitter


def test_coefficients_and_errors_with_ties_are_those_of_lifelines(tied_cohort) -> None:
    oracle = lifelines_fit(tied_cohort)
    fit = fit_cox(tied_cohort.features, tied_cohort.months, tied_cohort.event, ridge=0.0)
    np.testing.assert_allclose(fit.coefficients, oracle.params_, rtol=1e-6)
    np.testing.assert_allclose(fit.standard_errors, oracle.standard_errors_, rtol=1e-5)
    assert fit.log_likelihood == pytest.approx(oracle.log_likelihood_)


def test_ridge_is_that_of_scikit_survival(cohort) -> None:
    linear_model = pytest.importorskip("sksurv.linear_model")
    util = pytest.importorskip("sksurv.util")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = linear_model.CoxPHSurvivalAnalysis(alpha=7.0, ties="efron", tol=1e-12).fit(
            cohort.features, util.Surv.from_arrays(cohort.event, cohort.months)
        )
    fit = fit_cox(cohort.features, cohort.months, cohort.event, ridge=7.0)
    np.testing.assert_allclose(fit.coefficients, oracle.coef_, rtol=1e-4)


def test_likelihood_is_that_of_the_loss(tied_cohort) -> None:
    coefficients = np.array([0.3, -2.0, 1.0])
    ours = PartialLikelihood(tied_cohort.features, tied_cohort.months, tied_cohort.event).value(coefficients)
    loss = partial_likelihood_loss(
        torch.from_numpy(tied_cohort.features @ coefficients),
        torch.from_numpy(tied_cohort.months),
        torch.from_numpy(tied_cohort.event),
    )
    assert ours == pytest.approx(-loss.item() * tied_cohort.event.sum(), rel=1e-12)


def test_derivatives_with_ties_are_those_of_finite_differences(tied_cohort) -> None:
    likelihood = PartialLikelihood(tied_cohort.features, tied_cohort.months, tied_cohort.event)
    at, small = np.array([0.5, 0.1, -0.7]), 1e-5
    gradient, information = likelihood.derivatives(at)
    for k, step in enumerate(np.eye(3) * small):
        slope = (likelihood.value(at + step) - likelihood.value(at - step)) / (2 * small)
        bend = (likelihood.derivatives(at + step)[0] - likelihood.derivatives(at - step)[0]) / (2 * small)
        assert gradient[k] == pytest.approx(slope, rel=1e-6, abs=1e-6)
        np.testing.assert_allclose(-information[k], bend, rtol=1e-6, atol=1e-6)


def test_planted_coefficients_are_found() -> None:
    many = simulate(4000, seed=5)
    fit = fit_cox(many.features, many.months, many.event, ridge=0.0)
    assert (np.abs(fit.coefficients - many.truth) < 3 * fit.standard_errors).all()
    assert (fit.standard_errors < 0.05).all()


def test_an_offset_is_taken_as_known(cohort) -> None:
    known, unknown = cohort.features[:, :1], cohort.features[:, 1:]
    whole = fit_cox(cohort.features, cohort.months, cohort.event, ridge=0.0)
    offset = known[:, 0] * whole.coefficients[0]
    rest = fit_cox(unknown, cohort.months, cohort.event, ridge=0.0, offset=offset)
    np.testing.assert_allclose(rest.coefficients, whole.coefficients[1:], rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.floats(-100, 100), st.integers(0, 50))
def test_fit_sees_neither_a_shift_of_the_features_nor_the_order_of_cases(shift: float, seed: int) -> None:
    cohort = simulate(60, seed=seed, whole_months=True)
    order = np.random.default_rng(seed).permutation(60)
    one = fit_cox(cohort.features, cohort.months, cohort.event, ridge=1.0)
    other = fit_cox((cohort.features + shift)[order], cohort.months[order], cohort.event[order], ridge=1.0)
    np.testing.assert_allclose(one.coefficients, other.coefficients, atol=1e-6)


def test_a_larger_ridge_shrinks_and_a_huge_one_gives_nothing(cohort) -> None:
    fits = fit_cox_path(cohort.features, cohort.months, cohort.event, ridges=[1e9, 100.0, 1.0, 0.0])
    lengths = [np.linalg.norm(fit.coefficients) for fit in fits]
    assert lengths == sorted(lengths)
    assert lengths[0] < 1e-6


def test_a_path_gives_what_single_fits_give(cohort) -> None:
    data = cohort.features, cohort.months, cohort.event
    for ridge, fit in zip([10.0, 0.1], fit_cox_path(*data, ridges=[10.0, 0.1]), strict=True):
        np.testing.assert_allclose(fit.coefficients, fit_cox(*data, ridge=ridge).coefficients, atol=1e-6)


def test_a_feature_with_factor_zero_is_not_shrunk(cohort) -> None:
    data = cohort.features, cohort.months, cohort.event
    fit = fit_cox(*data, ridge=1e9, penalty_factors=np.array([0.0, 1.0, 1.0]))
    alone = fit_cox(cohort.features[:, :1], *data[1:], ridge=0.0)
    assert fit.coefficients[0] == pytest.approx(alone.coefficients[0], rel=1e-4)
    assert np.abs(fit.coefficients[1:]).max() < 1e-6


def test_more_features_than_cases_are_fitted_with_a_ridge() -> None:
    wide = simulate(60, seed=4, features=150)
    data = wide.features, wide.months, wide.event
    fit = fit_cox(*data, ridge=20.0)
    gradient, _ = PartialLikelihood(*data).derivatives(fit.coefficients)
    np.testing.assert_allclose(gradient, 20.0 * fit.coefficients, atol=1e-3)
    for first in (0.0, 0.5):
        factors = np.linspace(first, 2, 150)
        fit = fit_cox(*data, ridge=20.0, penalty_factors=factors)
        gradient, _ = PartialLikelihood(*data).derivatives(fit.coefficients)
        np.testing.assert_allclose(gradient, 20.0 * factors * fit.coefficients, atol=1e-3)
        assert fit.standard_errors is None


# --- failures that say what to do


def test_no_event_is_refused() -> None:
    with pytest.raises(CoxFailure, match="no Cox model without an event; all 3 cases are censored"):
        fit_cox(np.eye(3), np.arange(1.0, 4), np.zeros(3, dtype=bool), ridge=1.0)


def test_no_feature_is_refused() -> None:
    with pytest.raises(CoxFailure, match="no Cox model without a feature"):
        fit_cox(np.empty((3, 0)), np.arange(1.0, 4), np.ones(3, dtype=bool), ridge=1.0)


def test_a_feature_that_orders_the_events_needs_a_ridge() -> None:
    months, event = np.arange(1.0, 21), np.ones(20, dtype=bool)
    with pytest.raises(CoxFailure, match=r"tells the order of the events perfectly \(use ridge > 0\)"):
        fit_cox(-months[:, None], months, event, ridge=0.0)
    assert fit_cox(-months[:, None], months, event, ridge=1.0).coefficients[0] > 0


def test_a_group_without_events_needs_a_ridge(cohort) -> None:
    # The likelihood levels off towards minus infinity, so its slope alone would look like a maximum.
    spared = (np.arange(200) < 20).astype(float)
    event = cohort.event & (spared == 0)
    features = np.column_stack([cohort.features, spared])
    with pytest.raises(CoxFailure, match="the coefficients have no finite value"):
        fit_cox(features, cohort.months, event, ridge=0.0)
    assert fit_cox(features, cohort.months, event, ridge=1.0).coefficients[3] < -1


def heavy_tailed(seed: int, *, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cohort = simulate(150, seed=seed, features=4, whole_months=True)
    features = np.sign(cohort.features) * np.exp(scale * np.abs(cohort.features))
    return features, cohort.months, cohort.event


@pytest.mark.parametrize("seed", range(10))
def test_a_full_newton_step_that_overshoots_is_halved(seed: int) -> None:
    # Outliers of 10,000 standard deviations of the bulk, as untransformed expression has.
    features, months, event = heavy_tailed(seed, scale=3.0)
    fit = fit_cox(features, months, event, ridge=0.0)
    gradient, _ = PartialLikelihood(features, months, event).derivatives(fit.coefficients)
    assert (np.abs(gradient) * fit.standard_errors).max() < 1e-3


def test_outliers_beyond_a_double_are_refused() -> None:
    with pytest.raises(CoxFailure, match=r"has extreme outliers \(transform it: ranks, asinh\)"):
        fit_cox(*heavy_tailed(0, scale=8.0), ridge=0.0)


@pytest.mark.parametrize("weight", [1.0, -3.7])
def test_collinear_features_need_a_ridge(cohort, weight: float) -> None:
    doubled = np.column_stack([cohort.features, weight * cohort.features[:, 0]])
    with pytest.raises(CoxFailure, match=r"the features are collinear.*use ridge > 0"):
        fit_cox(doubled, cohort.months, cohort.event, ridge=0.0)
    fit = fit_cox(doubled, cohort.months, cohort.event, ridge=1.0)
    assert fit.coefficients[3] == pytest.approx(weight * fit.coefficients[0])


def test_a_constant_feature_is_named_or_gets_coefficient_zero(cohort) -> None:
    with_constant = np.column_stack([cohort.features, np.full(200, 0.1)])
    with pytest.raises(CoxFailure, match="feature 3 does not vary among the cases at risk"):
        fit_cox(with_constant, cohort.months, cohort.event, ridge=0.0)
    assert fit_cox(with_constant, cohort.months, cohort.event, ridge=1.0).coefficients[3] == 0


def test_values_that_are_not_finite_are_refused(cohort) -> None:
    broken = cohort.features.copy()
    broken[3, 1] = np.nan
    with pytest.raises(CoxFailure, match="not finite: 1 of the 600 values of the features"):
        fit_cox(broken, cohort.months, cohort.event, ridge=1.0)
    offset = np.full(200, np.inf)
    with pytest.raises(CoxFailure, match="not finite: 200 of the 200 values of the offset"):
        fit_cox(cohort.features, cohort.months, cohort.event, ridge=1.0, offset=offset)


def test_an_offset_beyond_a_double_is_refused(cohort) -> None:
    with pytest.raises(CoxFailure, match="the offset spans more than 600 on the log scale"):
        fit_cox(cohort.features, cohort.months, cohort.event, ridge=1.0, offset=np.linspace(-400, 400, 200))


def test_a_negative_ridge_is_refused(cohort) -> None:
    with pytest.raises(ValueError, match="a ridge and its factors cannot be negative"):
        fit_cox(cohort.features, cohort.months, cohort.event, ridge=-1.0)


# --- choosing the ridge


def test_score_of_a_ridge_is_the_cross_validated_likelihood() -> None:
    # Two parts of simulated cases; recomputed from the definition with the loss in torch.
    cohort = simulate(40, seed=9)
    choice = choose_ridge(cohort.features, cohort.months, cohort.event, grid=[3.0], folds=40, seed=0)

    def log_likelihood(kept: np.ndarray, coefficients: np.ndarray) -> float:
        loss = partial_likelihood_loss(
            torch.from_numpy(cohort.features[kept] @ coefficients),
            torch.from_numpy(cohort.months[kept]),
            torch.from_numpy(cohort.event[kept]),
        )
        return -loss.item() * cohort.event[kept].sum()

    everyone, expected = np.arange(40), 0.0
    for left_out in everyone:
        kept = np.delete(everyone, left_out)
        beta = fit_cox(cohort.features[kept], cohort.months[kept], cohort.event[kept], ridge=3.0).coefficients
        expected += log_likelihood(everyone, beta) - log_likelihood(kept, beta)
    assert choice.scores[0] == pytest.approx(expected, rel=1e-6)


def test_noise_is_given_a_large_ridge_and_signal_a_small_one() -> None:
    grid = np.logspace(-1, 5, 7)
    signal = simulate(300, seed=6)
    noise = np.random.default_rng(0).normal(size=(300, 40))
    of_signal = choose_ridge(signal.features, signal.months, signal.event, grid=grid, seed=0)
    of_noise = choose_ridge(noise, signal.months, signal.event, grid=grid, seed=0)
    assert of_signal.ridge <= 10
    assert of_noise.ridge >= 1000
    assert of_noise.grid.tolist() == sorted(grid)
    assert of_noise.ridge == of_noise.grid[of_noise.scores.argmax()]


def test_the_same_seed_chooses_the_same(cohort) -> None:
    data = cohort.features, cohort.months, cohort.event
    one, other = (choose_ridge(*data, grid=[0.1, 1.0, 10.0], seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.scores, other.scores)


def test_a_ridge_is_not_chosen_on_one_event() -> None:
    event = np.array([True, False, False, False])
    with pytest.raises(CoxFailure, match="cannot be chosen by cross-validation on 1 events; 2 are needed"):
        choose_ridge(np.eye(4), np.arange(1.0, 5), event, grid=[1.0], folds=2, seed=0)


def test_more_parts_than_cases_are_refused() -> None:
    with pytest.raises(ValueError, match="4 cases cannot be divided into 5 folds"):
        choose_ridge(np.eye(4), np.arange(1.0, 5), np.ones(4, dtype=bool), grid=[1.0], folds=5, seed=0)


def test_two_events_are_enough_to_choose_a_ridge() -> None:
    event = np.array([True, False, True, False, False, False])
    features = np.arange(6.0)[:, None]
    choice = choose_ridge(features, np.arange(1.0, 7), event, grid=[1.0, 10.0], folds=3, seed=0)
    assert np.isfinite(choice.scores).all()
