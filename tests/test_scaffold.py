from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
import pytest
import yaml

from kemm.config import Study
from kemm.core.clinical import CohortReading, read_cohort
from kemm.core.errors import Faults, InputError, UsageError
from kemm.scaffold import init_study

LONG_REPORT = "Renal cell carcinoma, clear cell type, confined to the kidney. " * 8


def read(folder: Path) -> tuple[CohortReading | None, list[str]]:
    """The cohort of the study that was written, through the loader that users have."""
    study = Study.load(folder)
    faults = Faults()
    reading = read_cohort(study.config.cohort, study.resolve, faults)
    return reading, [str(fault) for fault in faults.errors]


def clinical(**columns: object) -> pd.DataFrame:
    """Ten cases with the given columns, each a value for all or a list of ten."""
    return pd.DataFrame({"case_id": [f"C{index:02d}" for index in range(10)]} | columns)


MONTHS = [5.5, 8, 13, 21, 34, 55, 3, 11, 29, 40]
BITS = [0, 1] * 5


def test_a_folder_of_tables_becomes_a_study_that_loads_and_reads(tmp_path: Path) -> None:
    folder = tmp_path / "my-kirc-study"
    (folder / "features").mkdir(parents=True)
    np.save(folder / "features" / "C01.npy", np.ones((2, 3), np.float32))
    clinical(
        os_months=MONTHS,
        event=BITS,
        age=61,
        sex=["f", "m"] * 5,
        stage=["Stage I", "Stage IIB"] * 5,
        grade=["G3", "G1", "GX", "G2", ""] * 2,
        site_code=["A", "B"] * 5,
        slide_ids="C01",
    ).to_csv(folder / "clinical.csv", index=False)
    clinical(text=LONG_REPORT).to_parquet(folder / "reports.parquet")
    clinical(**{f"GENE{i}__rnaseq": np.arange(10.0) + i for i in range(8)}).to_csv(
        folder / "genomics.csv", index=False
    )
    clinical(**{f"{i}p__arm": BITS for i in range(1, 9)}).to_csv(
        folder / "chromosome_arms.tsv", index=False, sep="\t"
    )
    said = init_study(folder)
    config = Study.load(folder).config
    assert config.cohort.table == "clinical.csv"
    assert config.cohort.cancer_type == "KIRC"
    assert config.cohort.site == "site_code"
    assert {name: covariate.kind for name, covariate in config.cohort.covariates.items()} == {
        "age": "numeric",
        "sex": "categorical",
        "stage": "ordinal",
        "grade": "ordinal",
    }
    assert config.cohort.covariates["grade"].order == ["G1", "G2", "G3"]
    assert config.reports is not None
    assert (config.reports.table, config.reports.case, config.reports.text) == (
        "reports.parquet",
        "case_id",
        "text",
    )
    assert config.genomics is not None
    assert [(table.path, table.group) for table in config.genomics.tables] == [
        ("chromosome_arms.tsv", "chromosome arms"),
        ("genomics.csv", None),
    ]
    assert config.slides is not None
    assert (config.slides.folder, config.slides.slide_ids) == ("features", "slide_ids")
    assert config.folds.kind == "site"
    reading, faults = read(folder)
    assert faults == []
    assert reading is not None
    assert reading.cohort.event.sum() == 5
    assert "clinical.csv is the clinical table: 10 rows, ids in 'case_id'" in said
    assert any(
        "'1' = event, '0' = censored; found 0 (5), 1 (5): check which is which" in each for each in said
    )
    assert said[-1].startswith(f"{folder / 'study.yaml'} is written: check it")
    assert not (folder / "reports").exists()


def test_every_key_of_the_file_is_explained(tmp_path: Path) -> None:
    clinical(os_months=MONTHS, event=BITS).to_csv(tmp_path / "clinical.csv", index=False)
    init_study(tmp_path)
    text = (tmp_path / "study.yaml").read_text()
    lines = text.splitlines()
    for key in (
        "name",
        "table",
        "case",
        "cancer_type",
        "endpoints",
        "endpoint",
        "zero_months",
        "kind",
        "count",
        "seeds",
    ):
        assert any(line.strip().startswith(f"{key}:") and "  # " in line for line in lines), key
    assert "CHECK which value means that the event happened" in text
    for commented in ("# reports:", "# genomics:", "# slides:", "# background:"):
        assert commented in text


