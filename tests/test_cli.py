"""The command line: what it answers to right and wrong commands, and how that looks."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from inspect import signature
from pathlib import Path

import pytest
from rich.console import Console

import kemm as package
from kemm.cli import audit
from kemm.pipeline import MOST_CASES, read_run
from kemm.terminal import Lines, bars, duration, print_models, training_line
from kemm.training.under_way import Training
from studies import Kemm, StudyFolder

# --- wrong commands ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bogus"], "No such command 'bogus'."),
        (["run"], "Missing argument"),
        (["run", "x", "--fast"], "No such option: --fast"),
        (["run", "x", "--workers", "0"], "Invalid value for '--workers'"),
        (["run", "x", "--workers", "two"], "Invalid value for '--workers'"),
        (["check", "x", "y"], "Got unexpected extra argument"),
        (["demo", "x", "--cases", "3"], "a demo of 3 cases cannot be made; ask for 40 to 9,999."),
    ],
)
def test_a_wrong_command_ends_with_2_and_says_why(words: list[str], message: str, kemm: Kemm) -> None:
    said = kemm(*words)
    assert said.code == 2
    assert message in said.err
    assert "Traceback" not in said.err


def test_without_a_command_the_commands_are_listed(kemm: Kemm) -> None:
    said = kemm()
    assert said.code == 2
    for command in ("init", "check", "run", "report", "refine", "audit", "demo", "doctor"):
        assert re.search(rf"^ +{command} ", said.out + said.err, flags=re.M), command


@pytest.mark.parametrize(
    "command",
    [[], ["init"], ["check"], ["run"], ["report"], ["refine"], ["audit"], ["demo"], ["doctor"]],
)
def test_every_command_has_a_help_text(command: list[str], kemm: Kemm) -> None:
    said = kemm(*command, "--help")
    assert said.code == 0
    assert "Usage: kemm" in said.out
    assert said.err == ""


def test_audit_shows_as_many_cases_from_the_command_line_as_from_python() -> None:
    # The command line does not load the pipeline to know a number.
    assert signature(audit).parameters["cases"].default == MOST_CASES


def test_python_m_kemm_is_kemm(kemm: Kemm) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "kemm", "check", "nowhere"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 3
    assert said.stderr == kemm("check", "nowhere").err


# --- studies that are not there, or not ready --------------------------------------------------


@pytest.mark.parametrize("command", ["check", "run", "report", "refine", "audit"])
def test_a_folder_that_is_not_there_is_told(command: str, tmp_path: Path, kemm: Kemm) -> None:
    said = kemm(command, tmp_path / "nowhere")
    assert said.code == 3
    assert said.err == (
        f"kemm: {tmp_path}/nowhere: there is no such folder. Name the study's folder, or its study.yaml; "
        "`kemm demo` makes one to try.\n"
    )


def test_a_folder_without_study_yaml_is_told_how_to_get_one(tmp_path: Path, kemm: Kemm) -> None:
    said = kemm("check", tmp_path)
    assert said.code == 3
    assert f"`kemm init {tmp_path}` writes one from the tables found there." in said.err


def test_what_init_could_not_know_is_asked_by_check(study: StudyFolder, kemm: Kemm) -> None:
    (study / "study.yaml").unlink()
    said = kemm("init", study)
    assert said.code == 0
    assert f"next: look it through, then run `kemm check {study}`" in said.out
    said = kemm("check", study)
    assert said.code == 3
    assert "cohort.cancer_type in study.yaml is still a question. Answer it: a TCGA code" in said.err
    said = kemm("check", study, "--set", "cohort.cancer_type=KIRC")
    assert said.code == 0, said.err


def test_init_does_not_overwrite(study: StudyFolder, kemm: Kemm) -> None:
    before = (study / "study.yaml").read_text()
    said = kemm("init", study)
    assert said.code == 2
    assert "exists already, and is not overwritten" in said.err
    assert (study / "study.yaml").read_text() == before


def test_a_demo_is_not_written_over_something_else(tmp_path: Path, kemm: Kemm) -> None:
    (tmp_path / "thesis.tex").touch()
    said = kemm("demo", tmp_path)
    assert said.code == 3
    assert "there is something else in this place. Name a new folder" in said.err


# --- settings on the command line --------------------------------------------------------------


def test_a_setting_is_changed_for_one_check(study: StudyFolder, kemm: Kemm) -> None:
    assert re.search(r"folds +2, stratified", kemm("check", study).out)
    said = kemm("check", study, "--set", "folds.count=3", "--set", "folds.kind=site")
    assert re.search(r"folds +3, site-disjoint, \d+ sites", said.out)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("folds.cuont=3", "--set folds.cuont=3: there is no setting 'folds.cuont'. Did you mean 'count'?"),
        ("folds.count=two", "--set folds.count=two: folds.count cannot be 'two'"),
        ("folds.count", "--set takes section.key=value, not 'folds.count'"),
    ],
)
def test_a_wrong_setting_on_the_command_line_is_a_wrong_command(
    override: str, message: str, study: StudyFolder, kemm: Kemm
) -> None:
    said = kemm("check", study, "--set", override)
    assert said.code == 2
    assert message in said.err


# --- errors and bugs ---------------------------------------------------------------------------


def test_debug_shows_where_an_expected_error_was_raised_and_keeps_its_code(
    tmp_path: Path, kemm: Kemm
) -> None:
    said = kemm("--debug", "check", tmp_path / "nowhere")
    assert said.code == 3
    assert said.err.startswith("Traceback (most recent call last):")
    assert "in load" in said.err
    assert said.err.splitlines()[-1].startswith("kemm: ")


def test_a_bug_shows_its_traceback(study: StudyFolder, kemm: Kemm, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("kemm.pipeline.inputs.read_cohort", bug)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        kemm("check", study)


def test_who_reads_only_the_first_line_gets_no_traceback(study: StudyFolder) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "kemm", "check", str(study)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


# --- what a person sees ------------------------------------------------------------------------


def test_check_summarises_the_cohort(study: StudyFolder, kemm: Kemm) -> None:
    study.set_cell(1, "age", "")
    said = kemm("check", study)
    lines = said.out.splitlines()
    assert re.fullmatch(
        r"demo: 40 cases, 20 events \(50%\), median follow-up \d+\.\d months, OS, 1 = death, 0 = censored",
        lines[0],
    )
    table = dict(
        re.split(r" {2,}", line.strip(), maxsplit=1) for line in lines if re.search(r"\S {2,}\S", line)
    )
    reports = len(study.with_report)
    assert table["with report"] == f"{reports} of 40 ({reports / 40:.0%})"
    assert table["with covariates"] == "40 of 40 (100%)"
    assert table["without age"].startswith(str((study.table["age"] == "").sum()))
    assert table["gene groups"] == "12 used, 0 without a measured gene"
    assert table["folds"] == "2, stratified, 10 sites"
    assert table["background KIRC"].startswith(
        "31 statements of background knowledge on Kidney renal clear cell"
    )
    assert lines[-1] == f"no faults. next: `kemm run {study}`"


def test_the_table_of_models_fits_eighty_columns_one_line_a_model(finished: StudyFolder) -> None:
    evaluation = read_run(finished / "runs" / "latest").evaluation
    console = Console(width=80, file=io.StringIO())
    print_models(console, evaluation)
    written = console.file
    assert isinstance(written, io.StringIO)
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.rstrip() for line in lines if re.search(r"\d{2} +\d{2}$", line.rstrip())]
    assert len(rows) == len(evaluation.models) == 10
    for model, row in zip(evaluation.models, rows, strict=True):
        assert row.startswith(f"{model.title} ")
        c = model.metrics["harrell_c"]
        if c.value is not None:
            assert f" {c.value:.3f} " in row
    assert len({len(row) for row in rows}) == 1
    assert re.search(
        r"C of KEMM with covariates minus Clinical Cox: [+-]0\.\d{3}\s+\(95 % interval [+-]0\.\d{3} to\s+[+-]0\.\d{3}\), "
        r"40 cases, stratified\s+folds",
        written.getvalue(),
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (5.4, "0:05"), (65, "1:05"), (760, "12:40"), (3605, "1:00:05"), (36000, "10:00:00")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_on_a_terminal_stages_are_bars_that_fit_eighty_columns() -> None:
    out = io.StringIO()
    console = Console(width=80, file=out, force_terminal=True, color_system=None)
    with bars(console) as progress:
        progress.say("demo: [40] cases")
        with progress.stage("train and predict", 1234, done=1200) as step:
            for _ in range(34):
                step.advance("[kemm]+clinical without anything else, fold 3")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    lines = re.split(r"[\r\n]+", shown)
    assert "demo: [40] cases" in lines
    assert max(map(len, lines)) <= 80
    assert re.search(r"train and predict +━+ +1234/1234 0:00 *$", lines[-2] or lines[-1])


def test_a_bar_stays_when_its_stage_is_interrupted() -> None:
    out = io.StringIO()

    def interrupted() -> None:
        with (
            bars(Console(width=80, file=out, force_terminal=True)) as progress,
            progress.stage("evaluate", 3) as step,
        ):
            step.advance()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "1/3" in out.getvalue()


def test_in_a_log_stages_are_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    out, now = io.StringIO(), [100.0]
    monkeypatch.setattr("kemm.terminal.time.monotonic", lambda: now[0])
    progress = Lines(Console(file=out, width=40))
    progress.say("a line that is longer than forty columns, and stays one line")
    with progress.stage("train", 100, done=40) as step:
        for _ in range(60):
            now[0] += 1.5
            step.advance("kemm, fold 0")
    assert out.getvalue().splitlines() == [
        "a line that is longer than forty columns, and stays one line",
        "train: 40 of 100 were done before",
        "train: 60 of 100 in 0:30",
        "train: 80 of 100 in 1:00",
        "train: 100 of 100 in 1:30",
    ]


TRAINING = Training(
    model="kemm+clinical",
    fold=2,
    epochs=40,
    cases=420,
    networks=9,
    epoch=11,
    seconds_an_epoch=3.5,
    phase="trains",
    peak_bytes=1_240_000_000,
)


def test_how_far_networks_are_is_shown_below_the_bar() -> None:
    out = io.StringIO()
    console = Console(width=80, file=out, force_terminal=True, color_system=None)
    with bars(console) as progress, progress.stage("train and predict", 30) as step:
        others = [replace(TRAINING, fold=fold, phase="predicts") for fold in range(5)]
        step.under_way([TRAINING, *others])
        progress._bars.refresh()
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
        step.advance("[kemm], fold 1")
        out.truncate(0)
    lines = re.split(r"[\r\n]+", shown)
    assert "  kemm+clinical, fold 2: epoch 12 of at most 40, 1:42 left, 120 cases/s, 1.2 GB" in lines
    assert "  kemm+clinical, fold 0: trained 11 epochs, predicts, 1.2 GB" in lines
    assert lines[-1].strip() == "and 2 more"
    assert max(map(len, lines)) <= 80
    # Nothing is under way once the stage has ended.
    assert "fold 2" not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).rstrip().rpartition("\n")[2]


def test_what_is_known_is_said_of_networks_that_have_just_begun() -> None:
    begun = Training(model="kemm", fold=0, epochs=40, cases=420)
    assert training_line(begun) == "kemm, fold 0: reads and fits"
    assert training_line(replace(begun, phase="trains")) == "kemm, fold 0: epoch 1 of at most 40"
    slow = replace(begun, phase="trains", epoch=40, seconds_an_epoch=100.0)
    assert training_line(slow) == "kemm, fold 0: epoch 40 of at most 40, 0:00 left, 4.2 cases/s"


def test_in_a_log_networks_that_train_long_are_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    out, now = io.StringIO(), [100.0]
    monkeypatch.setattr("kemm.terminal.time.monotonic", lambda: now[0])
    with Lines(Console(file=out, width=40)).stage("train", 10) as step:
        for _ in range(1000):
            now[0] += 1.0
            step.under_way([TRAINING, TRAINING])
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    line = training_line(TRAINING)
    assert lines[0] == f"train: 0 of 10; {line}; {line}"


def test_what_comes_from_the_input_is_not_taken_for_markup(study: StudyFolder, kemm: Kemm) -> None:
    study.set(name="[red]our[/red] study")
    study.set_column("[bold]age", ["", *study.table["age"][1:]])
    study.set(cohort__covariates={"[bold]age": {"kind": "numeric"}})
    said = kemm("check", study)
    assert said.code == 0
    assert said.out.startswith("[red]our[/red] study: 40 cases")
    assert "without [bold]age" in said.out


# --- doctor ------------------------------------------------------------------------------------


def test_doctor_names_versions_device_and_optional_parts(kemm: Kemm, monkeypatch: pytest.MonkeyPatch) -> None:
    said = kemm("doctor")
    assert said.code == 0
    for name in ("python", "kemm", "torch", "numpy", "cores", "device", "openpyxl", "transformers"):
        assert re.search(rf"^{name} +\S", said.out, flags=re.M), name
    assert re.search(rf"^kemm +{re.escape(package.__version__)}$", said.out, flags=re.M)
    monkeypatch.setattr("kemm.diagnosis.find_spec", lambda name: None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("kemm.training.device.cost_of_bf16", lambda: 41.3)
    said = kemm("doctor")
    assert re.search(r"^device +CPU, where bf16 takes 41 times as long as fp32$", said.out, flags=re.M)
    assert "not installed: pip install 'kemm[excel]' (clinical tables as Excel workbooks)" in said.out


# --- a run, whole ------------------------------------------------------------------------------


def test_a_run_says_how_far_it_is_prints_the_table_and_names_the_report(
    done: StudyFolder, kemm: Kemm
) -> None:
    shutil.rmtree(done / "runs")
    said = kemm("run", done, "--workers", "1")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0].startswith("demo: 40 cases, 20 events (50%)")
    assert lines[1].startswith("warning: clinical.csv, column 'os_event': OS has 20 events")
    assert "train and predict: 20 of 20 were done before" in lines
    assert any(line.startswith("evaluate: 10 of 10 in ") for line in lines)
    assert lines[-1] == f"report: {done}{os.sep}runs{os.sep}latest{os.sep}report.html"
    assert said.err == ""
