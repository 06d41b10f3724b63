"""From a predictions table to numbers, against counts by hand and by what must not matter."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from kemm.core.cohort import Case, Cohort, Outcome
from kemm.core.types import CaseId
from kemm.results.cohort_summary import median_follow_up, summarise_folds, warnings_of
from kemm.results.evaluation import EvaluationConfig, Evaluator
from kemm.results.predictions import Predictions
from kemm.results.records import FoldSummary, ModelResult
from kemm.results.truth import compare_with_truth
from kemm.survival.metrics import UndefinedMetric, kaplan_meier
from kemm.training.comparators import CLINICAL, KAPLAN_MEIER, ModelSpec
from kemm.training.splits import Fold

GRID = np.arange(0.0, 121.0, 3.0)
CONFIG = EvaluationConfig(bootstraps=100)
HAZARD = 1 / 40


def cohort_of(
    months: Sequence[float], event: Sequence[bool], sites: Sequence[str | None] | None = None
) -> Cohort:
    cases = tuple(
        Case(
            id=CaseId(f"case-{row:03d}"),
            cancer_type="KIRC",
            site=sites[row] if sites else None,
            outcomes={"OS": Outcome(months=float(months[row]), event=bool(event[row]))},
            covariates={},
        )
        for row in range(len(months))
    )
    return Cohort(cases, "OS", ())


def spec(name: str, role: str = "comparator") -> ModelSpec:
    return ModelSpec(name=name, title=name, description="", role=role, inputs=(), views=())  # type: ignore[arg-type]


MAIN = spec("main", "kemm")


def rows_of(
    model: str,
    fold: int,
    risk: Mapping[str, float],
    *,
    seed: int = 0,
    threshold: float = 0.0,
    followed: float = 120.0,
) -> pd.DataFrame:
    """Predictions of one model: an exponential curve that the risk bends, known as long as training was followed."""
    values = np.array(list(risk.values()))
    curve = np.exp(-HAZARD * GRID * np.exp(np.clip(values, -700, 700))[:, None])
    curve[:, followed < GRID] = np.nan
    return pd.DataFrame(
        {
            "model": model,
            "fold": fold,
            "seed": seed,
            "case_id": list(risk),
            "risk": values,
            "threshold": threshold,
            **{f"survival@{month:g}": curve[:, column] for column, month in enumerate(GRID)},
        }
    )


class Simulated:
    """Two folds of patients whose log hazard is known, and predictions that are the truth with some noise."""

    def __init__(self, cases: int = 120, seed: int = 0, *, effect: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        self.truth = effect * rng.normal(size=cases)
        until_event = rng.exponential(np.exp(-self.truth) / HAZARD)
        until_censored = rng.uniform(10, 110, size=cases)
        self.cohort = cohort_of(np.minimum(until_event, until_censored), until_event <= until_censored)
        half = cases // 2
        first, second = tuple(range(half)), tuple(range(half, cases))
        self.folds = [Fold(index=0, train=second, test=first), Fold(index=1, train=first, test=second)]
        self.rng = rng

    def noisy(self, noise: float) -> np.ndarray:
        risk: np.ndarray = self.truth + noise * self.rng.normal(size=len(self.truth))
        return risk

    def risk_of(self, fold: Fold, risk: np.ndarray, cases: Iterable[int] | None = None) -> dict[str, float]:
        chosen = fold.test if cases is None else [row for row in fold.test if row in set(cases)]
        return {self.cohort.ids[row]: float(risk[row]) for row in chosen}

    def rows(
        self, model: str, risk: np.ndarray, *, seed: int = 0, cases: Iterable[int] | None = None
    ) -> list[pd.DataFrame]:
        only = None if cases is None else list(cases)
        return [
            rows_of(
                model,
                fold.index,
                self.risk_of(fold, risk, only),
                seed=seed,
                followed=float(self.cohort.months[list(fold.train)].max()),
            )
            for fold in self.folds
        ]

    def evaluator(
        self, frames: list[pd.DataFrame], *models: ModelSpec, config: EvaluationConfig = CONFIG
    ) -> Evaluator:
        frame = pd.concat(frames, ignore_index=True)
        return Evaluator(Predictions(frame, self.cohort, self.folds), models, config)


def counted(cohort: Cohort, folds: Iterable[Iterable[int]], risk: np.ndarray) -> float:
    """Harrell's C by two loops: pairs within a fold of whom one is known to have had the event first."""
    concordant = comparable = 0.0
    for rows in folds:
        some = list(rows)
        for one in some:
            for other in some:
                sooner = cohort.months[one] < cohort.months[other]
                outlived = cohort.months[one] == cohort.months[other] and not cohort.event[other]
                if cohort.event[one] and (sooner or outlived) and one != other:
                    comparable += 1
                    concordant += (risk[one] > risk[other]) + 0.5 * (risk[one] == risk[other])
    return concordant / comparable


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    return Simulated()


