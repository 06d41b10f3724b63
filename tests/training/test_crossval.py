"""Units of work: the outer part of a fold is opened once, results are reproducible, and the controls hold."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_study import (
    MODEL,
    TRAINING,
    crossval,
    folds_of,
    permuted,
    run_unit,
    small_study,
    spec,
    specs,
    with_outcomes,
)

from kemm.core.cohort import Covariate
from kemm.core.errors import IntegrityError, UsageError
from kemm.core.files import read_arrays, read_json
from kemm.survival.metrics import combined_concordance, count_pairs
from kemm.training.comparators import ModelSpec
from kemm.training.crossval import Crossval, Task, finished, read_unit
from kemm.training.dataset import StudyData
from kemm.training.device import cost_of_bf16, resolve_device, resolve_precision
from kemm.training.trainer import OPTIMISTIC, TrainingConfig
from kemm.training.units import GRID, run_work

TWO_SEEDS = TrainingConfig(**{**TRAINING.model_dump(), "seeds": [0, 7]})


def files_of(context: Crossval, task: Task) -> dict[str, bytes]:
    _, folder = read_unit(context, task)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def run_all(context: Crossval, tasks: Sequence[Task] | None = None) -> Crossval:
    for task in context.tasks() if tasks is None else tasks:
        run_unit(context, task)
    return context


def other_outcomes(data: StudyData, rows: Sequence[int], seed: int) -> StudyData:
    """These rows with outcomes that have nothing to do with theirs, some followed longer than anyone."""
    rng = np.random.default_rng(seed)
    return with_outcomes(
        data,
        {row: float(rng.uniform(0.2, 300)) for row in rows},
        {row: bool(rng.random() < 0.5) for row in rows},
    )


@pytest.fixture(scope="module")
def study() -> StudyData:
    return small_study(60, seed=3).data


@pytest.fixture(scope="module")
def done(study: StudyData, tmp_path_factory: pytest.TempPathFactory) -> Crossval:
    """Every unit of every model, computed."""
    return run_all(crossval(study, tmp_path_factory.mktemp("done"), training=TWO_SEEDS))


# --- what one training part does not have ------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"), [("report grade", 2.0), ("report grade", None), ("age", 60.0), ("age", None)]
)
def test_a_covariate_that_is_constant_or_absent_in_one_training_part_says_nothing_there(
    study: StudyData, tmp_path: Path, name: str, value: float | None
) -> None:
    """It is the only one, as where `reports.covariates` names a field and the table has no covariate."""
    training = folds_of(study)[0].train
    # Who dies early has a high one, so that a model that can learn from it does.
    grades = (4 - 4 * study.cohort.months.argsort().argsort() // len(study.cohort)).astype(float)
    cases = {
        row: replace(case, covariates={name: value if row in training else grades[row]})
        for row, case in enumerate(study.cohort.cases)
    }
    data = study.with_cases(cases)
    data = replace(data, cohort=replace(data.cohort, covariates=(Covariate(name=name, kind="numeric"),)))
    models = ["clinical", *(["age+sex"] if name == "age" else []), specs()[-1].name]
    wanted = tuple(one for one in specs() if one.name in models)
    assert len(wanted) == len(models)
    context = run_all(crossval(data, tmp_path, models=wanted, folds=folds_of(study)))
    for model in models[:-1]:
        silent, _ = read_unit(context, Task(0, model))
        assert sorted(silent["case_id"]) == sorted(data.cohort.ids[row] for row in context.fold(0).test)
        assert silent["risk"].abs().max() < 1e-9
    for fold in (0, 1):
        _, folder = read_unit(context, Task(fold, models[-1]))
        arrays = read_arrays(next(folder.glob("member-*.safetensors")))
        # The other training part knows it, and there it counts.
        assert (np.abs(arrays["stack.covariates.coefficients"]).max() > 0.1) == (fold == 1)
    main, _ = read_unit(context, Task(0, models[-1]))
    assert main["risk"].nunique() > 10


def test_reports_and_sites_may_be_absent_in_one_training_part(study: StudyData, tmp_path: Path) -> None:
    training = folds_of(study)[0].train
    data = study.with_cases({row: replace(study.cohort.cases[row], site=None) for row in training})
    data = data.with_reports(dict.fromkeys(training))
    names = ("report", "site", specs()[-1].name)
    wanted = tuple(one for one in specs() if one.name in names)
    assert len(wanted) == 3
    context = run_all(crossval(data, tmp_path, models=wanted, folds=folds_of(study)))
    for name in names[:2]:
        assert read_unit(context, Task(0, name))[0]["risk"].nunique() == 1
    assert read_unit(context, Task(0, names[2]))[0]["risk"].nunique() > 10


# --- the outer part of a fold is opened once -------------------------------------------------


@pytest.fixture(scope="module")
def altered(study: StudyData, done: Crossval, tmp_path_factory: pytest.TempPathFactory) -> Crossval:
    """Fold 0 again, on a cohort whose outcomes in the test part of fold 0 are others."""
    changed = other_outcomes(study, done.fold(0).test, seed=1)
    assert not np.array_equal(changed.cohort.event, study.cohort.event)
    context = replace(done, data=changed, store=tmp_path_factory.mktemp("altered"))
    return run_all(context, [task for task in context.tasks() if task.fold == 0])


@pytest.mark.parametrize("model", [one.name for one in specs()])
def test_changing_the_outcomes_of_the_test_part_changes_no_byte_of_that_fold(
    done: Crossval, altered: Crossval, model: str
) -> None:
    before, after = files_of(done, Task(0, model)), files_of(altered, Task(0, model))
    assert before.keys() == after.keys()
    assert [name for name, content in before.items() if content != after[name]] == []


def test_what_was_compared_includes_every_kind_of_file(done: Crossval) -> None:
    names = set(files_of(done, Task(0, specs()[-1].name)))
    assert {"predictions.parquet", "transforms.json", "transforms.safetensors", "explained.json"} <= names
    assert any(name.startswith("member-") for name in names)


@pytest.mark.parametrize("model", [one.name for one in specs()])
def test_the_key_of_a_unit_does_not_know_the_outcomes_of_its_test_part(
    done: Crossval, altered: Crossval, model: str
) -> None:
    assert altered.key(Task(0, model)) == done.key(Task(0, model))


@pytest.mark.parametrize("model", [one.name for one in specs()])
def test_the_same_outcomes_are_training_data_of_the_other_fold(
    done: Crossval, altered: Crossval, model: str
) -> None:
    """Or the tests above would pass by looking at nothing."""
    assert altered.key(Task(1, model)) != done.key(Task(1, model))


def test_outcomes_of_the_training_part_do_shape_predictions(
    study: StudyData, done: Crossval, tmp_path: Path
) -> None:
    changed = other_outcomes(study, done.fold(0).train, seed=2)
    context = run_all(replace(done, data=changed, store=tmp_path), [Task(0, "linear")])
    assert (
        files_of(context, Task(0, "linear"))["predictions.parquet"]
        != (files_of(done, Task(0, "linear"))["predictions.parquet"])
    )


def test_predicting_does_not_look_at_the_other_test_cases(
    study: StudyData, done: Crossval, tmp_path: Path
) -> None:
    """With only half of the test part there, that half is predicted as before."""
    fold = done.fold(0)
    half = replace(fold, test=fold.test[::2])
    context = replace(done, folds=(half,), store=tmp_path)
    for model in ("linear", specs()[-1].name):
        run_unit(context, Task(0, model))
        whole = read_unit(done, Task(0, model))[0].set_index(["case_id", "seed"])["risk"]
        part = read_unit(context, Task(0, model))[0].set_index(["case_id", "seed"])["risk"]
        np.testing.assert_allclose(part, whole.loc[part.index], rtol=1e-5, atol=1e-6)


def test_only_the_optimistic_epoch_knows_the_test_part_and_its_key_says_so(
    study: StudyData, tmp_path: Path
) -> None:
    optimistic = TrainingConfig(**{**TRAINING.model_dump(), "selection": OPTIMISTIC})
    honest, flattering = crossval(study, tmp_path), crossval(study, tmp_path, training=optimistic)
    network = Task(0, specs()[-1].name)
    row = honest.fold(0).test[0]
    months = {row: float(study.cohort.months[row])}
    event = {row: bool(study.cohort.event[row])}
    for changed in (
        with_outcomes(study, {row: months[row] + 1}, event),
        with_outcomes(study, months, {row: not event[row]}),
    ):
        assert replace(honest, data=changed).key(network) == honest.key(network)
        assert replace(flattering, data=changed).key(network) != flattering.key(network)
    assert flattering.key(network) != honest.key(network)


def test_the_offset_of_training_cases_comes_from_models_that_did_not_see_them(tmp_path: Path) -> None:
    """In a study of noise, a fitted offset would explain its own training cases; a cross-fitted one does not."""
    noise = small_study(80, seed=6, age=0, grade=0, genes=0, slides=0).data
    loss = {}
    for offset in ("none", "linear"):
        model = MODEL.model_copy(update={"head": "cox", "offset": offset})
        context = crossval(noise, tmp_path / offset, model=model, models=specs(model=model))
        task = Task(0, specs()[-1].name)
        run_unit(context, task)
        about = read_json(read_unit(context, task)[1] / "about.json")
        loss[offset] = about[0]["inner_loss"][0]  # before any training: the offset alone
    assert loss["linear"] > loss["none"] - 0.02


# --- what a unit is, and that it is made once ------------------------------------------------


def test_a_unit_repeated_is_the_same_bytes(study: StudyData, done: Crossval, tmp_path: Path) -> None:
    again = replace(done, store=tmp_path)
    for model in ("linear", specs()[-1].name):
        run_unit(again, Task(1, model))
        assert files_of(again, Task(1, model)) == files_of(done, Task(1, model))


def test_every_fold_has_every_model_and_folds_follow_one_another(study: StudyData, tmp_path: Path) -> None:
    context = crossval(study, tmp_path)
    tasks = context.tasks()
    assert sorted((task.fold, task.model) for task in tasks) == sorted(
        (fold, one.name) for fold in (0, 1) for one in specs()
    )
    folds = [task.fold for task in tasks]
    assert folds == sorted(folds)


def test_what_is_finished_is_known_and_the_rest_is_not(study: StudyData, tmp_path: Path) -> None:
    context = crossval(study, tmp_path)
    one, other = Task(0, "clinical"), Task(1, "clinical")
    run_unit(context, one)
    assert finished(context, [one, other]) == [one]


def test_a_changed_file_of_a_finished_unit_is_noticed(study: StudyData, tmp_path: Path) -> None:
    context = run_all(crossval(study, tmp_path), [Task(0, "clinical")])
    _, folder = read_unit(context, Task(0, "clinical"))
    path = folder / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(IntegrityError, match=r"predictions\.parquet was changed since it was written"):
        read_unit(context, Task(0, "clinical"))


def test_settings_of_networks_are_in_the_keys_of_networks_alone(study: StudyData, tmp_path: Path) -> None:
    context = crossval(study, tmp_path)
    wider = crossval(study, tmp_path, model=MODEL.model_copy(update={"width": 16}))
    longer = crossval(study, tmp_path, training=TRAINING.model_copy(update={"epochs": 3}))
    for other in (wider, longer):
        assert other.key(Task(0, "kemm")) != context.key(Task(0, "kemm"))
        assert other.key(Task(0, "clinical")) == context.key(Task(0, "clinical"))


def test_a_covariate_of_a_test_case_is_in_the_key(study: StudyData, tmp_path: Path) -> None:
    context = crossval(study, tmp_path)
    row = context.fold(0).test[0]
    case = study.cohort.cases[row]
    older = study.with_cases({row: replace(case, covariates={**case.covariates, "age": 99.0})})
    assert replace(context, data=older).key(Task(0, "clinical")) != context.key(Task(0, "clinical"))


# --- predictions -----------------------------------------------------------------------------


def test_predictions_have_a_row_a_test_case_and_seed_and_no_outcome(done: Crossval) -> None:
    for one in done.models:
        frame, _ = read_unit(done, Task(0, one.name))
        assert not {"months", "event"} & set(frame.columns)
        assert sorted(frame["seed"].unique()) == ([0, 7] if one.is_network else [0])
        assert not frame.duplicated(["case_id", "seed"]).any()
        assert set(frame["case_id"]) <= {done.data.cohort.ids[row] for row in done.fold(0).test}
        if one.is_network:
            assert len(frame) == 2 * len(done.fold(0).test)


def test_a_case_without_any_input_of_a_model_is_not_predicted_by_it(done: Crossval) -> None:
    data = done.data
    has = {
        "report": [report is not None for report in data.reports],
        "slides": data.slides.present.tolist() if data.slides is not None else [],
        "genes": [case in data.genomics.case_ids for case in data.cohort.ids]
        if data.genomics is not None
        else [],
    }
    for name, there in has.items():
        frame, _ = read_unit(done, Task(0, name))
        expected = {data.cohort.ids[row] for row in done.fold(0).test if there[row]}
        assert set(frame["case_id"]) == expected
        assert len(expected) < len(done.fold(0).test), f"everyone has {name}: nothing was tested"


def test_predicted_survival_is_a_falling_curve_as_far_as_training_cases_were_followed(done: Crossval) -> None:
    last = done.data.cohort.months[list(done.fold(0).train)].max()
    known = np.array(GRID) <= last
    assert known.sum() < len(GRID)
    for one in done.models:
        frame, _ = read_unit(done, Task(0, one.name))
        curve = frame[[name for name in frame.columns if name.startswith("survival@")]].to_numpy()
        assert np.isnan(curve[:, ~known]).all(), one.name
        assert (curve[:, 0] == 1).all(), one.name
        assert (np.diff(curve[:, known], axis=1) <= 1e-9).all(), one.name
        assert (curve[:, known] >= 0).all(), one.name


def test_higher_risk_is_lower_survival(done: Crossval) -> None:
    for name in ("clinical", "linear"):
        frame, _ = read_unit(done, Task(0, name))
        assert np.array_equal(frame["risk"].argsort(), (-frame["survival@24"]).argsort())


def test_kaplan_meier_says_the_same_of_everyone(done: Crossval) -> None:
    frame, _ = read_unit(done, Task(0, "kaplan-meier"))
    curves = frame.filter(like="survival@").to_numpy()
    assert (frame["risk"] == 0).all()
    np.testing.assert_array_equal(
        np.nan_to_num(curves), np.nan_to_num(curves[:1]).repeat(len(curves), axis=0)
    )
    rows = list(done.fold(0).train)
    months, event = done.data.cohort.months[rows], done.data.cohort.event[rows]
    # Nelson-Aalen, exponentiated: what Breslow's estimate is without a covariate.
    hazard = sum(1 / (months >= time).sum() for time in months[event] if time <= 24)
    assert curves[0, list(GRID).index(24.0)] == pytest.approx(np.exp(-hazard), rel=1e-6)


def test_the_threshold_is_the_training_parts_median_risk(done: Crossval) -> None:
    """About half of the test cases are above it, and it is one number a fold and seed."""
    for name in ("clinical", "linear", "kemm+clinical"):
        frame, _ = read_unit(done, Task(0, name))
        assert frame.groupby("seed")["threshold"].nunique().eq(1).all()
        share = (frame["risk"] > frame["threshold"]).mean()
        assert 0.2 < share < 0.8, f"{name}: {share:.0%} above the training median"


def test_only_the_main_model_is_explained(done: Crossval) -> None:
    for one in done.models:
        is_main = one == done.models[-1]
        assert ("explained.json" in files_of(done, Task(0, one.name))) == is_main


def test_what_is_written_as_json_has_no_nan(done: Crossval) -> None:
    for task in done.tasks():
        for name, content in files_of(done, task).items():
            if name.endswith(".json"):
                json.loads(content, parse_constant=pytest.fail)


# --- controls --------------------------------------------------------------------------------


def concordance(context: Crossval, model: str) -> float:
    """Harrell's C of a model over the folds, seeds averaged."""
    cohort, pairs = context.data.cohort, []
    row_of = {str(case): row for row, case in enumerate(cohort.ids)}
    for task in context.tasks():
        if task.model == model:
            run_unit(context, task)
            risk = read_unit(context, task)[0].groupby("case_id")["risk"].mean()
            rows = [row_of[str(case)] for case in risk.index]
            pairs.append(count_pairs(cohort.months[rows], cohort.event[rows], risk.to_numpy()))
    return combined_concordance(pairs).c


