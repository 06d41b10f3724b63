"""A comparison from study folders to its page: what it leaves, what it shares with a run, what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kemm import Asked, Study, compare
from kemm.core.errors import Faults
from kemm.core.files import read_frame
from kemm.pipeline import read_inputs
from kemm.pipeline.comparing import CompareResult
from kemm.survival.metrics import combined_concordance, count_pairs
from studies import Kemm, StudyFolder, Told, copy_of

MODELS = ("kemm", "abmil", "snn", "elastic-net-clinical")


@pytest.fixture(scope="module")
def compared(
    finished: StudyFolder, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyFolder, CompareResult, Told]:
    """A finished run's study, with a comparison of some models and all ablations."""
    folder, told = copy_of(finished, tmp_path_factory.mktemp("compared") / "study"), Told()
    asked = Asked(models=MODELS, ablate=True, subsets=True, repeats=2)
    return folder, compare(Study.load(folder.path), asked=asked, workers=1, progress=told), told


def test_a_comparison_leaves_its_records_and_page(compared: tuple[StudyFolder, CompareResult, Told]) -> None:
    folder, result, _ = compared
    assert sorted(path.name for path in (folder / "comparisons/latest").iterdir()) == [
        "comparison.html",
        "comparison.json",
        "models.csv",
        "predictions.parquet",
    ]
    assert result.page.read_text().startswith("<!DOCTYPE html>")


def test_the_table_has_the_models_asked_for_and_what_they_are_held_against(
    compared: tuple[StudyFolder, CompareResult, Told],
) -> None:
    study = compared[1].comparison.studies[0]
    asked = [one.name for one in study.evaluation.models if one.role != "ablation"]
    assert asked == ["kaplan-meier", "clinical", "elastic-net-clinical", "snn", "abmil", "kemm+clinical"]
    assert {one.name for one in study.evaluation.models if one.role == "ablation"} == {
        one.model for one in study.ablations
    }
    assert study.left_out == []


def test_units_of_a_run_are_taken_as_they_are(
    compared: tuple[StudyFolder, CompareResult, Told], finished: StudyFolder
) -> None:
    done, total = compared[2].stages["train and predict"]
    assert done == total
    before = {path.name: (path / "entry.json").read_bytes() for path in finished.entries("units")}
    after = {path.name: (path / "entry.json").read_bytes() for path in compared[0].entries("units")}
    assert before.items() <= after.items()
    # Of the run's models, these are compared; all other units are new.
    shared = 2 * len(("kaplan-meier", "clinical", "kemm+clinical"))
    assert len(after) == len(before) + total - shared


def test_cells_are_those_of_the_predictions(compared: tuple[StudyFolder, CompareResult, Told]) -> None:
    folder, result, _ = compared
    frame = read_frame(folder / "comparisons/latest/predictions.parquet")
    inputs = read_inputs(Study.load(folder.path), Faults())
    assert inputs is not None
    row_of = {case: row for row, case in enumerate(inputs.cohort.ids)}
    assert set(frame["model"]) == set(result.table["model"])
    for model in ("kemm+clinical", "without-report"):
        parts = []
        for _, part in frame[frame["model"] == model].groupby("fold"):
            rows = [row_of[case] for case in part["case_id"]]
            months, event = inputs.cohort.months[rows], inputs.cohort.event[rows]
            parts.append(count_pairs(months, event, part["risk"].to_numpy()))
        cell = result.table.set_index("model").loc[model, "harrell_c"]
        assert cell == pytest.approx(combined_concordance(parts).c)


def test_a_network_predicts_no_case_that_has_nothing_it_sees(
    compared: tuple[StudyFolder, CompareResult, Told],
) -> None:
    folder, _, _ = compared
    frame = read_frame(folder / "comparisons/latest/predictions.parquet")
    inputs = read_inputs(Study.load(folder.path), Faults())
    assert inputs is not None
    assert inputs.slides is not None
    seen = set(frame.loc[frame["model"] == "abmil", "case_id"])
    everyone = set(frame.loc[frame["model"] == "kemm+clinical", "case_id"])
    assert seen < everyone
    assert len(seen) == inputs.modalities["slides"]


def test_variants_see_other_data_and_say_other_things(
    compared: tuple[StudyFolder, CompareResult, Told],
) -> None:
    frame = read_frame(compared[0] / "comparisons/latest/predictions.parquet")
    risk = frame.set_index(["model", "case_id"])["risk"]
    main = risk["kemm+clinical"]
    for variant in ("raw-report", "without-stage-in-report"):
        assert not np.allclose(risk[variant][main.index], main), variant


