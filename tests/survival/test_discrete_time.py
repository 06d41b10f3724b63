import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kemm.survival.discrete_time import (
    expected_mortality,
    exposure,
    fit_intervals,
    interval_of,
    negative_log_likelihood,
    survival_at,
    survival_curve,
)

EXTREME = 1e4
logit_rows = arrays(np.float64, (3, 5), elements=st.floats(-EXTREME, EXTREME))
months_drawn = arrays(np.float64, st.integers(2, 40), elements=st.floats(0.1, 200).map(lambda m: round(m, 1)))


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# --- intervals


def test_inner_edges_are_quantiles_of_the_event_times_only() -> None:
    months = tensor(1, 2, 3, 4, 5, 6, 90, 100)
    event = torch.tensor([True] * 6 + [False] * 2)
    assert fit_intervals(months, event, 3).tolist() == [0, 2, 4, 100]


def test_few_events_give_fewer_intervals() -> None:
    months = tensor(1, 2, 3, 50)
    event = torch.tensor([True, True, False, False])
    assert fit_intervals(months, event, 10).tolist() == [0, 1, 50]


def test_tied_events_do_not_make_empty_intervals() -> None:
    months = tensor(7, 7, 7, 7, 9)
    assert fit_intervals(months, torch.ones(5, dtype=torch.bool), 4).tolist() == [0, 7, 9]


def test_one_event_gives_one_interval() -> None:
    event = torch.tensor([False, True, False])
    assert fit_intervals(tensor(1, 5, 12), event, 4).tolist() == [0, 12]


def test_a_death_on_the_first_day_is_in_the_first_interval() -> None:
    edges = fit_intervals(tensor(0, 5, 10), torch.ones(3, dtype=torch.bool), 3)
    assert edges[0] == 0
    assert interval_of(tensor(0), edges).tolist() == [0]


def test_intervals_without_an_event_are_refused() -> None:
    with pytest.raises(ValueError, match="no event after month 0 in 2 cases"):
        fit_intervals(tensor(1, 2), torch.tensor([False, False]), 4)


def test_no_intervals_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one time interval is needed, not 0"):
        fit_intervals(tensor(1, 2), torch.tensor([True, False]), 0)


@given(months_drawn, st.integers(1, 12), st.randoms(use_true_random=False))
def test_every_interval_holds_an_event_and_edges_ascend(
    months: np.ndarray, count: int, random: object
) -> None:
    event = torch.from_numpy(np.random.default_rng(random.getrandbits(32)).random(len(months)) < 0.5)
    event[0] = True
    times = torch.from_numpy(months)
    edges = fit_intervals(times, event, count)
    intervals = len(edges) - 1
    assert 1 <= intervals <= count
    assert (edges.diff() > 0).all()
    assert edges[-1] == times.max()
    assert set(interval_of(times[event], edges).tolist()) == set(range(intervals))


def test_an_interval_ends_with_its_edge() -> None:
    edges = tensor(0, 10, 20, 30)
    assert interval_of(tensor(0, 9.9, 10, 10.1, 20, 30, 99), edges).tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_exposure_is_the_share_of_the_last_interval_that_was_watched() -> None:
    edges = tensor(0, 10, 30)
    torch.testing.assert_close(exposure(tensor(5, 10, 15, 30, 99), edges), tensor(0.5, 1, 0.25, 1, 1))


# --- likelihood


def test_likelihood_of_a_hand_worked_case() -> None:
    # Hazards 0.1, 0.2, 0.5. Died in the third interval: 0.9 * 0.8 * 0.5 = 0.36.
    logits = torch.logit(torch.tensor([[0.1, 0.2, 0.5]]))
    loss = negative_log_likelihood(logits, torch.tensor([2]), torch.tensor([True]))
    torch.testing.assert_close(loss, -torch.tensor(0.36).log())


def test_a_censored_case_counts_as_having_survived_its_last_interval() -> None:
    logits = torch.logit(tensor(0.1, 0.2, 0.5))[None]
    loss = negative_log_likelihood(logits, torch.tensor([1]), torch.tensor([False]))
    torch.testing.assert_close(loss, -tensor(0.9 * 0.8).log()[0])


def test_a_censored_case_counts_for_the_share_it_was_watched() -> None:
    logits = torch.logit(tensor(0.1, 0.2, 0.5))[None]
    args = (torch.tensor([1]), torch.tensor([False]), tensor(0.25))
    torch.testing.assert_close(negative_log_likelihood(logits, *args), -tensor(0.9 * 0.8**0.25).log()[0])


def test_exposure_leaves_an_event_as_it_is() -> None:
    logits = torch.logit(tensor(0.1, 0.2, 0.5))[None]
    outcome = (torch.tensor([1]), torch.tensor([True]))
    with_exposure = negative_log_likelihood(logits, *outcome, tensor(0.25))
    assert with_exposure == negative_log_likelihood(logits, *outcome)


