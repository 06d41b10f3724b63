"""Whether a new model moves predicted chances the right way, and what acting on them instead would gain."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from kemm.survival.metrics.bootstrap import MOST_DROPPED, Estimate
from kemm.survival.metrics.censoring import censoring_curve, inverse_weights
from kemm.survival.metrics.decision import decision_curve
from kemm.survival.metrics.undefined import UndefinedMetric, require_cases, require_probabilities


@dataclass(frozen=True, kw_only=True, eq=False)
class ReclassifiedFold:
    """The test cases of one fold, with two predictions of their survival at the horizon."""

    months: Float[np.ndarray, " case"]
    event: Bool[np.ndarray, " case"]
    reference: Float[np.ndarray, " case"]
    """Predicted chance to be free of the event at the horizon, as `new`."""
    new: Float[np.ndarray, " case"]
    train_months: Float[np.ndarray, " train"]
    train_event: Bool[np.ndarray, " train"]


@dataclass(frozen=True, kw_only=True)
class Reclassification:
    """Continuous net reclassification, each part from -1 (all moved the wrong way) to 1."""

    with_event: Estimate
    """Of cases with the event by the horizon: share whose predicted chance of it rose, less share whose fell."""
    event_free: Estimate
    """Of cases free of it then: share whose predicted chance of it fell, less share whose rose."""
    total: Estimate
    """The sum of both, -2 to 2: the index as it is published. No share of anything."""
    dropped: int
    """Resamples left out because nobody had the event, or nobody was free of it."""


@dataclass(frozen=True, kw_only=True)
class NetBenefitChange:
    """Net benefit per case at one threshold, and how much the new model's is higher."""

    threshold: float
    reference: float
    new: float
    change: Estimate


def continuous_nri(
    folds: Sequence[ReclassifiedFold],
    horizon: float,
    *,
    resamples: int = 1000,
    seed: int,
    level: float = 0.95,
) -> Reclassification:
    """Continuous (category-free) NRI at the horizon (months); an equal prediction moves nobody.

    Cases with the event by the horizon weigh 1 / G(its time), those followed beyond it 1 / G(horizon),
    G from the fold's training cases; cases censored before take no part. Shares are over all folds
    together. Patients are resampled within folds, predictions and G kept.

    Known flaws, for which it is a companion to a likelihood-ratio test and never a substitute: a useless
    or miscalibrated new marker can have a clearly positive NRI, even on cases it was not trained on; how
    far a prediction moves does not count; the sum weighs cases with and without the event alike, however
    rare the event. Read the two parts, not their sum.

    Raises:
        UndefinedMetric: nobody with the event by the horizon or nobody followed beyond it (also in more
            than a tenth of the resamples), or G unknown.
        ValueError: a survival outside 0 to 1.

    References:
        Pencina, D'Agostino & Steyerberg (2011), Statistics in Medicine 30, doi:10.1002/sim.4085.
        Uno, Tian, Cai, Kohane & Wei (2013), Statistics in Medicine 32, doi:10.1002/sim.5647.
        Hilden & Gerds (2014), Statistics in Medicine 33, doi:10.1002/sim.5804, for the flaws.
    """
    _check(folds)
    generator = np.random.default_rng(seed)
    # Columns: weight and net weight moved up of cases with the event, the same (down) of those free of it.
    sums = np.zeros((resamples + 1, 4))
    for fold in folds:
        drawn = _drawn(len(fold.months), resamples, generator)
        moved_up = np.sign(fold.reference - fold.new)  # survival that falls is a chance that rises
        early, late = _weights(fold, horizon)
        sums += drawn @ np.stack([early, early * moved_up, late, -late * moved_up], axis=1)
    for column, missing in ((0, "has the event by then"), (2, "was followed beyond it")):
        if sums[0, column] == 0:
            raise UndefinedMetric(f"reclassification at {horizon:g} months: no case {missing}")
    defined = (sums[:, 0] > 0) & (sums[:, 2] > 0)
    if (~defined).mean() > MOST_DROPPED:
        raise UndefinedMetric(
            f"reclassification at {horizon:g} months has no interval: {np.count_nonzero(~defined)} of "
            f"{resamples} resamples are without a case with the event, or without one free of it"
        )
    with_event = sums[defined, 1] / sums[defined, 0]
    event_free = sums[defined, 3] / sums[defined, 2]
    return Reclassification(
        with_event=_estimate(with_event, level),
        event_free=_estimate(event_free, level),
        total=_estimate(with_event + event_free, level),
        dropped=int(np.count_nonzero(~defined)),
    )


