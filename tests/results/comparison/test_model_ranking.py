"""Ranks of models, against the worked example of Demšar (2006) and scipy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import friedmanchisquare, wilcoxon

from kemm.results.comparison.ranking import SHARED_CASES, rank_models
from kemm.results.comparison.signed_rank import signed_rank_p
from kemm.survival.metrics import UndefinedMetric

# Demšar (2006), table 6: AUC of four decision trees on 14 data sets. In the last but one, two print as .975 and
# are ranked 2 and 3.
DEMSAR = {
    "C4.5": [.763, .599, .954, .628, .882, .936, .661, .583, .775, 1, .940, .619, .972, .957],
    "C4.5+m": [.768, .591, .971, .661, .888, .931, .668, .583, .838, 1, .962, .666, .981, .978],
    "C4.5+cf": [.771, .590, .968, .654, .886, .916, .609, .563, .866, 1, .965, .614, .97501, .946],
    "C4.5+m+cf": [.798, .569, .967, .657, .898, .931, .685, .625, .875, 1, .962, .669, .975, .970],
}  # fmt: skip


def test_the_worked_example_of_demsar() -> None:
    ranking = rank_models(DEMSAR, independent=True)
    ranks = {each.model: each.mean_rank for each in ranking.models}
    published = {"C4.5+m+cf": 1.964, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5": 3.143}
    assert list(ranks) == list(published)
    assert ranks == pytest.approx(published, abs=0.001)
    assert ranking.critical_difference == pytest.approx(1.25, abs=0.005)
    assert (ranking.blocks, ranking.degrees_of_freedom, ranking.caution) == (14, 3, "")
    # Friedman's statistic is 9.28 there, without its correction: all four tie in one block, two in three blocks.
    ties = (4**3 - 4 + 3 * (2**3 - 2)) / (14 * 4 * (4**2 - 1))
    assert ranking.statistic == pytest.approx(9.28 / (1 - ties), abs=0.01)
    assert ranking.p < 0.05
    # Friedman's test finds a difference, and yet no two mean ranks are 1.25 apart.
    assert not any(pair.told_apart for pair in ranking.pairs)
    assert ranking.groups == [list(published)]


def test_friedmans_statistic_is_that_of_scipy_with_ties_and_without() -> None:
    rng = np.random.default_rng(0)
    for scores in (
        rng.normal(size=(4, 9)),
        rng.integers(0, 4, size=(5, 12)),
        np.array(list(DEMSAR.values())),
    ):
        ranking = rank_models(
            {str(place): row.tolist() for place, row in enumerate(scores)}, independent=True
        )
        oracle = friedmanchisquare(*scores)
        assert ranking.statistic == pytest.approx(oracle.statistic)
        assert ranking.p == pytest.approx(oracle.pvalue)


def ladder(blocks: int = 30, *, step: float = 1.0) -> dict[str, list[float]]:
    """`best` above `good`, which is level with `fair`, and both above `poor`."""
    noise = np.random.default_rng(4).normal(size=(4, blocks)) * 0.3
    means = [[0.0], [2 * step], [2.02 * step], [4 * step]]
    return dict(zip(("poor", "fair", "good", "best"), (noise + means).tolist(), strict=True))


@pytest.mark.parametrize("method", ["nemenyi", "wilcoxon-holm"])
def test_models_that_differ_are_told_apart_and_the_others_share_a_group(method) -> None:
    ranking = rank_models(ladder(), method=method, independent=True)
    assert ranking.models[0].model == "best"
    assert [sorted(group) for group in ranking.groups] == [["fair", "good"]]
    apart = {frozenset((pair.better, pair.worse)) for pair in ranking.pairs if pair.told_apart}
    assert len(apart) == 5
    assert frozenset(("fair", "good")) not in apart
    assert all((pair.p is None) == (method == "nemenyi") for pair in ranking.pairs)
    assert (ranking.critical_difference is None) == (method == "wilcoxon-holm")


def test_a_pair_is_told_apart_exactly_where_its_ranks_differ_by_the_critical_difference() -> None:
    ranking = rank_models(ladder(step=0.12), independent=True)
    rank = {each.model: each.mean_rank for each in ranking.models}
    reached = [rank[pair.worse] - rank[pair.better] > ranking.critical_difference for pair in ranking.pairs]
    assert reached == [pair.told_apart for pair in ranking.pairs]
    assert 0 < sum(reached) < 6


def test_groups_overlap_where_a_model_is_like_both_its_neighbours() -> None:
    # Of three neighbours only the outer two are told apart.
    noise = np.random.default_rng(8).normal(size=(3, 40))
    scores = dict(zip("abc", (noise + np.array([[0.0], [0.5], [1.0]])).tolist(), strict=True))
    assert rank_models(scores, independent=True).groups == [["c", "b"], ["b", "a"]]


def test_nobody_is_told_apart_where_all_are_alike() -> None:
    noise = np.random.default_rng(5).normal(size=(4, 20))
    ranking = rank_models(dict(zip("abcd", noise.tolist(), strict=True)), independent=False)
    assert ranking.p > 0.05
    assert [sorted(group) for group in ranking.groups] == [list("abcd")]
    assert ranking.caution == SHARED_CASES


def test_the_order_of_blocks_and_models_does_not_matter() -> None:
    scores = ladder()
    turned = {name: values[::-1] for name, values in reversed(scores.items())}
    assert rank_models(turned, independent=True) == rank_models(scores, independent=True)


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(UndefinedMetric, match="a ranking needs 3 models, not 2; compare two"):
        rank_models({"a": [1.0] * 5, "b": [2.0] * 5}, independent=True)
    with pytest.raises(UndefinedMetric, match=r"needs 5 blocks \(cohorts, folds\), not 2"):
        rank_models({name: [1.0, 2] for name in "abc"}, independent=True)
    with pytest.raises(UndefinedMetric, match="all models have equal scores in every block"):
        rank_models({name: [1.0, 2, 3, 4, 5] for name in "abc"}, independent=True)
    with pytest.raises(ValueError, match="blocks by model: a 5, b 5, c 4"):
        rank_models({"a": [1.0] * 5, "b": [2.0] * 5, "c": [1.0] * 4}, independent=True)
    with pytest.raises(ValueError, match="scores that are not finite: b; leave out the blocks"):
        rank_models({"a": [1.0] * 5, "b": [2.0, 2, 2, 2, np.nan], "c": [1.0] * 5}, independent=True)


# --- the signed-rank test


def test_without_ties_it_is_scipys_exact_test() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 5, 12, 40):
        differences = rng.normal(0.3, 1, size=count)
        oracle = wilcoxon(differences, mode="exact").pvalue
        assert signed_rank_p(differences) == pytest.approx(oracle, rel=1e-9)


def test_with_ties_it_is_the_share_of_all_signs() -> None:
    differences = np.array([0.1, 0.1, -0.1, 0.2, 0.2, 0.3, -0.4, 0.0])
    ranks = np.array([2, 2, 2, 4.5, 4.5, 6, 7])
    observed = ranks[[0, 1, 3, 4, 5]].sum()
    sums = np.array([ranks @ np.array(signs) for signs in product([0, 1], repeat=7)])
    expected = 2 * min((sums >= observed).mean(), (sums <= observed).mean())
    assert signed_rank_p(differences) == pytest.approx(expected)


def test_nothing_but_zeros_shows_nothing() -> None:
    assert signed_rank_p(np.zeros(6)) == 1.0
