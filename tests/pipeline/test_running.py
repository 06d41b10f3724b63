"""What a run leaves, and what it does when it is asked for again, or meets what was changed behind its back."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from kemm import Study, check, rebuild_report, run
from kemm.core.files import read_frame
from kemm.model.survival_model import SurvivalModel
from kemm.pipeline import running
from kemm.training.stacking import Noise, NotStackable, stack
from studies import Kemm, StudyFolder, Told

ON_THIS_HOST = socket.gethostname()
UNITS = 2 * 10
"""Two folds of nine comparators and KEMM."""


def latest(study: StudyFolder) -> Path:
    return study / "runs" / "latest"


def bytes_of(folder: Path) -> dict[str, str]:
    """The digest of each file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


# --- what a run leaves -------------------------------------------------------------------------


def test_a_run_folder_holds_its_records_and_nothing_else(finished: StudyFolder) -> None:
    assert sorted(path.name for path in latest(finished).iterdir()) == [
        "evaluation.json",
        "explanation.json",
        "folds.csv",
        "models.csv",
        "predictions.parquet",
        "report.html",
        "run.json",
        "tripod.html",
        "tripod.json",
        "units.json",
    ]


def test_the_records_of_a_run_agree_with_each_other(finished: StudyFolder) -> None:
    predictions = read_frame(latest(finished) / "predictions.parquet")
    folds = pd.read_csv(latest(finished) / "folds.csv", dtype=str)
    models = pd.read_csv(latest(finished) / "models.csv")
    main = predictions[predictions["model"] == "kemm+clinical"]
    # Every case is tested once, in the fold that folds.csv says.
    tested = folds[folds["split"] == "test"].set_index("case_id")["fold"].astype(int)
    assert sorted(main["case_id"]) == sorted(finished.table["case_id"])
    assert (tested[main["case_id"]].to_numpy() == main["fold"].to_numpy()).all()
    assert set(models["model"]) == set(predictions["model"])
    assert models.set_index("model").loc["kemm+clinical", "cases"] == 40
    assert len(set(folds["cohort"])) == 1
    assert np.isfinite(predictions["risk"]).all()


def test_the_record_names_command_settings_and_inputs(finished: StudyFolder) -> None:
    record = json.loads((latest(finished) / "run.json").read_text())
    assert record["command"] == "kemm run study"
    assert yaml.safe_load(record["study_yaml"])["training"]["epochs"] == 2
    for name in ("study.yaml", "clinical.csv", "genomics.parquet", "groups.gmt", "truth.csv"):
        assert record["inputs"][name] == hashlib.sha256((finished / name).read_bytes()).hexdigest()
    assert set(record["seconds"]) == {"prepare", "train", "evaluate"}
    assert str(finished) not in (latest(finished) / "report.html").read_text()


def test_options_of_a_run_are_in_its_command(done: StudyFolder) -> None:
    study = Study.load(done.path, ["evaluation.bootstraps=101", "name=my study"])
    result = run(study, name="other", workers=1)
    command = json.loads((result.folder / "run.json").read_text())["command"]
    assert command == "kemm run study --name other --set evaluation.bootstraps=101 --set 'name=my study'"


# --- asked for again ---------------------------------------------------------------------------


def test_a_finished_run_is_not_made_again(done: StudyFolder, kemm: Kemm) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.path.rglob("*") if path.is_file()}
    said = kemm("run", done)
    assert said.code == 0
    assert "nothing has changed since this run finished" in said.out
    assert "KEMM with covariates" in said.out
    assert before == {path: path.stat().st_mtime_ns for path in done.path.rglob("*") if path.is_file()}


def test_a_comment_in_study_yaml_changes_nothing(done: StudyFolder, kemm: Kemm) -> None:
    text = (done / "study.yaml").read_text()
    (done / "study.yaml").write_text(f"# by the way\n{text}")
    assert "nothing has changed" in kemm("run", done).out


def test_another_setting_of_the_evaluation_trains_nothing_anew(done: StudyFolder) -> None:
    told = Told()
    run(Study.load(done.path, ["evaluation.bootstraps=101"]), workers=2, progress=told)
    assert told.stages["train and predict"] == [UNITS, UNITS]
    assert json.loads((latest(done) / "evaluation.json").read_text())["bootstraps"] == 101


def test_each_stage_counts_to_its_end(uninterrupted: tuple[StudyFolder, Told]) -> None:
    study, told = uninterrupted
    slides = len(list((study / "features").iterdir()))
    assert slides > len(study.table[study.table["slide_ids"] != ""])  # some cases have two
    assert told.stages["pack slides"] == [slides, slides]
    assert told.stages["refine reports"] == [len(study.with_report)] * 2
    assert told.stages["train and predict"] == [UNITS, UNITS]
    assert told.stages["evaluate"] == [10, 10]
    assert told.lines[0].startswith("demo: 40 cases, 20 events (50%), median follow-up")


