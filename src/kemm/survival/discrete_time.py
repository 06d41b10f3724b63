"""Survival in discrete time: hazards per interval, fitted to right-censored outcomes.

Interval `k` runs from `edges[k]` (exclusive) to `edges[k + 1]` (inclusive); time zero belongs to
the first. Within an interval the hazard rate is constant, which gives the curve between edges and
the credit a censored case earns for part of an interval.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, pad


def fit_intervals(
    months: Float[Tensor, " case"], event: Bool[Tensor, " case"], count: int
) -> Float[Tensor, " edge"]:
    """Edges of at most `count` intervals with about equally many events, from training cases.

    Starts at 0 and ends at the last training month. The inner edges are quantiles of the event
    times, so every interval holds an event; with few or tied events there are fewer than `count`
    intervals: `len(edges) - 1`.

    Raises:
        ValueError: `count` below 1, or no event after month 0.
    """
    if count < 1:
        raise ValueError(f"at least one time interval is needed, not {count}")
    event_months = months[event & (months > 0)].sort().values
    events = len(event_months)
    if events == 0:
        raise ValueError(f"time intervals cannot be fitted: no event after month 0 in {len(months)} cases")
    ranks = [math.ceil(k * events / count) - 1 for k in range(1, count)]
    inner = event_months[ranks].unique()
    inner = inner[inner < event_months[-1]]  # so that the last interval holds an event too
    return torch.cat([months.new_zeros(1), inner, months.max().reshape(1)])


def interval_of(months: Float[Tensor, " case"], edges: Float[Tensor, " edge"]) -> Int[Tensor, " case"]:
    """The interval that contains each time; times after the last edge are in the last interval."""
    return torch.searchsorted(edges[1:-1].contiguous(), months.contiguous())


def exposure(months: Float[Tensor, " case"], edges: Float[Tensor, " edge"]) -> Float[Tensor, " case"]:
    """Share (0 to 1) of its last interval that each case was followed for."""
    interval = interval_of(months, edges)
    start, end = edges[interval], edges[interval + 1]
    return ((months - start) / (end - start)).clamp(0, 1)


def negative_log_likelihood(
    logits: Float[Tensor, "case interval"],
    last_interval: Int[Tensor, " case"],
    event: Bool[Tensor, " case"],
    exposure: Float[Tensor, " case"] | None = None,
) -> Float[Tensor, ""]:
    """Mean negative log-likelihood of right-censored outcomes.

    `sigmoid(logits[:, k])` is the hazard: the chance of the event in interval `k` for a case that
    reached it. A censored case is taken to have survived its last interval, or, where `exposure`
    is given, that share of it. Without it long intervals with early censoring look safer than
    they are.

    References:
        Kvamme & Borgan (2021), Lifetime Data Analysis 27, doi:10.1007/s10985-021-09532-6.
    """
    event_here, at_risk = _tosses(logits, last_interval, event, exposure)
    # Each interval at risk is one coin toss. Staying in logits keeps extreme hazards finite.
    toss = binary_cross_entropy_with_logits(logits, event_here, reduction="none")
    return (toss * at_risk).sum(dim=1).mean()


def fit_shift(
    logits: Float[Tensor, "case interval"],
    last_interval: Int[Tensor, " case"],
    event: Bool[Tensor, " case"],
    exposure: Float[Tensor, " case"] | None = None,
    *,
    ridge: float = 0.5,
) -> Float[Tensor, " interval"]:
    """What to add to each interval's logits so that as many events are expected as there were.

    Least summed `negative_log_likelihood` + ridge / 2 * shift²; the ridge keeps an interval without an event finite.
    """
    event_here, at_risk = _tosses(logits, last_interval, event, exposure)
    shift = logits.new_zeros(logits.shape[1])
    for _ in range(50):
        hazard = torch.sigmoid(logits + shift)
        slope = (at_risk * (hazard - event_here)).sum(dim=0) + ridge * shift
        bend = (at_risk * hazard * (1 - hazard)).sum(dim=0) + ridge
        step = (slope / bend).clamp(-2, 2)  # far from the answer the curve is flat and a step too long
        shift = shift - step
        if step.abs().max() < 1e-10:
            break
    return shift


def _tosses(
    logits: Float[Tensor, "case interval"],
    last_interval: Int[Tensor, " case"],
    event: Bool[Tensor, " case"],
    exposure: Float[Tensor, " case"] | None,
) -> tuple[Float[Tensor, "case interval"], Float[Tensor, "case interval"]]:
    """Whether the event came in each interval, and which part of it each case was at risk for."""
    interval = torch.arange(logits.shape[1], device=logits.device)
    is_last = interval == last_interval[:, None]
    at_risk = (interval <= last_interval[:, None]).to(logits.dtype)
    if exposure is not None:
        partly = is_last & ~event[:, None]
        at_risk = torch.where(partly, exposure[:, None].to(logits.dtype), at_risk)
    return (is_last & event[:, None]).to(logits.dtype), at_risk


def log_survival(logits: Float[Tensor, "case interval"]) -> Float[Tensor, "case interval"]:
    """Logarithm of `survival_curve`, exact where the curve itself would round to 0 or 1."""
    return logsigmoid(-logits).cumsum(dim=1)


def survival_curve(logits: Float[Tensor, "case interval"]) -> Float[Tensor, "case interval"]:
    """Chance of being free of the event at the end of each interval."""
    return log_survival(logits).exp()


def survival_at(
    logits: Float[Tensor, "case interval"],
    edges: Float[Tensor, " edge"],
    horizons: Float[Tensor, " horizon"],
) -> Float[Tensor, "case horizon"]:
    """Chance of being free of the event at each horizon (months).

    The hazard rate is constant within an interval: log survival is linear between edges.

    Raises:
        ValueError: a horizon before 0 or after the last edge, where nothing was learned.
    """
    if len(edges) != logits.shape[1] + 1:
        raise ValueError(f"{logits.shape[1]} intervals need {logits.shape[1] + 1} edges, not {len(edges)}")
    outside = horizons[(horizons < 0) | (horizons > edges[-1])]
    if len(outside):
        raise ValueError(
            f"horizon {outside[0].item():g} is outside 0 to {edges[-1].item():g} months, "
            "the follow-up of the training cases"
        )
    at_edges = pad(log_survival(logits), (1, 0))
    interval = interval_of(horizons, edges)
    share = exposure(horizons, edges).to(logits.dtype)
    return torch.lerp(at_edges[:, interval], at_edges[:, interval + 1], share).exp()


def expected_mortality(logits: Float[Tensor, "case interval"]) -> Float[Tensor, " case"]:
    """The risk of a case, higher = worse: its cumulative hazard, summed over the interval ends.

    As many events as would be expected among cases like this one, up to a constant (the intervals
    hold about equally many events). Raising any logit raises it; unlike a mean of the curve it
    still tells apart cases whose survival has rounded to 0 or 1.

    References:
        Ishwaran, Kogalur, Blackstone & Lauer (2008), Annals of Applied Statistics 2,
        doi:10.1214/08-AOAS169.
    """
    return -log_survival(logits).sum(dim=1)
