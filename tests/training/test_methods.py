"""Elastic net, boosted trees and forest: what each must find, must not find, and must not know."""

import sys
from collections.abc import Mapping

import numpy as np
import pytest

from kemm.core.errors import UsageError
from kemm.survival.cox import breslow_baseline
from kemm.survival.cox_regression import ElasticNetPath
from kemm.survival.metrics import harrell_c
from kemm.training.boosting import Trees
from kemm.training.curves import Calibration
from kemm.training.elastic_net import Design, ElasticNet, fit_elastic_net
from kemm.training.linear import COVARIATES, GENES, PARTS, Stack, View, ViewKind
from kemm.training.methods import Method, RiskModel, fit_method, is_installed
from kemm.training.splits import inner_parts

Array = np.ndarray
Views = Mapping[str, View]

METHODS: tuple[Method, ...] = ("ridge", "elastic-net", "boosting", "forest")
NEW = METHODS[1:]


@pytest.fixture(autouse=True)
def _xgboost(request: pytest.FixtureRequest) -> None:
    if "method" in request.fixturenames and request.getfixturevalue("method") in ("boosting", "forest"):
        pytest.importorskip("xgboost", reason="xgboost is not installed: pip install 'kemm[trees]'")


def outcomes(log_hazard: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    until_event = rng.exponential(30 * np.exp(-log_hazard))
    until_censored = rng.uniform(5, 100, size=len(log_hazard))
    return np.minimum(until_event, until_censored), until_event <= until_censored


def view(values: Array, kind: ViewKind = COVARIATES, present: Array | None = None) -> View:
    everyone = np.ones(len(values), dtype=bool) if present is None else present
    return View(np.asarray(values, dtype=np.float64), everyone, kind)


def take(views: Views, rows: Array) -> dict[str, View]:
    return {name: one.take(rows) for name, one in views.items()}


def study(seed: int, cases: int = 240, *, effect: float = 1.2) -> tuple[dict[str, View], Array, Array]:
    """One feature of the covariates and one of the genes matter, among 4 and 30."""
    rng = np.random.default_rng(seed)
    covariates, genes = rng.normal(size=(cases, 4)), rng.normal(size=(cases, 30))
    months, event = outcomes(effect * (covariates[:, 0] - genes[:, 7]), rng)
    return {"covariates": view(covariates), "genes": view(genes, GENES)}, months, event


def test_every_method_is_a_risk_model_and_says_what_it_chose() -> None:
    pytest.importorskip("xgboost", reason="xgboost is not installed: pip install 'kemm[trees]'")
    views, months, event = study(0, cases=80)
    said = {}
    for method in METHODS:
        model, crossed = fit_method(method, views, months, event, seed=0)
        assert isinstance(model, RiskModel)
        assert crossed.shape == (80,)
        said[method] = model.about()
    assert set(said["ridge"]["weights"]) == {"covariates", "genes"}
    assert set(said["elastic-net"]["kept"]) == {"covariates", "genes"}
    assert said["boosting"]["rounds"] > 1
    assert said["forest"]["rounds"] == 1


@pytest.mark.parametrize("method", NEW)
def test_a_planted_signal_is_found_in_cases_never_seen(method: Method) -> None:
    views, months, event = study(1, cases=500)
    known, new = np.arange(300), np.arange(300, 500)
    model, crossed = fit_method(method, take(views, known), months[known], event[known], seed=0)
    assert harrell_c(months[new], event[new], model.log_risk(take(views, new))).c > 0.75
    assert harrell_c(months[known], event[known], crossed).c > 0.72


@pytest.mark.parametrize("method", NEW)
def test_noise_predicts_nothing(method: Method) -> None:
    # 8 draws, 300 new cases each: the standard error of the mean C is about 0.008.
    found = []
    for seed in range(8):
        rng = np.random.default_rng(200 + seed)
        noise = {"noise": view(rng.normal(size=(420, 20)))}
        months, event = outcomes(np.zeros(420), rng)
        known, new = np.arange(120), np.arange(120, 420)
        model, _ = fit_method(method, take(noise, known), months[known], event[known], seed)
        found.append(harrell_c(months[new], event[new], model.log_risk(take(noise, new))).c)
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("method", NEW)
def test_the_same_cases_and_seed_give_the_same_bytes(method: Method) -> None:
    views, months, event = study(2, cases=120)
    (one, crossed), (other, again) = (fit_method(method, views, months, event, seed=3) for _ in range(2))
    assert one.log_risk(views).tobytes() == other.log_risk(views).tobytes()
    assert crossed.tobytes() == again.tobytes()


@pytest.mark.parametrize("method", NEW)
def test_a_case_is_predicted_alone_as_in_company(method: Method) -> None:
    views, months, event = study(3, cases=150)
    model, _ = fit_method(method, views, months, event, seed=0)
    alone = [model.log_risk(take(views, np.array([row])))[0] for row in (0, 70, 149)]
    np.testing.assert_allclose(alone, model.log_risk(views)[[0, 70, 149]], rtol=1e-9)


@pytest.mark.parametrize("method", NEW)
def test_the_cross_fitted_risk_of_noise_is_worth_nothing(method: Method) -> None:
    fair = []
    for seed in range(8):
        rng = np.random.default_rng(300 + seed)
        noise = {"noise": view(rng.normal(size=(100, 60)))}
        months, event = outcomes(np.zeros(100), rng)
        _, crossed = fit_method(method, noise, months, event, seed)
        fair.append(harrell_c(months, event, crossed).c)
    assert 0.42 < np.mean(fair) < 0.58


@pytest.mark.parametrize("method", NEW)
def test_a_stated_absence_is_not_a_value(method: Method) -> None:
    views, months, event = study(4, cases=200)
    present = np.arange(200) % 4 != 0
    genes = views["genes"].values
    scribbled = np.where(present[:, None], genes, 1e6)
    risks = []
    for values in (genes, scribbled):
        some = {**views, "genes": view(values, GENES, present)}
        model, crossed = fit_method(method, some, months, event, seed=0)
        risks.append((model.log_risk(some), crossed))
    np.testing.assert_array_equal(risks[0][0], risks[1][0])
    np.testing.assert_array_equal(risks[0][1], risks[1][1])


@pytest.mark.parametrize("method", NEW)
def test_a_case_with_none_of_the_views_gets_risk_zero(method: Method) -> None:
    views, months, event = study(5, cases=150)
    model, _ = fit_method(method, views, months, event, seed=0)
    nothing = {name: View(one.values, np.zeros(150, dtype=bool), one.kind) for name, one in views.items()}
    assert (model.log_risk(nothing) == 0).all()
    assert model.log_risk(views).std() > 0.1


@pytest.mark.parametrize("method", NEW)
@pytest.mark.parametrize("reason", ["one event", "nobody has it", "nothing varies", "no view"])
def test_where_nothing_can_be_learned_the_curve_is_that_of_all(method: Method, reason: str) -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(size=(40, 2))
    months, event = outcomes(values[:, 0], rng)
    present = np.ones(40, dtype=bool)
    if reason == "one event":
        event = np.arange(40) == int(months.argmin())
    elif reason == "nobody has it":
        present[:] = False
    elif reason == "nothing varies":
        values[:] = 1.0
    views = {} if reason == "no view" else {"some": view(values, present=present)}
    model, crossed = fit_method(method, views, months, event, seed=0)
    assert (crossed == 0).all()
    if views:
        assert (model.log_risk(views) == 0).all()
    at = np.array([10.0, 30.0])
    hazard = [sum(1 / (months >= time).sum() for time in months[event] if time <= end) for end in at]
    np.testing.assert_allclose(model.survival(np.zeros(1), at)[0], np.exp(-np.array(hazard)), rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_no_event_at_all_is_refused(method: Method) -> None:
    views, months, _ = study(7, cases=30)
    with pytest.raises(ValueError, match="no baseline hazard without an event; all 30 cases are censored"):
        fit_method(method, views, months, np.zeros(30, dtype=bool), seed=0)


@pytest.mark.parametrize("method", NEW)
def test_two_events_and_fewer_cases_than_parts_are_enough_for_a_fit(method: Method) -> None:
    rng = np.random.default_rng(8)
    for cases in (4, 30):
        values = rng.normal(size=(cases, 3))
        months, event = np.arange(1.0, cases + 1), np.arange(cases) < 2
        views = {"some": view(values)}
        model, crossed = fit_method(method, views, months, event, seed=0)
        assert np.isfinite(model.log_risk(views)).all()
        assert np.isfinite(crossed).all()


@pytest.mark.parametrize("method", NEW)
def test_a_constant_column_weighs_nothing_even_where_a_new_case_differs(method: Method) -> None:
    views, months, event = study(9, cases=150)
    values = np.column_stack([views["covariates"].values, np.full(150, 7.0)])
    some = {"covariates": view(values)}
    model, _ = fit_method(method, some, months, event, seed=0)
    changed = {"covariates": view(values + np.array([0.0, 0.0, 0.0, 0.0, 1000.0]))}
    np.testing.assert_array_equal(model.log_risk(some), model.log_risk(changed))


@pytest.mark.parametrize("method", NEW)
def test_zero_months_and_ties_are_events_like_others(method: Method) -> None:
    """Only the order of times counts."""
    views, months, event = study(10, cases=150)
    whole = np.floor(months / 6)
    assert event[whole == 0].any()
    one, _ = fit_method(method, views, whole, event, seed=0)
    other, _ = fit_method(method, views, whole * 30 + 2, event, seed=0)
    np.testing.assert_array_equal(one.log_risk(views), other.log_risk(views))


@pytest.mark.parametrize("method", METHODS)
def test_survival_falls_with_risk_and_is_not_known_after_follow_up(method: Method) -> None:
    views, months, event = study(11, cases=120)
    model, _ = fit_method(method, views, months, event, seed=0)
    at = np.array([0.0, 20.0, months.max(), months.max() + 0.1])
    curve = model.survival(np.array([0.0, 1.0]), at)
    assert np.isnan(curve[:, 3]).all()
    assert (curve[:, 0] == 1).all()
    assert (curve[1, 1:3] < curve[0, 1:3]).all()


@pytest.mark.parametrize("method", NEW)
def test_predicted_survival_of_new_cases_is_what_happens_to_them(method: Method) -> None:
    """In halves by risk: the mean predicted chance is near the share that survives."""
    views, months, event = study(12, cases=1500, effect=0.8)
    known, new = np.arange(500), np.arange(500, 1500)
    model, _ = fit_method(method, take(views, known), months[known], event[known], seed=0)
    risk = model.log_risk(take(views, new))
    predicted = model.survival(risk, np.array([12.0]))[:, 0]
    for half in (risk > np.median(risk), risk <= np.median(risk)):
        own_months, own_event = months[new][half], event[new][half]
        steps = [1 - 1 / (own_months >= time).sum() for time in own_months[own_event] if time <= 12.0]
        assert predicted[half].mean() == pytest.approx(np.prod(steps), abs=0.07)


# --- elastic net -----------------------------------------------------------------------------


def test_an_elastic_net_weighs_what_was_planted_far_above_the_rest() -> None:
    views, months, event = study(13, cases=500)
    model, _ = fit_elastic_net(views, months, event, seed=0)
    weight = np.abs(model.coefficients)
    planted = [0, 4 + 7]
    assert weight[planted].min() > 4 * np.delete(weight, planted).max()
    assert (weight == 0).any()


def test_its_coefficients_are_those_of_the_path_at_the_chosen_penalty() -> None:
    views, months, event = study(14, cases=150)
    model, _ = fit_elastic_net(views, months, event, seed=0)
    assert model.penalty is not None
    fit = ElasticNetPath(Design.fit(views).apply(views), months, event).fit(model.penalty)
    np.testing.assert_allclose(model.coefficients, fit.coefficients, atol=1e-7)


def test_the_units_of_a_covariate_do_not_matter_to_an_elastic_net() -> None:
    views, months, event = study(15, cases=120)
    days = view(views["covariates"].values * [365.25, 1.0, 1.0, 0.01] + [1000.0, 0.0, 0.0, 0.0])
    one, _ = fit_elastic_net(views, months, event, seed=0)
    other, _ = fit_elastic_net({**views, "covariates": days}, months, event, seed=0)
    np.testing.assert_allclose(one.log_risk(views), other.log_risk({**views, "covariates": days}), atol=1e-6)


def test_components_keep_their_proportions_with_mean_variance_one() -> None:
    rng = np.random.default_rng(16)
    values = rng.normal(size=(200, 3)) * [5.0, 1.0, 0.1] + 3.0
    views = {"genes": view(values, GENES)}
    scaled = Design.fit(views).apply(views)
    assert scaled.var(axis=0).mean() == pytest.approx(1.0)
    np.testing.assert_allclose(
        scaled.std(axis=0) / scaled.std(axis=0)[0], values.std(axis=0) / values.std(axis=0)[0]
    )


# --- trees -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["boosting", "forest"])
def test_trees_find_an_interaction_that_no_linear_model_can(method: Method) -> None:
    rng = np.random.default_rng(17)
    signs = rng.choice([-1.0, 1.0], size=(900, 2)) + 0.1 * rng.normal(size=(900, 2))
    months, event = outcomes(1.0 * np.sign(signs[:, 0]) * (signs[:, 1] > 0), rng)
    views = {"some": view(signs)}
    known, new = np.arange(500), np.arange(500, 900)
    c = {}
    for one in (method, "elastic-net"):
        model, _ = fit_method(one, take(views, known), months[known], event[known], seed=0)
        c[one] = harrell_c(months[new], event[new], model.log_risk(take(views, new))).c
    assert c[method] > c["elastic-net"] + 0.01


@pytest.mark.parametrize("method", ["boosting", "forest"])
def test_another_seed_samples_otherwise(method: Method) -> None:
    views, months, event = study(18, cases=150)
    one, other = (fit_method(method, views, months, event, seed)[0].log_risk(views) for seed in (0, 1))
    assert (one != other).any()
    assert np.corrcoef(one, other)[0, 1] > 0.8


def test_without_xgboost_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    views, months, event = study(19, cases=30)
    assert is_installed("ridge")
    assert is_installed("elastic-net")
    for method in ("boosting", "forest"):
        assert not is_installed(method)
        with pytest.raises(UsageError, match=r"need the optional part: pip install 'kemm\[trees\]'"):
            fit_method(method, views, months, event, seed=0)


def test_the_cross_fitted_risk_of_a_part_does_not_know_its_outcomes() -> None:
    """They are dealt anew among the part's cases; only the slope, one number, may tell."""
    pytest.importorskip("xgboost", reason="xgboost is not installed: pip install 'kemm[trees]'")
    views, months, event = study(24, cases=150)
    part = inner_parts(event, PARTS, 0)[2]
    dealt = months.copy()
    for some in (part[event[part]], part[~event[part]]):  # else the parts would be others
        dealt[some] = np.roll(months[some], 3)
    ranked = []
    for outcome in (months, dealt):
        model, crossed = fit_method("forest", views, outcome, event, seed=0)
        assert isinstance(model, Trees)
        ranked.append(crossed / model.calibration.slope)
    np.testing.assert_allclose(ranked[0][part], ranked[1][part], rtol=1e-12)
    others = np.setdiff1d(np.arange(150), part)
    assert (np.abs(ranked[0][others] - ranked[1][others]) > 1e-6).mean() > 0.9


# --- calibration -----------------------------------------------------------------------------


@pytest.mark.parametrize(("told", "slope"), [(1.0, 1.0), (0.5, 2.0), (3.0, 1 / 3)])
def test_the_slope_brings_a_risk_to_the_scale_of_its_effect(told: float, slope: float) -> None:
    rng = np.random.default_rng(20)
    truth = rng.normal(size=2000)
    months, event = outcomes(truth, rng)
    found, calibrated = Calibration.fit(told * truth, months, event)
    assert found.slope == pytest.approx(slope, rel=0.08)
    np.testing.assert_allclose(calibrated, found.slope * told * truth, rtol=1e-12)


def test_a_risk_that_points_the_wrong_way_is_not_turned_round() -> None:
    rng = np.random.default_rng(21)
    truth = rng.normal(size=400)
    months, event = outcomes(truth, rng)
    found, calibrated = Calibration.fit(-truth, months, event)
    assert found.slope == 0
    assert (calibrated == 0).all()
    flat = breslow_baseline(*(_tensor(one) for one in (np.zeros(400), months, event)))
    assert (found.baseline.log_cumulative_hazard == flat.log_cumulative_hazard).all()


def _tensor(values: Array):
    import torch

    return torch.from_numpy(values)


def test_ridge_is_the_stack_with_its_cross_fitted_risk_in_one() -> None:
    views, months, event = study(22, cases=90)
    model, crossed = fit_method("ridge", views, months, event, seed=0)
    stack, parts = Stack.fit(views, months, event, seed=0)
    assert isinstance(model, Stack)
    np.testing.assert_array_equal(model.log_risk(views), stack.log_risk(views))
    np.testing.assert_allclose(crossed, parts["covariates"] + parts["genes"], atol=1e-12)
    assert isinstance(fit_method("elastic-net", views, months, event, seed=0)[0], ElasticNet)


def test_trees_know_how_many_rounds_they_took() -> None:
    pytest.importorskip("xgboost", reason="xgboost is not installed: pip install 'kemm[trees]'")
    views, months, event = study(23, cases=200)
    model, _ = fit_method("boosting", views, months, event, seed=0)
    assert isinstance(model, Trees)
    assert model.booster is not None
    assert model.booster.num_boosted_rounds() == model.rounds