def test_changed_folds_are_noticed(done: StudyFolder) -> None:
    done.set(reports=None, genomics=None, slides=None)
    ids = done.table["case_id"]
    for fold in range(2):
        split = np.where(np.arange(40) % 2 == fold, "test", "train")
        pd.DataFrame({"case_id": ids, "split": split}).to_csv(done / f"fold_{fold}.csv", index=False)
    done.set(folds={"files": "fold_{fold}.csv", "count": 2})
    run(Study.load(done.path), workers=1)
    first = done.predictions
    for fold in range(2):
        split = np.where((np.arange(40) // 2) % 2 == fold, "test", "train")
        pd.DataFrame({"case_id": ids, "split": split}).to_csv(done / f"fold_{fold}.csv", index=False)
    run(Study.load(done.path), workers=1)
    assert done.predictions != first


def test_the_report_is_made_again_from_the_records(done: StudyFolder, kemm: Kemm) -> None:
    before = (latest(done) / "report.html").read_bytes()
    (latest(done) / "report.html").unlink()
    said = kemm("report", done)
    assert said.code == 0
    assert said.out == f"report: {latest(done)}/report.html\n"
    assert (latest(done) / "report.html").read_bytes() == before


def test_a_report_of_a_run_that_is_not_there_names_those_that_are(done: StudyFolder, kemm: Kemm) -> None:
    (done / "runs" / "unfinished").mkdir()
    said = kemm("report", done, "--name", "lates")
    assert said.code == 3
    assert "runs/lates: no finished run is there. There are: latest. Name one with --name." in said.err


def test_a_report_before_any_run_says_what_to_run(study: StudyFolder, kemm: Kemm) -> None:
    said = kemm("report", study)
    assert said.code == 3
    assert f"no finished run is there. Run `kemm run {study}` first." in said.err


@pytest.mark.parametrize("name", ["../elsewhere", "/tmp/elsewhere", "", ".hidden", "a/b"])
def test_a_run_cannot_be_called_like_a_path(name: str, study: StudyFolder, kemm: Kemm) -> None:
    for command in ("run", "report"):
        said = kemm(command, study, "--name", name)
        assert said.code == 2
        assert f"a run cannot be called {name!r}: its name becomes a folder" in said.err


# --- half-finished or changed ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["report.html", "predictions.parquet", "explanation.json", "run.json", "models.csv"]
)
def test_a_run_that_lost_a_record_is_completed_from_the_store(
    name: str, done: StudyFolder, finished: StudyFolder
) -> None:
    (latest(done) / name).unlink()
    told = Told()
    run(Study.load(done.path), workers=1, progress=told)
    assert told.stages["train and predict"] == [UNITS, UNITS]
    assert bytes_of(latest(done)).keys() == bytes_of(latest(finished)).keys()
    assert done.predictions == finished.predictions


def test_a_damaged_record_is_written_again(done: StudyFolder, finished: StudyFolder) -> None:
    (latest(done) / "run.json").write_text('{"fingerprint": ')
    run(Study.load(done.path), workers=1)
    assert json.loads((latest(done) / "run.json").read_text())["command"] == "kemm run study"
    assert done.predictions == finished.predictions


def test_a_record_of_another_version_says_how_to_make_it_anew(done: StudyFolder, kemm: Kemm) -> None:
    (latest(done) / "evaluation.json").write_text('{"study": "demo"}')
    said = kemm("report", done)
    assert said.code == 6
    assert re.search(
        r"evaluation\.json: not a record as this version .*Delete \S+run\.json and run again", said.err
    )
    (latest(done) / "run.json").unlink()
    assert kemm("run", done).code == 0


def test_a_run_stopped_while_writing_does_not_pass_for_the_one_before(
    done: StudyFolder, monkeypatch: pytest.MonkeyPatch, finished: StudyFolder
) -> None:
    # Other settings, stopped between two records; then the first settings again.
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "models_frame", stop)
        with pytest.raises(KeyboardInterrupt):
            run(Study.load(done.path, ["evaluation.bootstraps=101"]), workers=1)
    assert json.loads((latest(done) / "evaluation.json").read_text())["bootstraps"] == 101
    run(Study.load(done.path), workers=1)
    assert json.loads((latest(done) / "evaluation.json").read_text())["bootstraps"] == 100