@pytest.fixture(scope="module")
def evaluated(simulated: Simulated) -> Evaluator:
    """A good model and a poor one, and Kaplan-Meier."""
    frames = simulated.rows("main", simulated.noisy(0.3)) + simulated.rows(CLINICAL, simulated.noisy(2.0))
    kaplan = simulated.rows(KAPLAN_MEIER, np.zeros(120))
    for fold, frame in zip(simulated.folds, kaplan, strict=True):
        train = list(fold.train)
        curve = kaplan_meier(simulated.cohort.months[train], simulated.cohort.event[train])
        for name in [name for name in frame.columns if name.startswith("survival@")]:
            month = float(name.split("@")[1])
            frame[name] = curve.at(np.array([month]))[0] if month <= curve.months[-1] else np.nan
    return simulated.evaluator(frames + kaplan, spec(KAPLAN_MEIER, "control"), spec(CLINICAL), MAIN)


def number(result: ModelResult, metric: str) -> float:
    value = result.metrics[metric].value
    assert value is not None, result.metrics[metric].reason
    return value


# --- concordance -----------------------------------------------------------------------------


def test_c_is_the_hand_count_of_pairs_within_folds(simulated: Simulated) -> None:
    risk = simulated.noisy(0.5)
    # One fold's model speaks on another scale: were risks pooled, all its cases would rank above the others.
    risk[60:] += 100
    result = simulated.evaluator(simulated.rows("main", risk), MAIN).result(MAIN)
    within = counted(simulated.cohort, [fold.test for fold in simulated.folds], risk)
    pooled = counted(simulated.cohort, [range(120)], risk)
    assert number(result, "harrell_c") == pytest.approx(within, abs=1e-12)
    assert abs(within - pooled) > 0.05
    assert result.fold_c == pytest.approx(
        [counted(simulated.cohort, [fold.test], risk) for fold in simulated.folds]
    )
    assert number(result, "harrell_c_mean") == pytest.approx(np.mean([c for c in result.fold_c if c]))
    assert result.metrics["harrell_c_mean"].sd == pytest.approx(np.std(result.fold_c, ddof=1))


def test_ties_in_time_and_risk_are_counted_as_by_hand() -> None:
    rng = np.random.default_rng(3)
    cohort = cohort_of(rng.integers(1, 12, size=60).astype(float), rng.random(60) < 0.6)
    risk = rng.integers(0, 4, size=60).astype(float)
    fold = Fold(index=0, train=tuple(range(60)), test=tuple(range(60)))
    frame = rows_of("main", 0, {cohort.ids[row]: risk[row] for row in range(60)})
    result = Evaluator(Predictions(frame, cohort, [fold]), [MAIN], CONFIG).result(MAIN)
    assert number(result, "harrell_c") == pytest.approx(counted(cohort, [range(60)], risk))


def test_the_interval_holds_the_estimate_and_says_on_how_many_it_stands(
    simulated: Simulated, evaluated: Evaluator
) -> None:
    cell = evaluated.result(MAIN).metrics["harrell_c"]
    assert cell.low is not None
    assert cell.high is not None
    assert cell.value is not None
    assert cell.low < cell.value < cell.high
    assert cell.high - cell.low < 0.3
    assert (cell.cases, cell.events) == (120, int(simulated.cohort.event.sum()))


