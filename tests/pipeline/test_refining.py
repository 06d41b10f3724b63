"""What `kemm refine` and `kemm audit` write: tables that keep every character, and the cases that are shown."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import kemm as package
from kemm import Study, audit_study, refine_study
from kemm.core.errors import InvalidInput, UsageError
from kemm.core.files import read_table, write_frame
from kemm.core.types import CaseId, Statement
from kemm.modalities.reports import FIELDS, Dropped, RefinedReport
from kemm.modalities.reports.counting import cover_fields
from kemm.pipeline.refining import choose_cases, refined_frame, statements_frame
from studies import Kemm, StudyFolder, Told

HOSTILE = (
    "Kidney: clear cell carcinoma.\r\nFuhrman grade 3 \N{EM DASH} größter Ø 4,5 cm.\r"
    "+ margin; =HYPERLINK(\"x\") said 'no'\ttab\n病理 \N{GREEK SMALL LETTER BETA}"
)
"""Line ends of three systems, quotes, what a spreadsheet would run, and letters beyond ASCII."""


def report(*statements: Statement, text: str = HOSTILE, dropped: tuple[Dropped, ...] = ()) -> RefinedReport:
    return RefinedReport(statements=statements, text=text, masked={}, dropped=dropped)


def answer(kind: str, value: str, quote: str, text: str = HOSTILE) -> Statement:
    return FIELDS[kind].statement(value, quote, text.index(quote))


def claim(kind: str) -> Dropped:
    return Dropped(kind=kind, value="1", quote=None, why="it has no quote")


# --- tables ------------------------------------------------------------------------------------


def test_the_table_has_a_row_a_case_and_quotes_after_values() -> None:
    frame = refined_frame({CaseId("007"): report(answer("grade", "3", "Fuhrman grade 3"))})
    names = list(FIELDS)
    assert list(frame.columns) == ["case_id", *names, *(f"{name}_quote" for name in names)]
    row = frame.iloc[0]
    assert (row["case_id"], row["grade"], row["grade_quote"]) == ("007", "3", "Fuhrman grade 3")
    assert set(row.drop(["case_id", "grade", "grade_quote"])) == {""}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_ids_and_quotes_come_back_as_they_were(suffix: str, tmp_path: Path) -> None:
    whole = HOSTILE
    frame = refined_frame(
        {
            CaseId("001"): report(answer("grade", "3", whole)),
            CaseId("1e5"): report(answer("margins", "negative", "größter Ø 4,5 cm.\r")),
            CaseId("NA"): report(),
        }
    )
    write_frame(tmp_path / f"refined.{suffix}", frame)
    back = read_table(tmp_path / f"refined.{suffix}")
    assert list(back.columns) == list(frame.columns)
    assert back["case_id"].tolist() == ["001", "1e5", "NA"]
    # Kemm's own reader, like Python's, takes every line end for the same.
    assert "".join(back["grade_quote"][0].split()) == "".join(whole.split())
    if suffix == "csv":
        others = pd.read_csv(tmp_path / "refined.csv", dtype=str, keep_default_na=False)
        assert others.to_numpy().tolist() == frame.to_numpy().tolist()
    else:
        types = {str(field.type) for field in pq.read_schema(tmp_path / "refined.parquet")}
        assert types <= {"string", "large_string"}
        assert pd.read_parquet(tmp_path / "refined.parquet").to_numpy().tolist() == frame.to_numpy().tolist()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " ="])
def test_a_quote_that_a_spreadsheet_would_run_is_defused_in_csv_only(start: str, tmp_path: Path) -> None:
    quote = f"{start}1+1 grade 3"
    frame = refined_frame({CaseId(f"{start}A"): report(answer("grade", "3", quote, quote), text=quote)})
    write_frame(tmp_path / "a.csv", frame)
    write_frame(tmp_path / "a.parquet", frame)
    csv = pd.read_csv(tmp_path / "a.csv", dtype=str, keep_default_na=False)
    assert csv.loc[0, ["case_id", "grade_quote"]].tolist() == [f"'{start}A", f"'{quote}"]
    typed = pd.read_parquet(tmp_path / "a.parquet")
    assert typed.loc[0, ["case_id", "grade_quote"]].tolist() == [f"{start}A", quote]


def test_a_lone_carriage_return_does_not_end_a_row(tmp_path: Path) -> None:
    write_frame(tmp_path / "a.csv", pd.DataFrame({"text": ["one\rtwo", "three"], "n": [1, 2]}))
    assert pd.read_csv(tmp_path / "a.csv")["text"].tolist() == ["one\rtwo", "three"]


def test_every_statement_has_a_row_with_its_span(tmp_path: Path) -> None:
    sentence = Statement(kind="sentence", text="Kept.", quote="Kidney", start=0, end=6)
    nowhere = Statement(kind="grade", text="Tumour grade: G3", value="3")
    frame = statements_frame(
        {CaseId("a"): report(answer("grade", "3", "Fuhrman grade 3"), sentence, nowhere)}
    )
    write_frame(tmp_path / "s.csv", frame)
    back = pd.read_csv(tmp_path / "s.csv", dtype=str, keep_default_na=False)
    assert list(back.columns) == ["case_id", "kind", "text", "value", "quote", "start", "end"]
    assert back.to_numpy().tolist() == [
        ["a", "grade", "Tumour grade: G3", "3", "Fuhrman grade 3", "31", "46"],
        ["a", "sentence", "Kept.", "", "Kidney", "0", "6"],
        ["a", "grade", "Tumour grade: G3", "3", "", "", ""],
    ]
    assert HOSTILE[31:46] == "Fuhrman grade 3"


def test_coverage_counts_each_report_once_and_tells_absent_from_silent() -> None:
    reports = [
        report(
            Statement(kind="necrosis", text="", value="present"), Statement(kind="pN", text="", value="N1")
        ),
        report(
            Statement(kind="necrosis", text="", value="absent"), Statement(kind="pN", text="", value="NX")
        ),
        report(
            Statement(kind="necrosis", text="", value="absent"),
            Statement(kind="necrosis", text="", value="present"),
            dropped=(claim("pN"), claim("pN"), claim("mood")),
        ),
        report(
            Statement(kind="margins", text="", value="negative"),
            Statement(kind="perineural_invasion", text="", value="cannot be assessed"),
        ),
    ]
    rows = {row.field: row for row in cover_fields(reports)}
    assert list(rows) == [*FIELDS, "other"]
    counted = {
        name: (row.stated, row.absent, row.cannot_be_assessed, row.not_stated, row.dropped)
        for name, row in rows.items()
    }
    assert counted["necrosis"] == (3, 2, 0, 1, 0)
    assert counted["pN"] == (2, 0, 1, 2, 2)
    assert counted["margins"] == (1, 0, 0, 3, 0)  # a negative margin is a finding
    assert counted["perineural_invasion"] == (1, 0, 1, 3, 0)
    assert counted["other"] == (0, 0, 0, 0, 1)


def test_without_strange_claims_there_is_no_row_for_them() -> None:
    assert [row.field for row in cover_fields([report()])] == list(FIELDS)


# --- which cases are shown ---------------------------------------------------------------------


def test_dropped_claims_come_first_then_a_sample_that_does_not_change() -> None:
    reports = {CaseId(f"{number:02}"): report() for number in range(40)}
    reports[CaseId("31")] = report(dropped=(claim("pT"),))
    reports[CaseId("17")] = report(dropped=(claim("pT"), claim("pN")))
    chosen = choose_cases(reports, 10)
    assert chosen[:2] == ["17", "31"]
    assert chosen[2:] == sorted(chosen[2:])
    assert len(set(chosen)) == 10
    assert chosen[2:] != [f"{number:02}" for number in range(8)]
    assert choose_cases(dict(reversed(reports.items())), 10) == chosen
    assert choose_cases(reports, 1) == ["17"]
    assert len(choose_cases(reports, 99)) == 40


# --- the commands ------------------------------------------------------------------------------


def test_refine_writes_its_tables_and_tells_what_is_in_them(study: StudyFolder, kemm: Kemm) -> None:
    said = kemm("refine", study, "--workers", "1")
    assert said.code == 0, said.err
    names = ["coverage.csv", "refined.csv", "refined.parquet", "statements.csv"]
    assert sorted(path.name for path in (study / "refined").iterdir()) == names
    for name in names:
        assert f"written: {study}/refined/{name}" in said.out
    table = read_table(study / "refined" / "refined.csv")
    assert table["case_id"].tolist() == study.with_report
    stated = int((table["grade"] != "").sum())
    assert re.search(rf"^grade +{stated} +{stated / len(table):.0%} +- +- +- *$", said.out, flags=re.M)
    coverage = pd.read_csv(study / "refined" / "coverage.csv").set_index("field")
    assert coverage.loc["grade", "stated"] == stated
    assert (coverage["stated"] + coverage["not_stated"] == len(table)).all()
    assert (coverage["reports"] == len(table)).all()
    assert re.search(rf"^reports +{len(table)} *$", said.out, flags=re.M)
    silent = coverage.index[coverage["stated"] == 0]
    assert "ER" in silent
    assert f"{len(silent)} further fields are stated by no report" in said.out
    assert not re.search(r"^ER ", said.out, flags=re.M)


def test_every_quote_in_the_tables_stands_in_the_users_report(study: StudyFolder) -> None:
    refine_study(Study.load(study.path), workers=1)
    rows = pd.read_csv(study / "refined" / "statements.csv", dtype=str, keep_default_na=False)
    for row in rows.sample(60, random_state=0).itertuples():
        source = (study / "reports" / f"{row.case_id}.txt").read_bytes().decode()
        there = source[int(row.start) : int(row.end)]
        shown = row.quote.removeprefix("'") if row.quote.startswith(("'-", "'+", "'=", "'@")) else row.quote
        pairs = zip(there, shown, strict=True)
        assert all(left == right or right == "█" for left, right in pairs), (there, shown)


def test_refining_twice_gives_the_same_bytes_and_reads_nothing_again(study: StudyFolder) -> None:
    refine_study(Study.load(study.path), workers=1)
    before = {path.name: path.read_bytes() for path in (study / "refined").iterdir()}
    told = Told()
    result = refine_study(Study.load(study.path), workers=1, progress=told)
    assert {path.name: path.read_bytes() for path in result.paths} == before
    reports = len(study.with_report)
    assert told.stages["refine reports"] == [reports, reports]


def test_a_run_after_refining_does_not_refine_again(study: StudyFolder) -> None:
    refine_study(Study.load(study.path), workers=1)
    entries = study.entries("refined")
    told = Told()
    audit_study(Study.load(study.path), workers=1, progress=told)
    assert study.entries("refined") == entries


def test_from_python_the_tables_are_frames(study: StudyFolder) -> None:
    result = package.refine_study(package.Study.load(study.path), workers=1)
    assert isinstance(result, package.RefineResult)
    assert list(result.reports) == study.with_report
    assert result.counts.reports == len(result.table) == len(study.with_report)
    assert result.counts.statements == len(result.statements)
    assert result.counts.dropped == 0


def test_all_faults_are_told_at_once(study: StudyFolder, kemm: Kemm) -> None:
    study.set(reports__covariates=["grad", "pT", "pT"], text__encoder="tfdif")
    study.set_cell(3, "os_months", "soon")
    for command in ("refine", "audit", "check"):
        said = kemm(command, study)
        assert said.code in (2, 3)
        assert (
            "reports.covariates: 'grad' is no field that is read from reports. Did you mean 'grade'?"
            in said.err
        )
        assert "reports.covariates names 'pT' twice. Keep one." in said.err
        assert "'soon'" in said.err
        assert "tfdif" in said.err
    assert not (study / "refined").exists()


def test_a_study_without_reports_is_told_so(study: StudyFolder, kemm: Kemm) -> None:
    study.set(reports=None)
    for command in ("refine", "audit"):
        said = kemm(command, study)
        assert said.code == 3
        assert "study.yaml: the study has no reports. Give reports.folder or reports.table." in said.err


def test_a_setting_is_changed_for_once(study: StudyFolder, kemm: Kemm) -> None:
    name = study.with_report[0]
    path = study / "reports" / f"{name}.txt"
    path.write_text(path.read_text() + "\nReviewed at Hartwellbury.\n")
    kemm("audit", study, "--workers", "1", "--set", "reports.mask=[Hartwellbury]", "--cases", "99")
    assert "Hartwellbury" not in (study / "refined" / "audit.html").read_text()


def test_two_processes_do_not_write_one_folder(study: StudyFolder, kemm: Kemm) -> None:
    (study / "refined").mkdir()
    lock = {"pid": 17, "host": f"not-{socket.gethostname()}", "started": 1}
    (study / "refined" / "lock.json").write_text(json.dumps(lock))
    said = kemm("refine", study, "--workers", "1")
    assert said.code == 7
    assert re.search(
        r"refined is in use by process 17 on not-\S+\. Wait for it; if that process is gone", said.err
    )
    assert "--name" not in said.err


def test_audit_says_how_many_cases_it_left_out(study: StudyFolder, kemm: Kemm) -> None:
    reports = len(study.with_report)
    said = kemm("audit", study, "--workers", "1", "--cases", "5")
    assert said.code == 0, said.err
    assert f"5 cases, {reports - 5} left out (--cases). It contains patient text." in said.out
    assert f"page: {study}/refined/audit.html" in said.out
    html = (study / "refined" / "audit.html").read_text()
    assert html.count('<details class="case"') == 5
    assert f"5 of {reports} reports are here; {reports - 5} are left out." in html
    said = kemm("audit", study, "--workers", "1")
    assert f"{reports} cases. It contains" in said.out
    assert "left out" not in (study / "refined" / "audit.html").read_text()


def test_a_page_of_no_cases_is_refused(study: StudyFolder, kemm: Kemm) -> None:
    assert kemm("audit", study, "--cases", "0").code == 2
    with pytest.raises(UsageError, match=r"a page of 0 cases shows nothing\. Ask for one or more"):
        audit_study(Study.load(study.path), cases=0)


def test_init_takes_what_refine_wrote_for_no_input(study: StudyFolder, kemm: Kemm) -> None:
    refine_study(Study.load(study.path), workers=1)
    (study / "study.yaml").unlink()
    assert kemm("init", study).code == 0
    assert "refined" not in (study / "study.yaml").read_text()


# --- fields as covariates ----------------------------------------------------------------------


@pytest.fixture
def graded(study: StudyFolder) -> StudyFolder:
    """Its reports say the grade in one line, and the column `copied` of the clinical table says the same."""
    table = study.table
    generator = np.random.default_rng(5)
    grades = generator.integers(1, 5, len(table))
    unknown = generator.random(len(table)) < 0.3
    for case, grade, silent in zip(table["case_id"], grades, unknown, strict=True):
        said = "Kidney, nephrectomy.\n" + ("" if silent else f"Fuhrman grade: {grade}\n")
        (study / "reports" / f"{case}.txt").write_text(said)
    study.set_column("copied", np.where(unknown, "", grades.astype(str)))
    return study


def predictions(study: StudyFolder, name: str, model: str) -> pd.DataFrame:
    settings = [
        "genomics=null", "slides=null", "training.epochs=1", "evaluation.bootstraps=100", "evaluation.truth=null",
    ]  # fmt: skip
    result = package.run(Study.load(study.path, settings), name=name, workers=1)
    frame = result.predictions
    return frame[frame["model"] == model].set_index("case_id")["risk"]


def test_a_field_predicts_as_the_same_column_of_the_clinical_table_does(graded: StudyFolder) -> None:
    graded.set(cohort__covariates={"copied": {"kind": "numeric"}})
    from_table = predictions(graded, "table", "clinical")
    graded.set(cohort__covariates={}, reports__covariates=["grade"])
    from_reports = predictions(graded, "reports", "clinical")
    assert len(from_table) == 40
    assert from_table.nunique() > 3
    pd.testing.assert_series_equal(from_reports, from_table, rtol=1e-12)
    folds = [(graded / "runs" / name / "folds.csv") for name in ("table", "reports")]
    assert pd.read_csv(folds[0]).drop(columns="cohort").to_numpy().tolist() == (
        pd.read_csv(folds[1]).drop(columns="cohort").to_numpy().tolist()
    )


def test_a_run_tells_what_its_covariates_from_reports_are(graded: StudyFolder) -> None:
    settings = {"reports__covariates": ["grade", "HER2"]}
    before = package.run(Study.load(graded.path), name="before", workers=1)
    graded.set(**settings)
    told = Told()
    after = package.run(Study.load(graded.path), name="after", workers=1, progress=told)
    warning = "reports.covariates: no two reports differ in HER2, so it tells nothing and is left out"
    assert f"warning: {warning}" in told.lines
    assert warning in after.evaluation.warnings
    silent = int((graded.table["copied"] == "").sum())
    assert after.evaluation.cohort.missing["report grade"] == silent
    assert "report HER2" not in after.evaluation.cohort.missing
    assert "report grade" not in before.evaluation.cohort.missing
    assert after.evaluation.cohort.other["covariates from reports"] == "grade, HER2"
    assert after.explanation is not None
    grades = dict(zip(graded.table["case_id"], graded.table["copied"], strict=True))
    shown = {story.case: story.covariates["report grade"] for story in after.explanation.cases}
    assert shown == {case: grades[case] or "not known" for case in shown}
    assert any(
        driver.modality == "covariates" and driver.name == "report grade"
        for driver in after.explanation.drivers
    )
    # The folds are those of the same patients and outcomes, and the file says so.
    paths = [graded / "runs" / name / "folds.csv" for name in ("before", "after")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_clinical_covariate_of_the_same_name_is_a_fault(study: StudyFolder, kemm: Kemm) -> None:
    study.set(reports__covariates=["grade"])
    study.set(**{"cohort__covariates__report grade": {"kind": "numeric", "column": "age"}})
    said = kemm("check", study)
    assert said.code == 3
    assert "cohort.covariates has a 'report grade' already" in said.err
    assert "Rename it in cohort.covariates." in said.err


def test_check_names_the_covariates_that_reports_will_give(study: StudyFolder, kemm: Kemm) -> None:
    said = kemm("check", study, "--set", "reports.covariates=[grade, pT]")
    assert said.code == 0, said.err
    assert re.search(r"covariates from reports +grade, pT", said.out)


def test_a_wrong_name_is_told_even_where_the_cohort_cannot_be_read(study: StudyFolder) -> None:
    (study / "clinical.csv").unlink()
    study.set(reports__covariates=["nodes_postive"])
    with pytest.raises(InvalidInput, match=r"(?s)Did you mean 'nodes_positive'\?"):
        refine_study(Study.load(study.path))


def test_claims_that_were_dropped_are_counted_and_shown(
    study: StudyFolder, kemm: Kemm, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubtful = report(dropped=(claim("pT"), claim("mood")))
    monkeypatch.setattr(
        "kemm.pipeline.refining.refine", lambda inputs, *_: dict.fromkeys(inputs.reports, doubtful)
    )
    said = kemm("refine", study)
    reports = len(study.with_report)
    assert re.search(
        rf"^claims dropped because they could not be verified +{2 * reports} *$", said.out, flags=re.M
    )
    assert re.search(rf"^pT +- +0% +- +- +{reports} *$", said.out.replace(" 0 ", " - "), flags=re.M)
    coverage = pd.read_csv(study / "refined" / "coverage.csv").set_index("field")
    assert coverage.loc["pT", "dropped"] == coverage.loc["other", "dropped"] == reports
    kemm("audit", study)
    html = (study / "refined" / "audit.html").read_text()
    assert html.count("2 claims dropped") == reports
    assert f"{reports} dropped claims name no field at all." in html
