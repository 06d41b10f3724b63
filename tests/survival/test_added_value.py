"""What a new risk adds, against lifelines' stratified Cox models and against what is known of noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2
from simulated_cases import simulate

from kemm.survival.cox_regression import CoxFailure, fit_cox, fit_stratified_cox
from kemm.survival.metrics import (
    ComparedFold,
    UndefinedMetric,
    combined_concordance,
    concordance_gain,
    count_pairs,
    cross_fitted_weights,
    likelihood_ratio_test,
)


def folds_of(
    seed: int = 5, *, cases: int = 240, folds: int = 4, noise: bool = False, whole_months: bool = False
) -> list[ComparedFold]:
    """Half of the truth is the reference; the other half is new. Each fold's risks have a level of their own."""
    cohort = simulate(cases, seed=seed, whole_months=whole_months)
    parts = cohort.features * cohort.truth
    new = np.random.default_rng(seed + 1000).normal(size=cases) if noise else parts[:, 2]
    return [
        ComparedFold(
            cases=[f"case-{row}" for row in rows],
            months=cohort.months[rows],
            event=cohort.event[rows],
            reference=parts[rows, 0] + 3 * fold,
            new=0.5 * new[rows] - 7 * fold,
        )
        for fold, rows in enumerate(np.array_split(np.arange(cases), folds))
    ]


def lifelines_fit(folds: list[ComparedFold], *columns: str):
    """Its Newton does not get through levels that differ between strata, so they are taken off."""
    lifelines = pytest.importorskip("lifelines")
    import pandas as pd

    table = pd.concat(
        [
            pd.DataFrame(
                {
                    "months": fold.months,
                    "event": fold.event,
                    "fold": number,
                    "reference": fold.reference - fold.reference.mean(),
                    "new": fold.new - fold.new.mean(),
                }
            )
            for number, fold in enumerate(folds)
        ]
    )
    fitter = lifelines.CoxPHFitter()
    fitter.fit(
        table[["months", "event", "fold", *columns]],
        "months",
        "event",
        strata=["fold"],
    )
    return fitter


@pytest.mark.parametrize("whole_months", [False, True])
def test_the_test_and_the_ratio_are_those_of_lifelines(whole_months: bool) -> None:
    folds = folds_of(whole_months=whole_months)
    found = likelihood_ratio_test(folds, cross_validated=False, level=0.9)
    both, alone = lifelines_fit(folds, "reference", "new"), lifelines_fit(folds, "reference")
    statistic = 2 * (both.log_likelihood_ - alone.log_likelihood_)
    assert found.statistic == pytest.approx(statistic, rel=1e-5)
    assert found.new_share == pytest.approx(
        statistic / both.log_likelihood_ratio_test().test_statistic, rel=1e-5
    )
    assert [found.reference_coefficient, found.new_coefficient] == pytest.approx(
        both.params_.tolist(), rel=1e-5
    )
    deviation = np.sqrt(sum(((fold.new - fold.new.mean()) ** 2).sum() for fold in folds) / (240 - 4))
    assert found.deviation == pytest.approx(deviation)
    error = both.standard_errors_["new"]
    ends = deviation * (both.params_["new"] + 1.6448536 * error * np.array([-1, 0, 1]))
    ratio = found.hazard_ratio
    assert [ratio.lower, ratio.value, ratio.upper] == pytest.approx(np.exp(ends).tolist(), rel=1e-5)
    assert (found.degrees_of_freedom, found.inflation, found.cases) == (1, 1, 240)
    assert found.p == pytest.approx(chi2.sf(statistic, 1), rel=1e-3)
    assert found.events == sum(int(fold.event.sum()) for fold in folds)


def test_the_level_and_the_scale_of_a_folds_risk_do_not_count_against_other_folds() -> None:
    folds = folds_of()
    moved = [replace(fold, new=fold.new + 100 * place) for place, fold in enumerate(folds)]
    scaled = [replace(fold, new=3 * fold.new) for fold in folds]
    one = likelihood_ratio_test(folds)
    for other in (likelihood_ratio_test(moved), likelihood_ratio_test(scaled)):
        assert other.statistic == pytest.approx(one.statistic, rel=1e-6)
        assert other.hazard_ratio.value == pytest.approx(one.hazard_ratio.value, rel=1e-6)