def test_seeds_are_averaged_in_log_risk_and_a_single_seed_is_shown_beside(simulated: Simulated) -> None:
    one, other = simulated.noisy(1.0), simulated.noisy(1.0)
    frames = simulated.rows("main", one, seed=0) + simulated.rows("main", other, seed=5)
    result = simulated.evaluator(frames, MAIN).result(MAIN)
    folds = [fold.test for fold in simulated.folds]
    assert number(result, "harrell_c") == pytest.approx(counted(simulated.cohort, folds, (one + other) / 2))
    single = np.mean([counted(simulated.cohort, folds, risk) for risk in (one, other)])
    assert number(result, "harrell_c_single") == pytest.approx(single)
    assert result.metrics["harrell_c"].cases == 120, "a case with two seeds is one case"


def test_with_one_seed_there_is_no_single_seed_to_show(evaluated: Evaluator) -> None:
    assert "harrell_c_single" not in evaluated.result(MAIN).metrics


# --- what has no value -----------------------------------------------------------------------


def few_events(events: int) -> tuple[Cohort, Fold]:
    """Twenty cases, the first ones with an event; and a training part with many."""
    event = [row < events for row in range(20)] + [True, False] * 20
    cohort = cohort_of([*range(1, 21), *np.linspace(5, 80, 40)], event)
    return cohort, Fold(index=0, train=tuple(range(20, 60)), test=tuple(range(20)))


def evaluate_few(events: int) -> ModelResult:
    cohort, fold = few_events(events)
    frame = rows_of("main", 0, {cohort.ids[row]: -float(row) / 10 for row in range(20)})
    return Evaluator(Predictions(frame, cohort, [fold]), [MAIN], CONFIG).result(MAIN)


def test_below_ten_events_a_cell_is_a_dash_with_its_reason() -> None:
    result = evaluate_few(9)
    for name, cell in result.metrics.items():
        assert cell.value is None, name
        assert cell.reason == "9 events, fewer than 10", name
    assert result.fold_c == [None]


def test_with_ten_events_it_is_a_number() -> None:
    result = evaluate_few(10)
    assert number(result, "harrell_c") == 1
    assert result.fold_c == [1]


def test_nothing_is_nan_or_infinite_in_json(evaluated: Evaluator) -> None:
    main = evaluated.main.name
    records = [
        *(evaluated.result(one) for one in evaluated.models),
        *evaluated.differences(),
        evaluated.risk_groups(main),
        evaluated.calibration(main),
        evaluated.decision([main, CLINICAL]),
        evaluated.time_auc(main),
        evaluate_few(3),
    ]
    for record in records:
        assert record is not None
        json.loads(record.model_dump_json(), parse_constant=pytest.fail)


@pytest.mark.parametrize("wild", [1e3, -1e3])
def test_predictions_without_any_spread_or_of_absurd_size_are_told_not_crashed_on(
    simulated: Simulated, wild: float
) -> None:
    """Survival 0 or 1 for everyone: some measures have no value, and say why."""
    evaluator = simulated.evaluator(simulated.rows("main", np.full(120, wild)), MAIN)
    result = evaluator.result(MAIN)
    assert number(result, "harrell_c") == 0.5
    for name, cell in result.metrics.items():
        assert (cell.value is None) == (cell.reason is not None), name
    evaluator.calibration("main")
    evaluator.decision(["main"])
    evaluator.risk_groups("main")


# --- models that predict some cases only -----------------------------------------------------


def test_a_model_of_some_cases_is_measured_on_them_and_compared_on_them(simulated: Simulated) -> None:
    some = [row for row in range(120) if row % 3]
    main, partial = simulated.noisy(0.3), simulated.noisy(1.0)
    evaluator = simulated.evaluator(
        simulated.rows("genes", partial, cases=some) + simulated.rows("main", main), spec("genes"), MAIN
    )
    inside = [[row for row in fold.test if row in some] for fold in simulated.folds]
    result = evaluator.result(spec("genes"))
    assert result.metrics["harrell_c"].cases == len(some) == 80
    assert result.metrics["harrell_c"].events == int(simulated.cohort.event[some].sum())
    assert number(result, "harrell_c") == pytest.approx(counted(simulated.cohort, inside, partial))
    whole = number(evaluator.result(MAIN), "harrell_c")
    assert whole == pytest.approx(counted(simulated.cohort, [fold.test for fold in simulated.folds], main))
    (difference,) = evaluator.differences()
    assert difference.cases == 80
    assert difference.value == pytest.approx(
        counted(simulated.cohort, inside, main) - counted(simulated.cohort, inside, partial)
    )


