"""Bad input gets a clear error: the place, the value, the remedy, and the exit code. Asked as a user does."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from studies import Kemm, StudyFolder

INPUT, POLICY, USAGE, MIXED = 3, 7, 2, 3

Break = Callable[[StudyFolder], None]


def told(text: str) -> str:
    """What was written, on one line."""
    return " ".join(text.split())


# --- the clinical table ------------------------------------------------------------------------


def missing_table(study: StudyFolder) -> None:
    (study / "clinical.csv").rename(study / "clinicals.csv")


def picture_for_a_table(study: StudyFolder) -> None:
    (study / "clinical.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))


def web_page_for_a_table(study: StudyFolder) -> None:
    (study / "clinical.csv").write_text("<!DOCTYPE html><html><body>Please sign in</body></html>")


def ragged_table(study: StudyFolder) -> None:
    text = (study / "clinical.csv").read_text().splitlines()
    text[3] += ",surplus"
    (study / "clinical.csv").write_text("\n".join(text))


def misspelt_column(study: StudyFolder) -> None:
    study.set(cohort__site="site_cod")


def duplicate_case(study: StudyFolder) -> None:
    study.set_cell(5, "case_id", study.table["case_id"][1])


def empty_case(study: StudyFolder) -> None:
    study.set_cell(5, "case_id", "")


def text_for_months(study: StudyFolder) -> None:
    study.set_cell(3, "os_months", "two years")


def infinite_months(study: StudyFolder) -> None:
    study.set_cell(3, "os_months", "inf")


def negative_months(study: StudyFolder) -> None:
    study.set_cell(4, "os_months", "-3.5")


def third_event_code(study: StudyFolder) -> None:
    study.set_cell(6, "os_event", "2")


def all_censored(study: StudyFolder) -> None:
    study.set_column("os_event", "0")


def one_event(study: StudyFolder) -> None:
    study.set_column("os_event", "0")
    study.set_cell(1, "os_event", "1")


def no_event_in_a_fold(study: StudyFolder) -> None:
    study.set_column("os_event", "0")
    study.set_cell(1, "os_event", "1")
    study.set_cell(2, "os_event", "1")
    study.set(folds={"kind": "stratified", "count": 3})


def no_outcome(study: StudyFolder) -> None:
    study.set_column("os_event", "")


def header_without_rows(study: StudyFolder) -> None:
    study.write(study.table.iloc[:0])


def unknown_cancer_type(study: StudyFolder) -> None:
    study.set(cohort__cancer_type="KRIC")


def unanswered_cancer_type(study: StudyFolder) -> None:
    study.set(cohort__cancer_type="?")


def no_cancer_type(study: StudyFolder) -> None:
    study.set(cohort__cancer_type=None)


def text_in_a_numeric_covariate(study: StudyFolder) -> None:
    study.set_cell(7, "age", "sixty")


def stage_that_is_none(study: StudyFolder) -> None:
    study.set_cell(8, "stage", "Stage Q")


def level_outside_its_order(study: StudyFolder) -> None:
    study.set_cell(9, "grade", "G7")


def misspelt_endpoint(study: StudyFolder) -> None:
    study.set(cohort__endpoint="DS")


# --- genomics ----------------------------------------------------------------------------------


def missing_genomics(study: StudyFolder) -> None:
    study.set(genomics__tables=[{"path": "genomic.parquet", "case": "case_id"}])


def genomics_of_others(study: StudyFolder) -> None:
    frame = pd.read_parquet(study / "genomics.parquet")
    frame["case_id"] = [f"OTHER-{number}" for number in range(len(frame))]
    frame.to_parquet(study / "genomics.parquet")


def genomics_of_samples(study: StudyFolder) -> None:
    frame = pd.read_parquet(study / "genomics.parquet")
    frame["case_id"] += "-01A"
    frame.to_parquet(study / "genomics.parquet")


def as_csv(study: StudyFolder, change: Callable[[list[list[str]]], None]) -> None:
    frame = pd.read_parquet(study / "genomics.parquet")
    rows = [list(frame.columns), *frame.astype(str).to_numpy().tolist()]
    change(rows)
    (study / "genomics.csv").write_text("\n".join(",".join(row) for row in rows))
    study.set(genomics__tables=[{"path": "genomics.csv", "case": "case_id"}])


def duplicate_genes(study: StudyFolder) -> None:
    def change(rows: list[list[str]]) -> None:
        rows[0][2] = rows[0][1] = "WT1__rnaseq"

    as_csv(study, change)


def text_in_a_gene(study: StudyFolder) -> None:
    def change(rows: list[list[str]]) -> None:
        rows[0][1] = "WT1__rnaseq"
        rows[2][1] = "high"

    as_csv(study, change)


def same_sample_twice(study: StudyFolder) -> None:
    as_csv(study, lambda rows: rows.append(rows[1]))


def groups_that_are_no_groups(study: StudyFolder) -> None:
    (study / "groups.gmt").write_bytes(bytes(range(256)))


# --- reports -----------------------------------------------------------------------------------


def missing_reports(study: StudyFolder) -> None:
    study.set(reports__folder="report")


def binary_report(study: StudyFolder) -> None:
    (study / "reports" / f"{study.with_report[0]}.txt").write_bytes(b"Specimen:\0\x01\x02\x03" * 50)


def scanned_report(study: StudyFolder) -> None:
    (study / "reports" / f"{study.with_report[0]}.txt").write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" * 50)


def latin_report(study: StudyFolder) -> None:
    text = "Diagnosis:\nkidney, left\ntumour of 4 cm, size \xb1 0.2"
    (study / "reports" / f"{study.with_report[0]}.txt").write_bytes(text.encode("latin-1"))


def report_that_is_a_folder(study: StudyFolder) -> None:
    path = study / "reports" / f"{study.with_report[0]}.txt"
    path.unlink()
    path.mkdir()


def dangling_report(study: StudyFolder) -> None:
    path = study / "reports" / f"{study.with_report[0]}.txt"
    path.unlink()
    path.symlink_to("gone.txt")


def reports_of_others(study: StudyFolder) -> None:
    for case in study.with_report:
        (study / "reports" / f"{case}.txt").rename(study / "reports" / f"X{case}.txt")


def both_kinds_of_reports(study: StudyFolder) -> None:
    study.set(reports__table="reports.csv")


def report_table(study: StudyFolder, header: str) -> None:
    rows = [f'{case},"Renal cell carcinoma, pT1a."' for case in study.with_report]
    (study / "reports.csv").write_text("\n".join([header, *rows]))
    study.set(reports={"table": "reports.csv"})


def report_table_with_another_column(study: StudyFolder) -> None:
    report_table(study, "case_id,texts")


def misspelt_refiner(study: StudyFolder) -> None:
    study.set(reports__refiner="rule")


def misspelt_encoder(study: StudyFolder) -> None:
    study.set(text__encoder="tfidf-svm")


# --- slides ------------------------------------------------------------------------------------


def slide(study: StudyFolder) -> Path:
    """The first slide's file."""
    return sorted((study / "features").iterdir())[0]