def test_cross_validated_risks_are_judged_by_half_the_statistic() -> None:
    plain, halved = (likelihood_ratio_test(folds_of(), cross_validated=crossed) for crossed in (False, True))
    assert halved.statistic == plain.statistic
    assert halved.p == pytest.approx(chi2.sf(plain.statistic / 2, 1))
    widths = [np.log(each.hazard_ratio.upper / each.hazard_ratio.lower) for each in (plain, halved)]
    assert widths[1] / widths[0] == pytest.approx(np.sqrt(2))


def test_noise_of_another_cohorts_model_is_found_as_often_as_the_test_promises() -> None:
    p = np.array(
        [
            likelihood_ratio_test(folds_of(seed, cases=120, noise=True), cross_validated=False).p
            for seed in range(200)
        ]
    )
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.045)  # three binomial errors
    assert p.mean() == pytest.approx(0.5, abs=0.065)


def cross_validated_noise(seed: int) -> list[ComparedFold]:
    """As in a study: a model of 20 meaningless features, trained on the other folds of the same cohort."""
    cohort = simulate(120, seed=seed, features=1)
    noise = np.random.default_rng(seed + 1000).normal(size=(120, 20))
    folds = []
    for fold in range(5):
        test = np.arange(120) % 5 == fold
        model = fit_cox(noise[~test], cohort.months[~test], cohort.event[~test], ridge=1000.0)
        folds.append(
            ComparedFold(
                cases=[f"case-{row}" for row in np.flatnonzero(test)],
                months=cohort.months[test],
                event=cohort.event[test],
                reference=cohort.features[test, 0],
                new=model.log_risk(noise[test]),
            )
        )
    return folds


def test_cross_validated_noise_has_twice_the_variance_and_is_not_found_too_often() -> None:
    found = [likelihood_ratio_test(cross_validated_noise(seed)) for seed in range(200)]
    signed_roots = [np.sqrt(each.statistic) * np.sign(each.new_coefficient) for each in found]
    assert 1.3 < np.var(signed_roots) < 2.4
    assert np.mean([each.p < 0.05 for each in found]) < 0.05 + 0.03
    assert np.mean([chi2.sf(each.statistic, 1) < 0.05 for each in found]) > 0.05 + 0.03


def test_a_new_risk_that_tells_more_is_found() -> None:
    found = likelihood_ratio_test(folds_of(cases=900))
    assert found.p < 0.001
    assert found.hazard_ratio.lower > 1
    assert 0.1 < found.new_share < 0.9


def test_weights_of_a_fold_do_not_know_its_outcomes() -> None:
    folds = folds_of()
    first = folds[0]
    shuffled = replace(first, months=first.months[::-1].copy(), event=first.event[::-1].copy())
    before, after = cross_fitted_weights(folds), cross_fitted_weights([shuffled, *folds[1:]])
    assert before[0].tolist() == after[0].tolist()
    assert before[1].tolist() != after[1].tolist()


def test_weights_are_the_coefficients_of_the_other_folds() -> None:
    folds = folds_of()
    both = lifelines_fit(folds[1:], "reference", "new")
    assert cross_fitted_weights(folds)[0].tolist() == pytest.approx(both.params_.tolist(), rel=1e-4)


def test_the_gain_in_c_is_that_of_the_weighed_sum_within_folds() -> None:
    folds = folds_of(cases=900)
    gain = concordance_gain(folds, resamples=200, seed=0)
    pairs = [
        count_pairs(fold.months, fold.event, a * fold.reference + b * fold.new)
        for fold, (a, b) in zip(folds, gain.weights, strict=True)
    ]
    assert gain.combined.value == pytest.approx(combined_concordance(pairs).c)
    assert gain.change.value == pytest.approx(gain.combined.value - gain.reference.value)
    assert 0 < gain.change.lower < gain.change.value < gain.change.upper
    again = concordance_gain(folds, resamples=200, seed=0)
    assert again.change == gain.change


