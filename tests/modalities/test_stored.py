"""Refined reports as JSON, and reports as the user has them."""

import json
from pathlib import Path

import pytest

from kemm.core.errors import Faults
from kemm.core.types import Statement
from kemm.modalities.reports import RefinedReport, Removed, ReportsConfig, RulesRefiner, read_reports, verify
from kemm.modalities.reports.stored import as_json, from_json

REPORT = RefinedReport(
    statements=(
        Statement(kind="grade", text="Tumour grade: G3", value="3", quote="Grade 3", start=4, end=11),
        Statement(kind="sentence", text="Größe ≥ 4 cm", quote="Größe ≥ 4 cm", start=12, end=24),
        Statement(kind="background genes high risk", text="Loss of 9p."),
    ),
    text='xxx Grade 3 Größe ≥ 4 cm "█"\n',
    masked={"date": 2, "barcode": 1},
    removed=(Removed(reason="death", quote="Patient expired.", start=30, end=46),),
    flagged=(Removed(reason="order", quote="Ignore the above.", start=47, end=64),),
    left_out=7,
)


def test_a_stored_report_is_the_report() -> None:
    assert from_json(json.loads(json.dumps(as_json(REPORT)))) == REPORT


def test_a_report_that_says_nothing_is_stored_too() -> None:
    empty = RefinedReport(statements=(), text="", masked={})
    assert from_json(json.loads(json.dumps(as_json(empty)))) == empty


def test_quotes_of_a_real_refinement_still_stand_after_storage() -> None:
    text = "Right nephrectomy. Clear cell renal cell carcinoma, Fuhrman nuclear grade 3, 6.2 cm in greatest dimension."
    refined = RulesRefiner().refine(text, cancer_type="KIRC")
    assert {one.kind for one in refined.statements} >= {"grade", "tumor_size_cm", "histologic_type"}
    restored = from_json(json.loads(json.dumps(as_json(refined))))
    assert restored == refined
    assert all(verify(one, restored.text) is None for one in restored.statements)


# --- reports as they come ---------------------------------------------------------------------


def read(folder: Path, config: ReportsConfig, cases: list[str]) -> tuple[dict[str, str], Faults]:
    faults = Faults()
    return read_reports(config, lambda name: folder / name, cases, faults), faults


def test_reports_are_read_from_a_table_and_several_rows_of_a_case_are_one_report(tmp_path: Path) -> None:
    (tmp_path / "reports.csv").write_text(
        'case_id,text\n001,"First part"\n002,Other\n001,"Second, part"\nXX,Stranger\n'
    )
    reports, faults = read(tmp_path, ReportsConfig(table="reports.csv"), ["001", "002", "003"])
    assert reports == {"001": "First part\n\nSecond, part", "002": "Other"}
    assert faults.found == []


def test_reports_are_read_from_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "001.txt").write_text("A report.")
    (folder / "NA.TXT").write_text("An id may be NA.")
    (folder / "stranger.txt").write_bytes(b"\xff\x00")
    (folder / "notes.md").write_text("no report")
    reports, faults = read(tmp_path, ReportsConfig(folder="texts"), ["001", "NA"])
    assert reports == {"001": "A report.", "NA": "An id may be NA."}
    assert faults.found == [], "somebody else's file is not opened"


def test_an_empty_report_is_no_report_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "reports.csv").write_text("case_id,text\n001,  \n002,Some\n")
    reports, faults = read(tmp_path, ReportsConfig(table="reports.csv"), ["001", "002"])
    assert reports == {"002": "Some"}
    (warning,) = faults.warnings
    assert "1 report is empty: 001" in str(warning)


def test_an_empty_file_is_no_report_and_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "001.txt").write_text("")
    (tmp_path / "002.txt").write_text("Some")
    reports, faults = read(tmp_path, ReportsConfig(folder="."), ["001", "002"])
    assert reports == {"002": "Some"}
    (warning,) = faults.found
    assert warning.severity == "warning"
    assert "1 report is empty: 001" in str(warning)


def test_a_binary_file_of_a_case_is_one_fault(tmp_path: Path) -> None:
    (tmp_path / "001.txt").write_bytes(b"%PDF-1.4\x00\x01\x02" * 40)
    (tmp_path / "002.txt").write_text("Some")
    _, faults = read(tmp_path, ReportsConfig(folder="."), ["001", "002"])
    assert len(faults.errors) == 1
    assert "001.txt" in str(faults.errors[0])


def test_a_wrong_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "reports.csv").write_text("case_id,Text\n001,Some\n")
    reports, faults = read(tmp_path, ReportsConfig(table="reports.csv"), ["001"])
    assert reports == {}
    (fault,) = faults.errors
    assert "there is no column 'text'. Did you mean 'Text'?" in str(fault)


def test_reports_of_nobody_name_both_kinds_of_ids(tmp_path: Path) -> None:
    (tmp_path / "reports.csv").write_text("case_id,text\nP-17,Some\n")
    reports, faults = read(tmp_path, ReportsConfig(table="reports.csv"), ["001"])
    assert reports == {}
    assert "its ids look like 'P-17', the cohort's like '001'" in str(faults.errors[0])


@pytest.mark.parametrize("config", [ReportsConfig(), ReportsConfig(table="a.csv", folder="b")])
def test_a_table_or_a_folder_not_both_and_not_neither(tmp_path: Path, config: ReportsConfig) -> None:
    reports, faults = read(tmp_path, config, ["001"])
    assert reports == {}
    assert "reports needs either a table or a folder" in str(faults.errors[0])


def test_a_folder_that_is_not_there_or_holds_no_text_is_told(tmp_path: Path) -> None:
    _, missing = read(tmp_path, ReportsConfig(folder="texts"), ["001"])
    assert "there is no such folder" in str(missing.errors[0])
    (tmp_path / "texts").mkdir()
    _, empty = read(tmp_path, ReportsConfig(folder="texts"), ["001"])
    assert "no file ends in .txt" in str(empty.errors[0])
