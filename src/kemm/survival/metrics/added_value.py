"""What a new risk adds to one that is known already: a test, a hazard ratio, a gain in C.

Both risks are those of the test cases, each from models that did not see the case.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import chi2, norm

from kemm.survival.cox_regression import CoxFailure, CoxFit, StratifiedLikelihood, fit_stratified_cox
from kemm.survival.metrics.bootstrap import Difference, Estimate, FoldRisks, bootstrap_concordance
from kemm.survival.metrics.undefined import UndefinedMetric, require_cases, require_finite

COUNTED_TWICE = 2.0
"""How much chance inflates a test on cross-validated risks. Of any two cases in different folds, the one helped to
train the model that the other is tested with, and the other way round: their pair counts twice, so a risk that is
noise has twice the variance. Simulated noise bore that out: by the plain statistic 10 to 18 % of 200 runs were
significant at 5 %, by half of it 1 to 5 %; with a real effect the log hazard ratio varied 1.3 to 1.4 times as much
as its standard error said."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparedFold:
    """The test cases of one fold, with the log risk that is known and the one that is new."""

    cases: Sequence[str]
    months: Float[np.ndarray, " case"]
    event: Bool[np.ndarray, " case"]
    reference: Float[np.ndarray, " case"]
    """Higher = worse, as `new`."""
    new: Float[np.ndarray, " case"]


@dataclass(frozen=True, kw_only=True)
class AddedInformation:
    """Cox models of the test cases, stratified by fold: the reference alone against it and the new risk."""

    statistic: float
    """Twice the log-likelihood gained; if the new risk adds nothing, `inflation` times a chi-squared with
    `degrees_of_freedom`."""
    degrees_of_freedom: int
    inflation: float
    """1, or `COUNTED_TWICE` for cross-validated risks."""
    p: float
    reference_coefficient: float
    """In the model of both; 0: the new risk knows all that the reference does."""
    new_coefficient: float
    """In the model of both."""
    new_share: float
    """Of the log-likelihood that both gain over no risk at all, the share that needs the new one: 0 to 1."""
    deviation: float
    """Of the new log risk within folds."""
    hazard_ratio: Estimate
    """For one `deviation` more of the new log risk at the same reference. Wald's interval, its variance
    times `inflation`."""
    cases: int
    events: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ConcordanceGain:
    """Harrell's C of the reference, and of the reference and the new risk added up."""

    reference: Estimate
    combined: Estimate
    change: Difference
    weights: Float[np.ndarray, "fold 2"]
    """Of reference and new log risk in each fold, from the other folds; only their ratio matters."""


def likelihood_ratio_test(
    folds: Sequence[ComparedFold], *, cross_validated: bool = True, level: float = 0.95
) -> AddedInformation:
    """Whether the new risk tells of survival what the reference does not.

    `cross_validated`: models of one fold were trained on cases of the others. The plain test then finds
    too much in noise, and p and interval make up for it (`COUNTED_TWICE`). False is for models that were
    trained on none of these cases, such as those of another cohort.

    Both coefficients are fitted on the test cases. That costs one degree of freedom and is counted; it
    also forgives a new risk its scale, and one that points the wrong way (see the coefficient's sign).
    Cases are compared within folds only, as each fold's risks come from models of its own.

    Raises:
        UndefinedMetric: no cases or no event, a risk the same for all cases of each fold, or the two
            risks so much alike, or so perfect, that they have no coefficients.
        ValueError: a risk is not finite.

    References:
        Harrell (2015), Regression Modeling Strategies, chapter 9.
        Höfling & Tibshirani (2008), Annals of Applied Statistics 2, doi:10.1214/07-AOAS152, for the excess.
    """
    pooled = _pool(folds)
    both, reference = _fit(pooled, [0, 1]), _fit(pooled, [0])
    nothing = StratifiedLikelihood(pooled.risks, pooled.months, pooled.event, pooled.fold).value(np.zeros(2))
    statistic = max(2 * (both.log_likelihood - reference.log_likelihood), 0.0)
    gained = 2 * (both.log_likelihood - nothing)
    assert both.standard_errors is not None  # no ridge
    deviation = pooled.deviation_of_new()
    log_ratio, error = float(both.coefficients[1]) * deviation, float(both.standard_errors[1]) * deviation
    inflation = COUNTED_TWICE if cross_validated else 1.0
    width = float(norm.ppf((1 + level) / 2)) * error * inflation**0.5
    return AddedInformation(
        statistic=statistic,
        degrees_of_freedom=1,
        inflation=inflation,
        p=float(chi2.sf(statistic / inflation, 1)),
        reference_coefficient=float(both.coefficients[0]),
        new_coefficient=float(both.coefficients[1]),
        new_share=statistic / gained if gained > 0 else 0.0,
        deviation=deviation,
        hazard_ratio=Estimate(
            value=float(np.exp(log_ratio)),
            lower=float(np.exp(log_ratio - width)),
            upper=float(np.exp(log_ratio + width)),
        ),
        cases=len(pooled.months),
        events=int(pooled.event.sum()),
    )


