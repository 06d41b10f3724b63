import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kemm.survival.cox import breslow_baseline, partial_likelihood_loss, survival_at

scores = arrays(np.float64, 8, elements=st.floats(-5, 5))
whole_months = arrays(np.float64, 8, elements=st.integers(1, 4).map(float))
events = arrays(np.bool_, 8)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def brute_force_efron(log_risk: np.ndarray, months: np.ndarray, event: np.ndarray) -> float:
    """Efron's formula, read off the page: one time, one death at a time."""
    total = 0.0
    for time in set(months[event]):
        at_risk = sum(np.exp(r) for r, m in zip(log_risk, months, strict=True) if m >= time)
        dying = [r for r, m, e in zip(log_risk, months, event, strict=True) if e and m == time]
        for place, risk in enumerate(dying):
            gone = place / len(dying) * sum(np.exp(r) for r in dying)
            total += risk - np.log(at_risk - gone)
    return total


def test_loss_of_a_hand_worked_case() -> None:
    # Hazard ratios 1, 2, 3; deaths at months 1 and 2: 1/6 of 1+2+3, then 2/5 of 2+3.
    loss = partial_likelihood_loss(tensor(1, 2, 3).log(), tensor(1, 2, 3), torch.tensor([True, True, False]))
    torch.testing.assert_close(loss, -(tensor(1 / 6) * tensor(2 / 5)).log()[0] / 2)


def test_loss_of_a_hand_worked_tie() -> None:
    # Ratios 1 and 2 die together, 3 stays: after Efron 1*2 / (6 * (6 - (1+2)/2)).
    loss = partial_likelihood_loss(tensor(1, 2, 3).log(), tensor(5, 5, 9), torch.tensor([True, True, False]))
    torch.testing.assert_close(loss, -tensor(2 / (6 * 4.5)).log()[0] / 2)


@given(scores, whole_months, events)
def test_loss_with_ties_is_efrons_formula(
    log_risk: np.ndarray, months: np.ndarray, event: np.ndarray
) -> None:
    loss = partial_likelihood_loss(*map(torch.from_numpy, (log_risk, months, event)))
    expected = -brute_force_efron(log_risk, months, event) / max(event.sum(), 1)
    assert loss.item() == pytest.approx(expected, abs=1e-10)


@given(scores, whole_months, events, st.floats(-1e3, 1e3))
def test_loss_does_not_see_a_shift_of_all_risks(
    log_risk: np.ndarray, months: np.ndarray, event: np.ndarray, shift: float
) -> None:
    outcome = torch.from_numpy(months), torch.from_numpy(event)
    one = partial_likelihood_loss(torch.from_numpy(log_risk), *outcome)
    other = partial_likelihood_loss(torch.from_numpy(log_risk + shift), *outcome)
    torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


@given(scores, whole_months, events, st.permutations(range(8)))
def test_loss_does_not_see_the_order_of_cases(
    log_risk: np.ndarray, months: np.ndarray, event: np.ndarray, order: list[int]
) -> None:
    columns = log_risk, months, event
    one = partial_likelihood_loss(*map(torch.from_numpy, columns))
    other = partial_likelihood_loss(*(torch.from_numpy(column[order]) for column in columns))
    torch.testing.assert_close(one, other)


@given(arrays(np.float64, 8, elements=st.floats(-1e4, 1e4)), whole_months, events)
def test_gradients_of_extreme_risks_are_finite_and_sum_to_zero(
    log_risk: np.ndarray, months: np.ndarray, event: np.ndarray
) -> None:
    leaf = torch.from_numpy(log_risk).requires_grad_()
    loss = partial_likelihood_loss(leaf, torch.from_numpy(months), torch.from_numpy(event))
    loss.backward()
    assert torch.isfinite(loss)
    # A shift of all risks changes nothing, so the gradient has no component along it.
    assert leaf.grad.sum().abs() < 1e-8
    assert (leaf.grad.abs() <= 8 + 1e-9).all()


