"""study.yaml: what is wrong is told at once, with the nearest right name; paths stay where they are allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kemm.config import Study
from kemm.core.errors import InputError, InvalidInput, PolicyError, UsageError

SMALLEST: dict[str, Any] = {
    "cohort": {
        "table": "clinical.csv",
        "cancer_type": "KIRC",
        "endpoints": {"OS": {"time": "months", "event": "event"}},
    }
}


def written(folder: Path, text: str | dict[str, Any]) -> Path:
    (folder / "study.yaml").write_text(text if isinstance(text, str) else yaml.safe_dump(text))
    return folder


def told(folder: Path, text: str | dict[str, Any], *overrides: str) -> list[str]:
    """The faults of a study.yaml, without its path."""
    with pytest.raises(InvalidInput) as caught:
        Study.load(written(folder, text), overrides)
    return [str(fault).replace(f"{folder}/", "") for fault in caught.value.faults]


def test_a_study_needs_a_cohort_and_no_more(tmp_path: Path) -> None:
    study = Study.load(written(tmp_path, SMALLEST))
    assert study.folder == tmp_path
    assert study.name == tmp_path.name
    assert study.config.reports is study.config.genomics is study.config.slides is None
    assert study.config.folds.count == 5


def test_a_study_may_be_named_by_its_file(tmp_path: Path) -> None:
    written(tmp_path, SMALLEST | {"name": "ours"})
    assert Study.load(tmp_path / "study.yaml").name == "ours"


# --- what is wrong -----------------------------------------------------------------------------


def test_misspelt_keys_suggest_the_nearest_wherever_they_are(tmp_path: Path) -> None:
    text = yaml.safe_dump(SMALLEST)
    settings = yaml.safe_load(text) | {"trainings": {}, "folds": {"cuont": 3}, "genomics": {"tables": []}}
    settings["cohort"]["endpoints"]["OS"]["units"] = "days"
    settings["cohort"]["covariates"] = {"age": {"kind": "numeric", "colum": "years"}}
    settings["genomics"]["tables"] = [{"path": "a.csv"}, {"path": "b.csv", "roows": "genes"}]
    assert sorted(told(tmp_path, settings)) == [
        "study.yaml: there is no setting 'cohort.covariates.age.colum'. Did you mean 'column'?",
        "study.yaml: there is no setting 'cohort.endpoints.OS.units'. Did you mean 'unit'?",
        "study.yaml: there is no setting 'folds.cuont'. Did you mean 'count'?",
        "study.yaml: there is no setting 'genomics.tables[1].roows'. Did you mean 'rows'?",
        "study.yaml: there is no setting 'trainings'. Did you mean 'training'?",
    ]


def test_a_key_like_no_other_is_answered_with_those_there_are(tmp_path: Path) -> None:
    (fault,) = told(tmp_path, SMALLEST | {"reports": {"xyzzy": 1}})
    assert fault == (
        "study.yaml: there is no setting 'reports.xyzzy'. Choose from: "
        "case, covariates, folder, mask, names_labels, names_model, refiner, table, text"
    )


def test_wrong_values_are_told_with_what_is_expected(tmp_path: Path) -> None:
    settings = SMALLEST | {
        "folds": {"kind": "sites", "count": 1},
        "training": {"epochs": "many", "patches": 0},
    }
    assert sorted(told(tmp_path, settings)) == [
        "study.yaml: folds.count cannot be 1: Input should be greater than or equal to 2. Correct the value.",
        "study.yaml: folds.kind cannot be 'sites': Input should be 'auto', 'site', 'stratified' or 'files'. "
        "Correct the value.",
        "study.yaml: training.epochs cannot be 'many': Input should be a valid integer, unable to parse string "
        "as an integer. Correct the value.",
        "study.yaml: training.patches cannot be 0: Input should be greater than or equal to 1. Correct the value.",
    ]


def test_a_value_that_fits_none_of_its_kinds_is_one_fault(tmp_path: Path) -> None:
    settings = {"cohort": SMALLEST["cohort"] | {"covariates": {"stage": {"kind": "ordinal", "order": 3}}}}
    assert told(tmp_path, settings) == [
        "study.yaml: cohort.covariates.stage.order cannot be 3: Input should be 'ajcc' or 'figo'; "
        "Input should be a valid list. Correct the value."
    ]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert told(tmp_path, "name: ours") == ["study.yaml: the setting 'cohort' is required. Add it."]
    assert told(tmp_path, {"cohort": {"table": "a.csv", "endpoints": {"OS": {"time": "t"}}}}) == [
        "study.yaml: the setting 'cohort.endpoints.OS.event' is required. Add it."
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cohort: [", r"study\.yaml: this is not YAML: .*line 1.*needs `key: value`"),
        ("a: b: c", r"this is not YAML: mapping values are not allowed here"),
        ("\tcohort: 1", r"this is not YAML: .*found character '\\t'"),
        ("# nothing\n", r"expected `key: value` lines, found nothing but comments"),
        ("- cohort\n", r"expected `key: value` lines, found \['cohort'\]"),
        ("", r"study\.yaml: the file is empty"),
        (
            "folds: {count: 2}\nfolds: {count: 3}\n",
            r"this is not YAML: the key 'folds' stands here twice .*line 2",
        ),
        ("folds:\n  count: 2\n  count: 3\n", r"the key 'count' stands here twice .*line 3"),
        ("a: !!python/object/apply:os.getcwd []\n", r"this is not YAML: could not determine a constructor"),
    ],
)
def test_what_is_not_a_list_of_settings_is_told(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        Study.load(written(tmp_path, text))


def test_a_merged_mapping_may_set_a_key_of_its_own(tmp_path: Path) -> None:
    text = (
        "cohort:\n  table: a.csv\n  cancer_type: KIRC\n  endpoints:\n"
        "    OS: &os {time: months, event: dead, unit: days}\n    DSS: {<<: *os, event: dead_of_it}\n"
    )
    endpoints = Study.load(written(tmp_path, text)).config.cohort.endpoints
    assert (endpoints["DSS"].time, endpoints["DSS"].event) == ("months", "dead_of_it")


def test_a_folder_without_study_yaml_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=rf"study\.yaml: there is no such file\. `kemm init {tmp_path}` writes one"
    ):
        Study.load(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: there is no such folder\. Name the study's folder"):
        Study.load(tmp_path / "nowhere")


@pytest.mark.parametrize(("event", "censored"), [("1", "0"), ("true", "false"), ("0", "1"), ("2", "1")])
def test_event_codes_may_be_written_without_quotes(event: str, censored: str, tmp_path: Path) -> None:
    text = (
        "cohort:\n  table: a.csv\n  cancer_type: KIRC\n  endpoints:\n"
        f"    OS: {{time: months, event: dead, event_value: {event}, censored_value: {censored}}}\n"
    )
    endpoint = Study.load(written(tmp_path, text)).config.cohort.endpoints["OS"]
    as_text = {"true": "1", "false": "0"}
    assert endpoint.event_value == as_text.get(event, event)
    assert endpoint.censored_value == as_text.get(censored, censored)


# --- changed for one run -----------------------------------------------------------------------


def test_a_setting_can_be_changed_for_one_run(tmp_path: Path) -> None:
    study = Study.load(
        written(tmp_path, SMALLEST | {"training": {"epochs": 7, "patience": 2}}),
        ["training.epochs=20", "training.seeds=[0, 1]", "reports.folder=texts", "name=a=b", "genomics=null"],
    )
    assert (study.config.training.epochs, study.config.training.patience) == (20, 2)
    assert study.config.training.seeds == [0, 1]
    assert study.config.reports is not None
    assert study.config.reports.folder == "texts"
    assert study.config.name == "a=b"
    assert study.config.genomics is None
    assert study.overrides[0] == "training.epochs=20"
    assert yaml.safe_load((tmp_path / "study.yaml").read_text())["training"]["epochs"] == 7


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", r"--set takes section\.key=value, not 'training\.epochs'\. For instance: --set"),
        ("=3", r"--set takes section\.key=value, not '=3'"),
        ("training..epochs=3", r"--set takes section\.key=value"),
        ("cohort.table.name=x", r"--set cohort\.table\.name=x: 'table' is a value, not a section"),
        ("folds.count=[", r"--set folds\.count=\[: the value is not YAML\. Put quotes around it"),
    ],
)
def test_an_option_that_is_no_setting_is_a_wrong_command(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        Study.load(written(tmp_path, SMALLEST), [override])


def test_a_wrong_option_is_told_as_the_option_and_not_as_the_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        Study.load(written(tmp_path, SMALLEST), ["folds.cuont=3", "training.epochs=many"])
    assert sorted(str(fault) for fault in caught.value.faults) == [
        "--set folds.cuont=3: there is no setting 'folds.cuont'. Did you mean 'count'?",
        "--set training.epochs=many: training.epochs cannot be 'many': Input should be a valid integer, "
        "unable to parse string as an integer. Correct the value.",
    ]
    assert caught.value.exit_code == UsageError.exit_code


def test_an_option_and_the_file_may_both_be_wrong(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        Study.load(written(tmp_path, SMALLEST | {"fold": {}}), ["training.epochs=0"])
    assert len(caught.value.faults) == 2
    assert caught.value.exit_code == InputError.exit_code


# --- paths -------------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "clinical.csv").touch()
    return tmp_path / "outside"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "study").mkdir()
    return tmp_path / "study"


@pytest.mark.parametrize(
    "path", ["../outside/clinical.csv", "a/../../outside/clinical.csv", "/etc/passwd", "~root"]
)
def test_a_path_out_of_the_study_needs_a_declaration(path: str, folder: Path, outside: Path) -> None:
    study = Study.load(written(folder, SMALLEST))
    with pytest.raises(
        PolicyError, match=r"points outside the study folder .*declare the folder it is in: `data_root"
    ):
        study.resolve(path)


def test_a_link_is_followed_before_it_is_judged(folder: Path, outside: Path) -> None:
    (folder / "clinical.csv").symlink_to(outside / "clinical.csv")
    with pytest.raises(PolicyError, match=r"points outside the study folder"):
        Study.load(written(folder, SMALLEST)).resolve("clinical.csv")
    declared = Study.load(written(folder, SMALLEST | {"data_root": "../outside"}))
    assert declared.resolve("clinical.csv") == outside / "clinical.csv"


def test_a_data_root_opens_one_folder_and_no_other(folder: Path, outside: Path) -> None:
    study = Study.load(written(folder, SMALLEST | {"data_root": "../outside"}))
    assert study.resolve("clinical.csv") == outside / "clinical.csv"
    assert study.resolve(str(outside / "clinical.csv")) == outside / "clinical.csv"
    for path in ("../../etc/passwd", "/etc/passwd", "../outsider/a.csv"):
        with pytest.raises(
            PolicyError, match=f"points outside the declared folders {outside} and {folder}, to /"
        ):
            study.resolve(path)


def test_what_is_in_the_study_comes_before_the_data_root(folder: Path, outside: Path) -> None:
    (folder / "clinical.csv").touch()
    study = Study.load(written(folder, SMALLEST | {"data_root": "../outside"}))
    assert study.resolve("clinical.csv") == folder / "clinical.csv"
    assert study.resolve("missing.csv") == outside / "missing.csv"


def test_variables_of_the_environment_are_filled_in(
    folder: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEMM_TEST_ROOT", str(outside))
    study = Study.load(written(folder, SMALLEST | {"data_root": "${KEMM_TEST_ROOT}"}))
    assert study.resolve("clinical.csv") == outside / "clinical.csv"
    monkeypatch.delenv("KEMM_TEST_ROOT")
    study = Study.load(folder)
    with pytest.raises(
        UsageError, match=r"needs the environment variable KEMM_TEST_ROOT, which is not set\. Run `exp"
    ):
        study.resolve("clinical.csv")