def test_noise_gains_nothing_on_average() -> None:
    gains = [
        concordance_gain(folds_of(seed, cases=120, noise=True), resamples=100, seed=0).change.value
        for seed in range(60)
    ]
    # Weights fitted on the cases measured would make this positive.
    assert -0.02 < np.mean(gains) < 0.002


def test_a_single_fold_has_no_other_to_weigh_by() -> None:
    with pytest.raises(
        UndefinedMetric, match="needs two folds: one to weigh the risks, another to measure them"
    ):
        concordance_gain(folds_of(folds=1), seed=0)


@pytest.mark.parametrize("name", ["reference", "new"])
def test_a_risk_that_ranks_nobody_adds_nothing_that_could_be_tested(name: str) -> None:
    folds = [replace(fold, **{name: np.full(60, float(place))}) for place, fold in enumerate(folds_of())]
    with pytest.raises(UndefinedMetric, match=f"the {name} risk is the same for all cases of each fold"):
        likelihood_ratio_test(folds)


def test_the_same_risk_twice_is_refused() -> None:
    folds = [replace(fold, new=2 * fold.reference) for fold in folds_of()]
    with pytest.raises(UndefinedMetric, match=r"added value of the new risk to the reference: .*collinear"):
        likelihood_ratio_test(folds)


def test_no_case_no_event_and_no_number_are_refused() -> None:
    with pytest.raises(UndefinedMetric, match="added value: there are no cases"):
        likelihood_ratio_test([])
    folds = folds_of()
    censored = [replace(fold, event=np.zeros(60, dtype=bool)) for fold in folds]
    with pytest.raises(UndefinedMetric, match="all 240 cases are censored"):
        likelihood_ratio_test(censored)
    broken = folds[0].new.copy()
    broken[:2] = np.nan
    with pytest.raises(ValueError, match="the risk of 2 of 240 cases is not a finite number"):
        likelihood_ratio_test([replace(folds[0], new=broken), *folds[1:]])


# --- the stratified Cox model


def test_one_stratum_is_the_plain_model() -> None:
    cohort = simulate(100, seed=3, whole_months=True)
    plain = fit_cox(cohort.features, cohort.months, cohort.event, ridge=0.0)
    one = fit_stratified_cox(cohort.features, cohort.months, cohort.event, np.zeros(100, dtype=np.int64))
    assert one.coefficients.tolist() == pytest.approx(plain.coefficients.tolist(), rel=1e-9)
    assert one.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-12)


def test_a_stratum_without_events_says_nothing() -> None:
    cohort = simulate(100, seed=3)
    silent = np.arange(100) >= 80
    event = cohort.event & ~silent
    whole = fit_stratified_cox(cohort.features, cohort.months, event, silent.astype(np.int64))
    rest = fit_cox(cohort.features[:80], cohort.months[:80], event[:80], ridge=0.0)
    assert whole.coefficients.tolist() == pytest.approx(rest.coefficients.tolist(), rel=1e-9)


def test_a_stratified_model_of_nothing_is_refused() -> None:
    months, stratum = np.array([1.0, 2]), np.array([0, 1])
    with pytest.raises(CoxFailure, match="no Cox model without a feature"):
        fit_stratified_cox(np.empty((2, 0)), months, np.array([True, True]), stratum)
    with pytest.raises(CoxFailure, match="all 2 cases are censored"):
        fit_stratified_cox(np.ones((2, 1)), months, np.array([False, False]), stratum)
    with pytest.raises(CoxFailure, match="not finite: 1 of the 2 values of the features"):
        fit_stratified_cox(np.array([[np.nan], [1]]), months, np.array([True, True]), stratum)
    # One case a stratum: nobody to be compared with.
    with pytest.raises(CoxFailure, match="feature 0 does not vary among the cases at risk"):
        fit_stratified_cox(np.array([[0.0], [1]]), months, np.array([True, True]), stratum)
