"""A Cox regression that keeps few features: elastic-net penalty, fitted along a path of penalties."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import cho_factor, cho_solve

from kemm.survival.cox_regression.fit import MAX_HALVINGS, MAX_STEPS, TOLERANCE, CoxFit
from kemm.survival.cox_regression.likelihood import CoxFailure, PartialLikelihood, require_finite

L1_RATIO = 0.5
"""Of features that tell the same, a lasso (1) keeps one by chance; an even mixture keeps them together."""
PENALTIES = 50
SMALLEST_PENALTY = 0.01
"""Of the one that keeps nothing."""
MAX_TURNS = 100_000
"""No more than a guard against rounding: a turn lets in at least one feature."""
TURNS_FOR_MANY = 10
SLACK = 1e-7
"""How far above its bound a gradient may lie, as a share of the bound."""


class ElasticNetPath:
    """Fits for descending penalties; each starts where the last one ended.

    Maximised is the log partial likelihood (ties after Efron) of the mean case, less
    `penalty * (l1_ratio * sum|coefficients| + (1 - l1_ratio) / 2 * sum(coefficients ** 2))`. It is the
    mean's, so a penalty means the same on a part of the cases. Bring features to one scale first.

    A proximal Newton method: the quadratic model of the likelihood is minimised exactly, sign by sign
    (Lee et al.), on the features that the strong rule keeps (Tibshirani et al.); the others' optimality
    conditions are then checked, and those that fail are let in.

    Raises:
        CoxFailure: no event; values that are not finite.

    References:
        Simon, Friedman, Hastie & Tibshirani (2011), Journal of Statistical Software 39(5), doi:10.18637/jss.v039.i05.
        Lee, Battle, Raina & Ng (2006), Efficient sparse coding algorithms, NIPS 19.
        Tibshirani et al. (2012), JRSS B 74, doi:10.1111/j.1467-9868.2011.01004.x.
    """

    def __init__(
        self,
        features: Float[np.ndarray, "case feature"],
        months: Float[np.ndarray, " case"],
        event: Bool[np.ndarray, " case"],
        *,
        l1_ratio: float = L1_RATIO,
    ) -> None:
        if not 0 < l1_ratio <= 1:
            raise ValueError(
                f"l1_ratio is {l1_ratio:g}; it lies above 0 (for 0 there is fit_cox) and at most at 1"
            )
        require_finite(features=features, months=months)
        self.l1_ratio = l1_ratio
        self.cases = len(months)
        self._likelihood = PartialLikelihood(features, months, event)
        self._coefficients = np.zeros(features.shape[1])
        self._gradient = self._likelihood.gradient(self._coefficients)
        self.largest_penalty = float(np.abs(self._gradient).max(initial=0.0)) / self.cases / l1_ratio
        """From here on no feature is kept."""
        self._last_bound = self.largest_penalty * self.cases * l1_ratio

    def fit(self, penalty: float) -> CoxFit:
        """The fit for one penalty."""
        if not penalty > 0:
            raise ValueError(f"the penalty is {penalty:g}; it must be above 0")
        bound = penalty * self.l1_ratio * self.cases
        ridge = penalty * (1 - self.l1_ratio) * self.cases
        kept = (np.abs(self._gradient) >= 2 * bound - self._last_bound) | (self._coefficients != 0)
        steps = 0
        while True:
            chosen = np.flatnonzero(kept)
            if len(chosen):
                steps += self._newton(chosen, bound, ridge)
            self._gradient = self._likelihood.gradient(self._coefficients)
            missed = (np.abs(self._gradient) > bound * (1 + SLACK)) & ~kept
            if not missed.any():
                break
            kept |= missed
        self._last_bound = bound
        return CoxFit(
            coefficients=self._coefficients.copy(),
            log_likelihood=self._likelihood.value(self._coefficients),
            standard_errors=None,
            steps=steps,
        )

    def _newton(self, chosen: Int[np.ndarray, " chosen"], bound: float, ridge: float) -> int:
        """Bring the chosen coefficients to their optimum, the others being zero; returns the steps it took."""
        likelihood = self._likelihood.of_features(chosen)

        def penalty(at: Float[np.ndarray, " chosen"]) -> float:
            return bound * float(np.abs(at).sum()) + 0.5 * ridge * float(at @ at)

        coefficients = self._coefficients[chosen]
        value = likelihood.value(coefficients) - penalty(coefficients)
        for steps in range(1, MAX_STEPS + 1):
            gradient, information = likelihood.derivatives(coefficients)
            linear = gradient + information @ coefficients
            information[np.diag_indices_from(information)] += ridge
            step = _quadratic_optimum(linear, information, bound, coefficients) - coefficients
            # What the quadratic model promises of the whole step.
            promised = float((gradient - ridge * coefficients - 0.5 * information @ step) @ step)
            promised -= bound * float(np.abs(coefficients + step).sum() - np.abs(coefficients).sum())
            if promised <= TOLERANCE * likelihood.events:
                self._coefficients[chosen] = coefficients + step
                return steps
            for _ in range(MAX_HALVINGS):
                candidate = coefficients + step
                reached = likelihood.value(candidate) - penalty(candidate)
                if reached >= value:
                    break
                step = step / 2
            else:
                break
            coefficients, value = candidate, reached
        raise CoxFailure(
            f"an elastic net did not settle in {MAX_STEPS} steps: a feature has extreme outliers "
            "(transform it: ranks, asinh)"
        )


def penalty_grid(largest: float) -> Float[np.ndarray, " penalty"]:
    """Penalties to try, descending by even factors from the one that keeps nothing."""
    return largest * np.geomspace(1.0, SMALLEST_PENALTY, PENALTIES)


def _quadratic_optimum(
    linear: Float[np.ndarray, " feature"],
    curvature: Float[np.ndarray, "feature feature"],
    bound: float,
    start: Float[np.ndarray, " feature"],
) -> Float[np.ndarray, " feature"]:
    """Minimise `at @ curvature @ at / 2 - linear @ at + bound * sum|at|`, by a search over the signs.

    For known signs the minimum is that of a linear system. On the way there, the first coefficient to
    reach zero is dropped; at the minimum, features whose gradient is above the bound are let in: in the
    first turns all of them, for speed, then the furthest above, so that every turn lowers the objective
    and no signs come twice.
    """
    at = start.copy()
    signs = np.sign(at)
    for turn in range(MAX_TURNS):
        active = np.flatnonzero(signs)
        while len(active):
            goal = _solve(curvature[np.ix_(active, active)], linear[active] - bound * signs[active])
            crossing = np.flatnonzero(goal * signs[active] <= 0)
            if not len(crossing):
                at[active] = goal
                break
            way = at[active] - goal
            share = np.divide(
                at[active][crossing], way[crossing], out=np.zeros(len(crossing)), where=way[crossing] != 0
            )
            at[active] -= share.min() * way
            dropped = active[crossing[share == share.min()]]
            at[dropped] = signs[dropped] = 0.0
            active = np.flatnonzero(signs)
        slope = linear - curvature @ at
        above = np.where(signs == 0, np.abs(slope) - bound, 0.0)
        if above.max(initial=0.0) <= SLACK * bound:
            break
        entering = above > SLACK * bound if turn < TURNS_FOR_MANY else above == above.max()
        signs[entering] = np.sign(slope[entering])
    return at


def _solve(
    curvature: Float[np.ndarray, "feature feature"], target: Float[np.ndarray, " feature"]
) -> Float[np.ndarray, " feature"]:
    try:
        solved: np.ndarray = cho_solve(cho_factor(curvature, lower=True), target)
    except np.linalg.LinAlgError:  # a lasso with collinear features: any of the solutions will do
        solved = np.linalg.lstsq(curvature, target, rcond=None)[0]
    return solved
