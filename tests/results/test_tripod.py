"""The checklist: all published items, none claimed without an artefact, and the page it becomes."""

from __future__ import annotations

import re
from collections.abc import Collection

import pytest
from documents import NASTY, Document, contrast
from fake_results import evaluation, run_record
from pydantic import ValidationError

from kemm.results.comparison.controls_record import Control, Controls
from kemm.results.records import Evaluation, RunRecord
from kemm.results.report import render_report
from kemm.results.tripod import ITEMS, AnsweredItem, Artefact, Checklist, fill_checklist, render_checklist
from kemm.results.tripod.filling import _ANSWERS, _FOR_A_PERSON

FILES = (
    "report.html",
    "run.json",
    "folds.csv",
    "predictions.parquet",
    "units.json",
    "evaluation.json",
    "models.csv",
)
# As published: the main items that have parts, and the last letter of each.
PARTS = {3: "c", 5: "b", 6: "c", 8: "c", 9: "c", 12: "g", 18: "f", 20: "c", 23: "b", 27: "c"}


def filled(
    results: Evaluation | None = None,
    record: RunRecord | None = None,
    *,
    present: Collection[str] = FILES,
    controls: Controls | None = None,
) -> Checklist:
    return fill_checklist(results or evaluation(), record or run_record(), present=present, controls=controls)


def item(checklist: Checklist, number: str) -> AnsweredItem:
    return next(one for one in checklist.items if one.number == number)


def test_every_published_item_is_there_once_and_in_order() -> None:
    expected = []
    for main in range(1, 28):
        letters = "abcdefg"[: "abcdefg".index(PARTS[main]) + 1] if main in PARTS else [""]
        expected += [f"{main}{letter}" for letter in letters]
    assert [one.number for one in ITEMS] == expected
    assert len(expected) == 52


def test_items_of_one_kind_of_study_are_marked_as_published() -> None:
    assert [one.number for one in ITEMS if one.applies == "E"] == ["12f", "12g", "20c", "24"]
    assert [one.number for one in ITEMS if one.applies == "D"] == [
        *("9a", "12a", "12b", "12c", "15", "22", "27a", "27b"),
    ]


def test_every_item_is_answered_or_says_what_a_person_must_do() -> None:
    assert {one.number for one in ITEMS} == set(_ANSWERS) | set(_FOR_A_PERSON)


def test_statuses_of_a_made_run() -> None:
    checklist = filled()
    of = {
        status: [one.number for one in checklist.items if one.status == status] for status in checklist.counts
    }
    assert of["filled"] == [
        *("11", "12a", "12b", "12e", "12f", "12g", "13", "15", "16", "20a", "21", "23b", "24"),
    ]
    assert of["needs a person"] == [
        *("2", "3a", "3b", "3c", "5b", "6c", "8b", "8c", "9c", "14", "17"),
        *("18a", "18b", "18c", "18d", "18e", "19", "27b", "27c"),
    ]
    assert sum(checklist.counts.values()) == 52


def test_answers_are_those_of_the_records() -> None:
    checklist = filled()
    assert "480 patients with KIRC, 165 with the event and 315 without" in item(checklist, "20a").answer
    assert "median follow-up 51.3 months" in item(checklist, "20a").answer
    assert "no follow-up: 4; zero months: 2" in item(checklist, "11").answer
    # Nobody lacks the age.
    assert item(checklist, "11").answer.startswith("Cases without a value: stage 12, grade 31. ")
    assert "Harrell's C 0.781 (95 % interval 0.752 to 0.810)" in item(checklist, "23a").answer
    assert "38 centres" in item(checklist, "6a").answer
    assert "fold 0: 384 cases (132 events) trained, 96 (33) tested" in item(checklist, "21").answer
    assert "from 0.751 to 0.816 over 5 folds, each of hospitals of its own" in item(checklist, "23b").answer


def test_every_claim_has_an_artefact_that_is_in_the_folder_and_in_the_report() -> None:
    checklist = filled()
    anchors = {
        attributes.get("id")
        for _, attributes in Document(render_report(evaluation(), None, run_record())).elements
    }
    claims = [one for one in checklist.items if one.status != "needs a person"]
    assert claims
    for one in claims:
        assert one.artefact is not None
        assert one.artefact.file in FILES
        assert not one.artefact.anchor or one.artefact.anchor in anchors, one.number