def test_gradient_with_ties_is_that_of_finite_differences() -> None:
    log_risk = torch.randn(
        8, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).requires_grad_()
    months, event = tensor(1, 1, 1, 2, 2, 3, 3, 4), torch.tensor([1, 1, 0, 1, 1, 1, 0, 1]).bool()
    assert torch.autograd.gradcheck(lambda r: partial_likelihood_loss(r, months, event), log_risk)


def test_only_censored_cases_give_zero_loss_and_zero_gradient() -> None:
    leaf = tensor(3, -2).requires_grad_()
    loss = partial_likelihood_loss(leaf, tensor(1, 2), torch.tensor([False, False]))
    loss.backward()
    assert loss.item() == 0
    assert leaf.grad.tolist() == [0, 0]


def test_float32_risks_give_a_float32_loss_close_to_the_exact_one(tied_cohort) -> None:
    months, event = torch.from_numpy(tied_cohort.months), torch.from_numpy(tied_cohort.event)
    exact = partial_likelihood_loss(torch.from_numpy(tied_cohort.risk), months, event)
    rounded = partial_likelihood_loss(torch.from_numpy(tied_cohort.risk).float(), months.float(), event)
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact.item(), rel=1e-5)


def test_baseline_of_hand_worked_cases() -> None:
    # Ratios 1, 2, 3; one death among 6 at month 1, one among 5 at month 2.
    risk = tensor(1, 2, 3).log()
    baseline = breslow_baseline(risk, tensor(1, 2, 3), torch.tensor([True, True, False]))
    torch.testing.assert_close(baseline.log_cumulative_hazard.exp(), tensor(1 / 6, 1 / 6 + 1 / 5))
    curve = survival_at(risk[:2], baseline, tensor(0.5, 1, 1.5, 2, 3))
    first = (-tensor(0, 1 / 6, 1 / 6, 11 / 30, 11 / 30)).exp()
    torch.testing.assert_close(curve, torch.stack([first, first**2]))


def test_baseline_without_an_event_is_refused() -> None:
    with pytest.raises(ValueError, match="no baseline hazard without an event; all 2 cases are censored"):
        breslow_baseline(tensor(0, 1), tensor(1, 2), torch.tensor([False, False]))


def test_a_horizon_after_the_follow_up_is_refused() -> None:
    baseline = breslow_baseline(tensor(0, 1), tensor(1, 2), torch.tensor([True, False]))
    with pytest.raises(ValueError, match=r"horizon 2\.5 is outside 0 to 2 months"):
        survival_at(tensor(0), baseline, tensor(1, 2.5))


@given(arrays(np.float64, 8, elements=st.floats(-1e4, 1e4)), whole_months)
def test_curves_of_extreme_risks_never_rise(log_risk: np.ndarray, months: np.ndarray) -> None:
    risk, times = torch.from_numpy(log_risk), torch.from_numpy(months)
    baseline = breslow_baseline(risk, times, torch.ones(8, dtype=torch.bool))
    curve = survival_at(risk, baseline, torch.linspace(0, months.max(), 9, dtype=torch.float64))
    assert (curve[:, 0] == 1).all()
    assert (curve.diff(dim=1) <= 0).all()
    assert (curve >= 0).all()
    # A case with a higher risk is never above one with a lower risk.
    for one, other in itertools.pairwise(risk.argsort().tolist()):
        assert (curve[one] >= curve[other]).all()


def test_baseline_and_curves_are_those_of_scikit_survival(training, cohort) -> None:
    linear_model = pytest.importorskip("sksurv.linear_model")
    util = pytest.importorskip("sksurv.util")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = linear_model.CoxPHSurvivalAnalysis(ties="efron").fit(
            training.features, util.Surv.from_arrays(training.event, training.months)
        )
        horizons = np.array([5.0, 20.0, 60.0])
        expected = np.array([curve(horizons) for curve in oracle.predict_survival_function(cohort.features)])
    risk = torch.from_numpy(training.features @ oracle.coef_)
    baseline = breslow_baseline(risk, torch.from_numpy(training.months), torch.from_numpy(training.event))
    test_risk = torch.from_numpy(cohort.features @ oracle.coef_)
    ours = survival_at(test_risk, baseline, torch.from_numpy(horizons))
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-9)
