"""The Cox model as a loss on log risks, with the baseline that turns them into curves."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def partial_likelihood_loss(
    log_risk: Float[Tensor, " case"], months: Float[Tensor, " case"], event: Bool[Tensor, " case"]
) -> Float[Tensor, ""]:
    """Negative log partial likelihood per event, ties after Efron; the risk sets are of these cases.

    Zero, with zero gradient, where no case has an event. Memory grows as event times x cases.

    References:
        Efron (1977), JASA 72, doi:10.1080/01621459.1977.10480613.
    """
    if not event.any():
        return log_risk.sum() * 0
    event_months, event_risk = months[event], log_risk[event]
    times, time_of, tied = event_months.unique(return_inverse=True, return_counts=True)
    # Masked log-sum-exp rather than running sums: exact for risks of any size, gradient included.
    log_at_risk = _log_sum(log_risk, months >= times[:, None])
    log_dying = _log_sum(event_risk, event_months == times[:, None])
    # Of d tied deaths, the one at place l finds the share l / d of them already gone.
    by_time = time_of.argsort(stable=True)
    first = tied.cumsum(0) - tied
    time_of = time_of[by_time]
    place = torch.arange(len(time_of), device=months.device) - first[time_of]
    gone = place.to(log_risk.dtype) / tied[time_of]
    log_gone = (log_dying - log_at_risk)[time_of].clamp(max=0).exp() * gone
    log_denominator = log_at_risk[time_of] + torch.log1p(-log_gone)
    return (log_denominator - event_risk[by_time]).mean()


def _log_sum(log_risk: Float[Tensor, " case"], included: Bool[Tensor, "time case"]) -> Float[Tensor, " time"]:
    return log_risk.expand(included.shape).masked_fill(~included, -torch.inf).logsumexp(dim=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """The cumulative hazard of a case with log risk 0: a step up at each event time of training."""

    months: Float[Tensor, " time"]
    log_cumulative_hazard: Float[Tensor, " time"]
    """From each event time up to the next."""
    last_month: float
    """The end of the training cases' follow-up; nothing is known after it."""


def breslow_baseline(
    log_risk: Float[Tensor, " case"], months: Float[Tensor, " case"], event: Bool[Tensor, " case"]
) -> Baseline:
    """Breslow's estimate from training cases.

    Raises:
        ValueError: no case has an event.

    References:
        Breslow (1972), discussion of Cox, JRSS B 34; Breslow (1974), Biometrics 30.
    """
    if not event.any():
        raise ValueError(f"no baseline hazard without an event; all {len(months)} cases are censored")
    times, deaths = months[event].unique(return_counts=True)
    log_steps = deaths.to(log_risk.dtype).log() - _log_sum(log_risk, months >= times[:, None])
    return Baseline(
        months=times,
        log_cumulative_hazard=log_steps.logcumsumexp(dim=0),
        last_month=months.max().item(),
    )


def survival_at(
    log_risk: Float[Tensor, " case"], baseline: Baseline, horizons: Float[Tensor, " horizon"]
) -> Float[Tensor, "case horizon"]:
    """Chance of being free of the event at each horizon (months); an event at the horizon counts.

    Raises:
        ValueError: a horizon before 0 or after the follow-up of the training cases.
    """
    outside = horizons[(horizons < 0) | (horizons > baseline.last_month)]
    if len(outside):
        raise ValueError(
            f"horizon {outside[0].item():g} is outside 0 to {baseline.last_month:g} months, "
            "the follow-up of the training cases"
        )
    steps_passed = torch.searchsorted(baseline.months, horizons.contiguous(), right=True)
    none_yet = baseline.log_cumulative_hazard.new_full((1,), -torch.inf)
    log_hazard = torch.cat([none_yet, baseline.log_cumulative_hazard])[steps_passed]
    return (-(log_risk[:, None] + log_hazard).exp()).exp()