@pytest.mark.parametrize(
    "missing", ["report.html", "run.json", "folds.csv", "predictions.parquet", "units.json"]
)
def test_without_the_artefact_nothing_is_claimed(missing: str) -> None:
    before, after = filled(), filled(present=[name for name in FILES if name != missing])
    stood = [one.number for one in before.items if one.artefact and one.artefact.file == missing]
    assert stood
    assert {item(after, number).status for number in stood} == {"needs a person"}
    assert all(item(after, number).answer == "" for number in stood)


def test_an_item_that_claims_without_an_artefact_cannot_be_made() -> None:
    said = {"number": "13", "section": "Methods", "topic": "Class imbalance", "applies": "D;E", "asks": "?"}
    with pytest.raises(ValidationError, match="item 13: a claim needs an answer and an artefact"):
        AnsweredItem.model_validate({**said, "status": "filled", "answer": "None."})
    with pytest.raises(ValidationError, match="item 13: what is not filled says what a person has to add"):
        AnsweredItem.model_validate(
            {**said, "status": "partly", "answer": "None.", "artefact": Artefact(file="run.json")}
        )


def test_a_run_that_knows_less_claims_less() -> None:
    bare = evaluation().model_copy(
        update={
            "headline": None,
            "folds": [],
            "risk_groups": [],
            "definitions": {},
            "models": [],
            "cohort": evaluation().cohort.model_copy(update={"sites": 0}),
        }
    )
    checklist = filled(bare)
    for number in ("1", "6a", "12a", "12d", "12e", "16", "20c", "21", "23a", "23b", "25"):
        assert item(checklist, number).status == "needs a person", number
    assert item(checklist, "15").status == "partly"


def test_an_epoch_chosen_on_the_reported_cases_is_told() -> None:
    record = run_record().model_copy(
        update={"study_yaml": "training:\n  selection: best-epoch (optimistic)\n"}
    )
    divided = item(filled(record=record), "12a")
    assert divided.status == "partly"
    assert "chose their epoch on the reported cases, which flatters them" in divided.answer
    assert "chose their epoch on inner parts" in item(filled(), "12a").answer


def test_controls_that_did_not_hold_are_limitations() -> None:
    failed = Control(name="noise", model="genes", done="x", criterion="y", value=0.1, passed=False)
    site = Control(
        name="site alone",
        model="site",
        done="x",
        criterion="y",
        passed=False,
        is_fault=False,
        note="It is the hospital.",
    )
    said = item(filled(controls=Controls(controls=[failed, site])), "26").answer
    assert "The control “noise” of genes did not hold. It is the hospital." in said
    assert "Two folds have fewer than 35 events: their C is uncertain." in said


def test_json_and_back_is_the_same() -> None:
    assert Checklist.model_validate_json(filled().model_dump_json()) == filled()


# --- the page ----------------------------------------------------------------------------------


def test_the_page_shows_every_item_with_its_status_in_words() -> None:
    page = Document(render_checklist(filled()))
    assert [one.get("id") for one in page.all("li") if one.get("id")] == [
        f"item-{one.number}" for one in ITEMS
    ]
    for status, number in filled().counts.items():
        assert page.text.count(status.capitalize()) == number + 1  # and once in the overview
    assert "13 of 52 items are answered by this run, 20 in part" in page.text


def test_links_lead_to_the_folder_or_the_page_itself() -> None:
    page = Document(render_checklist(filled()))
    ids = {attributes.get("id") for _, attributes in page.elements}
    for link in page.all("a"):
        target = str(link["href"])
        assert target[1:] in ids if target.startswith("#") else target.partition("#")[0] in FILES


def test_the_page_loads_nothing_and_says_so_in_its_policy() -> None:
    html = render_checklist(filled())
    policies = [one["content"] for one in Document(html).all("meta") if one.get("http-equiv")]
    assert [str(policy).startswith("default-src 'none'; style-src 'sha256-") for policy in policies] == [True]
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", html)
    assert "<script" not in html
    assert " style=" not in html


def test_hostile_names_stay_text() -> None:
    results = evaluation()
    hostile = results.model_copy(
        update={"study": NASTY, "cohort": results.cohort.model_copy(update={"cancer_types": {NASTY: 480}})}
    )
    html = render_checklist(filled(hostile))
    Document(html)
    assert "<script>alert" not in html
    assert "<img" not in html


@pytest.mark.parametrize("name", ["filled", "partly", "person"])
def test_status_colours_can_be_read_on_light_and_dark(name: str) -> None:
    light, dark = re.findall(rf"--{name}: (#[0-9a-f]{{6}})", render_checklist(filled()))
    assert contrast(light, "#ffffff") >= 4.5
    assert contrast(dark, "#121417") >= 4.5


def test_the_same_records_give_the_same_bytes() -> None:
    assert render_checklist(filled()) == render_checklist(filled())
