from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm, rankdata

from kemm.modalities.genomics import GenomicsTransform, Transform

KINDS: tuple[Transform, ...] = ("rank", "asinh", "z", "none")
numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, width=32), st.just(float("nan")))
tables = st.integers(1, 12).flatmap(lambda cases: arrays(np.float32, (cases, 4), elements=numbers))


def one(values: list[float], kind: Transform) -> GenomicsTransform:
    return GenomicsTransform.fit(np.array(values, dtype=float)[:, None], ["x"], transforms={"x": kind})


def apply(transform: GenomicsTransform, values: list[float]) -> list[float]:
    return transform.transform(np.array(values, dtype=float)[:, None])[:, 0].tolist()


# --- hand-worked ------------------------------------------------------------------------------


def test_z_of_a_hand_worked_column() -> None:
    # Mean 3, standard deviation sqrt((4 + 4 + 0 + 0) / 4) = sqrt(2).
    assert apply(one([1, 5, 3, 3], "z"), [3, 5, np.nan]) == pytest.approx([0, 2**0.5, 0])


def test_asinh_of_a_hand_worked_column() -> None:
    # Of 1..8 the quartiles are 2.5 and 6.5, the median 4.5: scale 4 / 1.349.
    transform = one([8, 1, 7, 2, 6, 3, 5, 4], "asinh")
    assert apply(transform, [4.5, 4.5 + 4 / 1.349, np.nan]) == pytest.approx([0, np.arcsinh(1), 0])


def test_asinh_of_a_column_that_is_mostly_one_value_falls_back_on_the_standard_deviation() -> None:
    # Median and quartiles 0; standard deviation sqrt(7) of seven zeros and an 8.
    assert apply(one([0] * 7 + [8], "asinh"), [7**0.5, 0]) == pytest.approx([np.arcsinh(1), 0])


def test_none_leaves_values_and_fills_with_the_median() -> None:
    assert apply(one([0, 1, 1, 2, 5, np.nan], "none"), [4, np.nan]) == [4, 1]


def test_rank_of_a_hand_worked_column() -> None:
    # Places 1/8, 3/8, 5/8, 7/8; halfway between two of them halfway in score; beyond them no further.
    low, high = norm.ppf([5 / 8, 7 / 8])
    transform = one([10, -3, 1000, 20], "rank")
    assert apply(transform, [-3, 10, 20, 1000]) == pytest.approx([-high, -low, low, high], abs=1e-6)
    assert apply(transform, [510, -1e9, 1e9, np.nan]) == pytest.approx(
        [(low + high) / 2, -high, high, 0], abs=1e-6
    )


def test_rank_gives_ties_the_score_of_their_middle_place() -> None:
    # Three zeros at places 1, 2, 3 of 4 share place 2, that is 3/8; the 5 has 7/8.
    assert apply(one([0, 0, 5, 0], "rank"), [0, 5]) == pytest.approx(norm.ppf([3 / 8, 7 / 8]), abs=1e-6)


def test_rank_of_training_values_are_their_normal_scores() -> None:
    rng = np.random.default_rng(0)
    values = np.round(np.exp(rng.normal(size=150)), 1)  # with ties
    expected = norm.ppf((rankdata(values) - 0.5) / 150)
    transform = one(values.tolist(), "rank")
    np.testing.assert_allclose(apply(transform, values.tolist()), expected, atol=1e-6)


def test_rank_of_many_training_cases_keeps_200_quantiles_and_stays_close() -> None:
    values = np.exp(np.random.default_rng(0).normal(size=2000))
    transform = one(values.tolist(), "rank")
    assert transform.knots.shape == (1, 200)
    inner = (rankdata(values) > 20) & (rankdata(values) < 1980)
    expected = norm.ppf((rankdata(values) - 0.5) / 2000)
    np.testing.assert_allclose(np.array(apply(transform, values.tolist()))[inner], expected[inner], atol=0.05)


# --- chosen by what values look like ----------------------------------------------------------


@pytest.mark.parametrize("cases", [40, 400])
def test_the_default_follows_the_looks_of_the_training_values(cases: int) -> None:
    rng = np.random.default_rng(cases)
    shape = (cases, 30)
    planted = {
        "codes": rng.integers(-2, 3, shape),
        "mutated": rng.integers(0, 2, shape),
        "normal": rng.normal(5, 3, shape),
        "uniform": rng.random(shape),
        "counts": np.exp(1.5 * rng.normal(size=shape)),
        "mostly zero": rng.exponential(1, shape) * (rng.random(shape) < 0.2),
    }
    values = np.hstack([part.astype(np.float32) for part in planted.values()])
    values[rng.random(values.shape) < 0.02] = np.nan
    transform = GenomicsTransform.fit(values, [name for name in planted for _ in range(30)])

    assert transform.chosen == {
        "codes": "none",
        "mutated": "none",
        "normal": "z",
        "uniform": "z",
        "counts": "rank",
        "mostly zero": "rank",
    }