def cross_fitted_weights(folds: Sequence[ComparedFold]) -> Float[np.ndarray, "fold 2"]:
    """For each fold, the Cox coefficients of both risks on the test cases of all other folds.

    No case's outcome enters the weights it is measured with. It did help to train the models whose
    risks the other folds are weighed by; with two numbers to fit, what leaks that way is little.

    Raises:
        UndefinedMetric: a single fold, or folds without which the others have no coefficients.
    """
    if len(folds) < 2:
        raise UndefinedMetric("a gain in C needs two folds: one to weigh the risks, another to measure them")
    return np.stack(
        [
            _fit(_pool([*folds[:left_out], *folds[left_out + 1 :]]), [0, 1]).coefficients
            for left_out in range(len(folds))
        ]
    )


def concordance_gain(
    folds: Sequence[ComparedFold], *, resamples: int = 1000, seed: int, level: float = 0.95
) -> ConcordanceGain:
    """How much Harrell's C rises when the new log risk, weighed by `cross_fitted_weights`, is added.

    Weights fitted on the cases they are measured on can hardly lose; these can: a new risk that is
    noise has a change slightly below 0. Patients are resampled within folds, the weights kept: like the
    models, they are taken as given, so the interval is of these models and not of others trained alike.

    Raises:
        UndefinedMetric: as `cross_fitted_weights` and `bootstrap_concordance`.
        ValueError: a risk is not finite.
    """
    weights = cross_fitted_weights(folds)
    resampled = bootstrap_concordance(
        [
            FoldRisks(
                cases=fold.cases,
                months=fold.months,
                event=fold.event,
                risks={
                    "reference": fold.reference,
                    "combined": np.stack([fold.reference, fold.new], axis=1) @ of_fold,
                },
            )
            for fold, of_fold in zip(folds, weights, strict=True)
        ],
        resamples=resamples,
        seed=seed,
    )
    return ConcordanceGain(
        reference=resampled.estimate("reference", level=level),
        combined=resampled.estimate("combined", level=level),
        change=resampled.difference("combined", "reference", level=level),
        weights=weights,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pooled:
    """The cases of several folds, each with its fold's number."""

    months: Float[np.ndarray, " case"]
    event: Bool[np.ndarray, " case"]
    risks: Float[np.ndarray, "case 2"]
    fold: Int[np.ndarray, " case"]

    def deviation_of_new(self) -> float:
        """Between folds the level of a log risk is arbitrary, so only the spread within them counts."""
        squares = [
            np.square(new - new.mean()).sum()
            for new in (self.risks[self.fold == fold, 1] for fold in np.unique(self.fold))
        ]
        return float(np.sqrt(np.sum(squares) / (len(self.months) - len(squares))))


def _pool(folds: Sequence[ComparedFold]) -> _Pooled:
    risks = [np.stack([fold.reference, fold.new], axis=1) for fold in folds]
    pooled = _Pooled(
        months=np.concatenate([np.empty(0), *(fold.months for fold in folds)]),
        event=np.concatenate([np.empty(0, dtype=bool), *(fold.event for fold in folds)]),
        risks=np.concatenate([np.empty((0, 2)), *risks]),
        fold=np.repeat(np.arange(len(folds)), [len(fold.months) for fold in folds]),
    )
    require_cases("added value", pooled.months)
    require_finite(pooled.risks[:, 0])
    require_finite(pooled.risks[:, 1])
    return pooled


def _fit(pooled: _Pooled, columns: list[int]) -> CoxFit:
    for column, name in enumerate(("reference", "new")):
        if all(np.ptp(pooled.risks[pooled.fold == fold, column]) == 0 for fold in np.unique(pooled.fold)):
            raise UndefinedMetric(f"added value: the {name} risk is the same for all cases of each fold")
    try:
        return fit_stratified_cox(pooled.risks[:, columns], pooled.months, pooled.event, pooled.fold)
    except CoxFailure as failure:
        raise UndefinedMetric(f"added value of the new risk to the reference: {failure}") from failure
