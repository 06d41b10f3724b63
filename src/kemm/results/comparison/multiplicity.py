"""Several comparisons at once: the more of them, the more by chance alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kemm.results.comparison.records import SimultaneousDifference
from kemm.survival.metrics import BootstrappedConcordance

Array = NDArray[np.float64]


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values for all hypotheses together, in the order given: the chance of any false alarm is kept.

    Valid whatever the dependence between them.

    Raises:
        ValueError: a value that is no chance.

    References:
        Holm (1979), Scandinavian Journal of Statistics 6.
    """
    p = np.array(p_values, dtype=np.float64)
    bad = np.count_nonzero(~((p >= 0) & (p <= 1)))
    if bad:
        raise ValueError(f"{bad} of {p.size} p-values are not between 0 and 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]


def simultaneous_differences(
    resampled: BootstrappedConcordance,
    pairs: Sequence[tuple[str, str]],
    *,
    cases: int,
    level: float = 0.95,
) -> list[SimultaneousDifference]:
    """Paired differences of C, (model, baseline) each, with intervals that hold all at once.

    Each resample's largest deviation from the differences found, in their standard errors, gives the
    width: differences that move together, as those from one model do, cost less than by Holm.

    Raises:
        ValueError: no pair, or a model without resamples.

    References:
        Westfall & Young (1993), Resampling-Based Multiple Testing, section 2.3.
    """
    if not pairs:
        raise ValueError("simultaneous intervals need at least one pair of models")
    unknown = sorted({name for pair in pairs for name in pair} - set(resampled.models))
    if unknown:
        raise ValueError(
            f"not among the resampled models ({', '.join(resampled.models)}): {', '.join(unknown)}"
        )
    one = [resampled.models.index(model) for model, _ in pairs]
    other = [resampled.models.index(baseline) for _, baseline in pairs]
    values = resampled.values[one] - resampled.values[other]
    widths, adjusted = max_t(values, resampled.resampled[:, one] - resampled.resampled[:, other], level)
    found = []
    for place, (model, baseline) in enumerate(pairs):
        alone = resampled.difference(model, baseline, level=level)
        found.append(
            SimultaneousDifference(
                model=model,
                baseline=baseline,
                value=alone.value,
                low=alone.lower,
                high=alone.upper,
                p=alone.p,
                simultaneous_low=alone.value - float(widths[place]),
                simultaneous_high=alone.value + float(widths[place]),
                adjusted_p=float(adjusted[place]),
                cases=cases,
            )
        )
    return found


def max_t(values: Array, resampled: Array, level: float) -> tuple[Array, Array]:
    """Half widths of simultaneous intervals around `values`, and p-values adjusted alike, never below 1 / (n + 1).

    `resampled` is (resample, value). A value that no resample changes has an interval without width.
    """
    errors = resampled.std(axis=0, ddof=1)
    moves = errors > 0
    scale = np.where(moves, errors, 1.0)
    deviations = (np.abs(resampled - values) / scale)[:, moves]
    largest = deviations.max(axis=1, initial=0.0)
    observed = np.where(moves, np.abs(values) / scale, np.where(values == 0, 0.0, np.inf))
    reached = (largest[:, None] >= observed).sum(axis=0)
    return errors * np.quantile(largest, level), (1 + reached) / (len(resampled) + 1)