def test_a_transform_asked_for_is_taken() -> None:
    values = np.random.default_rng(0).normal(size=(50, 2))
    transform = GenomicsTransform.fit(values, ["a", "b"], transforms={"a": "asinh"})
    assert transform.chosen == {"a": "asinh", "b": "z"}


def test_constant_empty_and_rare_columns_are_dropped_and_counted() -> None:
    values = np.zeros((100, 5), np.float32)
    values[:2, 0] = 1  # 2 of 100 differ: kept
    values[:1, 1] = 1  # 1 of 100 differs: dropped
    values[:99, 2] = 1  # 1 of 100 differs from the commonest value, which is 1: dropped
    values[:, 4] = np.nan
    transform = GenomicsTransform.fit(values, ["mut"] * 4 + ["empty"])

    assert transform.kept.tolist() == [0]
    assert transform.rare == {"mut": 2}
    assert transform.constant == {"empty": 1, "mut": 1}
    assert transform.transform(values).shape == (100, 1)


def test_a_data_type_missing_in_training_is_no_obstacle() -> None:
    values = np.random.default_rng(0).normal(size=(30, 2))
    training = values.copy()
    training[:, 1] = np.nan
    transform = GenomicsTransform.fit(training, ["rnaseq", "cnv"])
    np.testing.assert_array_equal(transform.transform(values), transform.transform(training))


def test_the_wrong_number_of_columns_is_refused() -> None:
    transform = one([1, 2], "z")
    with pytest.raises(ValueError, match="fitted on 1 columns, but there are 2"):
        transform.transform(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="do not fit 1 columns"):
        GenomicsTransform.fit(np.zeros((3, 2)), ["x"])


# --- properties -------------------------------------------------------------------------------


@given(tables, tables)
@settings(deadline=None)
def test_a_case_is_transformed_alike_whoever_else_is_there(training: np.ndarray, others: np.ndarray) -> None:
    transform = GenomicsTransform.fit(training, KINDS, transforms={kind: kind for kind in KINDS})
    together = transform.transform(others)
    alone = np.vstack([transform.transform(row[None]) for row in others])
    np.testing.assert_array_equal(together, alone)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()


@given(tables, tables)
@settings(deadline=None)
def test_every_transform_keeps_the_order_of_values(training: np.ndarray, others: np.ndarray) -> None:
    transform = GenomicsTransform.fit(training, KINDS, transforms={kind: kind for kind in KINDS})
    for place, column in enumerate(transform.kept):
        values = others[:, column]
        order = np.argsort(values[~np.isnan(values)], kind="stable")
        result = transform.transform(others)[~np.isnan(values), place][order]
        assert (np.diff(result) >= -1e-12).all()


@given(tables, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_training_cases_does_not_matter(training: np.ndarray, random: object) -> None:
    shuffled = training[np.random.default_rng(random.randint(0, 99)).permutation(len(training))]  # type: ignore[attr-defined]
    wanted = {kind: kind for kind in KINDS}
    one, other = (GenomicsTransform.fit(values, KINDS, transforms=wanted) for values in (training, shuffled))
    np.testing.assert_allclose(one.transform(training), other.transform(training), rtol=1e-5, atol=1e-5)


@given(tables, tables)
@settings(deadline=None)
def test_saved_and_loaded_it_gives_the_same_bytes(training: np.ndarray, others: np.ndarray) -> None:
    transform = GenomicsTransform.fit(training, KINDS)
    state, kept = transform.state()
    loaded = GenomicsTransform.from_state(json.loads(json.dumps(state)), kept)
    assert loaded.transform(others).tobytes() == transform.transform(others).tobytes()
    assert (loaded.chosen, loaded.rare, loaded.constant) == (
        transform.chosen,
        transform.rare,
        transform.constant,
    )


def test_twenty_thousand_columns_take_seconds() -> None:
    rng = np.random.default_rng(0)
    expression = np.exp(rng.normal(size=(400, 5_000))).astype(np.float32)
    mutations = (rng.random((400, 15_000)) < rng.beta(1, 40, 15_000)).astype(np.float32)
    values = np.hstack([expression, mutations])
    began = time.perf_counter()
    transform = GenomicsTransform.fit(values, ["rnaseq"] * 5_000 + ["mut"] * 15_000)
    transform.transform(values)
    # 0.5 s on one core of a quiet machine; the bound only catches a loop over cells.
    assert time.perf_counter() - began < 15
    assert transform.chosen == {"rnaseq": "rank", "mut": "none"}
    assert 0 < transform.rare["mut"] < 15_000