def test_an_empty_or_new_folder_gets_the_file_and_the_folders_it_expects(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "new"
    said = init_study(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["features", "reports", "study.yaml"]
    assert said[0].startswith("no clinical table was found")
    assert "not found: reports, genomics, slide features (their sections are commented out)" in said
    reading, faults = read(folder)
    assert reading is None
    assert "clinical.csv: there is no such file" in faults[0]


def test_commented_sections_are_right_once_uncommented(tmp_path: Path) -> None:
    init_study(tmp_path)
    text = (tmp_path / "study.yaml").read_text()
    for section in ("reports", "genomics", "slides", "background"):
        before, _, after = text.partition(f"# {section}:")
        block, _, rest = after.partition("\n\n")
        kept = [line.removeprefix("# ") for line in block.split("\n")]
        text = f"{before}{section}:{chr(10).join(kept)}\n\n{rest}"
    (tmp_path / "study.yaml").write_text(text.replace("# or   table", "#"))
    config = Study.load(tmp_path).config
    assert config.reports is not None
    assert config.reports.folder == "reports"
    assert config.genomics is not None
    assert config.genomics.tables[0].path == "genomics.parquet"
    assert config.slides is not None
    assert config.slides.folder == "features"


def test_an_existing_study_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("mine")
    with pytest.raises(
        UsageError, match=r"study\.yaml exists already, and is not overwritten\. Run `kemm check"
    ):
        init_study(tmp_path)
    assert (tmp_path / "study.yaml").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="study: cannot be written"):
        init_study(tmp_path / "file" / "study")

    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # as root, tests are allowed everything
    with pytest.raises(InputError, match=r"cannot be written \(Permission denied\)\. Choose another folder"):
        init_study(tmp_path)


def test_the_cancer_type_stays_a_question_that_the_check_asks(tmp_path: Path) -> None:
    clinical(os_months=MONTHS, event=BITS).to_csv(tmp_path / "clinical.csv", index=False)
    said = init_study(tmp_path)
    assert "the cancer type is for you to fill in: cohort.cancer_type" in said
    reading, faults = read(tmp_path)
    assert reading is None
    assert len(faults) == 1
    assert faults[0].startswith(
        "cohort.cancer_type in study.yaml is still a question. Answer it: a TCGA code"
    )


def test_columns_that_were_not_recognised_are_questions_too(tmp_path: Path) -> None:
    clinical(a=1, b=2).to_csv(tmp_path / "clinical.csv", index=False)
    said = init_study(tmp_path)
    assert "no columns with a time and an event were recognised: name them in cohort.endpoints" in said
    _, faults = read(tmp_path)
    assert (
        "clinical.csv: cohort.endpoints.OS.time in study.yaml is still a question. "
        "Name the column there, one of: case_id, a, b."
    ) in faults


@pytest.mark.parametrize(
    ("columns", "time", "event", "unit", "codes"),
    [
        ({"OS.time": [m * 30 for m in MONTHS], "OS": BITS}, "OS.time", "OS", "days", ("1", "0")),
        ({"OS_MONTHS": MONTHS, "OS_STATUS": ["0:LIVING", "1:DECEASED"] * 5}, "OS_MONTHS", "OS_STATUS", "months",
         ("1:DECEASED", "0:LIVING")),
        ({"survival_months": MONTHS, "censorship": BITS}, "survival_months", "censorship", "months", ("0", "1")),
        ({"overall_survival_days": MONTHS, "vital_status": ["Alive", "Dead"] * 5}, "overall_survival_days",
         "vital_status", "days", ("Dead", "Alive")),
        ({"time": [m * 30 for m in MONTHS], "status": [1, 2] * 5}, "time", "status", "days", ("2", "1")),
        ({"follow_up_years": [m / 12 for m in MONTHS], "death": ["no", "yes"] * 5}, "follow_up_years", "death", "years",
         ("yes", "no")),
        ({"os_time": MONTHS, "os_event": [0.0, 1.0] * 5}, "os_time", "os_event", "months", ("1", "0")),
        ({"time": MONTHS, "event": [False, True] * 5}, "time", "event", "months", ("True", "False")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_endpoints_are_recognised_as_others_write_them(
    tmp_path: Path, columns: dict[str, object], time: str, event: str, unit: str, codes: tuple[str, str]
) -> None:
    clinical(cancer_type="TCGA-LUAD", **columns).to_csv(tmp_path / "data.csv", index=False)
    init_study(tmp_path)
    endpoint = Study.load(tmp_path).config.cohort.endpoints["OS"]
    assert (endpoint.time, endpoint.event, endpoint.unit) == (time, event, unit)
    assert (endpoint.event_value, endpoint.censored_value) == codes
    reading, faults = read(tmp_path)
    assert reading is not None, faults
    assert reading.cohort.event.tolist() == [bool(bit) ^ (event == "censorship") for bit in BITS]
    assert reading.cohort.cases[0].cancer_type == "LUAD"


def test_several_endpoints_are_taken_and_the_first_is_chosen(tmp_path: Path) -> None:
    clinical(
        pfi_months=MONTHS, pfi_event=BITS, os_months=MONTHS, event=BITS, dss_months=MONTHS, dss=BITS
    ).to_csv(tmp_path / "clinical.csv", index=False)
    init_study(tmp_path)
    cohort = Study.load(tmp_path).config.cohort
    assert list(cohort.endpoints) == ["OS", "DSS", "PFI"]
    assert cohort.endpoint == "OS"


def test_a_figo_stage_and_levels_in_words_get_their_order(tmp_path: Path) -> None:
    clinical(
        os_months=MONTHS,
        event=BITS,
        clinical_stage=["Stage IIIC1", "Stage IA"] * 5,
        histologic_grade=["High Grade", "Low Grade"] * 5,
        age_at_diagnosis=60,
        gender="f",
    ).to_csv(tmp_path / "clinical.csv", index=False)
    init_study(tmp_path)
    covariates = Study.load(tmp_path).config.cohort.covariates
    assert (covariates["stage"].column, covariates["stage"].order) == ("clinical_stage", "figo")
    assert (covariates["grade"].column, covariates["grade"].order) == (
        "histologic_grade",
        ["Low Grade", "High Grade"],
    )
    assert covariates["age"].column == "age_at_diagnosis"
    assert covariates["sex"].column == "gender"


def test_a_grade_of_unknown_order_is_left_to_the_user(tmp_path: Path) -> None:
    clinical(os_months=MONTHS, event=BITS, grade=["so", "so-so"] * 5).to_csv(
        tmp_path / "clinical.csv", index=False
    )
    said = init_study(tmp_path)
    assert any(
        "the values of grade are in no order known to kemm (so, so-so)" in sentence for sentence in said
    )
    assert "grade" not in Study.load(tmp_path).config.cohort.covariates


def test_days_to_death_and_to_follow_up_in_two_columns_are_explained(tmp_path: Path) -> None:
    clinical(days_to_death="", days_to_last_follow_up=MONTHS, vital_status=["Alive", "Dead"] * 5).to_csv(
        tmp_path / "clinical.csv", index=False
    )
    assert any(
        "put whichever is known (death first) into one column" in sentence
        for sentence in init_study(tmp_path)
    )


def test_genes_in_rows_slides_in_a_table_and_the_rest_are_told_apart(tmp_path: Path) -> None:
    base = clinical(os_months=MONTHS, event=BITS)
    base.to_csv(tmp_path / "clinical.csv", index=False)
    ids = list(base["case_id"])
    pd.DataFrame({"symbol": ["TP53", "VHL"]} | {case: [1.5, 2.5] for case in ids}).to_csv(
        tmp_path / "expression.csv", index=False
    )
    clinical(**{f"nuclear area {i}": MONTHS for i in range(6)}).to_csv(
        tmp_path / "slide_features.csv", index=False
    )
    pd.DataFrame({"HALLMARK_A": ["TP53", "VHL"], "HALLMARK_B": ["MYC", ""]}).to_csv(
        tmp_path / "signatures.csv", index=False
    )
    (tmp_path / "notes.csv").write_text("who,what\nx,y\n")
    (tmp_path / "broken.csv").write_text("<html>login</html>")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "C01.txt").write_text("Grade 2.")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "fold_0.csv").write_text("case_id,split\nC01,train\n")
    said = init_study(tmp_path)
    config = Study.load(tmp_path).config
    assert config.genomics is not None
    assert [(table.path, table.rows, table.gene) for table in config.genomics.tables] == [
        ("expression.csv", "genes", "symbol")
    ]
    assert config.genomics.groups == "signatures.csv"
    assert config.slides is not None
    assert (config.slides.table, config.slides.case) == ("slide_features.csv", "case_id")
    assert config.reports is not None
    assert config.reports.folder == "reports"
    assert "folds in splits/fold_{fold}.csv: see the section folds" in said
    assert "notes.csv was not recognised, and is not used" in said
    assert any(
        sentence.startswith("broken.csv was passed over: ") and "HTML page" in sentence for sentence in said
    )


def test_names_and_values_of_a_hostile_table_cannot_write_settings(tmp_path: Path) -> None:
    evil = 'os_months\n  site: stolen # "'
    table = clinical(site="x").assign(event=["0", "1", "2\nname: stolen", "", ""] * 2)
    table["os_months"] = MONTHS
    table.insert(0, "grade\nname: stolen", "G1")
    table.insert(0, evil, MONTHS)
    table.to_csv(tmp_path / "clinical.csv", index=False)
    init_study(tmp_path)
    raw = yaml.safe_load((tmp_path / "study.yaml").read_text())
    assert raw["name"] == tmp_path.name
    assert raw["cohort"]["site"] == "site"
    assert Study.load(tmp_path).config.cohort.endpoints["OS"].event_value == "1"


DATA = Path(os.environ.get("KEMM_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here (set KEMM_DATA)")
def test_a_real_cohort_is_recognised_whole(tmp_path: Path) -> None:
    for path in (DATA / "tcga" / "LUAD").iterdir():
        (tmp_path / path.name).symlink_to(path)
    init_study(tmp_path)
    config = Study.load(tmp_path, [f"data_root={DATA}"]).config
    assert config.cohort.cancer_type == "LUAD"
    assert list(config.cohort.endpoints) == ["OS", "DSS", "PFI"]
    assert list(config.cohort.covariates) == ["age", "sex", "stage"]
    assert config.reports is not None
    assert config.reports.table == "reports.parquet"
    assert config.genomics is not None
    assert [table.path for table in config.genomics.tables] == ["chromosome_arms.parquet", "genomics.parquet"]
    assert config.slides is not None
    assert config.slides.table == "slide_features_hif.parquet"