def test_a_model_may_predict_nobody_in_a_whole_fold(simulated: Simulated) -> None:
    """Say, where one hospital sequenced nobody and is a fold of its own."""
    second = list(simulated.folds[1].test)
    main, partial = simulated.noisy(0.3), simulated.noisy(1.0)
    evaluator = simulated.evaluator(
        simulated.rows("genes", partial, cases=second) + simulated.rows("main", main), spec("genes"), MAIN
    )
    result = evaluator.result(spec("genes"))
    assert number(result, "harrell_c") == pytest.approx(counted(simulated.cohort, [second], partial))
    assert result.metrics["harrell_c"].low is not None
    assert len(result.fold_c) == 2
    assert result.fold_c[0] is None, "the first fold has no C; the second's is in its own place"
    (difference,) = evaluator.differences()
    assert difference.cases == 60
    assert difference.value == pytest.approx(
        counted(simulated.cohort, [second], main) - counted(simulated.cohort, [second], partial)
    )


# --- comparisons -----------------------------------------------------------------------------


def test_the_headline_is_the_main_model_less_the_clinical_one(evaluated: Evaluator) -> None:
    headline = evaluated.headline()
    assert headline is not None
    assert (headline.model, headline.baseline, headline.cases) == ("main", CLINICAL, 120)
    better = number(evaluated.result(MAIN), "harrell_c") - number(
        evaluated.result(spec(CLINICAL)), "harrell_c"
    )
    assert headline.value == pytest.approx(better)
    assert headline.low < headline.value < headline.high
    assert headline.low > 0, "noise of 0.3 against 2 is a clear difference"
    assert headline.p < 0.1, "100 resamples"


def test_without_a_clinical_model_there_is_no_headline(simulated: Simulated) -> None:
    assert simulated.evaluator(simulated.rows("main", simulated.truth), MAIN).headline() is None


def test_two_models_that_say_the_same_do_not_differ(simulated: Simulated) -> None:
    risk = simulated.noisy(0.5)
    frames = simulated.rows(CLINICAL, risk) + simulated.rows("main", 3 * risk + 1)
    headline = simulated.evaluator(frames, spec(CLINICAL), MAIN).headline()
    assert headline is not None
    assert (headline.value, headline.low, headline.high, headline.p) == (0, 0, 0, 1)


def test_nothing_is_compared_with_kaplan_meier(evaluated: Evaluator) -> None:
    assert [one.baseline for one in evaluated.differences()] == [CLINICAL]


# --- curves ----------------------------------------------------------------------------------


def test_kaplan_meier_of_the_training_part_has_c_one_half_and_no_skill(evaluated: Evaluator) -> None:
    result = evaluated.result(spec(KAPLAN_MEIER))
    assert number(result, "harrell_c") == 0.5
    assert number(result, "ibs_skill") == pytest.approx(0, abs=1e-9)
    assert "calibration_slope" not in result.metrics


def test_curves_that_are_the_truth_have_skill_and_a_slope_near_one(simulated: Simulated) -> None:
    large = Simulated(800, seed=2)
    result = large.evaluator(large.rows("main", large.truth), MAIN).result(MAIN)
    assert number(result, "ibs_skill") > 0.15
    assert number(result, "calibration_slope") == pytest.approx(1, abs=0.2)
    assert number(result, "ibs") < 0.25


def test_curves_that_are_too_extreme_have_a_slope_below_one(simulated: Simulated) -> None:
    large = Simulated(800, seed=2)
    extreme = large.evaluator(large.rows("main", 3 * large.truth), MAIN).result(MAIN)
    assert number(extreme, "calibration_slope") < 0.7
    assert number(extreme, "harrell_c") == number(
        large.evaluator(large.rows("main", large.truth), MAIN).result(MAIN), "harrell_c"
    ), "a good C can sit on a useless curve"


def test_horizons_beyond_the_usable_follow_up_are_left_out(
    simulated: Simulated, evaluated: Evaluator
) -> None:
    last = min(part.tau() for part in evaluated.parts["main"])
    wanted = EvaluationConfig(bootstraps=100, horizons=[6.0, last - 0.01, last + 0.01, 500.0])
    evaluator = simulated.evaluator(simulated.rows("main", simulated.truth), MAIN, config=wanted)
    assert evaluator.horizons == [6.0, last - 0.01]
    shown = [name for name in evaluator.result(MAIN).metrics if name.startswith("auc@")]
    assert len(shown) == 2
    # Ten test patients are still at risk there, in each fold.
    for fold in simulated.folds:
        assert (simulated.cohort.months[list(fold.test)] >= last).sum() >= 10


