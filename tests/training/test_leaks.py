"""Leaks that were planted are found and named, each at its place; a clean study has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_study import folds_of, refined, small_study

from kemm.core.cohort import Case, Cohort, Covariate
from kemm.core.types import CaseId
from kemm.modalities.reports import RefinedReport
from kemm.modalities.reports.outcome import Removed
from kemm.modalities.slides import PackedSlide
from kemm.results.comparison.leaks_record import LeakAudit
from kemm.training.dataset import StudyData
from kemm.training.leaks import Finding, audit_leaks
from kemm.training.splits import Fold, FoldsConfig, make_folds

WORDS = (
    "kidney", "cortex", "capsule", "vein", "fat", "margin", "node", "stain", "block", "fibrous",
    "pelvis", "ureter", "clear", "cell", "solid", "cystic", "sheet", "nest", "grade", "focus",
)  # fmt: skip


def prose(seed: int, words: int = 80) -> list[str]:
    return np.random.default_rng(seed).choice(WORDS, size=words).tolist()


def report(words: list[str], removed: tuple[Removed, ...] = ()) -> RefinedReport:
    return replace(refined(("grade", "2", "Fuhrman nuclear grade 2"), filler=words), removed=removed)


@pytest.fixture(scope="module")
def clean() -> StudyData:
    """Every case with a report, genes and slides of its own, and hospitals that are on one side only."""
    data = small_study(80, missing=0.0).data
    return data.with_reports({row: report(prose(row)) for row in range(80)})


@pytest.fixture(scope="module")
def folds(clean: StudyData) -> list[Fold]:
    return make_folds(FoldsConfig(kind="site", count=2), clean.cohort, lambda _: pytest.fail("no file"))  # type: ignore[arg-type,return-value]


def across(folds: list[Fold]) -> tuple[int, int]:
    """A case that the first fold trains on, and one that it tests."""
    return folds[0].train[0], folds[0].test[0]


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, [one.told for one in found]
    return found[0]


def with_covariate(data: StudyData, name: str, values: list[float | str | None]) -> StudyData:
    kind = "categorical" if any(isinstance(value, str) for value in values) else "numeric"
    levels = tuple(sorted({value for value in values if isinstance(value, str)}))
    cases = [
        replace(case, covariates={**case.covariates, name: value})
        for case, value in zip(data.cohort.cases, values, strict=True)
    ]
    covariates = (*data.cohort.covariates, Covariate(name=name, kind=kind, levels=levels))
    return replace(data, cohort=replace(data.cohort, cases=tuple(cases), covariates=covariates))


def test_a_clean_study_has_no_finding(clean: StudyData, folds: list[Fold]) -> None:
    assert audit_leaks(clean, folds) == []


def test_effects_as_strong_as_any_clinical_one_are_no_finding() -> None:
    data = small_study(300, seed=2, missing=0.0, age=1.5).data
    sites = make_folds(FoldsConfig(kind="site", count=2), data.cohort, lambda _: pytest.fail("no file"))  # type: ignore[arg-type,return-value]
    assert [one for one in audit_leaks(data, sites) if one.kind.startswith("covariate")] == []


# --- sides of folds ----------------------------------------------------------------------------


def test_a_case_in_both_parts_of_a_fold(clean: StudyData, folds: list[Fold]) -> None:
    train, _ = across(folds)
    wrong = [replace(folds[0], test=(*folds[0].test, train)), folds[1]]
    found = [one for one in audit_leaks(clean, wrong) if one.kind == "case on two sides"]
    assert [one.where.folds for one in found] == [(0,), (0, 1)]
    assert found[0].where.cases == (clean.cohort.ids[train],)
    assert found[0].severity == "error"
    assert "Fold 0 trains and tests on the same cases: case-" in found[0].told


@pytest.mark.parametrize(
    "ids", [("TCGA-AB-1234-01A", "TCGA-AB-1234-11B"), ("Case 7", "case  7")], ids=["barcode", "spelling"]
)
def test_one_patient_under_two_ids(clean: StudyData, folds: list[Fold], ids: tuple[str, str]) -> None:
    cases = {
        row: replace(clean.cohort.cases[row], id=CaseId(name))
        for row, name in zip(across(folds), ids, strict=True)
    }
    found = only(audit_leaks(clean.with_cases(cases), folds))
    assert (found.kind, found.severity, set(found.where.cases)) == ("same patient", "error", set(ids))
    assert found.where.folds == (0, 1)


def test_hospitals_on_both_sides_are_counted(clean: StudyData) -> None:
    stratified = folds_of(clean)
    found = only(audit_leaks(clean, stratified))
    # Six hospitals and eighty cases dealt into two parts: each hospital is in both.
    assert (found.kind, found.severity) == ("shared sites", "warning")
    assert found.told.startswith("80 of 80 test cases (100%), of 6 sites, come from hospitals")
    assert found.where.folds == (0, 1)


# --- copies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "severity"), [(120, "error"), (60, "warning")])
def test_a_report_under_two_ids_whatever_its_spacing(
    clean: StudyData, folds: list[Fold], words: int, severity: str
) -> None:
    one, other = across(folds)
    said = prose(1000, words)
    twin = [word.upper() + ("\n" if place % 9 == 0 else ",") for place, word in enumerate(said)]
    found = only(audit_leaks(clean.with_reports({one: report(said), other: report(twin)}), folds))
    # A form of few words may be filled in alike for two patients.
    assert (found.kind, found.severity) == ("same report", severity)
    assert set(found.where.cases) == {clean.cohort.ids[one], clean.cohort.ids[other]}
    assert found.where.folds == (0, 1)


def test_a_report_with_a_word_changed_is_nearly_the_same(clean: StudyData, folds: list[Fold]) -> None:
    one, other = across(folds)
    words = prose(1000, words=200)
    twin = [*words[:100], "amended", *words[101:]]
    found = only(audit_leaks(clean.with_reports({one: report(words), other: report(twin)}), folds))
    assert (found.kind, found.severity) == ("similar report", "warning")
    assert "nearly the same report (96% of its phrases)" in found.told


def test_no_word_of_a_report_is_in_a_finding(clean: StudyData, folds: list[Fold]) -> None:
    one, other = across(folds)
    words = ["unmistakable", *prose(1000)]
    removed = (Removed("death", "The patient died unmistakable.", 0, 30),)
    told_by = report([*words, "The patient died of unmistakable disease."], removed)
    for finding in audit_leaks(clean.with_reports({one: told_by, other: told_by}), folds):
        assert "unmistakable" not in repr(finding)


def test_few_words_are_alike_without_being_a_copy(clean: StudyData, folds: list[Fold]) -> None:
    short = report(["Clear", "cell", "carcinoma"])
    assert audit_leaks(clean.with_reports(dict.fromkeys(range(80), short)), folds) == []


def test_a_bag_of_patches_under_two_ids(clean: StudyData, folds: list[Fold]) -> None:
    one, other = across(folds)
    slides = clean.slides
    assert slides is not None
    bags = [slides.bag(one if row == other else row) for row in range(80)]
    offsets = np.concatenate([[0], np.cumsum([len(bag) for bag in bags])])
    copied = replace(slides, features=np.concatenate(bags), offsets=offsets)
    found = only(audit_leaks(replace(clean, slides=copied), folds))
    assert (found.kind, found.severity) == ("same slide", "error")
    assert set(found.where.cases) == {clean.cohort.ids[one], clean.cohort.ids[other]}


def test_one_of_several_slides_under_two_ids_is_told_from_its_digest(
    clean: StudyData, folds: list[Fold]
) -> None:
    one, other = across(folds)
    assert clean.slides is not None
    packed = [(PackedSlide(f"s{row}", 4, f"digest {row}"),) for row in range(80)]
    packed[other] = (*packed[other], PackedSlide("renamed", 4, f"digest {one}"))
    found = only(audit_leaks(replace(clean, slides=replace(clean.slides, slides=tuple(packed))), folds))
    assert found.kind == "same slide"
    assert set(found.where.cases) == {clean.cohort.ids[one], clean.cohort.ids[other]}


def test_genes_under_two_ids_though_rounded_otherwise(clean: StudyData, folds: list[Fold]) -> None:
    one, other = across(folds)
    assert clean.genomics is not None
    values = np.round(clean.genomics.values, 4)
    values[other] = values[one] + 1e-6
    found = only(audit_leaks(replace(clean, genomics=replace(clean.genomics, values=values)), folds))
    assert (found.kind, found.severity, found.where.columns) == ("same genes", "error", ("expr",))
    assert "the same expr values in all 10 columns" in found.told


def test_cases_without_a_mutation_are_not_copies(clean: StudyData, folds: list[Fold]) -> None:
    assert clean.genomics is not None
    none = np.zeros_like(clean.genomics.values)
    assert audit_leaks(replace(clean, genomics=replace(clean.genomics, values=none)), folds) == []


# --- covariates --------------------------------------------------------------------------------


def told_of(data: StudyData, folds: list[Fold]) -> Finding:
    return only([one for one in audit_leaks(data, folds) if one.kind == "covariate tells the outcome"])


def test_a_category_that_is_the_event(clean: StudyData, folds: list[Fold]) -> None:
    values: list[float | str | None] = ["yes" if event else "no" for event in clean.cohort.event]
    found = told_of(with_covariate(clean, "receptor", values), folds)
    assert (found.severity, found.where.columns) == ("error", ("receptor",))
    assert "tells of all 80 cases that have it whether the event happened" in found.told


def test_a_number_that_is_the_time_in_other_units(clean: StudyData, folds: list[Fold]) -> None:
    values: list[float | str | None] = [float(month * -30.4 + 5) for month in clean.cohort.months]
    found = told_of(with_covariate(clean, "index", values), folds)
    assert found.severity == "error"
    assert "months of follow-up of all cases (rank correlation -1.000)" in found.told


def test_a_number_that_is_the_time_of_those_with_the_event(clean: StudyData, folds: list[Fold]) -> None:
    draws = np.random.default_rng(0).uniform(0, 90, 80)
    values: list[float | str | None] = [
        float(month if event else draw)
        for month, event, draw in zip(clean.cohort.months, clean.cohort.event, draws, strict=True)
    ]
    assert "of cases with the event" in told_of(with_covariate(clean, "index", values), folds).told


def test_a_number_that_is_known_only_of_those_with_the_event(clean: StudyData, folds: list[Fold]) -> None:
    draws = np.random.default_rng(0).normal(size=80)
    values: list[float | str | None] = [
        float(draw) if event else None for event, draw in zip(clean.cohort.event, draws, strict=True)
    ]
    found = told_of(with_covariate(clean, "index", values), folds)
    assert "filled in for all cases with the event and for no other" in found.told


def test_a_number_that_orders_cases_too_well(clean: StudyData, folds: list[Fold]) -> None:
    months = clean.cohort.months
    noise = np.random.default_rng(0).normal(size=80)
    index = -np.log(months) - 2 * ~clean.cohort.event + 0.3 * noise
    found = told_of(with_covariate(clean, "index", index.tolist()), folds)
    assert found.severity == "warning"


def test_a_category_with_events_only(clean: StudyData, folds: list[Fold]) -> None:
    events = np.flatnonzero(clean.cohort.event)[:30].tolist()
    values: list[float | str | None] = ["hospice" if row in events else "home" for row in range(80)]
    found = told_of(with_covariate(clean, "ward", values), folds)
    assert found.severity == "warning"
    assert "a value, 'hospice', that 30 cases have, every one with the event" in found.told


@pytest.mark.parametrize(
    "name", ["days_to_last_followup", "vital status", "DSS", "os.time", "new_tumor_event", "tumor_status"]
)
def test_a_covariate_named_like_follow_up(clean: StudyData, folds: list[Fold], name: str) -> None:
    draws: list[float | str | None] = list(np.random.default_rng(3).normal(size=80))
    found = only(audit_leaks(with_covariate(clean, name, draws), folds))
    assert (found.kind, found.severity, found.where.columns) == ("covariate of follow-up", "warning", (name,))


@pytest.mark.parametrize("name", ["age", "stage", "grade", "histology", "tumour size", "ROSE", "ki67 index"])
def test_covariates_of_the_diagnosis_are_not_named_like_follow_up(
    clean: StudyData, folds: list[Fold], name: str
) -> None:
    draws: list[float | str | None] = list(np.random.default_rng(3).normal(size=80))
    assert audit_leaks(with_covariate(clean, name, draws), folds) == []


# --- reports that tell the outcome -------------------------------------------------------------


def test_what_was_hidden_is_counted_and_what_is_left_is_an_error(clean: StudyData, folds: list[Fold]) -> None:
    one, other = across(folds)
    quote = "Patient died of disease."
    hidden = report(prose(2000), (Removed("death", quote, 0, 5), Removed("autopsy", quote, 6, 9)))
    left = report([*prose(2001), "The patient died of disease."])
    found = audit_leaks(clean.with_reports({one: hidden, other: left}), folds)
    assert [(finding.severity, finding.where.cases) for finding in found] == [
        ("error", (clean.cohort.ids[other],)),
        ("note", (clean.cohort.ids[one],)),
    ]
    assert "1 of 80 reports still tell the outcome" in found[0].told
    assert found[1].told.startswith(
        "2 sentences of 1 of 80 reports told the outcome and were hidden before use"
    )


def test_the_same_study_gives_the_same_list_and_the_gravest_is_first(clean: StudyData) -> None:
    leaky = with_covariate(clean, "vital", list(np.where(clean.cohort.event, "dead", "well")))
    stratified = folds_of(clean)
    found = audit_leaks(leaky, stratified)
    assert [one.severity for one in found] == ["error", "warning", "warning"]
    assert found == audit_leaks(leaky, stratified)


def test_findings_become_records_without_loss(clean: StudyData) -> None:
    leaky = with_covariate(clean, "vital", list(np.where(clean.cohort.event, "dead", "well")))
    found = audit_leaks(leaky, folds_of(clean))
    record = LeakAudit.model_validate_json(LeakAudit.of(found).model_dump_json())
    assert [(one.kind, one.told, tuple(one.cases)) for one in record.leaks] == [
        (one.kind, one.told, one.where.cases) for one in found
    ]
    assert [one.columns for one in record.errors] == [["vital"]]


def test_a_cohort_without_anything_but_outcomes_can_be_audited(clean: StudyData, folds: list[Fold]) -> None:
    bare = Cohort(
        tuple(
            Case(id=case.id, cancer_type=case.cancer_type, site=None, outcomes=case.outcomes, covariates={})
            for case in clean.cohort.cases
        ),
        clean.cohort.endpoint,
        (),
    )
    nothing = replace(clean, cohort=bare, reports=(None,) * 80, genomics=None, groups=None, slides=None)
    assert audit_leaks(nothing, folds) == []
