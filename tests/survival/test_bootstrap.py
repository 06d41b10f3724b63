from dataclasses import replace

import numpy as np
import pytest
from simulated_cases import simulate

from kemm.survival.metrics import (
    FoldRisks,
    UndefinedMetric,
    bootstrap_concordance,
    combined_concordance,
    count_pairs,
)


def fold(cases: int, *, number: int = 0, seed: int = 0, noise: float = 2.0) -> FoldRisks:
    cohort = simulate(cases, seed=number, whole_months=True)
    rng = np.random.default_rng(100 + number + 1000 * seed)
    return FoldRisks(
        cases=[f"{number}-{k}" for k in range(cases)],
        months=cohort.months,
        event=cohort.event,
        risks={
            "good": cohort.risk,
            "noisy": cohort.risk + rng.normal(scale=noise, size=cases),
            "chance": rng.normal(size=cases),
        },
        seed=seed,
    )


FOLDS = [fold(60, number=number) for number in range(3)]


def test_the_value_combines_folds_by_their_pairs() -> None:
    result = bootstrap_concordance(FOLDS, resamples=20, seed=0)
    for model in ("good", "noisy", "chance"):
        folds = [count_pairs(f.months, f.event, f.risks[model]) for f in FOLDS]
        assert result.estimate(model).value == pytest.approx(combined_concordance(folds).c, rel=1e-12)


def test_a_resample_is_c_of_the_drawn_patients_written_out() -> None:
    # Two cases, four equally likely draws; the pair exists only if both are drawn.
    two = FoldRisks(
        cases=["a", "b"],
        months=np.array([1.0, 2]),
        event=np.array([True, False]),
        risks={"right": np.array([2.0, 1]), "wrong": np.array([1.0, 2])},
    )
    folds = [replace(two, cases=[f"{k}a", f"{k}b"]) for k in range(8)]
    result = bootstrap_concordance(folds, resamples=4000, seed=0)
    assert result.dropped / 4000 == pytest.approx(0.5**8, abs=0.004)
    assert len(result.resampled) == 4000 - result.dropped
    assert (result.resampled == [1, 0]).all()


def test_resamples_are_those_of_repeating_the_rows() -> None:
    # The same draws as the function makes, with the drawn rows copied out and C counted on them.
    result = bootstrap_concordance(FOLDS, resamples=5, seed=3)
    generator = np.random.default_rng(3)
    draws = [generator.multinomial(60, np.full(60, 1 / 60), size=5) for _ in FOLDS]
    for row in range(5):
        counted = []
        for f, drawn in zip(FOLDS, draws, strict=True):
            rows = np.repeat(np.arange(60), drawn[row])
            counted.append(count_pairs(f.months[rows], f.event[rows], f.risks["noisy"][rows]))
        assert result.resampled[row, 1] == pytest.approx(combined_concordance(counted).c)


def test_differences_are_paired() -> None:
    # Two models that differ in little move together: their difference is surer than either.
    folds = [fold(150, number=number, noise=0.2) for number in range(2)]
    result = bootstrap_concordance(folds, resamples=500, seed=0)
    paired = result.difference("good", "noisy")
    alone = result.estimate("good")
    assert paired.upper - paired.lower < 0.5 * (alone.upper - alone.lower)
    assert paired.value == pytest.approx(alone.value - result.estimate("noisy").value)


def test_a_model_is_no_different_from_itself() -> None:
    itself = bootstrap_concordance(FOLDS, resamples=50, seed=0).difference("good", "good")
    assert (itself.value, itself.lower, itself.upper, itself.p) == (0, 0, 0, 1)


