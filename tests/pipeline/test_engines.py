"""A whole run on Ray and on Slurm: the same bytes as on one process, and what was done is kept where workers are killed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from killing import KillingAtTheLast

from kemm import Study, run
from kemm.config import StudyConfig
from kemm.core.errors import PartialError
from kemm.execution import by_slurm, make_mapper
from kemm.pipeline import running
from studies import Kemm, StudyFolder, Told

LIBRARIES = {"ray": "ray", "slurm": "submitit"}


@pytest.fixture(params=list(LIBRARIES))
def settings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Settings of an engine that runs on this machine."""
    library = LIBRARIES[request.param]
    pytest.importorskip(library, reason=f"{library} is not installed: pip install 'kemm[{request.param}]'")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    monkeypatch.setattr(by_slurm, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(by_slurm, "SECONDS_TO_APPEAR", 0.5)
    return [f"execution.engine={request.param}", "execution.slurm.here=true"]


def test_a_run_on_an_engine_gives_the_same_bytes_and_is_then_finished_for_all(
    study: StudyFolder, finished: StudyFolder, settings: list[str]
) -> None:
    run(Study.load(study.path, settings), workers=2)
    for name in ("predictions.parquet", "evaluation.json", "explanation.json", "models.csv", "folds.csv"):
        there, here = study / "runs/latest" / name, finished / "runs/latest" / name
        assert there.read_bytes() == here.read_bytes(), name
    record = json.loads((study / "runs/latest/run.json").read_text())
    assert "execution" not in record["study_yaml"]
    assert record["command"] == "kemm run study"
    told = Told()
    run(Study.load(study.path), workers=1, progress=told)
    assert told.lines[-1].startswith("nothing has changed")
    assert list((study / ".kemm/jobs").glob("*")) == []


def test_what_was_done_before_workers_were_killed_is_kept_and_the_next_run_goes_on(
    study: StudyFolder, finished: StudyFolder, settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(running, "make_mapper", lambda *given: KillingAtTheLast(make_mapper(*given)))
        with pytest.raises(PartialError, match="What was finished is kept: run again to go on"):
            run(Study.load(study.path, settings), workers=1)
    kept, everything = len(study.entries("units")), len(finished.entries("units"))
    assert 0 < kept < everything
    told = Told()
    run(Study.load(study.path), workers=1, progress=told)
    assert told.stages["train and predict"] == [everything, everything]
    assert study.predictions == finished.predictions
    assert study.scratch() == []


def test_where_a_run_is_computed_is_no_part_of_its_identity(study: StudyFolder) -> None:
    here = Study.load(study.path).config
    there = Study.load(study.path, ["execution.engine=ray", "execution.ray.address=auto"]).config
    assert there.execution.ray.address == "auto"
    assert there.model_dump_json() == here.model_dump_json()
    assert isinstance(here, StudyConfig)


def test_the_command_line_takes_an_engine(study: StudyFolder, kemm: Kemm) -> None:
    said = kemm("run", study, "--on", "cloud")
    assert said.code == 2
    assert "--set execution.engine=cloud: execution.engine cannot be 'cloud'" in said.err
