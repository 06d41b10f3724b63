"""What a variant changes of a study's data, and what it leaves."""

from __future__ import annotations

import re
from itertools import chain

import pytest
from small_study import refined, small_study

from kemm.modalities.background import Background, cancer_types, load_background
from kemm.modalities.reports import RefinedReport
from kemm.modalities.reports.raw import as_written
from kemm.training.dataset import StudyData
from kemm.training.variants import VARIANTS, varied


@pytest.fixture(scope="module")
def data() -> StudyData:
    study = small_study(30, seed=1, missing=0.3).data
    staged = refined(
        ("pT", "T2a", "pT2a"), ("grade", "2", "Fuhrman nuclear grade 2"), filler=("fibrous", "capsule")
    )
    return study.with_reports({0: staged})


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_has_an_identity_of_its_own_and_leaves_all_else(data: StudyData, name: str) -> None:
    found = varied(data, VARIANTS[name])
    assert found.identity not in (
        data.identity,
        *(varied(data, one).identity for one in VARIANTS.values() if one.name != name),
    )
    assert found.cohort is data.cohort
    assert found.genomics is data.genomics
    assert found.slides is data.slides
    changed = {"report": found.reports != data.reports, "background": found.background != data.background}
    assert [one for one, is_other in changed.items() if is_other] == list(VARIANTS[name].needs)


@pytest.mark.parametrize("name", ["raw-report", "without-stage-in-report"])
def test_a_case_without_a_report_stays_without(data: StudyData, name: str) -> None:
    found = varied(data, VARIANTS[name])
    assert [one is None for one in found.reports] == [one is None for one in data.reports]


def test_a_raw_report_is_all_of_its_text_and_nothing_that_was_read_from_it(data: StudyData) -> None:
    for before, after in zip(data.reports, varied(data, VARIANTS["raw-report"]).reports, strict=True):
        if before is None or after is None:
            continue
        assert after.text == before.text
        assert {one.kind for one in after.statements} == {"sentence"}
        assert all(one.value is None for one in after.statements)
        for one in after.statements:
            assert after.text[one.start : one.end] == one.quote
        said = " ".join(one.text for one in after.statements)
        assert re.findall(r"\w+", said) == re.findall(r"\w+", before.text)


def test_pieces_of_a_raw_report_end_where_sentences_do() -> None:
    text = "First sentence of it. " * 30 + "A last one without a full stop"
    report = as_written(RefinedReport(statements=(), text=text, masked={}))
    assert all(len(one.text) <= 360 for one in report.statements)
    assert " ".join(one.text for one in report.statements).count("First sentence of it") == 30
    assert report.statements[-1].text.endswith("A last one without a full stop")


def test_another_background_is_the_least_like_ones_own(data: StudyData) -> None:
    (other,) = varied(data, VARIANTS["other-background"]).background.values()
    mine = {
        word
        for *_, said in data.background["KIRC"].lists()
        for one in said
        for word in one.text.lower().split()
    }

    def alike(code: str) -> float:
        words = {
            word
            for *_, said in load_background(code).lists()
            for one in said
            for word in one.text.lower().split()
        }
        return len(mine & words) / len(mine | words)

    assert other.code != "KIRC"
    assert alike(other.code) == min(alike(one.code) for one in cancer_types() if one.code != "KIRC")


def test_shuffled_background_says_the_same_in_other_places(data: StudyData) -> None:
    before, after = data.background["KIRC"], varied(data, VARIANTS["shuffled-background"]).background["KIRC"]

    def texts(one: Background) -> list[list[str]]:
        return [[said.text for said in cell] for *_, cell in one.lists()]

    assert list(map(len, texts(after))) == list(map(len, texts(before)))
    assert sorted(chain(*texts(after))) == sorted(chain(*texts(before)))
    assert texts(after) != texts(before)