def test_where_no_horizon_is_usable_there_is_no_calibration_and_no_decision_curve() -> None:
    cohort, fold = few_events(12)
    late = EvaluationConfig(bootstraps=100, horizons=[400.0])
    frame = rows_of("main", 0, {cohort.ids[row]: float(row) for row in range(20)})
    evaluator = Evaluator(Predictions(frame, cohort, [fold]), [MAIN], late)
    assert evaluator.main_horizon() is None
    assert evaluator.calibration("main") is None
    assert evaluator.decision(["main"]) is None
    assert "calibration_slope" not in evaluator.result(MAIN).metrics


def test_survival_between_grid_months_is_on_a_straight_line_and_beyond_follow_up_refused(
    simulated: Simulated,
) -> None:
    predictions = Predictions(
        pd.concat(simulated.rows("main", simulated.truth)), simulated.cohort, simulated.folds
    )
    part = predictions.parts("main")[0]
    at = {month: predictions.survival_at(part, month) for month in (24.0, 25.0, 27.0)}
    np.testing.assert_allclose(at[25.0], at[24.0] + (at[27.0] - at[24.0]) / 3)
    with pytest.raises(
        UndefinedMetric, match="survival at 119 months: the training part was not followed so long"
    ):
        predictions.survival_at(part, 119.0)


def test_risk_groups_are_cut_at_each_folds_own_training_threshold(simulated: Simulated) -> None:
    """The second fold's risks and threshold are both higher by 10: its groups are the same."""
    risk = simulated.truth
    first = rows_of("main", 0, simulated.risk_of(simulated.folds[0], risk), threshold=0.4)
    second = rows_of("main", 1, simulated.risk_of(simulated.folds[1], risk + 10), threshold=10.4)
    groups = simulated.evaluator([first, second], MAIN).risk_groups("main")
    low, high = groups.curves
    assert (low.group, high.group) == ("low risk", "high risk")
    assert high.cases == int((risk > 0.4).sum())
    assert high.events == int(simulated.cohort.event[risk > 0.4].sum())
    assert low.cases + high.cases == 120
    assert groups.logrank_p is not None
    assert groups.logrank_p < 1e-4
    assert low.months[0] == high.months[0] == 0
    assert low.survival[0] == high.survival[0] == 1
    assert high.at_risk[0] == high.cases
    expected = kaplan_meier(simulated.cohort.months[risk > 0.4], simulated.cohort.event[risk > 0.4])
    assert high.survival[1:] == pytest.approx(expected.survival.tolist())


def test_where_everyone_is_in_one_group_there_is_one_curve_and_no_test(evaluated: Evaluator) -> None:
    groups = evaluated.risk_groups(KAPLAN_MEIER)
    assert [curve.group for curve in groups.curves] == ["low risk"]
    assert groups.logrank_p is None


def test_time_dependent_auc_goes_as_far_as_every_fold_can_be_measured(evaluated: Evaluator) -> None:
    curve = evaluated.time_auc("main")
    assert curve is not None
    assert curve.months[-1] <= min(part.tau() for part in evaluated.parts["main"])
    assert all(month % 6 == 0 for month in curve.months)
    late = [
        auc for month, auc in zip(curve.months, curve.auc, strict=True) if month >= 12 and auc is not None
    ]
    assert min(late) > 0.7


def test_treating_all_is_in_the_decision_curve_once_and_is_nobodys_model(evaluated: Evaluator) -> None:
    decision = evaluated.decision(["main", CLINICAL])
    assert decision is not None
    assert set(decision.net_benefit) == {"main", CLINICAL, "treat all"}
    assert {len(values) for values in decision.net_benefit.values()} == {len(decision.thresholds)}


# --- what must not matter --------------------------------------------------------------------