def missing_slides(study: StudyFolder) -> None:
    study.set(slides__folder="feature")


def slides_of_others(study: StudyFolder) -> None:
    for path in (study / "features").iterdir():
        path.rename(path.with_name(f"X{path.name}"))


def truncated_slide(study: StudyFolder) -> None:
    path = slide(study)
    path.write_bytes(path.read_bytes()[:2000])


def empty_slide(study: StudyFolder) -> None:
    slide(study).write_bytes(b"")


class Attack:
    """Would create a file, were it unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def pickled_slide(study: StudyFolder) -> None:
    path = slide(study)
    torch.save({"features": torch.zeros(3, 4), "note": Attack(study / "attacked")}, path.with_suffix(".pt"))
    path.unlink()


def bare_pickle_for_a_slide(study: StudyFolder) -> None:
    path = slide(study)
    path.with_suffix(".pt").write_bytes(pickle.dumps(Attack(study / "attacked")))
    path.unlink()


def slide_of_another_width(study: StudyFolder) -> None:
    path = sorted((study / "features").iterdir())[1]
    with h5py.File(path, "w") as handle:
        handle.create_dataset("features", data=np.zeros((3, 7), dtype=np.float32))


def slide_with_nan(study: StudyFolder) -> None:
    with h5py.File(slide(study), "r+") as handle:
        values = handle["features"][()]
        values[1, 0] = np.nan
        handle["features"][...] = values


def slide_of_two_patients(study: StudyFolder) -> None:
    rows = study.table["slide_ids"]
    listed = rows[rows != ""].iloc[:2]
    study.set_cell(int(listed.index[1]) + 1, "slide_ids", listed.iloc[0])


def slide_twice(study: StudyFolder) -> None:
    np.save(slide(study).with_suffix(".npy"), np.zeros((2, 3), dtype=np.float32))


def misspelt_slide_column(study: StudyFolder) -> None:
    study.set(slides__slide_ids="slides")


def slide_table_that_is_not_there(study: StudyFolder) -> None:
    study.set(slides={"table": "slide.csv"})


# --- paths, folds, truth -----------------------------------------------------------------------


def path_upwards(study: StudyFolder) -> None:
    (study / "clinical.csv").rename(study.path.parent / "clinical.csv")
    study.set(cohort__table="../clinical.csv")


def absolute_path(study: StudyFolder) -> None:
    (study / "clinical.csv").rename(study.path.parent / "clinical.csv")
    study.set(cohort__table=str(study.path.parent / "clinical.csv"))


def link_outwards(study: StudyFolder) -> None:
    path = study / "reports" / f"{study.with_report[0]}.txt"
    path.rename(study.path.parent / "secret.txt")
    path.symlink_to(study.path.parent / "secret.txt")


def slide_linked_outwards(study: StudyFolder) -> None:
    path = slide(study)
    path.rename(study.path.parent / "secret.h5")
    path.symlink_to(study.path.parent / "secret.h5")


def unset_variable(study: StudyFolder) -> None:
    study.set(cohort__table="${KEMM_NO_SUCH_FOLDER}/clinical.csv")


def given_folds(study: StudyFolder, change: Callable[[pd.DataFrame], pd.DataFrame], count: int = 2) -> None:
    ids = study.table["case_id"]
    for fold in range(count):
        split = np.where(np.arange(len(ids)) % count == fold, "test", "train")
        frame = pd.DataFrame({"case_id": ids, "split": split})
        if fold == 1:
            frame = change(frame)
        frame.to_csv(study / f"fold_{fold}.csv", index=False)
    study.set(folds={"files": "fold_{fold}.csv", "count": count})


def fold_file_missing(study: StudyFolder) -> None:
    given_folds(study, lambda frame: frame)
    study.set(folds__count=3)


def patient_on_both_sides(study: StudyFolder) -> None:
    given_folds(study, lambda frame: pd.concat([frame, frame.iloc[:1].assign(split="test")]))


def unknown_split(study: StudyFolder) -> None:
    given_folds(study, lambda frame: frame.assign(split="held-out"))


def folds_without_a_pattern(study: StudyFolder) -> None:
    study.set(folds={"files": "folds.csv"})


def more_folds_than_sites(study: StudyFolder) -> None:
    study.set(folds={"kind": "site", "count": 30})


def sites_unknown(study: StudyFolder) -> None:
    study.set(cohort__site=None, folds={"kind": "site", "count": 2})


def truth_missing(study: StudyFolder) -> None:
    study.set(evaluation__truth="truths.csv")


def truth_without_its_column(study: StudyFolder) -> None:
    (study / "truth.csv").write_text("case_id,hazard\nA,1\n")


def nothing_to_learn_from(study: StudyFolder) -> None:
    study.set(cohort__covariates=None, reports=None, genomics=None, slides=None)


def heads_that_do_not_divide_the_width(study: StudyFolder) -> None:
    study.set(model__heads=3)


def heads_of_the_field_that_do_not_divide_the_width(study: StudyFolder) -> None:
    study.set(baselines__heads=3)


def more_inner_parts_than_cases(study: StudyFolder) -> None:
    study.set(training__inner_parts=21)


def seed_twice(study: StudyFolder) -> None:
    study.set(training__seeds=[1, 0, 1])


def horizon_before_the_start(study: StudyFolder) -> None:
    study.set(evaluation__horizons=[12, -6])


CASES: list[tuple[Break, str, int]] = [
    (
        heads_that_do_not_divide_the_width,
        r"study\.yaml: model\.heads is 3, which does not divide model\.width, 8",
        INPUT,
    ),
    (
        heads_of_the_field_that_do_not_divide_the_width,
        r"study\.yaml: baselines\.heads is 3, which does not divide baselines\.width, 32",
        INPUT,
    ),
    (
        more_inner_parts_than_cases,
        r"study\.yaml: training\.inner_parts is 21, but a fold trains on 20 cases\. Set",
        INPUT,
    ),
    (seed_twice, r"study\.yaml: training\.seeds has a seed twice", INPUT),
    (
        horizon_before_the_start,
        r"study\.yaml: evaluation\.horizons has -6\. Horizons are months after 0",
        INPUT,
    ),
    (missing_table, r"clinical\.csv: there is no such file; did you mean 'clinicals\.csv'\?", INPUT),
    (picture_for_a_table, r"clinical\.csv: .*this is a PNG picture\. To mend it:", INPUT),
    (web_page_for_a_table, r"this is an HTML page .*download it again, signed in", INPUT),
    (
        ragged_table,
        r"clinical\.csv, row 3: 12 cells, where the header has 11\. Give every row as many",
        INPUT,
    ),
    (misspelt_column, r"clinical\.csv: there is no column 'site_cod'\. Did you mean 'site_code'\?", INPUT),
    (
        duplicate_case,
        r"column 'case_id', case DEMO-\S+: the case stands in 2 rows \(rows 2, 5\)\. .*keep one",
        INPUT,
    ),
    (
        empty_case,
        r"clinical\.csv, row 5, column 'case_id': the case id is empty\. Give every row its id",
        INPUT,
    ),
    (
        text_for_months,
        r"row 3, column 'os_months', case \S+: 'two years' is not a time\. Give a number of months",
        INPUT,
    ),
    (infinite_months, r"row 3, column 'os_months', case \S+: 'inf' is not a time", INPUT),
    (
        negative_months,
        r"row 4, column 'os_months', case \S+: -3\.5 months .* cannot be negative\. Check the dates",
        INPUT,
    ),
    (
        third_event_code,
        r"column 'os_event': 1 cell neither '1' \(event\) nor '0' .*row 6 .*Declare the two values",
        INPUT,
    ),
    (
        all_censored,
        r"column 'os_event': all 40 cases are censored for OS.*Check cohort\.endpoints\.OS\.event_value",
        INPUT,
    ),
    (one_event, r"only 1 of 40 cases has an event of OS; at least 2 are needed", INPUT),
    (
        no_event_in_a_fold,
        r"fold 2 has no events in its test part of 13 cases\. Set folds\.count lower",
        INPUT,
    ),
    (no_outcome, r"no case has an outcome of OS\. Check cohort\.endpoints\.OS", INPUT),
    (header_without_rows, r"clinical\.csv: the table has a header but no rows\. Give one row a case", INPUT),
    (unknown_cancer_type, r"no cancer type is called 'KRIC'; did you mean 'KIRC'\?", USAGE),
    (
        unanswered_cancer_type,
        r"cohort\.cancer_type in study\.yaml is still a question\. Answer it: a TCGA code",
        INPUT,
    ),
    (no_cancer_type, r"the cancer type is not declared\. Set cohort\.cancer_type", INPUT),
    (
        text_in_a_numeric_covariate,
        r"row 7, column 'age', case \S+: 'sixty' is not a number, and 'age' is declared",
        INPUT,
    ),
    (
        stage_that_is_none,
        r"row 8, column 'stage', case \S+: 'Stage Q' is not a stage on the ajcc order",
        INPUT,
    ),
    (
        level_outside_its_order,
        r"row 9, column 'grade', .*: 'G7' is not in the order of 'grade' \(G1 < G2",
        INPUT,
    ),
    (misspelt_endpoint, r"cohort\.endpoint is 'DS', .*did you mean 'DSS'", INPUT),
    (missing_genomics, r"genomic\.parquet: there is no such file; did you mean 'genomics\.parquet'\?", INPUT),
    (
        genomics_of_others,
        r"genomics\.parquet: none of its \d+ cases \(OTHER-0, .*is in the cohort \(DEMO-.*Check `case",
        INPUT,
    ),
    (
        genomics_of_samples,
        r"'DEMO-\S+-01A' looks like a sample of case 'DEMO-\S+'\. Keep one sample a case",
        INPUT,
    ),
    (
        duplicate_genes,
        r"genomics\.csv: 1 gene in more than one column: WT1__rnaseq \(2 times\)\. Keep one",
        INPUT,
    ),
    (
        text_in_a_gene,
        r"genomics\.csv, row 2, column 'WT1__rnaseq', case DEMO\S+: 'high' is not a finite number",
        INPUT,
    ),
    (
        same_sample_twice,
        r"genomics\.csv: 1 case in more than one row: DEMO\S+\. Keep one sample a case",
        INPUT,
    ),
    (groups_that_are_no_groups, r"groups\.gmt: .*binary file", INPUT),
    (missing_reports, r"report: there is no such folder\. Set reports\.folder", INPUT),
    (
        binary_report,
        r"reports/DEMO\S+\.txt: expected a report in plain text, but this is a binary file\. Export",
        INPUT,
    ),
    (scanned_report, r"reports/DEMO\S+\.txt: .*this is a PDF\. To mend it: export its text first", INPUT),
    (
        latin_report,
        r"reports/DEMO\S+\.txt: .*line 3 holds a byte that is not UTF-8 \('±'.*Save it as UTF-8",
        INPUT,
    ),
    (report_that_is_a_folder, r"reports/DEMO\S+\.txt: this is not a regular file but a folder", INPUT),
    (dangling_report, r"reports/DEMO\S+\.txt: there is no such file", INPUT),
    (
        reports_of_others,
        r"none of its \d+ reports belongs to a case: its ids look like 'XDEMO.*the cohort's like 'DEMO",
        INPUT,
    ),
    (both_kinds_of_reports, r"study\.yaml: reports needs either a table or a folder\. Set one of", INPUT),
    (
        report_table_with_another_column,
        r"reports\.csv: there is no column 'text'\. Did you mean 'texts'\?",
        INPUT,
    ),
    (misspelt_refiner, r"no refiner is called 'rule'; did you mean 'rules'\?", USAGE),
    (misspelt_encoder, r"no text encoder is called 'tfidf-svm'; did you mean 'tfidf-svd'\?", USAGE),
    (missing_slides, r"feature: there is no such folder\. Set slides\.folder", INPUT),
    (slides_of_others, r"none of the \d+ feature files belongs to a case: a file is called 'XDEMO", INPUT),
    (
        truncated_slide,
        r"features/DEMO\S+\.h5: this is not a whole HDF5 file .*Copy or extract it again",
        INPUT,
    ),
    (empty_slide, r"features/DEMO\S+\.h5: the file is empty \(0 bytes\)\. Copy it again", INPUT),
    (
        pickled_slide,
        r"features/DEMO\S+\.pt: refused, because this \.pt holds Python objects that could run code",
        POLICY,
    ),
    (
        bare_pickle_for_a_slide,
        r"features/DEMO\S+\.pt: refused, because this \.pt holds Python objects",
        POLICY,
    ),
    (
        slide_of_another_width,
        r"features/DEMO\S+\.h5: features are 7 wide, .*Use one encoder for all slides",
        INPUT,
    ),
    (slide_with_nan, r"features/DEMO\S+\.h5: 1 of \d+ patches .*not finite, the first is patch 2", INPUT),
    (
        slide_of_two_patients,
        r"slide DEMO\S+ is listed for two cases, DEMO\S+ and DEMO\S+\. A slide is of one patient",
        INPUT,
    ),
    (slide_twice, r"features: slide DEMO\S+ has two files, DEMO\S+\.\w+ and DEMO\S+\.\w+\. Keep one", INPUT),
    (misspelt_slide_column, r"clinical\.csv: there is no column 'slides'\. Correct slides\.slide_ids", INPUT),
    (slide_table_that_is_not_there, r"slide\.csv: there is no such file", INPUT),
    (
        path_upwards,
        r"\.\./clinical\.csv points outside the study folder .*declare the folder it is in: `data_root",
        POLICY,
    ),
    (absolute_path, r"clinical\.csv points outside the study folder", POLICY),
    (link_outwards, r"reports/DEMO\S+\.txt points outside the study folder \S+, to \S+secret\.txt", POLICY),
    (
        slide_linked_outwards,
        r"features/DEMO\S+\.h5 points outside the study folder \S+, to \S+secret\.h5",
        POLICY,
    ),
    (
        unset_variable,
        r"needs the environment variable KEMM_NO_SUCH_FOLDER, which is not set\. Run `export",
        USAGE,
    ),
    (fold_file_missing, r"fold_2\.csv: there is no such file; did you mean 'fold_\d\.csv'\?", INPUT),
    (
        patient_on_both_sides,
        r"fold 1 trains and tests on the same cases: DEMO\S+\. A patient may be on one side",
        INPUT,
    ),
    (unknown_split, r"fold_1\.csv, row 1, column 'split': 'held-out' is not train, val or test", INPUT),
    (folds_without_a_pattern, r"folds\.files is 'folds\.csv'; write \{fold\} where", USAGE),
    (
        more_folds_than_sites,
        r"at least as many sites as folds: \d+ sites, 30 folds\. Set folds\.count lower",
        INPUT,
    ),
    (
        sites_unknown,
        r"site-disjoint folds need to know each case's site\. Name its column in cohort\.site",
        INPUT,
    ),
    (truth_missing, r"truths\.csv: there is no such file; did you mean 'truth\.csv'\?", INPUT),
    (truth_without_its_column, r"truth\.csv: there is no column 'true_log_hazard'", INPUT),
    (
        nothing_to_learn_from,
        r"study\.yaml: there is nothing to learn from\. Give the study covariates, reports",
        INPUT,
    ),
]


@pytest.mark.parametrize(
    ("wreck", "message", "code"), CASES, ids=[wreck.__name__.replace("_", "-") for wreck, _, _ in CASES]
)
def test_a_fault_is_told_with_its_place_and_remedy(
    wreck: Break, message: str, code: int, study: StudyFolder, kemm: Kemm
) -> None:
    wreck(study)
    said = kemm("check", study)
    assert re.search(message, told(said.err)), said.err
    assert said.code == code
    assert said.err.startswith("kemm: ")
    assert "Traceback" not in said.err
    assert "no faults" not in said.out
    assert not (study / "attacked").exists()


def test_the_pickles_of_these_tests_would_have_run_code(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Attack(tmp_path / "attacked")))
    assert (tmp_path / "attacked").exists()


def test_a_run_refuses_what_check_refuses_and_writes_nothing(study: StudyFolder, kemm: Kemm) -> None:
    duplicate_case(study)
    said = kemm("run", study)
    assert said.code == INPUT
    assert "the case stands in 2 rows" in said.err
    assert not (study / ".kemm").exists()
    assert not (study / "runs").exists()


def test_a_run_refuses_a_pickled_slide_and_keeps_what_was_refined(study: StudyFolder, kemm: Kemm) -> None:
    pickled_slide(study)
    said = kemm("run", study, "--workers", "1")
    assert said.code == POLICY
    assert "refused, because this .pt holds Python objects that could run code" in said.err
    assert not (study / "attacked").exists()
    assert len(study.entries("refined")) == 1
    assert study.entries("slides") == study.scratch() == []


def test_faults_of_several_files_are_told_in_one_message(study: StudyFolder, kemm: Kemm) -> None:
    negative_months(study)
    text_in_a_numeric_covariate(study)
    missing_genomics(study)
    missing_slides(study)
    misspelt_encoder(study)
    said = kemm("check", study)
    assert said.err.startswith("kemm: 5 faults in the input:\n- ")
    for part in ("cannot be negative", "'sixty'", "genomic.parquet", "feature", "'tfidf-svm'"):
        assert part in said.err
    assert said.code == MIXED


def test_faults_of_all_inputs_are_told_where_the_cohort_is_right(study: StudyFolder, kemm: Kemm) -> None:
    duplicate_genes(study)
    binary_report(study)
    truncated_slide(study)
    unknown_cancer_type(study)
    unknown_split(study)
    said = kemm("check", study)
    assert said.err.startswith("kemm: 5 faults in the input:\n- ")
    for part in ("WT1__rnaseq", "binary file", "HDF5", "'KRIC'", "'held-out'"):
        assert part in said.err


def test_of_many_faults_twenty_are_shown_and_the_others_counted(study: StudyFolder, kemm: Kemm) -> None:
    study.set_column("age", [f"{number} years" for number in range(40)])
    said = kemm("check", study)
    assert said.err.startswith("kemm: 40 faults in the input:\n")
    assert said.err.count("\n- ") == 20
    assert said.err.endswith("... and 20 more\n")


# --- what is only warned of --------------------------------------------------------------------


def months_in_days(study: StudyFolder) -> None:
    study.set_column("os_months", (study.table["os_months"].astype(float) * 30.4375).map("{:.0f}".format))


def exchanged_events(study: StudyFolder) -> None:
    study.set(cohort__endpoints__OS__event_value="0", cohort__endpoints__OS__censored_value="1")


def empty_report(study: StudyFolder) -> None:
    (study / "reports" / f"{study.with_report[0]}.txt").write_text(" \r\n\t\n")
    (study / "reports" / f"{study.with_report[1]}.txt").write_text("")


def slide_without_a_file(study: StudyFolder) -> None:
    slide(study).unlink()


def covariate_that_is_the_outcome(study: StudyFolder) -> None:
    study.set(cohort__covariates__os_event={"kind": "numeric"})


def untested_cases(study: StudyFolder) -> None:
    given_folds(study, lambda frame: frame[frame["split"] == "train"].iloc[3:].assign(split="train"))
    ids = study.table["case_id"]
    frame = pd.DataFrame({"case_id": ids, "split": ["test"] * 10 + ["train"] * 30})
    frame.to_csv(study / "fold_0.csv", index=False)
    frame.assign(split=["train"] * 10 + ["test"] * 27 + ["train"] * 3).to_csv(
        study / "fold_1.csv", index=False
    )


WARNINGS: list[tuple[Break, str]] = [
    (
        months_in_days,
        r"'os_months': OS: a median of .* months looks like days\. If so, set cohort\.endpoints\.OS\.unit",
    ),
    (exchanged_events, r"events and censored cases may be exchanged"),
    (
        empty_report,
        r"reports: 2 reports are empty: DEMO\S+, DEMO\S+\. Such a case is taken to have no report",
    ),
    (
        slide_without_a_file,
        r"features: 1 of \d+ slides listed for cases have no feature file: DEMO\S+\. Extract",
    ),
    (covariate_that_is_the_outcome, r"the covariate 'os_event' tells the outcome"),
    (
        untested_cases,
        r"fold_\{fold\}\.csv: 3 of 40 cases are in no fold's test part and so in no result: DEMO",
    ),
]


@pytest.mark.parametrize(
    ("doubt", "message"), WARNINGS, ids=[doubt.__name__.replace("_", "-") for doubt, _ in WARNINGS]
)
def test_a_doubt_is_a_warning_and_the_study_can_be_run(
    doubt: Break, message: str, study: StudyFolder, kemm: Kemm
) -> None:
    doubt(study)
    said = kemm("check", study)
    assert re.search(f"warning: .*{message}", told(said.out)), said.out
    assert said.code == 0
    assert "no faults" in said.out


def test_cases_without_an_outcome_are_left_out_and_counted(study: StudyFolder, kemm: Kemm) -> None:
    study.set_cell(1, "os_months", "NaN")
    study.set_cell(2, "os_months", "")
    study.set_cell(3, "os_months", "0")
    said = kemm("check", study)
    assert said.code == 0
    assert "demo: 37 cases" in said.out
    assert re.search(r"left out +2 cases: no OS outcome", said.out)
    assert re.search(r"left out +1 case: zero follow-up", said.out)


# --- what looks odd, and is right ---------------------------------------------------------------


def test_a_declared_data_root_may_be_outside_the_study(study: StudyFolder, kemm: Kemm) -> None:
    outside = study.path.parent / "elsewhere"
    outside.mkdir()
    (study / "clinical.csv").rename(outside / "clinical.csv")
    (study / "reports").rename(outside / "reports")
    study.set(data_root="../elsewhere")
    assert kemm("check", study).code == 0
    study.set(data_root=None)
    assert kemm("check", study).code == INPUT
    assert kemm("check", study, "--set", f"data_root={outside}").code == 0


def test_windows_tables_and_reports_are_read_as_they_are_meant(study: StudyFolder, kemm: Kemm) -> None:
    study.set(evaluation__truth=None)
    first, second = study.with_report[:2]
    case = study.table["case_id"]
    study.write(study.table.replace({"case_id": {first: "Größe-α 1"}}))
    text = (study / "clinical.csv").read_text(encoding="utf-8")
    (study / "clinical.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    report = (study / "reports" / f"{first}.txt").read_text()
    (study / "reports" / f"{first}.txt").unlink()
    (study / "reports" / "Größe-α 1.txt").write_bytes(report.replace("\n", "\r\n").encode())
    (study / "reports" / f"{second}.txt").write_text(
        "Tumeur rénale à cellules claires, 腎細胞癌, ≥ 4 cm, pT1a. " * 3
    )
    said = kemm("check", study)
    assert said.code == 0, said.err
    assert f"{len(study.with_report)} of {len(case)}" in said.out


def test_a_report_of_a_megabyte_is_read(study: StudyFolder, kemm: Kemm) -> None:
    path = study / "reports" / f"{study.with_report[0]}.txt"
    path.write_text("Clear cell renal cell carcinoma, Fuhrman grade 3, of the upper pole.\n" * 14_500)
    said = kemm("check", study)
    assert said.code == 0
    assert "longest 1,0" in said.out