def permutations(
    data: StudyData, count: int, models: tuple[ModelSpec, ...], folder: Path
) -> Iterator[Crossval]:
    for seed in range(count):
        shuffled = permuted(data, seed)
        yield crossval(shuffled, folder / str(seed), models=models, folds=folds_of(shuffled))


def test_with_permuted_outcomes_the_linear_stack_has_a_mean_c_of_one_half(tmp_path: Path) -> None:
    # 120 cases, 10 permutations: the standard error of the mean is about 0.015.
    data = small_study(120, seed=1).data
    found = [concordance(one, "linear") for one in permutations(data, 10, (spec("linear"),), tmp_path)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.05), f"C of each permutation: {np.round(found, 3)}"


def test_with_permuted_outcomes_kemm_has_a_mean_c_of_one_half(tmp_path: Path) -> None:
    # 60 cases, 5 permutations: the standard error of the mean is about 0.02.
    data, main = small_study(60, seed=2).data, specs()[-1]
    found = [concordance(one, main.name) for one in permutations(data, 5, (main,), tmp_path)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.05), f"C of each permutation: {np.round(found, 3)}"


def test_each_planted_signal_is_found_and_all_together_do_best(tmp_path: Path) -> None:
    study = small_study(150, seed=1)
    context = crossval(study.data, tmp_path)
    c = {
        name: concordance(context, name)
        for name in ("site", "clinical", "report", "genes", "slides", "linear")
    }
    assert c["site"] == pytest.approx(0.5, abs=0.08)
    for name in ("clinical", "report", "genes", "slides"):
        assert c[name] > 0.57, c
    assert c["linear"] > 0.03 + max(value for name, value in c.items() if name != "linear"), c
    c["kemm"] = concordance(context, specs()[-1].name)
    assert c["kemm"] > c["linear"] - 0.02, c


