"""Which of many models are told apart, by their ranks within blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, rankdata, studentized_range

from kemm.results.comparison.multiplicity import holm
from kemm.results.comparison.records import RankedModel, RankedPair, Ranking
from kemm.results.comparison.signed_rank import signed_rank_p
from kemm.survival.metrics import UndefinedMetric

Array = NDArray[np.float64]
Method = Literal["nemenyi", "wilcoxon-holm"]

FEWEST_BLOCKS: Final = 5
FEWEST_MODELS: Final = 3

SHARED_CASES: Final = (
    "The blocks share patients (folds of one cohort share training cases, seeds also test cases), so they are not as many "
    "independent comparisons as they are counted for: p-values are too small."
)


def rank_models(
    scores: Mapping[str, Sequence[float]],
    *,
    independent: bool,
    method: Method = "nemenyi",
    level: float = 0.05,
    metric: str = "harrell_c",
) -> Ranking:
    """Friedman's test over blocks, then pairs of models; higher scores are better.

    `scores` are by model, a value for each block in the same order. Blocks are `independent` only if
    they are different patients throughout, as cohorts are; otherwise the result carries a caution.
    Average the seeds of a fold before: they add no blocks. Pairs are told apart only where Friedman's
    test finds the models unlike. Nemenyi's needs nothing but mean ranks, which depend on the other
    models in the list; the Wilcoxon test of a pair does not, and Holm's correction follows.

    Raises:
        UndefinedMetric: fewer than three models or five blocks, or all models equal in every block.
        ValueError: models with unlike numbers of blocks, or a score that is not finite.

    References:
        Demšar (2006), Journal of Machine Learning Research 7.
        Benavoli, Corani & Mangili (2016), Journal of Machine Learning Research 17, for the Wilcoxon test.
    """
    names = list(scores)
    table = _table(scores)
    blocks, models = table.shape
    ranks = rankdata(-table, axis=1)
    mean = ranks.mean(axis=0)
    middle = (models + 1) / 2
    spread = np.square(ranks - middle).sum()
    if spread == 0:
        raise UndefinedMetric("a ranking has no value: all models have equal scores in every block")
    # Friedman's statistic with its correction for ties.
    statistic = float(blocks**2 * np.square(mean - middle).sum() * (models - 1) / spread)
    p = float(chi2.sf(statistic, models - 1))
    order = [int(place) for place in np.argsort(mean, kind="stable")]
    couples = list(combinations(order, 2))
    error = float(np.sqrt(models * (models + 1) / (6 * blocks)))
    alone: list[float | None]
    if method == "nemenyi":
        alone = [None] * len(couples)
        adjusted = [
            float(studentized_range.sf((mean[worse] - mean[better]) / error * np.sqrt(2), models, np.inf))
            for better, worse in couples
        ]
    else:
        tested = [signed_rank_p(table[:, better] - table[:, worse]) for better, worse in couples]
        alone, adjusted = [*tested], holm(tested)
    apart = {couple: p < level and value < level for couple, value in zip(couples, adjusted, strict=True)}
    return Ranking(
        metric=metric,
        blocks=blocks,
        models=[RankedModel(model=names[place], mean_rank=float(mean[place])) for place in order],
        statistic=statistic,
        degrees_of_freedom=models - 1,
        p=p,
        level=level,
        method=method,
        critical_difference=(
            float(studentized_range.ppf(1 - level, models, np.inf)) / np.sqrt(2) * error
            if method == "nemenyi"
            else None
        ),
        pairs=[
            RankedPair(
                better=names[couple[0]],
                worse=names[couple[1]],
                p=of_pair,
                adjusted_p=value,
                told_apart=apart[couple],
            )
            for couple, of_pair, value in zip(couples, alone, adjusted, strict=True)
        ],
        groups=[[names[place] for place in group] for group in _groups(order, apart)],
        caution="" if independent else SHARED_CASES,
    )


def _table(scores: Mapping[str, Sequence[float]]) -> Array:
    if len(scores) < FEWEST_MODELS:
        raise UndefinedMetric(
            f"a ranking needs {FEWEST_MODELS} models, not {len(scores)}; compare two by their paired difference"
        )
    lengths = {name: len(values) for name, values in scores.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"each model needs a score in every block; blocks by model: {told}")
    table = np.array(list(scores.values()), dtype=np.float64).T
    if len(table) < FEWEST_BLOCKS:
        raise UndefinedMetric(f"a ranking needs {FEWEST_BLOCKS} blocks (cohorts, folds), not {len(table)}")
    bad = [name for name, column in zip(scores, table.T, strict=True) if not np.isfinite(column).all()]
    if bad:
        raise ValueError(
            f"scores that are not finite: {', '.join(bad)}; leave out the blocks where a model has no score"
        )
    return table


def _groups(order: Sequence[int], apart: Mapping[tuple[int, int], bool]) -> list[Sequence[int]]:
    """The longest runs of neighbours of whom no two are told apart."""
    found: list[Sequence[int]] = []
    reached = 0
    for start in range(len(order)):
        end = start + 1
        while end < len(order) and not any(apart[order[place], order[end]] for place in range(start, end)):
            end += 1
        if end - start > 1 and end > reached:
            found.append(order[start:end])
            reached = end
    return found