@pytest.mark.parametrize("kind", ["refined", "slides", "units"])
def test_a_changed_store_entry_is_refused_and_mended_as_the_message_says(
    kind: str, done: StudyFolder, finished: StudyFolder, kemm: Kemm
) -> None:
    shutil.rmtree(latest(done))
    file = max((path for path in done.entries(kind)[0].iterdir()), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    said = kemm("run", done, "--workers", "1")
    assert said.code == 6
    found = re.search(
        r"(\S+) was changed since it was written\. Delete the folder (\S+) and run again", said.err
    )
    assert found is not None, said.err
    assert Path(found[1]) == file
    shutil.rmtree(found[2])
    assert kemm("run", done, "--workers", "1").code == 0
    assert done.predictions == finished.predictions


def test_an_entry_that_lost_a_file_is_refused(done: StudyFolder, kemm: Kemm) -> None:
    shutil.rmtree(latest(done))
    (done.entries("units")[0] / "predictions.parquet").unlink()
    said = kemm("run", done, "--workers", "1")
    assert said.code == 6
    assert "predictions.parquet is missing since it was written. Delete the folder" in said.err


def test_a_damaged_manifest_is_refused(done: StudyFolder, kemm: Kemm) -> None:
    shutil.rmtree(latest(done))
    (done.entries("units")[0] / "entry.json").write_text("{")
    said = kemm("run", done, "--workers", "1")
    assert said.code == 6
    assert re.search(r"entry\.json: not whole JSON .*Delete it; the next run makes it again", said.err)


# --- locks -------------------------------------------------------------------------------------


def test_a_lock_of_a_dead_process_is_taken_over(done: StudyFolder, kemm: Kemm) -> None:
    lock = latest(done) / "lock.json"
    lock.write_text(json.dumps({"pid": 2**22 + 1, "host": ON_THIS_HOST, "started": 1}))
    assert kemm("run", done).code == 0
    assert not lock.exists()


def test_a_lock_of_another_host_is_respected(done: StudyFolder, kemm: Kemm) -> None:
    lock = latest(done) / "lock.json"
    lock.write_text(json.dumps({"pid": 17, "host": "node-3", "started": 1}))
    for command in ("run", "report"):
        said = kemm(command, done)
        assert said.code == 7
        assert "is in use by process 17 on node-3. Wait for it, or use another --name" in said.err
        assert f"if that process is gone, delete {lock}" in said.err
    assert lock.exists()


# --- where nothing can be written --------------------------------------------------------------


def test_a_file_in_the_way_of_the_output_is_told(study: StudyFolder, kemm: Kemm) -> None:
    (study / "runs").write_text("notes on my runs")
    said = kemm("run", study)
    assert said.code == 3
    assert re.search(
        r"runs/latest\S*: cannot be written \(a folder on the way to it is a file\)\. Choose", said.err
    )


def test_a_file_in_the_way_of_the_store_is_told(study: StudyFolder, kemm: Kemm) -> None:
    (study / ".kemm").write_text("")
    said = kemm("run", study, "--workers", "1")
    assert said.code == 3
    assert re.search(r"\.kemm/\S+: cannot be written \(a folder on the way to it is a file\)", said.err)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told(study: StudyFolder, kemm: Kemm) -> None:
    study.path.chmod(0o500)
    try:
        said = kemm("run", study)
    finally:
        study.path.chmod(0o700)
    assert said.code == 3
    assert "cannot be written (Permission denied). Choose another folder or mend its permissions" in said.err


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


FULL = re.compile(
    r"kemm: (\S+): the disk is full\. Free some space and run again: what was finished is kept\."
)


@pytest.mark.parametrize(
    ("what_writes", "written"),
    [
        ("kemm.core.files.output.os.fsync", ".kemm/refined/"),
        ("kemm.modalities.slides.packing.np.save", ".kemm/slides/"),
    ],
)
def test_a_full_disk_stops_with_the_path(
    what_writes: str, written: str, study: StudyFolder, kemm: Kemm, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(what_writes, full)
        said = kemm("run", study, "--workers", "1")
    assert said.code == 3
    told = FULL.search(said.err)
    assert told is not None, said.err
    assert f"{study}/{written}" in told[1]
    assert study.scratch() == []


def test_after_a_full_disk_the_run_goes_on_and_gives_the_same(
    done: StudyFolder, finished: StudyFolder, kemm: Kemm, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(latest(done))
    with monkeypatch.context() as patch:
        patch.setattr("kemm.core.files.output.os.fsync", full)
        said = kemm("run", done, "--workers", "1")
    assert said.code == 3
    assert FULL.search(said.err), said.err
    assert kemm("run", done, "--workers", "1").code == 0
    assert done.predictions == finished.predictions


# --- from Python -------------------------------------------------------------------------------


def test_the_few_lines_of_python_give_tables_and_a_report(done: StudyFolder) -> None:
    study = Study.load(done.path)
    inputs, faults = check(study)
    assert inputs is not None
    assert faults.errors == []
    result = run(study)
    assert list(result.table["model"])[-1] == "kemm+clinical"
    assert {"model", "fold", "seed", "case_id", "risk"} <= set(result.predictions.columns)
    assert result.report.read_text().startswith("<!DOCTYPE html>")
    assert rebuild_report(study) == result.report


def test_networks_that_cannot_share_a_pass_are_said_to_be_trained_one_by_one(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()

    def only_one(models: list[SurvivalModel], noise: Noise) -> SurvivalModel:
        if len(models) > 1:
            raise NotStackable("Odd has parameters of its own")
        return stack(models, noise)

    monkeypatch.setattr("kemm.training.together.stack", only_one)
    result = run(Study.load(study.path), workers=1, progress=told)
    line = "kemm+clinical: its networks were trained one after another, not in one pass: Odd has parameters of its own"
    assert told.lines.count(line) == 1
    assert result.report.is_file()
