"""How sure a C is: patients resampled within folds, the same ones for every model."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from kemm.survival.metrics.concordance import agreement, comparable_pairs
from kemm.survival.metrics.undefined import UndefinedMetric, require_finite

MOST_DROPPED = 0.1
"""Share of resamples that may be without a comparable pair before an interval is refused."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldRisks:
    """What every model says of the test cases of one fold, trained with one seed."""

    cases: Sequence[str]
    months: Float[np.ndarray, " case"]
    event: Bool[np.ndarray, " case"]
    risks: Mapping[str, Float[np.ndarray, " case"]]
    """By model; higher = worse."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value on the cases themselves, with the percentile interval of the resamples."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much one C exceeds another on the same resampled patients."""

    value: float
    lower: float
    upper: float
    p: float
    """Two-sided: twice the share of resamples on the rarer side of zero, never below 2 / (n + 1)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BootstrappedConcordance:
    """C of each model, combined over folds and averaged over seeds, on the cases and on resamples."""

    models: tuple[str, ...]
    values: Float[np.ndarray, " model"]
    resampled: Float[np.ndarray, "resample model"]
    dropped: int
    """Resamples left out because some seed's folds had no comparable pair."""

    def estimate(self, model: str, *, level: float = 0.95) -> Estimate:
        """C of a model with its interval."""
        column = self.models.index(model)
        lower, upper = _percentiles(self.resampled[:, column], level)
        return Estimate(value=float(self.values[column]), lower=lower, upper=upper)

    def difference(self, model: str, reference: str, *, level: float = 0.95) -> Difference:
        """C of `model` less C of `reference`, paired."""
        one, other = self.models.index(model), self.models.index(reference)
        differences = self.resampled[:, one] - self.resampled[:, other]
        lower, upper = _percentiles(differences, level)
        rarer = int(min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0)))
        return Difference(
            value=float(self.values[one] - self.values[other]),
            lower=lower,
            upper=upper,
            p=min(1.0, 2 * (rarer + 1) / (len(differences) + 1)),
        )


def bootstrap_concordance(
    folds: Sequence[FoldRisks], *, resamples: int = 1000, seed: int
) -> BootstrappedConcordance:
    """Harrell's C of every model with resamples to judge it by.

    For each seed, pairs are counted within folds and summed over them; C is averaged over seeds.
    Patients are drawn with replacement within the fold where they first appear, and a drawn patient
    counts in every fold, seed and model, so differences are paired. Seeds may share their folds or
    have folds of their own.

    Raises:
        UndefinedMetric: no comparable pair, or none in more than a tenth of the resamples.
        ValueError: no folds or models, a model missing from one of its seed's folds, a case twice
            in a fold, or a risk that is not finite.

    References:
        Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapters 13 and 16.
    """
    models = _check(folds)
    patients, drawn = _draw(folds, resamples, np.random.default_rng(seed))
    seeds = sorted({fold.seed for fold in folds})
    # The first row counts everyone once: the value itself comes from the code that resamples.
    concordant = np.zeros((resamples + 1, len(models), len(seeds)))
    comparable = np.zeros_like(concordant)
    for fold in folds:
        of_seed = seeds.index(fold.seed)
        times = drawn[:, [patients[case] for case in fold.cases]]
        pairs = comparable_pairs(fold.months, fold.event).astype(float)
        counted = _weigh(pairs, times, fold.event)
        for model, risk in fold.risks.items():
            of_model = models.index(model)
            concordant[:, of_model, of_seed] += _weigh(pairs * agreement(risk, fold.event), times, fold.event)
            comparable[:, of_model, of_seed] += counted
    trained = np.array([[any(f.seed == s and m in f.risks for f in folds) for s in seeds] for m in models])
    defined = ((comparable > 0) | ~trained).all(axis=(1, 2))
    if not defined[0]:
        raise UndefinedMetric(
            "C has no value: no case with an event was outlived by another case of its fold"
        )
    if (~defined).mean() > MOST_DROPPED:
        raise UndefinedMetric(
            f"C has no bootstrap interval: {np.count_nonzero(~defined)} of {resamples} resamples "
            "are without a comparable pair"
        )
    c = np.divide(
        concordant[defined], comparable[defined], out=np.zeros_like(concordant[defined]), where=trained
    )
    averaged = c.sum(axis=2) / trained.sum(axis=1)
    return BootstrappedConcordance(
        models=models,
        values=averaged[0],
        resampled=averaged[1:],
        dropped=int(np.count_nonzero(~defined)),
    )


def _weigh(
    pairs: Float[np.ndarray, "event case"],
    times: Float[np.ndarray, "resample case"],
    event: Bool[np.ndarray, " case"],
) -> Float[np.ndarray, " resample"]:
    """The sum of the pairs, each as often as both its cases were drawn."""
    total: np.ndarray = np.einsum("rc,rc->r", times[:, event] @ pairs, times)
    return total


def _check(folds: Sequence[FoldRisks]) -> tuple[str, ...]:
    models = tuple(dict.fromkeys(model for fold in folds for model in fold.risks))
    if not models:
        raise ValueError("a bootstrap needs at least one fold with the risks of one model")
    expected: dict[int, set[str]] = {}
    for number, fold in enumerate(folds):
        if len(set(fold.cases)) < len(fold.cases):
            raise ValueError(f"a case is listed twice in fold {number}")
        if expected.setdefault(fold.seed, set(fold.risks)) != set(fold.risks):
            unlike = ", ".join(sorted(expected[fold.seed] ^ set(fold.risks)))
            raise ValueError(f"not in every fold of seed {fold.seed}: {unlike}")
        for risk in fold.risks.values():
            require_finite(risk)
    return models


def _draw(
    folds: Sequence[FoldRisks], resamples: int, generator: np.random.Generator
) -> tuple[dict[str, int], Float[np.ndarray, "row patient"]]:
    """Each patient's column, and how often each was drawn; the first row has everyone once."""
    patients: dict[str, int] = {}
    blocks: list[Int[np.ndarray, "resample patient"]] = []
    for fold in folds:
        new = [case for case in fold.cases if case not in patients]
        patients.update(zip(new, itertools.count(len(patients)), strict=False))
        if new:
            blocks.append(generator.multinomial(len(new), np.full(len(new), 1 / len(new)), size=resamples))
    drawn = np.concatenate(blocks, axis=1).astype(float)
    return patients, np.concatenate([np.ones((1, drawn.shape[1])), drawn])


def _percentiles(values: Float[np.ndarray, " resample"], level: float) -> tuple[float, float]:
    lower, upper = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper)