def net_benefit_change(
    folds: Sequence[ReclassifiedFold],
    horizon: float,
    thresholds: Sequence[float],
    *,
    resamples: int = 1000,
    seed: int,
    level: float = 0.95,
) -> list[NetBenefitChange]:
    """Net benefit (`decision_curve`) at the horizon (months) of both models and its change, a row a threshold.

    Folds are pooled: a chance means the same in each. Patients are resampled within folds.

    Raises:
        UndefinedMetric: a threshold above which nobody was followed to the horizon, in either model (also
            in more than a tenth of the resamples).
        ValueError: a threshold outside 0 to 1, or a survival.
    """
    _check(folds)
    months, event, reference, new = (
        np.concatenate([getattr(fold, name) for fold in folds])
        for name in ("months", "event", "reference", "new")
    )
    generator = np.random.default_rng(seed)
    drawn = np.concatenate([_drawn(len(fold.months), resamples, generator) for fold in folds], axis=1)
    benefits = np.full((resamples + 1, len(thresholds), 2), np.nan)
    for row, times in enumerate(drawn.astype(int)):
        taken = np.repeat(np.arange(len(months)), times)
        for model, survival in enumerate((reference, new)):
            try:
                curve = decision_curve(months[taken], event[taken], survival[taken], horizon, thresholds)
            except UndefinedMetric:
                if row == 0:
                    raise
                continue
            benefits[row, ~np.isin(thresholds, curve.undefined), model] = curve.model
    return [
        _change(threshold, benefits[:, column], horizon, level) for column, threshold in enumerate(thresholds)
    ]


def _change(
    threshold: float, benefits: Float[np.ndarray, "resample 2"], horizon: float, level: float
) -> NetBenefitChange:
    defined = np.isfinite(benefits).all(axis=1)
    if not defined[0] or (~defined).mean() > MOST_DROPPED:
        raise UndefinedMetric(
            f"net benefit at a threshold of {threshold:g}: of the cases above it too few were followed to "
            f"{horizon:g} months"
        )
    return NetBenefitChange(
        threshold=float(threshold),
        reference=float(benefits[0, 0]),
        new=float(benefits[0, 1]),
        change=_estimate(benefits[defined, 1] - benefits[defined, 0], level),
    )


def _check(folds: Sequence[ReclassifiedFold]) -> None:
    require_cases("reclassification", np.concatenate([np.empty(0), *(fold.months for fold in folds)]))
    for fold in folds:
        require_probabilities(fold.reference)
        require_probabilities(fold.new)


def _weights(
    fold: ReclassifiedFold, horizon: float
) -> tuple[Float[np.ndarray, " case"], Float[np.ndarray, " case"]]:
    """How many each case stands for among those with the event by the horizon, and those free of it."""
    had_event, beyond = fold.event & (fold.months <= horizon), fold.months > horizon
    curve = censoring_curve(fold.train_months, fold.train_event)
    early, late = np.zeros(len(fold.months)), np.zeros(len(fold.months))
    early[had_event] = inverse_weights(curve, fold.months[had_event], strictly_before=True)
    late[beyond] = inverse_weights(curve, np.full(np.count_nonzero(beyond), horizon), strictly_before=False)
    return early, late


def _drawn(cases: int, resamples: int, generator: np.random.Generator) -> Float[np.ndarray, "row case"]:
    """How often each case was drawn; the first row has everyone once."""
    if not cases:
        return np.ones((resamples + 1, 0))
    drawn = generator.multinomial(cases, np.full(cases, 1 / cases), size=resamples)
    return np.concatenate([np.ones((1, cases)), drawn])


def _estimate(values: Float[np.ndarray, " row"], level: float) -> Estimate:
    """The first value is that of the cases themselves."""
    lower, upper = np.quantile(values[1:], [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value=float(values[0]), lower=float(lower), upper=float(upper))