def test_a_clear_difference_has_the_smallest_p_and_the_mirror_has_the_same() -> None:
    result = bootstrap_concordance(FOLDS, resamples=999, seed=0)
    clear, mirror = result.difference("good", "chance"), result.difference("chance", "good")
    assert clear.lower > 0
    assert clear.p == mirror.p == 2 / 1000
    assert mirror.upper == -clear.lower


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    # A risk of pure chance has a C of one half; 95 % intervals should hold it nearly always.
    covered = 0
    for number in range(100):
        estimate = bootstrap_concordance([fold(80, number=number)], resamples=200, seed=0).estimate("chance")
        covered += estimate.lower <= 0.5 <= estimate.upper
    assert 88 <= covered <= 100


def test_seeds_are_averaged_and_may_have_folds_of_their_own() -> None:
    whole = fold(60)
    half = np.arange(60) % 2 == 0

    def part(rows: np.ndarray, seed: int) -> FoldRisks:
        return FoldRisks(
            cases=np.array(whole.cases)[rows].tolist(),
            months=whole.months[rows],
            event=whole.event[rows],
            risks={name: risk[rows] for name, risk in whole.risks.items()},
            seed=seed,
        )

    early = np.arange(60) < 30
    splits = [[part(half, 0), part(~half, 0)], [part(early, 1), part(~early, 1)]]
    result = bootstrap_concordance([f for split in splits for f in split], resamples=10, seed=0)
    expected = [
        combined_concordance([count_pairs(f.months, f.event, f.risks["noisy"]) for f in split]).c
        for split in splits
    ]
    assert result.estimate("noisy").value == pytest.approx(np.mean(expected))


def test_a_model_without_seeds_stands_beside_one_with_several() -> None:
    once = replace(FOLDS[0], risks={name: FOLDS[0].risks[name] for name in ("good", "noisy")})
    again = replace(FOLDS[0], risks={"noisy": fold(60, seed=1).risks["noisy"]}, seed=1)
    result = bootstrap_concordance([once, again], resamples=50, seed=0)
    c = [count_pairs(f.months, f.event, f.risks["noisy"]).c for f in (once, again)]
    assert result.estimate("noisy").value == pytest.approx(np.mean(c))
    assert result.estimate("good").value == count_pairs(once.months, once.event, once.risks["good"]).c


def test_the_same_seed_draws_the_same_patients() -> None:
    one, other = (bootstrap_concordance(FOLDS, resamples=20, seed=5).resampled for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, bootstrap_concordance(FOLDS, resamples=20, seed=6).resampled)


def test_a_fold_without_a_pair_is_borne() -> None:
    censored = replace(FOLDS[1], event=np.zeros(60, dtype=bool))
    with_it = bootstrap_concordance([FOLDS[0], censored], resamples=20, seed=0)
    without = bootstrap_concordance([FOLDS[0]], resamples=20, seed=0)
    np.testing.assert_array_equal(with_it.resampled, without.resampled)


def test_no_pair_at_all_is_refused() -> None:
    censored = replace(FOLDS[1], event=np.zeros(60, dtype=bool))
    with pytest.raises(UndefinedMetric, match="outlived by another case of its fold"):
        bootstrap_concordance([censored], resamples=20, seed=0)


def test_a_single_event_has_no_interval() -> None:
    event = np.zeros(60, dtype=bool)
    event[FOLDS[0].months.argmin()] = True
    with pytest.raises(UndefinedMetric, match=r"no bootstrap interval: \d+ of 100 resamples are without"):
        bootstrap_concordance([replace(FOLDS[0], event=event)], resamples=100, seed=0)


def test_a_model_missing_from_a_fold_is_named() -> None:
    lacking = replace(FOLDS[1], risks={"good": FOLDS[1].risks["good"]})
    with pytest.raises(ValueError, match="not in every fold of seed 0: chance, noisy"):
        bootstrap_concordance([FOLDS[0], lacking], seed=0)


def test_a_case_twice_in_a_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="a case is listed twice in fold 0"):
        bootstrap_concordance([replace(FOLDS[0], cases=["same"] * 60)], seed=0)


def test_no_models_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one fold with the risks of one model"):
        bootstrap_concordance([], seed=0)
