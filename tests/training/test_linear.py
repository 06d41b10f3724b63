"""Linear survival models against an oracle; the stack against what it is held to."""

from collections.abc import Mapping

import numpy as np
import pytest

from kemm.survival.cox_regression import fit_cox
from kemm.survival.metrics import harrell_c
from kemm.training.linear import COVARIATES, GENES, TEXT, RidgeCox, Stack, View, ViewKind, cross_fit

Array = np.ndarray


def outcomes(log_hazard: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    until_event = rng.exponential(30 * np.exp(-log_hazard))
    until_censored = rng.uniform(5, 100, size=len(log_hazard))
    return np.minimum(until_event, until_censored), until_event <= until_censored


def view(values: Array, kind: ViewKind = COVARIATES, present: Array | None = None) -> View:
    everyone = np.ones(len(values), dtype=bool) if present is None else present
    return View(np.asarray(values, dtype=np.float64), everyone, kind)


def crossed(parts: Mapping[str, Array]) -> Array:
    """The stacked, cross-fitted log risk."""
    return np.sum(list(parts.values()), axis=0)


@pytest.mark.parametrize("ridge", [0.5, 10.0])
def test_a_ridge_cox_is_scikit_survivals_on_standardised_columns(ridge: float) -> None:
    sksurv = pytest.importorskip(
        "sksurv.linear_model", reason="scikit-survival, the oracle, is not installed"
    )
    rng = np.random.default_rng(0)
    values = rng.normal(size=(90, 3)) * [1.0, 20.0, 0.1] + [5.0, -3.0, 0.0]
    months, event = outcomes((values - values.mean(axis=0)) @ [0.7, 0.03, 0.0], rng)
    kind = ViewKind(ridge=ridge, each_column=True, prior_weight=1.0)
    model = RidgeCox.fit(view(values, kind), months, event)
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    target = np.array(list(zip(event, months, strict=True)), dtype=[("event", bool), ("months", float)])
    oracle = sksurv.CoxPHSurvivalAnalysis(alpha=ridge, ties="efron", tol=1e-12).fit(standard, target)
    np.testing.assert_allclose(model.log_risk(view(values, kind)), standard @ oracle.coef_, atol=1e-5)


def test_columns_that_share_a_scale_keep_their_proportions() -> None:
    """Small components stay small: all are divided by the root of their total variance."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(80, 2)) * [4.0, 3.0]
    months, event = outcomes(values @ [0.2, 0.0], rng)
    shared = ViewKind(ridge=2.0, each_column=False, prior_weight=1.0)
    total = np.sqrt(values.var(axis=0).sum())
    expected = fit_cox((values - values.mean(axis=0)) / total, months, event, ridge=2.0)
    risk = RidgeCox.fit(view(values, shared), months, event).log_risk(view(values, shared))
    np.testing.assert_allclose(
        risk, (values - values.mean(axis=0)) / total @ expected.coefficients, atol=1e-9
    )


def test_the_units_of_a_column_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(70, 2))
    months, event = outcomes(values @ [0.8, 0.0], rng)
    days = values * [365.25, 1.0] + [1000.0, 0.0]
    one = RidgeCox.fit(view(values), months, event).log_risk(view(values))
    other = RidgeCox.fit(view(days), months, event).log_risk(view(days))
    np.testing.assert_allclose(one, other, atol=1e-8)


def test_a_stronger_ridge_pulls_risks_together() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(70, 4))
    months, event = outcomes(values @ [0.8, 0.0, 0.0, 0.4], rng)
    spreads = []
    for ridge in (0.1, 10.0, 1000.0):
        kind = ViewKind(ridge=ridge, each_column=True, prior_weight=1.0)
        spreads.append(RidgeCox.fit(view(values, kind), months, event).log_risk(view(values, kind)).std())
    assert spreads[0] > spreads[1] > spreads[2] > 0


def test_cases_without_the_view_are_not_learned_from_and_get_the_mean_risk() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(60, 2))
    months, event = outcomes(values @ [1.0, 0.0], rng)
    present = rng.random(60) < 0.7
    scribbled = np.where(present[:, None], values, 1e6)
    one = RidgeCox.fit(view(values, present=present), months, event)
    other = RidgeCox.fit(view(scribbled, present=present), months, event)
    np.testing.assert_array_equal(one.coefficients, other.coefficients)
    risk = other.log_risk(view(scribbled, present=present))
    assert (risk[~present] == 0).all()
    assert (risk[present] != 0).any()
    assert risk[present].mean() == pytest.approx(0, abs=1e-9)


def test_a_constant_column_weighs_nothing_even_where_a_new_case_differs() -> None:
    rng = np.random.default_rng(5)
    values = np.column_stack([rng.normal(size=50), np.full(50, 7.0)])
    months, event = outcomes(values[:, 0], rng)
    model = RidgeCox.fit(view(values), months, event)
    changed = values + np.array([0.0, 1000.0])
    np.testing.assert_array_equal(model.log_risk(view(values)), model.log_risk(view(changed)))


@pytest.mark.parametrize("reason", ["no event", "nobody has it", "nothing varies"])
def test_where_nothing_can_be_learned_all_risks_are_zero(reason: str) -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(size=(30, 2))
    months, event = outcomes(values[:, 0], rng)
    present = np.ones(30, dtype=bool)
    if reason == "no event":
        event = np.zeros(30, dtype=bool)
    elif reason == "nobody has it":
        present[:] = False
    else:
        values[:] = 1.0
    risk = RidgeCox.fit(view(values, present=present), months, event).log_risk(view(values, present=present))
    assert (risk == 0).all()


# --- cross-fitting ---------------------------------------------------------------------------


def test_a_cross_fitted_risk_does_not_know_the_cases_own_outcome() -> None:
    """With its outcome changed, a case's own risk stays, and those of others move."""
    rng = np.random.default_rng(7)
    values = rng.normal(size=(50, 20))
    months, event = outcomes(values[:, 0], rng)
    before = cross_fit(view(values, TEXT), months, event, seed=0)
    later = months.copy()
    later[13] *= 5  # its event stays, or the parts would be dealt anew
    after = cross_fit(view(values, TEXT), later, event, seed=0)
    assert after[13] == before[13]
    assert (after != before).sum() > 25


def test_the_cross_fitted_risk_of_noise_is_worth_nothing_where_the_fitted_one_looks_good() -> None:
    # 16 draws of 100 cases with 60 columns of noise: the standard error of the mean C is about 0.01.
    fair, flattering = [], []
    for seed in range(16):
        rng = np.random.default_rng(100 + seed)
        noise = view(rng.normal(size=(100, 60)), GENES)
        months, event = outcomes(np.zeros(100), rng)
        fair.append(harrell_c(months, event, cross_fit(noise, months, event, seed)).c)
        flattering.append(harrell_c(months, event, RidgeCox.fit(noise, months, event).log_risk(noise)).c)
    assert np.mean(fair) == pytest.approx(0.5, abs=0.04)
    assert np.mean(flattering) > 0.75


def test_cross_fitting_is_the_same_for_the_same_seed_and_not_for_another() -> None:
    rng = np.random.default_rng(8)
    some = view(rng.normal(size=(40, 3)))
    months, event = outcomes(some.values[:, 0], rng)
    one, same, other = (cross_fit(some, months, event, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


# --- the stack -------------------------------------------------------------------------------


def two_views(seed: int, cases: int = 200, *, effect: float = 1.2) -> tuple[dict[str, View], Array, Array]:
    """One view that carries the outcome, one of noise."""
    rng = np.random.default_rng(seed)
    planted, noise = rng.normal(size=(cases, 3)), rng.normal(size=(cases, 3))
    months, event = outcomes(effect * planted[:, 0], rng)
    kind = ViewKind(ridge=5.0, each_column=True, prior_weight=0.5)
    return {"planted": view(planted, kind), "noise": view(noise, kind)}, months, event


def test_the_view_that_carries_the_outcome_earns_more_than_its_prior_and_noise_less() -> None:
    for seed in range(4):
        views, months, event = two_views(seed)
        stack, _ = Stack.fit(views, months, event, seed=0)
        assert stack.weights["planted"] > 0.55
        assert stack.weights["noise"] < 0.5


def test_no_weight_is_negative_even_where_a_view_points_the_wrong_way() -> None:
    smallest = np.inf
    kind = ViewKind(ridge=5.0, each_column=True, prior_weight=0.01)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        views = {"one": view(rng.normal(size=(120, 8)), kind), "other": view(rng.normal(size=(120, 8)), kind)}
        months, event = outcomes(np.zeros(120), rng)
        stack, _ = Stack.fit(views, months, event, seed=0)
        smallest = min(smallest, *stack.weights.values())
    assert smallest == 0, (
        "some cross-fitted noise points the wrong way, and is left out rather than turned round"
    )


def test_with_hardly_any_information_weights_stay_near_their_prior() -> None:
    views, months, event = two_views(1, cases=60)
    few = np.zeros(60, dtype=bool)
    few[np.flatnonzero(event)[:6]] = True
    stack, _ = Stack.fit(views, months, few, seed=0)
    for name, weight in stack.weights.items():
        assert weight == pytest.approx(views[name].kind.prior_weight, abs=0.06), name


def test_a_stack_of_one_view_ranks_as_its_ridge_cox() -> None:
    views, months, event = two_views(2)
    alone = {"planted": views["planted"]}
    stack, _ = Stack.fit(alone, months, event, seed=0)
    whole = RidgeCox.fit(views["planted"], months, event).log_risk(views["planted"])
    assert np.array_equal(stack.log_risk(alone).argsort(), whole.argsort())


def test_a_stacks_risk_is_the_sum_of_its_parts() -> None:
    views, months, event = two_views(3)
    stack, _ = Stack.fit(views, months, event, seed=0)
    parts = sum(stack.part(name, one) for name, one in views.items())
    np.testing.assert_allclose(stack.log_risk(views), parts, atol=1e-12)


def test_each_views_part_has_the_spread_of_its_weight() -> None:
    """In training, cross-fitted or not: a unit of risk is a unit."""
    views, months, event = two_views(4)
    stack, parts = Stack.fit(views, months, event, seed=0)
    for name, one in views.items():
        assert stack.part(name, one).std() == pytest.approx(stack.weights[name], rel=1e-6)
        assert parts[name].std() == pytest.approx(stack.weights[name], rel=1e-6)


def test_a_view_that_a_case_lacks_adds_nothing_to_its_risk() -> None:
    views, months, event = two_views(5)
    present = np.arange(200) % 4 != 0
    views["planted"] = View(views["planted"].values, present, views["planted"].kind)
    stack, parts = Stack.fit(views, months, event, seed=0)
    assert (stack.part("planted", views["planted"])[~present] == 0).all()
    assert (parts["planted"][~present] == 0).all()
    without = {**views, "planted": View(views["planted"].values, np.zeros(200, dtype=bool), COVARIATES)}
    np.testing.assert_array_equal(stack.log_risk(without), stack.part("noise", views["noise"]))


def test_the_stacked_training_risk_is_cross_fitted() -> None:
    rng = np.random.default_rng(9)
    noise = {"noise": view(rng.normal(size=(100, 60)), GENES)}
    months, event = outcomes(np.zeros(100), rng)
    stack, parts = Stack.fit(noise, months, event, seed=0)
    fitted = harrell_c(months, event, stack.log_risk(noise)).c
    fair = harrell_c(months, event, crossed(parts)).c
    assert fitted > 0.75
    assert fair < 0.65


def test_a_stack_of_nothing_is_the_kaplan_meier_of_its_training_cases() -> None:
    rng = np.random.default_rng(10)
    months, event = outcomes(np.zeros(60), rng)
    stack, _ = Stack.fit({}, months, event, seed=0)
    at = np.array([10.0, 30.0])
    hazard = [sum(1 / (months >= time).sum() for time in months[event] if time <= end) for end in at]
    np.testing.assert_allclose(
        stack.survival(np.zeros(2), at), np.exp(-np.array([hazard, hazard])), rtol=1e-9
    )


def test_survival_after_the_training_cases_follow_up_is_not_known() -> None:
    views, months, event = two_views(6)
    stack, _ = Stack.fit(views, months, event, seed=0)
    curve = stack.survival(np.array([0.0, 1.0]), np.array([0.0, 20.0, months.max(), months.max() + 0.1]))
    assert np.isnan(curve[:, 3]).all()
    assert not np.isnan(curve[:, :3]).any()
    assert (curve[1, 1:3] < curve[0, 1:3]).all()
    assert (curve[:, 0] == 1).all()


def test_taking_cases_of_a_view_takes_their_rows() -> None:
    some = view(np.arange(10).reshape(5, 2), present=np.array([True, False, True, True, False]))
    taken = some.take(np.array([4, 0]))
    assert taken.values.tolist() == [[8, 9], [0, 1]]
    assert taken.present.tolist() == [False, True]
    assert taken.kind is some.kind
