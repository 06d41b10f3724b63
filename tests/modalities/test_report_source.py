"""Reports as the user has them: one text a case, whatever wrote them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kemm.core.errors import Faults
from kemm.core.files import resolve
from kemm.modalities.reports.source import ReportsConfig, read_reports

CASES = ["A-1", "B 2", "NA"]


def read(root: Path, /, **settings: str) -> tuple[dict[str, str], Faults]:
    faults = Faults()
    config = ReportsConfig(**settings)
    return read_reports(config, lambda path: resolve(path, root), CASES, faults), faults


def folder_of(tmp_path: Path, **texts: bytes) -> Path:
    (tmp_path / "reports").mkdir()
    for name, text in texts.items():
        (tmp_path / "reports" / name.replace("__", ".")).write_bytes(text)
    return tmp_path


def test_a_folder_gives_the_text_of_each_case_of_the_cohort(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path, NA__txt="Größe 3 cm,\nα ≥ β".encode(), C__txt=b"\x00", notes__md=b"no report"
    )
    (folder / "reports" / "B 2.TXT").write_bytes(b"pT1a")
    reports, faults = read(folder, folder="reports")
    assert reports == {"NA": "Größe 3 cm,\nα ≥ β", "B 2": "pT1a"}
    assert faults.found == []  # C is somebody else's, and is not opened


def test_line_ends_and_marks_of_windows_make_no_difference(tmp_path: Path) -> None:
    text = "Diagnosis:\n- clear cell\n"
    folder = folder_of(tmp_path, NA__txt=b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read(folder, folder="reports")[0] == {"NA": text}


def test_empty_reports_are_left_out_and_told_in_one_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, NA__txt=b"", C__txt=b"")
    (folder / "reports" / "A-1.txt").write_bytes(b" \r\n \t\n")
    (folder / "reports" / "B 2.txt").write_bytes(b"pT1a")
    reports, faults = read(folder, folder="reports")
    assert reports == {"B 2": "pT1a"}
    assert [str(fault) for fault in faults.found] == [
        f"{folder / 'reports'}: 2 reports are empty: A-1, NA. Such a case is taken to have no report."
    ]


def test_each_unreadable_report_is_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, NA__txt=b"\x00\x01\x02")
    (folder / "reports" / "A-1.txt").write_bytes(b"caf\xe9")
    _, faults = read(folder, folder="reports")
    told = [str(fault) for fault in faults.errors]
    assert len(told) == 2
    assert (
        "A-1.txt: expected a report in plain text, but line 1 holds a byte that is not UTF-8 ('é'" in told[0]
    )
    assert "NA.txt: expected a report in plain text, but this is a binary file. Export it as text." in told[1]


def test_a_table_gives_the_text_of_each_case(tmp_path: Path) -> None:
    pd.DataFrame(
        {
            "id": ["NA", " A-1 ", "C", "A-1", "B 2"],
            "report": ["pT1", "first", "other", "second", "not reported"],
        }
    ).to_csv(tmp_path / "reports.csv", index=False)
    reports, faults = read(tmp_path, table="reports.csv", case="id", text="report")
    assert reports == {"NA": "pT1", "A-1": "first\n\nsecond"}
    assert "1 report is empty: B 2." in str(faults.warnings[0])


def test_an_empty_row_beside_a_full_one_of_the_same_case_adds_nothing(tmp_path: Path) -> None:
    pd.DataFrame({"case_id": ["NA"] * 3, "text": ["", "pT1", ""]}).to_csv(tmp_path / "r.csv", index=False)
    reports, faults = read(tmp_path, table="r.csv")
    assert reports == {"NA": "pT1"}
    assert faults.found == []


def test_a_column_that_is_there_twice_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("case_id,text,text\nNA,one,two\n")
    reports, faults = read(tmp_path, table="r.csv")
    assert reports == {}
    assert str(faults.errors[0]).endswith(
        "r.csv, column 'text': 2 columns have this name, so it is not clear which is meant. "
        "Rename or drop all but one."
    )


def test_both_missing_columns_are_told(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("case,texts\nNA,one\n")
    _, faults = read(tmp_path, table="r.csv")
    assert [str(fault).partition("r.csv: ")[2] for fault in faults.errors] == [
        "there is no column 'case_id'. Did you mean 'case'? Set reports.case and reports.text in study.yaml.",
        "there is no column 'text'. Did you mean 'texts'? Set reports.case and reports.text in study.yaml.",
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "study.yaml: reports needs either a table or a folder"),
        ({"table": "a.csv", "folder": "reports"}, "study.yaml: reports needs either a table or a folder"),
        ({"folder": "empty"}, "empty: no file ends in .txt. Put one CASE.txt a case there."),
        ({"folder": "nowhere"}, "nowhere: there is no such folder"),
        ({"folder": "../.."}, "points outside the study folder"),
        ({"table": "gone.csv"}, "gone.csv: there is no such file"),
    ],
)
def test_settings_that_lead_nowhere_are_told(settings: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    reports, faults = read(tmp_path, **settings)
    assert reports == {}
    assert message in str(faults.errors[0])
