"""Features of a fold: learned on training cases alone, each case by itself, and kept as they were."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_study import FEATURES, GENOMICS, GROUPS, TEXT, background, refined, small_study

from kemm.core.types import Statement
from kemm.modalities.reports import RefinedReport
from kemm.modalities.slides import SlideBags
from kemm.model.batch import Tokens
from kemm.training.dataset import StudyData
from kemm.training.features import (
    SENTENCE,
    STATEMENT_KINDS,
    WHOLE_REPORT,
    CaseFeatures,
    FeaturesConfig,
    FoldTransforms,
)
from kemm.training.linear import Stack
from kemm.training.reading import Reader
from kemm.training.slide_scaler import SlideScaler

TRAIN, TEST = tuple(range(40)), tuple(range(40, 60))


@pytest.fixture(scope="module")
def study() -> StudyData:
    return small_study(60, seed=5).data


def fit(data: StudyData, rows: Sequence[int] = TRAIN, config: FeaturesConfig = FEATURES) -> FoldTransforms:
    return FoldTransforms.fit(data, rows, config=config, text=TEXT, genomics=GENOMICS)


@pytest.fixture(scope="module")
def transforms(study: StudyData) -> FoldTransforms:
    return fit(study)


def case_tokens(tokens: Tokens, case: int) -> tuple[torch.Tensor, list[int] | None]:
    """The tokens of one case that are there, whatever padding surrounds them."""
    present = tokens.present[case]
    return tokens.values[case][present], None if tokens.kind is None else tokens.kind[case][present].tolist()


def assert_same_features(one: CaseFeatures, other: CaseFeatures) -> None:
    assert one.rows == other.rows
    assert one.tokens.keys() == other.tokens.keys()
    for name, tokens in one.tokens.items():
        for case in range(len(one.rows)):
            values, kind = case_tokens(tokens, case)
            again, same_kind = case_tokens(other.tokens[name], case)
            assert torch.equal(values, again), f"{name} of row {one.rows[case]}"
            assert kind == same_kind
    assert one.views.keys() == other.views.keys()
    for name, view in one.views.items():
        assert np.array_equal(view.values, other.views[name].values), name
        assert np.array_equal(view.present, other.views[name].present), name
    assert one.background.keys() == other.background.keys()
    for name, tokens in one.background.items():
        assert torch.equal(tokens.values, other.background[name].values), name
        assert torch.equal(tokens.present, other.background[name].present), name
    patches, offset = Reader(one, ("slides",)).batch(one.rows), Reader(other, ("slides",)).batch(other.rows)
    assert torch.equal(patches.bags["slides"].tokens().values, offset.bags["slides"].tokens().values)


def strange(data: StudyData, rows: Sequence[int]) -> StudyData:
    """The same study, with these cases replaced by people unlike anyone, in every modality."""
    rng = np.random.default_rng(1)
    cases = {
        row: replace(
            data.cohort.cases[row],
            site="elsewhere",
            covariates={"age": 500.0, "sex": "unheard of", "stage": 90.0},
        )
        for row in rows
    }
    reports: dict[int, RefinedReport | None] = {
        row: refined(("grade", "4", "Grade 4"), filler=["zebra", "xylophone"] * 9) for row in rows
    }
    changed = data.with_cases(cases).with_reports(reports)
    assert data.genomics is not None
    assert data.slides is not None
    values = data.genomics.values.copy()
    for place, case in enumerate(data.genomics.case_ids):
        if data.cohort.ids.index(case) in rows:
            values[place] = rng.normal(1000, 300, size=values.shape[1])
    features = np.array(data.slides.features)
    for row in rows:
        features[data.slides.offsets[row] : data.slides.offsets[row + 1]] = 1e4
    genomics = replace(data.genomics, values=values)
    return replace(changed, genomics=genomics, slides=SlideBags(features, data.slides.offsets))


def test_what_is_learned_is_learned_on_training_cases_alone(
    study: StudyData, transforms: FoldTransforms
) -> None:
    others = fit(strange(study, TEST))
    about, arrays = transforms.state()
    same_about, same_arrays = others.state()
    assert about == same_about
    assert arrays.keys() == same_arrays.keys()
    for name, values in arrays.items():
        assert np.array_equal(values, same_arrays[name]), name
    assert_same_features(others.apply(study, TRAIN), transforms.apply(study, TRAIN))


def test_training_cases_do_shape_what_is_learned(study: StudyData, transforms: FoldTransforms) -> None:
    _, arrays = transforms.state()
    about, others = fit(strange(study, TRAIN[:10])).state()
    assert "elsewhere" in about["sites"]
    for part in ("genes", "slides", "document"):
        assert any(
            values.shape != others[name].shape or not np.array_equal(values, others[name])
            for name, values in arrays.items()
            if name.startswith(f"{part}.")
        ), part


def test_each_case_is_made_by_itself(study: StudyData, transforms: FoldTransforms) -> None:
    """Of a subset, in another order, the features are those of the whole."""
    whole, some = transforms.apply(study, (*TRAIN, *TEST)), (57, 3, 41, 12, 30)
    part = transforms.apply(study, some)
    for place, row in enumerate(some):
        for name, tokens in part.tokens.items():
            values, kind = case_tokens(tokens, place)
            expected, same_kind = case_tokens(whole.tokens[name], row)
            assert torch.equal(values, expected), f"{name} of row {row}"
            assert kind == same_kind
        for name, view in part.views.items():
            np.testing.assert_allclose(
                view.values[place], whole.views[name].values[row], rtol=1e-9, atol=1e-12, err_msg=name
            )
            assert view.present[place] == whole.views[name].present[row]


def test_what_is_stored_gives_the_same_features(study: StudyData, transforms: FoldTransforms) -> None:
    restored = FoldTransforms.from_state(*transforms.state())
    assert_same_features(restored.apply(study, TEST), transforms.apply(study, TEST))


def test_presence_is_what_the_study_has(study: StudyData, transforms: FoldTransforms) -> None:
    made = transforms.apply(study, TEST)
    reports = [study.reports[row] is not None for row in TEST]
    assert study.genomics is not None
    assert study.slides is not None
    genes = [study.cohort.ids[row] in study.genomics.case_ids for row in TEST]
    slides = study.slides.present[list(TEST)].tolist()
    for name, expected in (("report", reports), ("genes", genes)):
        assert made.tokens[name].case_present.tolist() == expected
        assert made.views[name].present.tolist() == expected
        assert not all(expected), f"everyone has {name}: nothing was tested"
    assert made.views["slides"].present.tolist() == slides
    assert made.views["covariates"].present.all()
    stage = [study.cohort.cases[row].covariates["stage"] is not None for row in TEST]
    assert made.tokens["covariates"].present[:, -1].tolist() == stage


def test_every_statement_is_a_token_with_its_kind_and_its_value(
    study: StudyData, transforms: FoldTransforms
) -> None:
    made = transforms.apply(study, TEST)
    grades = [
        float(one.value)
        for row in TRAIN
        if (report := study.reports[row]) is not None
        for one in report.statements
        if one.kind == "grade" and one.value is not None
    ]
    place = next(k for k, row in enumerate(TEST) if study.reports[row] is not None)
    report = study.reports[TEST[place]]
    assert report is not None
    values, kind = case_tokens(made.tokens["report"], place)
    assert kind is not None
    assert [STATEMENT_KINDS[one] for one in kind] == [
        *(statement.kind for statement in report.statements),
        WHOLE_REPORT,
    ]
    stated = report.statements[0]
    assert stated.kind == "grade"
    assert stated.value is not None
    expected = (float(stated.value) - np.mean(grades)) / np.std(grades)
    assert values[0, -2].item() == pytest.approx(expected, rel=1e-5)
    assert values[0, -1].item() == 1, "it has a value"
    sentence = kind.index(STATEMENT_KINDS.index(SENTENCE))
    assert values[sentence, -2:].tolist() == [0, 0], "a sentence has none"


def test_without_sentences_or_whole_report_only_fields_are_tokens(study: StudyData) -> None:
    made = fit(study, config=FEATURES.model_copy(update={"sentences": False, "whole_report": False}))
    tokens = made.apply(study, TEST).tokens["report"]
    assert tokens.kind is not None
    kinds = {STATEMENT_KINDS[one] for one in tokens.kind[tokens.present].tolist()}
    assert kinds == {"grade", "tumor_size_cm", "necrosis"}


def test_two_statements_that_say_the_same_have_the_same_features(transforms: FoldTransforms) -> None:
    said = Statement(kind="grade", text="Tumour grade: G3", value="3")
    report = RefinedReport(statements=(said, said), text="Grade 3. Grade 3.", masked={})
    tokens = transforms.report_part([report]).tokens
    assert torch.equal(tokens.values[0, 0], tokens.values[0, 1])


def test_background_is_the_same_for_all_cases_of_a_cancer_type(study: StudyData) -> None:
    other = background().model_copy(update={"code": "LUAD", "slides": None, "genes": background().genes})
    cases = {row: replace(study.cohort.cases[row], cancer_type="LUAD") for row in range(0, 60, 2)}
    two = replace(study.with_cases(cases), background={"KIRC": background(), "LUAD": other})
    made = Reader(fit(two).apply(two, TEST), ("report", "background")).batch(TEST)
    slides, genes = made.background["slides"], made.background["genes"]
    kidney, lung = (
        [k for k, row in enumerate(TEST) if row % 2],
        [k for k, row in enumerate(TEST) if not row % 2],
    )
    assert torch.equal(genes.values[kidney[0]], genes.values[kidney[-1]])
    assert slides.present[kidney].all()
    assert not slides.present[lung].any(), "a type without statements on slides has none"
    assert slides.present.shape[1] == 2
    assert genes.present.sum(dim=1).tolist() == [3] * len(TEST)
    assert genes.kind is not None
    assert len(set(genes.kind[0].tolist())) == 2, "high and low risk are told apart"


def test_a_study_without_reports_can_still_ask_with_its_background(study: StudyData) -> None:
    bare = replace(study, reports=(None,) * 60)
    made = fit(bare).apply(bare, TEST)
    assert "report" not in made.tokens
    assert "report" not in made.views
    assert made.background["genes"].present.any()
    assert made.inputs(("background", "genes")).text > 0
    assert made.background["genes"].values.abs().sum() > 0


@pytest.mark.parametrize("without", ["reports", "genomics", "slides", "covariates", "background"])
def test_a_study_may_lack_any_modality(study: StudyData, without: str) -> None:
    bare = {
        "reports": replace(study, reports=(None,) * 60),
        "genomics": replace(study, genomics=None, groups=None),
        "slides": replace(study, slides=None),
        "covariates": replace(study, cohort=replace(study.cohort, covariates=())),
        "background": replace(study, background={}),
    }[without]
    transforms = fit(bare)
    made = transforms.apply(bare, TEST)
    name = {"reports": "report", "genomics": "genes"}.get(without, without)
    assert name not in made.tokens
    assert name not in made.views
    again = FoldTransforms.from_state(*transforms.state()).apply(bare, TEST)
    for view in made.views:
        assert np.array_equal(again.views[view].values, made.views[view].values)


def test_genomics_in_which_nothing_varies_gives_no_component(study: StudyData) -> None:
    assert study.genomics is not None
    flat = replace(study, genomics=replace(study.genomics, values=np.ones_like(study.genomics.values)))
    transforms = fit(flat)
    made = transforms.apply(flat, TEST)
    assert made.views["genes"].values.shape == (len(TEST), 0)
    assert not made.tokens["genes"].present.any()
    again = FoldTransforms.from_state(*transforms.state()).apply(flat, TEST)
    assert again.views["genes"].values.shape == (len(TEST), 0)
    cohort = study.cohort
    stack, _ = Stack.fit(
        {"genes": transforms.apply(flat, TRAIN).views["genes"]},
        cohort.months[list(TRAIN)],
        cohort.event[list(TRAIN)],
        seed=0,
    )
    assert not stack.log_risk({"genes": made.views["genes"]}).any()


def test_the_linear_views_carry_what_was_planted(study: StudyData, transforms: FoldTransforms) -> None:
    """Columns of each view are as many as asked for, and sites are told apart."""
    views = transforms.apply(study, TRAIN).views
    assert views["genes"].values.shape[1] == FEATURES.gene_components
    assert views["slides"].values.shape[1] == FEATURES.slide_components
    assert views["age+sex"].values.shape[1] == 2
    assert (views["site"].values.sum(axis=1) == 1).all()


def test_a_site_that_training_did_not_have_is_no_site(study: StudyData, transforms: FoldTransforms) -> None:
    moved = replace(study.cohort.cases[50], site="elsewhere")
    view = transforms.apply(study.with_cases({50: moved}), (50,)).views["site"]
    assert not view.values.any()


def test_slides_are_brought_to_the_training_cases_scale(study: StudyData, transforms: FoldTransforms) -> None:
    assert transforms.slides is not None
    assert study.slides is not None
    bags = [transforms.slides(study.slides.bag(row)) for row in TRAIN]
    patches = np.concatenate(bags)
    np.testing.assert_allclose(patches.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(patches.std(axis=0), 1, atol=1e-5)


def test_a_missing_or_wild_patch_value_is_tamed() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, size=(40, 2)).astype(np.float32)
    slides = SlideBags(values, np.array([0, 20, 40]))
    scaler = SlideScaler.fit(slides, (0, 1), 2)
    made = scaler(np.array([[np.nan, 1e9], [-1e9, 3.0]], dtype=np.float32))
    assert made[0, 0] == 0, "missing is the mean"
    assert np.isfinite(made).all()
    assert np.abs(made).max() < 20


def test_a_constant_patch_feature_is_no_division_by_zero() -> None:
    values = np.ones((30, 2), dtype=np.float32)
    values[:, 1] = np.arange(30)
    scaler = SlideScaler.fit(SlideBags(values, np.array([0, 10, 20, 30])), (0, 1, 2), 2)
    assert (scaler(values)[:, 0] == 0).all()


def test_a_feature_that_training_never_measured_weighs_nothing() -> None:
    values = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    values[:20, 1] = np.nan
    scaler = SlideScaler.fit(SlideBags(values, np.array([0, 10, 20, 30])), (0, 1), 2)
    assert (scaler(values[:20])[:, 1] == 0).all()
    assert np.isfinite(scaler(values)).all()


def test_training_cases_without_any_slide_teach_nothing_and_break_nothing() -> None:
    slides = SlideBags(np.ones((4, 3), dtype=np.float32), np.array([0, 0, 0, 4]))
    scaler = SlideScaler.fit(slides, (0, 1), 2)
    assert np.isfinite(scaler.pooled(slides, 2)).all()


# --- batches ---------------------------------------------------------------------------------


def test_a_batch_has_the_rows_asked_for_in_their_order(study: StudyData, transforms: FoldTransforms) -> None:
    made = transforms.apply(study, (*TRAIN, *TEST))
    offset = torch.arange(60.0)
    reader = Reader(made, ("report", "genes", "slides", "covariates", "background"), offset)
    whole, some = reader.batch(range(60)), reader.batch([55, 2, 17])
    assert some.offset is not None
    assert some.offset.tolist() == [55, 2, 17]
    for name in ("genes", "covariates", "report"):
        assert torch.equal(some.tokens[name].values, whole.tokens[name].values[[55, 2, 17]])
    for place, row in enumerate([55, 2, 17]):
        values, _ = case_tokens(some.bags["slides"].tokens(), place)
        expected, _ = case_tokens(whole.bags["slides"].tokens(), row)
        assert torch.equal(values, expected)


def test_a_reader_gives_only_the_inputs_that_a_model_may_see(
    study: StudyData, transforms: FoldTransforms
) -> None:
    made = transforms.apply(study, TEST)
    batch = Reader(made, ("genes",)).batch(TEST)
    assert list(batch.tokens) == ["genes"]
    assert batch.background == {}
    assert batch.offset is None
    inputs = made.inputs(("genes",))
    assert inputs.gene_groups == len(GROUPS)
    assert (inputs.slide_features, inputs.covariates, inputs.statement_kinds) == (0, 0, 0)


def test_patches_are_drawn_without_replacement_and_anew(study: StudyData, transforms: FoldTransforms) -> None:
    reader = Reader(transforms.apply(study, TEST), ("slides",))
    whole = reader.batch(TEST).bags["slides"].tokens()
    draws = [reader.batch(TEST, 3, epoch).bags["slides"].tokens() for epoch in range(4)]
    for draw in draws:
        assert draw.present.sum(dim=1).max() == 3
        for case in range(len(TEST)):
            patches = {tuple(patch) for patch in case_tokens(draw, case)[0].tolist()}
            assert len(patches) == min(3, int(whole.present[case].sum()))
            assert patches <= {tuple(patch) for patch in case_tokens(whole, case)[0].tolist()}
    assert not all(torch.equal(draws[0].values, draw.values) for draw in draws[1:])
    again = reader.batch(TEST, 3, 0).bags["slides"].tokens()
    assert torch.equal(again.values, draws[0].values)
