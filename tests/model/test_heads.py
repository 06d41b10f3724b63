"""Survival heads: losses worked by hand, curves against an oracle, and what holds for every head."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from kemm.model.heads import CoxHead, DiscreteHazards, SurvivalHead
from kemm.survival import cox

EDGES = torch.tensor([0.0, 10.0, 20.0, 30.0])


def proportional() -> DiscreteHazards:
    return DiscreteHazards(EDGES, proportional=True)


def free() -> DiscreteHazards:
    return DiscreteHazards(EDGES, proportional=False)


HEADS: list[Callable[[], SurvivalHead]] = [proportional, free, CoxHead]
every_head = pytest.mark.parametrize("make", HEADS, ids=["proportional", "free", "cox"])


def some_outcomes(cases: int, seed: int = 0, *, whole_months: bool = False) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    months = rng.uniform(0.5, 30, size=cases)
    if whole_months:
        months = np.ceil(months)
    return torch.from_numpy(months).float(), torch.from_numpy(rng.random(cases) < 0.6)


def output_of(head: SurvivalHead, cases: int, seed: int = 0, *, spread: float = 1.0) -> Tensor:
    """What the head gives for random scores and no offset."""
    generator = torch.Generator().manual_seed(seed)
    return head(spread * torch.randn(cases, head.scores, generator=generator), None).detach()


def test_likelihood_of_two_hand_worked_cases() -> None:
    # Hazards 0.1, 0.2, 0.5. One died in the third interval: 0.9 * 0.8 * 0.5. The other was seen alive half
    # way through the second: 0.9 * 0.8 ** 0.5.
    logits = torch.logit(torch.tensor([[0.1, 0.2, 0.5]])).expand(2, 3)
    loss = proportional().loss(logits, torch.tensor([25.0, 15.0]), torch.tensor([True, False]))
    expected = -(math.log(0.9 * 0.8 * 0.5) + math.log(0.9 * 0.8**0.5)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_partial_likelihood_of_three_hand_worked_cases() -> None:
    # Deaths at 5 (three at risk) and 20 (two at risk); risks 2, 1 and 3.
    output = torch.tensor([[2.0], [1.0], [3.0]]).log()
    loss = CoxHead().loss(output, torch.tensor([5.0, 20.0, 25.0]), torch.tensor([True, True, False]))
    assert loss.item() == pytest.approx(-(math.log(2 / 6) + math.log(1 / 4)) / 2, rel=1e-6)


def test_survival_of_a_hand_worked_case() -> None:
    logits = torch.logit(torch.tensor([[0.1, 0.2, 0.5]]))
    curve = proportional().survival(logits, torch.tensor([0.0, 10.0, 15.0, 20.0, 30.0]))
    expected = torch.tensor([[1.0, 0.9, 0.9 * 0.8**0.5, 0.72, 0.36]])
    torch.testing.assert_close(curve, expected)


def test_a_discrete_head_begins_at_the_training_cases_hazards() -> None:
    # Of 6 at risk in the first interval one dies; of 4 in the second two; of 1 in the third none.
    months = torch.tensor([5.0, 8.0, 12.0, 15.0, 18.0, 29.0])
    event = torch.tensor([True, False, True, True, False, False])
    head = proportional()
    head.start_at(months, event)
    hazards = head(torch.zeros(1, 1), None).sigmoid()[0]
    torch.testing.assert_close(hazards, torch.tensor([1.5 / 7, 2.5 / 5, 0.5 / 2]))


def test_where_it_begins_is_nearly_where_the_loss_is_least() -> None:
    months, event = some_outcomes(400)
    head = proportional()
    head.start_at(months, event)
    begun = head.loss(head(torch.zeros(400, 1), None), months, event).item()
    optimiser = torch.optim.LBFGS([head.baseline], max_iter=100)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = head.loss(head(torch.zeros(400, 1), None), months, event)
        loss.backward()
        return loss

    optimiser.step(closure)
    best = head.loss(head(torch.zeros(400, 1), None), months, event).item()
    assert best <= begun <= best + 0.02


@pytest.mark.parametrize("make", [proportional, CoxHead], ids=["proportional", "cox"])
def test_risk_is_in_the_order_of_score_and_offset_together(make: Callable[[], SurvivalHead]) -> None:
    head = make()
    generator = torch.Generator().manual_seed(1)
    score, offset = torch.randn(50, 1, generator=generator), torch.randn(50, generator=generator)
    risk = head.risk(head(score, offset))
    assert torch.equal(risk.argsort(), (score[:, 0] + offset).argsort())


@every_head
def test_a_higher_offset_is_a_higher_risk_and_a_lower_curve(make: Callable[[], SurvivalHead]) -> None:
    head = make()
    months, event = some_outcomes(80)
    score = torch.randn(80, head.scores, generator=torch.Generator().manual_seed(2))
    low, high = head(score, torch.zeros(80)).detach(), head(score, torch.full((80,), 0.7)).detach()
    head.fit_baseline(low, months, event)
    assert (head.risk(high) > head.risk(low)).all()
    at = torch.tensor([12.0, 20.0, 28.0])
    assert (head.survival(high, at) < head.survival(low, at)).all()


@every_head
def test_survival_starts_at_one_never_rises_and_stays_a_chance(make: Callable[[], SurvivalHead]) -> None:
    head = make()
    months, event = some_outcomes(60)
    output = output_of(head, 60, spread=3.0)
    head.fit_baseline(output, months, event)
    curve = head.survival(output, torch.linspace(0, float(months.max()), 100))
    assert (curve[:, 0] == 1).all()
    assert (curve.diff(dim=1) <= 1e-7).all()
    assert (curve >= 0).all()
    assert (curve <= 1).all()


@every_head
def test_survival_after_the_training_cases_follow_up_is_refused(make: Callable[[], SurvivalHead]) -> None:
    head = make()
    months, event = some_outcomes(20)
    head.fit_baseline(output_of(head, 20), months, event)
    with pytest.raises(ValueError, match="the follow-up of the training cases"):
        head.survival(output_of(head, 2), torch.tensor([31.0]))


@every_head
@pytest.mark.parametrize("offset", [-60.0, 60.0])
def test_extreme_offsets_give_finite_losses_gradients_and_risks(
    make: Callable[[], SurvivalHead], offset: float
) -> None:
    head = make()
    months, event = some_outcomes(10)
    score = torch.zeros(10, head.scores, requires_grad=True)
    output = head(score, torch.where(torch.arange(10) % 2 == 0, offset, 0.0))
    loss = head.loss(output, months, event)
    loss.backward()
    assert torch.isfinite(loss)
    assert score.grad is not None
    assert torch.isfinite(score.grad).all()
    risk = head.risk(output.detach())
    assert torch.isfinite(risk).all()
    assert ((risk[0] - risk[1]) * offset > 0).item(), "risks stay in order even so far out"


@pytest.mark.parametrize("make", [proportional, free], ids=["proportional", "free"])
def test_cases_all_censored_teach_a_discrete_head_that_hazards_are_lower(
    make: Callable[[], DiscreteHazards],
) -> None:
    head = make()
    months = torch.tensor([12.0, 25.0, 30.0])
    loss = head.loss(head(torch.zeros(3, head.scores), None), months, torch.zeros(3, dtype=torch.bool))
    loss.backward()
    assert torch.isfinite(loss)
    assert head.baseline.grad is not None
    assert (head.baseline.grad > 0).all()


def test_cases_all_censored_teach_a_cox_head_nothing() -> None:
    head, score = CoxHead(), torch.randn(4, 1, requires_grad=True)
    loss = head.loss(head(score, None), torch.tensor([3.0, 5.0, 8.0, 9.0]), torch.zeros(4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert score.grad is not None
    assert not score.grad.any()


def test_the_cox_heads_curve_is_lifelines_breslow_curve() -> None:
    lifelines = pytest.importorskip("lifelines", reason="lifelines, the oracle, is not installed")
    months, event = some_outcomes(40, seed=4)
    frame = pd.DataFrame(
        {
            "one": np.random.default_rng(5).normal(size=40),
            "months": months.numpy().astype(float),
            "event": event.numpy().astype(int),
        }
    )
    fitter = lifelines.CoxPHFitter().fit(frame, "months", "event")
    log_risk = torch.from_numpy(fitter.predict_log_partial_hazard(frame).to_numpy())
    head = CoxHead()
    head.fit_baseline(log_risk[:, None].float(), months, event)
    # Between deaths lifelines draws a line, where Breslow's curve is flat.
    at = months[event].sort().values[::3]
    curve = head.survival(log_risk[:, None].float(), at)
    expected = fitter.predict_survival_function(frame, times=at.numpy().astype(float)).to_numpy().T
    np.testing.assert_allclose(curve.numpy(), expected, atol=1e-5)


def test_the_cox_heads_curve_of_a_hand_worked_cohort() -> None:
    # Risks 1, 1, 2. Deaths at 4 (4 at risk in total) and 9 (2 at risk): steps of 1/4 and 1/2.
    output = torch.tensor([[1.0], [1.0], [2.0]]).log()
    head = CoxHead()
    head.fit_baseline(output, torch.tensor([4.0, 6.0, 9.0]), torch.tensor([True, False, True]))
    curve = head.survival(output[[0, 2]], torch.tensor([3.9, 4.0, 8.9, 9.0]))
    hazard = torch.tensor([0.0, 0.25, 0.25, 0.75])
    torch.testing.assert_close(curve, torch.stack([(-hazard).exp(), (-2 * hazard).exp()]))


def test_thinning_the_baseline_keeps_its_ends_and_is_never_far_off() -> None:
    months, event = some_outcomes(900, seed=6)
    output = output_of(CoxHead(), 900, seed=7)
    whole = cox.breslow_baseline(output[:, 0], months, event)
    assert len(whole.months) > 5 * CoxHead.STEPS
    head = CoxHead()
    head.fit_baseline(output, months, event)
    first, last = float(whole.months[0]), float(months.max())
    at = torch.cat(
        [torch.tensor([first * 0.99, first, float(whole.months[-1]), last]), torch.linspace(1, 29, 60)]
    )
    average = torch.zeros(1, 1)
    thin, full = head.survival(average, at)[0], cox.survival_at(average[:, 0], whole, at)[0]
    assert torch.equal(thin[:4], full[:4])
    assert thin[0] == 1
    # A step left out is seen late, never early, and is one of 64.
    assert (thin >= full).all()
    assert (thin - full).max() < 0.03


def test_a_baseline_of_few_steps_is_kept_whole() -> None:
    months, event = some_outcomes(60, seed=8, whole_months=True)
    output = output_of(CoxHead(), 60, seed=9)
    head = CoxHead()
    head.fit_baseline(output, months, event)
    at = torch.linspace(0, float(months.max()), 200)
    whole = cox.survival_at(output[:, 0], cox.breslow_baseline(output[:, 0], months, event), at)
    torch.testing.assert_close(head.survival(output, at), whole)


@every_head
def test_a_fitted_head_loads_into_a_new_one(make: Callable[[], SurvivalHead]) -> None:
    head, other = make(), make()
    months, event = some_outcomes(50, seed=2)
    head.start_at(months, event)
    output = output_of(head, 50)
    head.fit_baseline(output, months, event)
    other.load_state_dict(head.state_dict())
    at = torch.tensor([0.0, 7.0, 19.0])
    assert torch.equal(other.survival(output, at), head.survival(output, at))
    assert torch.equal(other.risk(output), head.risk(output))


def test_the_risk_of_free_hazards_says_who_dies_first() -> None:
    """Curves may cross; risk is the expected number of deaths, so early hazard counts in every later interval."""
    early = torch.logit(torch.tensor([[0.5, 0.1, 0.1]]))
    late = torch.logit(torch.tensor([[0.1, 0.1, 0.5]]))
    head = free()
    assert head.risk(early) > head.risk(late)
    # -ln 0.5 three times, -ln 0.9 twice and once.
    assert head.risk(early).exp().item() == pytest.approx(3 * math.log(2) - 3 * math.log(0.9), rel=1e-5)