def test_the_order_of_rows_does_not_matter(simulated: Simulated) -> None:
    risk, other = simulated.noisy(0.5), simulated.noisy(1.5)
    frames = (
        simulated.rows("main", risk) + simulated.rows("main", other, seed=1) + simulated.rows(CLINICAL, other)
    )
    shuffled = [pd.concat(frames, ignore_index=True).sample(frac=1, random_state=4)]
    one, same = (simulated.evaluator(some, spec(CLINICAL), MAIN) for some in (frames, shuffled))
    assert one.result(MAIN) == same.result(MAIN)
    assert one.headline() == same.headline()
    assert one.risk_groups("main") == same.risk_groups("main")
    assert one.calibration("main") == same.calibration("main")


def test_the_same_seed_gives_the_same_interval(simulated: Simulated) -> None:
    frames = simulated.rows("main", simulated.truth)
    one, same = (simulated.evaluator(frames, MAIN).result(MAIN) for _ in range(2))
    assert one == same


# --- the cohort and its folds ----------------------------------------------------------------


def test_folds_are_summed_up_by_hand() -> None:
    cohort = cohort_of(
        [5, 6, 7, 8, 9, 10], [True, False, True, True, False, True], ["A", "A", "B", "B", "C", None]
    )
    folds = summarise_folds(cohort, [Fold(index=0, train=(0, 2, 3), test=(1, 4, 5))])
    expected = FoldSummary(
        fold=0,
        train_cases=3,
        train_events=3,
        test_cases=3,
        test_events=1,
        test_sites=2,
        shared_site_share=1 / 3,
    )
    assert folds == [expected]


def test_few_events_and_shared_hospitals_are_warned_of() -> None:
    cohort = cohort_of([5, 6, 7, 8], [True, False, True, True], ["A", "B", "A", "B"])
    shared = summarise_folds(cohort, [Fold(index=0, train=(0, 1), test=(2, 3))])
    few, flattering = warnings_of(cohort, "stratified", shared)
    assert few.startswith("3 events are few: below 100")
    assert (
        "Folds are stratified: 100% of test patients come from hospitals that are also in the training"
        in flattering
    )


def test_with_many_events_and_folds_apart_nothing_is_warned_of() -> None:
    cohort = cohort_of(range(1, 121), [True] * 120, ["A"] * 60 + ["B"] * 60)
    apart = summarise_folds(cohort, [Fold(index=0, train=tuple(range(60)), test=tuple(range(60, 120)))])
    assert warnings_of(cohort, "site-disjoint", apart) == []


def test_median_follow_up_counts_censoring_as_the_event() -> None:
    # Censored at 10, 20 and 30; deaths at 5 and 15 leave the risk set. 10: 3/4 left; 20: 3/8.
    months, event = np.array([5.0, 10, 15, 20, 30]), np.array([True, False, True, False, False])
    assert median_follow_up(months, event) == 20
    assert median_follow_up(np.array([1.0, 2.0]), np.array([True, True])) is None


def test_truth_is_told_as_its_own_c_and_as_rank_correlation_within_folds(simulated: Simulated) -> None:
    risk = simulated.noisy(0.5)
    risk[60:] += 50
    frames = simulated.rows(CLINICAL, np.zeros(120)) + simulated.rows("main", risk)
    predictions = Predictions(pd.concat(frames, ignore_index=True), simulated.cohort, simulated.folds)
    truth = {case: float(value) for case, value in zip(simulated.cohort.ids, simulated.truth, strict=True)}
    told = compare_with_truth(predictions, [spec(CLINICAL), MAIN], truth, [])
    tests = [list(fold.test) for fold in simulated.folds]
    assert told.true_c == pytest.approx(counted(simulated.cohort, tests, simulated.truth))
    expected = np.mean([spearmanr(risk[rows], simulated.truth[rows]).statistic for rows in tests])
    assert told.correlation == {"main": pytest.approx(expected)}, (
        "a model that ranks nobody has no correlation"
    )


def test_a_result_carries_what_its_model_is(evaluated: Evaluator) -> None:
    one = replace(MAIN, inputs=("covariates",), description="A sentence.")
    result = evaluated.result(one)
    assert (result.name, result.role, result.inputs, result.description) == (
        "main",
        "kemm",
        ["covariates"],
        "A sentence.",
    )


def test_a_model_that_ranks_nobody_has_no_interval(evaluated: Evaluator) -> None:
    cell = evaluated.result(spec(KAPLAN_MEIER, "control")).metrics["harrell_c"]
    assert (cell.value, cell.low, cell.high) == (0.5, None, None)
