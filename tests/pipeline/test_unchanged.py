"""A finished run is recognised in a moment; and nothing that has changed is overlooked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kemm import Study, run
from kemm.pipeline.unchanged import unchanged_run
from studies import Kemm, StudyFolder, Told

HEAVY = {"torch", "pandas", "scipy", "sklearn", "matplotlib", "pyarrow", "h5py", "transformers"}


def test_a_finished_run_is_told_without_loading_what_computes(finished: StudyFolder) -> None:
    script = (
        "import sys\nfrom kemm.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nprint('loaded:', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "run", finished.path], capture_output=True, text=True, check=True
    )
    said, _, loaded = done.stdout.partition("loaded:")
    assert HEAVY.isdisjoint(loaded.split())
    assert "nothing has changed since this run finished" in said
    assert "Kaplan-Meier" in said


def test_a_finished_run_says_the_same_on_the_short_way_as_on_the_long(finished: StudyFolder) -> None:
    short = unchanged_run(finished.path, "latest")
    assert short is not None
    told = Told()
    long = run(Study.load(finished.path), workers=1, progress=told)
    assert short.said == told.lines
    assert short.result == long


def change_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    stat = path.stat()
    path.write_bytes(data)
    # Neither size nor time tell.
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def any_in(folder: Path) -> Path:
    return min(folder.iterdir())


CHANGES: dict[str, Callable[[StudyFolder], object]] = {
    "a byte of the clinical table": lambda study: change_byte(study / "clinical.csv"),
    "a byte of the genes": lambda study: change_byte(study / "genomics.parquet"),
    "a byte of the groups": lambda study: change_byte(study / "groups.gmt"),
    "a byte of the truth": lambda study: change_byte(study / "truth.csv"),
    "a byte of what was planted": lambda study: change_byte(study / "truth.json"),
    "a byte of a report": lambda study: change_byte(any_in(study / "reports")),
    "a report more": lambda study: (study / "reports" / "NEW.txt").write_text("Clear cell carcinoma."),
    "a report less": lambda study: any_in(study / "reports").unlink(),
    "a slide's time": lambda study: os.utime(any_in(study / "features"), ns=(1, 1)),
    "a slide less": lambda study: any_in(study / "features").unlink(),
    "a setting": lambda study: study.set(training__epochs=3),
    "a result that is gone": lambda study: (study / "runs/latest/models.csv").unlink(),
    "another run's record": lambda study: (study / "runs/latest/run.json").write_text('{"fingerprint": "0"}'),
    "a damaged record": lambda study: (study / "runs/latest/run.json").write_text("{"),
    "a damaged note": lambda study: (study / ".kemm/seen/latest.json").write_text("{"),
    "no note": lambda study: (study / ".kemm/seen/latest.json").unlink(),
    "somebody at the run": lambda study: (study / "runs/latest/lock.json").write_text("{}"),
    "the study's name": lambda study: study.path.rename(study.path.with_name("other")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_that_has_changed_is_overlooked(change: str, done: StudyFolder) -> None:
    assert unchanged_run(done.path, "latest") is not None
    CHANGES[change](done)
    folder = done.path if done.path.exists() else done.path.with_name("other")
    assert unchanged_run(folder, "latest") is None


def test_a_file_that_another_would_be_read_instead_of_is_noticed(
    study: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Relative paths are meant in the study where they are there, else in the data root.
    data = tmp_path / "data"
    data.mkdir()
    (study / "groups.gmt").rename(data / "groups.gmt")
    monkeypatch.setenv("DATA_OF_TEST", str(data))
    study.set(data_root="${DATA_OF_TEST}")
    run(Study.load(study.path), workers=1)
    assert unchanged_run(study.path, "latest") is not None
    text = (data / "groups.gmt").read_text()
    (study / "groups.gmt").write_text(text)
    assert unchanged_run(study.path, "latest") is None
    (study / "groups.gmt").unlink()
    assert unchanged_run(study.path, "latest") is not None
    monkeypatch.setenv("DATA_OF_TEST", str(tmp_path))
    assert unchanged_run(study.path, "latest") is None


def test_what_shapes_no_result_may_change(done: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with (done / "study.yaml").open("a") as file:
        file.write("# a comment\nexecution: {engine: ray}\n")
    assert unchanged_run(done.path, "latest", ["execution.ray.cpus=2"]) is not None
    assert unchanged_run(done.path, "latest", ["execution.ray.cpus=many"]) is None
    assert unchanged_run(done.path, "latest", ["training.epochs=3"]) is None


def test_a_finished_run_does_not_hide_a_wrong_command(finished: StudyFolder, kemm: Kemm) -> None:
    for words, message in [
        (["--on", "cloud"], "execution.engine cannot be 'cloud'"),
        (["--set", "training"], "--set takes section.key=value"),
        (["--name", "../x"], "a run cannot be called '../x'"),
        (["--set", "training.epoch=2"], "there is no setting 'training.epoch'"),
    ]:
        said = kemm("run", finished, *words)
        assert said.code == 2, words
        assert message in said.err


def test_a_file_that_changes_while_it_is_read_is_seen_to_have_changed(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kemm.pipeline import running

    before = running.read_inputs

    def reading(*given):  # type: ignore[no-untyped-def]
        inputs = before(*given)
        with (study / "clinical.csv").open("a") as file:
            file.write("\n")
        return inputs

    monkeypatch.setattr(running, "read_inputs", reading)
    run(Study.load(study.path), workers=1)
    assert unchanged_run(study.path, "latest") is None