@given(logit_rows)
def test_gradients_of_extreme_logits_are_those_of_coin_tosses(rows: np.ndarray) -> None:
    logits = torch.from_numpy(rows).requires_grad_()
    last, event = torch.tensor([0, 2, 4]), torch.tensor([True, False, True])
    negative_log_likelihood(logits, last, event).backward()
    interval = torch.arange(5)
    at_risk = interval <= last[:, None]
    dies = (interval == last[:, None]) & event[:, None]
    expected = at_risk * (torch.sigmoid(logits.detach()) - dies.double()) / 3
    torch.testing.assert_close(logits.grad, expected, atol=1e-12, rtol=1e-9)


def test_intervals_after_the_last_do_not_matter() -> None:
    logits = torch.randn(1, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    changed = logits.clone()
    changed[0, 2:] = 99
    outcome = (torch.tensor([1]), torch.tensor([True]))
    assert negative_log_likelihood(logits, *outcome) == negative_log_likelihood(changed, *outcome)


def test_with_exposure_the_planted_hazard_is_found_under_early_censoring() -> None:
    # Constant hazard 0.02 a month; one interval of 50 months; nearly all censored early in it.
    rng = np.random.default_rng(0)
    died, left = rng.exponential(50, 20_000), rng.uniform(0, 25, 20_000)
    left[:200] = 50
    months, event = torch.from_numpy(np.minimum(died, left)), torch.from_numpy(died <= left)
    edges = tensor(0, 25, 50)
    last = interval_of(months, edges)

    def fitted(watched: torch.Tensor | None) -> float:
        logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([logits], line_search_fn="strong_wolfe", max_iter=50)

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            value = negative_log_likelihood(logits.expand(len(months), 2), last, event, watched)
            value.backward()
            return value

        optimiser.step(loss)
        return survival_curve(logits.detach())[0, 0].item()

    truth = np.exp(-0.02 * 25)
    assert abs(fitted(exposure(months, edges)) - truth) < 0.03
    assert fitted(None) > truth + 0.1


# --- curves and risk


def test_survival_is_the_product_of_the_chances_to_pass_each_interval() -> None:
    curve = survival_curve(torch.logit(tensor(0.1, 0.2, 0.5))[None])
    torch.testing.assert_close(curve, tensor(0.9, 0.72, 0.36)[None])


@given(logit_rows)
def test_survival_starts_at_most_one_and_never_rises(rows: np.ndarray) -> None:
    curve = survival_curve(torch.from_numpy(rows))
    assert (curve <= 1).all()
    assert (curve >= 0).all()
    assert (curve.diff(dim=1) <= 0).all()


def test_survival_between_edges_follows_a_constant_hazard() -> None:
    logits = torch.logit(tensor(0.19, 0.36))[None]
    at = survival_at(logits, tensor(0, 10, 30), tensor(0, 5, 10, 20, 30))
    torch.testing.assert_close(at, tensor(1, 0.9, 0.81, 0.81 * 0.8, 0.81 * 0.64)[None])


@given(logit_rows)
def test_survival_at_the_edges_is_the_curve(rows: np.ndarray) -> None:
    logits, edges = torch.from_numpy(rows), tensor(0, 1, 5, 6, 20, 21)
    torch.testing.assert_close(survival_at(logits, edges, edges[1:]), survival_curve(logits))


def test_a_horizon_beyond_the_follow_up_is_refused() -> None:
    with pytest.raises(ValueError, match="horizon 31 is outside 0 to 30 months, the follow-up"):
        survival_at(torch.zeros(1, 2), torch.tensor([0.0, 10.0, 30.0]), torch.tensor([5.0, 31.0]))


def test_edges_that_do_not_fit_the_logits_are_refused() -> None:
    with pytest.raises(ValueError, match="2 intervals need 3 edges, not 2"):
        survival_at(torch.zeros(1, 2), torch.tensor([0.0, 10.0]), torch.tensor([5.0]))


def test_expected_mortality_sums_the_cumulative_hazards() -> None:
    risk = expected_mortality(torch.logit(tensor(0.1, 0.2, 0.5))[None])
    torch.testing.assert_close(risk, -(tensor(0.9) * tensor(0.72) * tensor(0.36)).log())


@settings(max_examples=50)
@given(arrays(np.float64, (1, 5), elements=st.floats(-30, EXTREME)), st.integers(0, 4), st.floats(0.01, 10))
def test_a_higher_hazard_anywhere_is_a_higher_risk(row: np.ndarray, interval: int, rise: float) -> None:
    raised = row.copy()
    raised[0, interval] += rise
    before, after = expected_mortality(torch.from_numpy(np.concatenate([row, raised])))
    # Beside a hazard of 10,000 one of e^-30 is below the last digit of a double.
    assert after > before if row.max() < 5 and row.min() > -20 else after >= before


def test_risk_tells_apart_cases_whose_survival_has_rounded_to_one() -> None:
    low, high = torch.full((1, 3), -45.0).double(), torch.full((1, 3), -40.0).double()
    assert torch.equal(survival_curve(low), survival_curve(high))
    assert expected_mortality(low) < expected_mortality(high)