def test_cost_is_measured_and_parameters_are_counted(
    compared: tuple[StudyFolder, CompareResult, Told],
) -> None:
    costs = {one.model: one for one in compared[1].comparison.studies[0].costs}
    assert costs["abmil"].seconds > 0
    assert costs["abmil"].core_seconds > 0
    assert costs["abmil"].parameters is not None
    assert costs["clinical"].parameters is None
    assert not costs["snn"].partial


def test_added_value_stands_for_kemm_and_for_nothing_without_a_reference(
    compared: tuple[StudyFolder, CompareResult, Told],
) -> None:
    study = compared[1].comparison.studies[0]
    assert study.reference == "clinical"
    assert study.added_value[0].model == "kemm+clinical"
    assert [one.splits for one in study.repeats] == [4]
    assert {one.model for one in study.against_reference} == {
        "kemm+clinical",
        "elastic-net-clinical",
        "snn",
        "abmil",
    }


def test_asked_again_nothing_is_trained_and_the_numbers_are_the_same(
    compared: tuple[StudyFolder, CompareResult, Told],
) -> None:
    folder, result, _ = compared
    told = Told()
    again = compare(
        Study.load(folder.path),
        asked=Asked(models=MODELS, ablate=True, subsets=True, repeats=2),
        workers=1,
        progress=told,
    )
    done, total = told.stages["train and predict"]
    assert done == total
    assert again.comparison.studies[0].evaluation == result.comparison.studies[0].evaluation
    assert (
        again.comparison.studies[0].ablation_differences == result.comparison.studies[0].ablation_differences
    )


def test_two_studies_have_a_mean(done: StudyFolder, tmp_path: Path, kemm: Kemm) -> None:
    other = copy_of(done, tmp_path / "second")
    other.set(name="second")
    said = kemm("compare", done, other, "--models", "snn", "--workers", 1)
    assert said.code == 0, said.err
    found = json.loads((done / "comparisons/latest/comparison.json").read_text())
    assert [one["evaluation"]["study"] for one in found["studies"]] == ["demo", "second"]
    rows = {row["model"]: row for row in found["mean"]}
    first = {
        one["name"]: one["metrics"]["harrell_c"]["value"]
        for one in found["studies"][0]["evaluation"]["models"]
    }
    second = {
        one["name"]: one["metrics"]["harrell_c"]["value"]
        for one in found["studies"][1]["evaluation"]["models"]
    }
    assert rows["snn"]["c"]["value"] == pytest.approx((first["snn"] + second["snn"]) / 2)
    assert (other / "comparisons/latest/predictions.parquet").is_file()
    assert re.search(r"page: .*comparison\.html", said.out)


# --- what is refused --------------------------------------------------------------------------


def test_an_unknown_model_is_refused_before_anything_is_trained(study: StudyFolder, kemm: Kemm) -> None:
    said = kemm("compare", study, "--models", "transmill", "--workers", 1)
    assert said.code == 2
    assert "there is no model called 'transmill': did you mean 'transmil'?" in said.err
    assert study.entries("units") == []


def test_a_model_without_its_input_is_refused(study: StudyFolder, kemm: Kemm) -> None:
    study.set(slides=None)
    said = kemm("compare", study, "--models", "mcat", "--workers", 1)
    assert "mcat cannot be compared: it needs slides and genes, and the study has no slides." in said.err


def test_folds_from_files_cannot_be_repeated(done: StudyFolder, kemm: Kemm) -> None:
    folds = pd.read_csv(done / "runs/latest/folds.csv", dtype=str)
    for index, part in folds.groupby("fold"):
        part[["case_id", "split"]].to_csv(done / f"fold_{index}.csv", index=False)
    done.set(folds={"kind": "files", "count": 2, "files": "fold_{fold}.csv"})
    said = kemm("compare", done, "--models", "snn", "--repeats", 3, "--workers", 1)
    assert "its folds are given by files and cannot be drawn again" in said.err


def test_two_studies_of_one_name_are_refused(study: StudyFolder, kemm: Kemm) -> None:
    said = kemm("compare", study, study)
    assert "two studies are called 'demo': give one of them another name in its study.yaml" in said.err


def test_all_faults_of_all_studies_come_at_once(study: StudyFolder, tmp_path: Path, kemm: Kemm) -> None:
    other = copy_of(study, tmp_path / "second")
    other.set(name="second")
    study.set_cell(1, "case_id", "")
    other.set_cell(2, "case_id", "")
    said = kemm("compare", study, other)
    assert said.err.count("case_id") >= 2