@pytest.mark.parametrize("noise", ["slides", "genes"])
def test_a_noise_modality_moves_the_stacks_c_by_two_hundredths_at_most(noise: str, tmp_path: Path) -> None:
    changes = []
    everything = spec("linear")
    without = replace(everything, views=tuple(view for view in everything.views if view != noise))
    for seed in range(3):
        data = small_study(200, seed=20 + seed, **{noise: 0.0}).data
        folder = tmp_path / str(seed)
        changes.append(
            concordance(crossval(data, folder / "with", models=(everything,)), "linear")
            - concordance(crossval(data, folder / "without", models=(without,)), "linear")
        )
    assert np.abs(np.mean(changes)) <= 0.02, f"changes of C: {np.round(changes, 4)}"


# --- in one pass -----------------------------------------------------------------------------


def test_all_folds_in_one_pass_give_the_table_that_single_folds_give(
    study: StudyData, done: Crossval, tmp_path: Path
) -> None:
    together = crossval(
        study, tmp_path, training=TrainingConfig(**{**TWO_SEEDS.model_dump(), "one_pass": "run"})
    )
    works = together.work(together.tasks())
    assert [work.folds for work in works if work.model == "kemm"] == [(0, 1)]
    assert {work.folds for work in works if work.model == "clinical"} == {(0,), (1,)}
    assert sorted(task.model for work in works for task in work.tasks) == sorted(
        task.model for task in done.tasks()
    )
    for work in works:
        if work.model.startswith("kemm"):
            run_work(together, work)
            for task in work.tasks:
                assert together.key(task) == done.key(task), "what is finished is not trained again"
                mine, theirs = read_unit(together, task)[0], read_unit(done, task)[0]
                assert mine["case_id"].tolist() == theirs["case_id"].tolist()
                np.testing.assert_allclose(mine["risk"], theirs["risk"], atol=2e-5)


def test_half_precision_is_another_result_and_nearly_the_same(
    study: StudyData, done: Crossval, tmp_path: Path
) -> None:
    rounded = crossval(
        study, tmp_path, training=TrainingConfig(**{**TWO_SEEDS.model_dump(), "precision": "bf16"})
    )
    task = Task(0, "kemm")
    assert rounded.key(task) != done.key(task)
    run_unit(rounded, task)
    mine, theirs = read_unit(rounded, task)[0], read_unit(done, task)[0]
    np.testing.assert_allclose(mine["risk"], theirs["risk"], atol=0.05)


def test_a_device_that_is_not_there_is_said_to_be_missing() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(
        UsageError, match=r"training.device is 'cuda', which torch does not see here; there is: cpu"
    ):
        resolve_device("cuda")
    assert resolve_device("auto").type == "cpu"
    assert resolve_precision("auto", torch.device("cuda")) == torch.bfloat16
    assert resolve_precision("auto", torch.device("cpu")) == torch.float32


def test_the_cost_of_bf16_is_that_of_one_product_over_another(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = [0.0], {torch.float32: 2.0, torch.bfloat16: 5.0}

    def product(left: torch.Tensor, right: torch.Tensor) -> None:
        assert left.dtype == right.dtype
        clock[0] += pace[left.dtype]
        pace[left.dtype] *= 1.1  # later ones are disturbed

    monkeypatch.setattr("kemm.training.device.torch.mm", product)
    monkeypatch.setattr("kemm.training.device.time.perf_counter", lambda: clock[0])
    assert cost_of_bf16() == 2.5
