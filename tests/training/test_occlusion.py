"""What a prediction stands on: one thing left out at a time, against what is known to be there."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_study import (
    FEATURES,
    GENOMICS,
    GROUPS,
    MODEL,
    TEXT,
    TRAINING,
    crossval,
    refined,
    run_unit,
    small_study,
    spec,
    specs,
)

from kemm.core.files import read_json
from kemm.core.types import Statement
from kemm.modalities.reports import MASK, RefinedReport, verify
from kemm.model.kemm import KEMM, build_kemm
from kemm.training.crossval import Task, read_unit
from kemm.training.dataset import StudyData
from kemm.training.features import SENTENCE, WHOLE_REPORT, CaseFeatures, FoldTransforms
from kemm.training.linear import Stack
from kemm.training.occlusion import Effect, Explained, explain, without_kind

TRAIN, TEST = tuple(range(60)), tuple(range(60, 90))


@pytest.fixture(scope="module")
def study() -> StudyData:
    return small_study(90, seed=4, missing=0.15).data


@pytest.fixture(scope="module")
def transforms(study: StudyData) -> FoldTransforms:
    return FoldTransforms.fit(study, TRAIN, config=FEATURES, text=TEXT, genomics=GENOMICS)


@pytest.fixture(scope="module")
def features(study: StudyData, transforms: FoldTransforms) -> CaseFeatures:
    return transforms.apply(study, (*TRAIN, *TEST))


@pytest.fixture(scope="module")
def stack(study: StudyData, features: CaseFeatures) -> Stack:
    views = {name: features.views[name].take(np.arange(len(TRAIN))) for name in spec("kemm+clinical").views}
    cohort = study.cohort
    return Stack.fit(views, cohort.months[list(TRAIN)], cohort.event[list(TRAIN)], seed=0)[0]


@pytest.fixture(scope="module")
def linear(study: StudyData, transforms: FoldTransforms, features: CaseFeatures, stack: Stack) -> Explained:
    """Of a network that has learned nothing: its log risk is the linear offset, to the last digit."""
    main = spec("kemm+clinical")
    model = build_kemm(
        MODEL.model_copy(update={"head": "cox"}),
        features.inputs(main.inputs),
        torch.tensor([0.0, 50.0, 100.0]),
    )
    return explain(study, transforms, features, main, [(model, stack)], TEST)


def by_case(found: Explained, modality: str) -> dict[str, dict[str, float]]:
    effects: dict[str, dict[str, float]] = defaultdict(dict)
    for effect in found.effects:
        if effect.modality == modality:
            assert effect.name not in effects[effect.case] or modality == "background"
            effects[effect.case][effect.name] = effect.effect
    return effects


# --- leaving out of a linear model is subtraction --------------------------------------------


def test_a_covariates_effect_is_its_term_against_the_training_mean(
    study: StudyData, transforms: FoldTransforms, features: CaseFeatures, stack: Stack, linear: Explained
) -> None:
    effects = by_case(linear, "covariates")
    model, weight = stack.models["covariates"], stack.weights["covariates"] / stack.scales["covariates"]
    slope = dict(zip(transforms.covariates.columns, model.coefficients / model.scale, strict=True))
    columns = transforms.covariates.columns
    for row in TEST:
        design = dict(zip(columns, transforms.covariates.design([study.cohort.cases[row]])[0], strict=True))
        own = effects[study.cohort.ids[row]]
        # Age is standardised, so that its mean is 0; the frequent sex has no column.
        assert own["age"] == pytest.approx(weight * slope["age"] * design["age"], abs=1e-5)
        sex = next(name for name in columns if name.startswith("sex"))
        assert own["sex"] == pytest.approx(weight * slope[sex] * design[sex], abs=1e-5)


def test_covariate_effects_of_a_case_sum_to_the_views_part_against_an_ordinary_patient(
    study: StudyData, transforms: FoldTransforms, features: CaseFeatures, stack: Stack, linear: Explained
) -> None:
    effects = by_case(linear, "covariates")
    ordinary = {
        one.covariate.name: one.levels[0] if one.levels else one.mean for one in transforms.covariates.fitted
    }
    for row in TEST:
        case = study.cohort.cases[row]
        if None in case.covariates.values():
            continue
        view = transforms.apply(
            study.with_cases({row: replace(case, covariates=dict(ordinary))}), (row,)
        ).views["covariates"]
        own = stack.part(
            "covariates", features.views["covariates"].take(np.array([features.position_of[row]]))
        )
        expected = own[0] - stack.part("covariates", view)[0]
        assert sum(effects[case.id].values()) == pytest.approx(expected, abs=1e-5)


def test_the_whole_reports_effect_is_what_its_views_add(
    study: StudyData, features: CaseFeatures, stack: Stack, linear: Explained
) -> None:
    effects = by_case(linear, "report")
    names = [name for name in stack.models if name in ("report", "fields")]
    for row in TEST:
        at = np.array([features.position_of[row]])
        added = sum(stack.part(name, features.views[name].take(at))[0] for name in names)
        if study.reports[row] is None:
            assert study.cohort.ids[row] not in effects
        else:
            assert effects[study.cohort.ids[row]][WHOLE_REPORT] == pytest.approx(added, abs=1e-5)


def test_all_patches_effect_is_what_the_slides_view_adds(
    study: StudyData, features: CaseFeatures, stack: Stack, linear: Explained
) -> None:
    effects = by_case(linear, "slides")
    assert study.slides is not None
    for row in TEST:
        part = stack.part("slides", features.views["slides"].take(np.array([features.position_of[row]])))
        if study.slides.present[row]:
            assert effects[study.cohort.ids[row]]["all patches"] == pytest.approx(part[0], abs=1e-5)
        else:
            assert study.cohort.ids[row] not in effects


def test_gene_groups_without_a_gene_in_common_sum_to_the_genes_view(
    study: StudyData, features: CaseFeatures, stack: Stack, linear: Explained
) -> None:
    """The groups are disjoint and hold every gene, and the view is linear in the genes."""
    effects = by_case(linear, "genes")
    present = features.views["genes"].present
    model = stack.models["genes"]
    nothing = -(model.mean / model.scale) @ model.coefficients  # every gene at its training mean
    weight = stack.weights["genes"] / stack.scales["genes"]
    for row in TEST:
        at = features.position_of[row]
        if not present[at]:
            assert study.cohort.ids[row] not in effects
            continue
        own = stack.part("genes", features.views["genes"].take(np.array([at])))[0]
        assert sum(effects[study.cohort.ids[row]].values()) == pytest.approx(own - weight * nothing, abs=1e-5)


def test_background_has_no_effect_on_a_linear_model(linear: Explained) -> None:
    background = [effect for effect in linear.effects if effect.modality == "background"]
    assert background
    assert all(effect.effect == pytest.approx(0, abs=1e-6) for effect in background)


def test_who_lacks_a_thing_has_no_effect_of_it(study: StudyData, linear: Explained) -> None:
    stage = {effect.case for effect in linear.effects if effect.name == "stage"}
    known = {study.cohort.ids[row] for row in TEST if study.cohort.cases[row].covariates["stage"] is not None}
    assert stage == known
    assert len(known) < len(TEST)


def test_only_cases_asked_for_are_explained(study: StudyData, linear: Explained) -> None:
    asked = {study.cohort.ids[row] for row in TEST}
    assert {effect.case for effect in linear.effects} == asked
    assert set(linear.patches) <= asked
    assert set(linear.looked_at) <= asked


# --- attention -------------------------------------------------------------------------------


def test_looks_are_relative_to_an_even_share(linear: Explained) -> None:
    """Over the keys of a query they average 1: what one group gains another loses."""
    of_query: dict[str, list[float]] = defaultdict(list)
    for look in linear.looks:
        of_query[look.query].append(look.weight)
        assert look.modality == "genes"
        assert look.key in GROUPS
    assert "grade" in of_query
    assert not any(query in (SENTENCE, "") for query in of_query)
    for query, weights in of_query.items():
        assert len(weights) == len(GROUPS)
        assert np.mean(weights) == pytest.approx(1, abs=1e-4), query


def test_the_patches_looked_at_most_are_the_cases_own_and_in_order(
    study: StudyData, linear: Explained
) -> None:
    assert study.slides is not None
    row_of = {case: row for row, case in enumerate(study.cohort.ids)}
    assert set(linear.patches) == {study.cohort.ids[row] for row in TEST if study.slides.present[row]}
    for case, patches in linear.patches.items():
        weights = [weight for _, weight in patches]
        assert weights == sorted(weights, reverse=True)
        assert weights[0] >= 1
        assert len({patch for patch, _ in patches}) == len(patches) <= len(study.slides.bag(row_of[case]))
        assert all(0 <= patch < len(study.slides.bag(row_of[case])) for patch, _ in patches)


def test_attention_of_networks_whose_forecast_does_not_use_it_is_left_out_of_the_mean(
    study: StudyData, transforms: FoldTransforms, features: CaseFeatures, stack: Stack
) -> None:
    main = spec("kemm+clinical")
    members = []
    for seed in range(2):
        torch.manual_seed(seed)
        model = build_kemm(MODEL, features.inputs(main.inputs), torch.tensor([0.0, 50.0, 100.0]))
        model.weights.zero_()
        members.append((model, stack))
    used = members[1][0]

    def weights(of: list[tuple[KEMM, Stack | None]]) -> np.ndarray:
        found = explain(study, transforms, features, main, of, TEST).attention
        return np.concatenate([one.row() for one in found.values()])

    neither = weights(members)
    used.weights[used.branches.index("slides")] = 0.5
    assert (members[0][0].uses("slides"), used.uses("slides"), used.uses("genes")) == (False, True, False)
    np.testing.assert_array_equal(weights(members), weights(members[1:]))
    assert np.abs(weights(members) - neither).max() > 0


def test_a_network_without_weight_is_not_asked_and_has_the_effects_of_its_offset(
    study: StudyData,
    transforms: FoldTransforms,
    features: CaseFeatures,
    stack: Stack,
    linear: Explained,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main = spec("kemm+clinical")
    model = build_kemm(
        MODEL.model_copy(update={"head": "cox"}),
        features.inputs(main.inputs),
        torch.tensor([0.0, 50.0, 100.0]),
    )
    for score in model.scores.values():
        torch.nn.init.normal_(score.weight)
    loud = explain(study, transforms, features, main, [(model, stack)], TEST)
    model.weights.zero_()
    monkeypatch.setattr(model, "branch_scores", lambda batch: pytest.fail("it plays no part"))
    silent = explain(study, transforms, features, main, [(model, stack)], TEST)
    assert silent.effects == linear.effects != loud.effects


@pytest.mark.parametrize("change", [{"queries": "learned"}, {"evidence": "gated"}])
def test_learned_queries_and_gated_pooling_are_not_called_by_the_names_of_statements(
    study: StudyData,
    transforms: FoldTransforms,
    features: CaseFeatures,
    stack: Stack,
    change: dict[str, str],
) -> None:
    main = spec("kemm+clinical")
    config = MODEL.model_copy(update={**change, "head": "cox"})
    model = build_kemm(config, features.inputs(main.inputs), torch.tensor([0.0, 50.0, 100.0]))
    found = explain(study, transforms, features, main, [(model, stack)], TEST)
    assert found.looks == []
    assert not any(found.looked_at.values())
    assert found.patches, "where all of them looked together is still told"


@pytest.mark.parametrize("change", [{}, {"two_way": True}, {"evidence": "gated"}])
def test_attention_to_patches_is_of_each_cases_own_and_adds_up(
    study: StudyData,
    transforms: FoldTransforms,
    features: CaseFeatures,
    stack: Stack,
    change: dict[str, object],
) -> None:
    main = spec("kemm+clinical")
    config = MODEL.model_copy(update=change)
    model = build_kemm(config, features.inputs(main.inputs), torch.tensor([0.0, 50.0, 100.0]))
    found = explain(study, transforms, features, main, [(model, stack)], TEST)
    assert study.slides is not None
    lengths = {study.cohort.ids[row]: len(study.slides.bag(row)) for row in TEST if study.slides.present[row]}
    assert len(set(lengths.values())) > 1
    assert {case: one.weights.shape[1] for case, one in found.attention.items()} == lengths
    for one in found.attention.values():
        assert one.row().mean() == pytest.approx(1, abs=2e-3)


# --- planted effects, through a trained network -----------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyData, list[Effect]]:
    data = small_study(160, seed=12, age=1.0, grade=1.0, genes=1.0, slides=1.0).data
    training = TRAINING.model_copy(update={"epochs": 5, "patience": 5})
    context = crossval(data, tmp_path_factory.mktemp("trained"), models=(specs()[-1],), training=training)
    found = []
    for task in context.tasks():
        run_unit(context, task)
        stored = read_json(read_unit(context, task)[1] / "explained.json")
        found += [Effect(**effect) for effect in stored["effects"]]
    return data, found


def strength(effects: list[Effect], modality: str) -> dict[str, float]:
    found: dict[str, list[float]] = defaultdict(list)
    for effect in effects:
        if effect.modality == modality:
            found[effect.name].append(abs(effect.effect))
    return {name: float(np.mean(values)) for name, values in found.items()}


@pytest.mark.parametrize(
    ("modality", "planted"), [("covariates", "age"), ("report", "grade"), ("genes", "driver")]
)
def test_what_was_planted_has_the_largest_effect_of_its_modality(
    trained: tuple[StudyData, list[Effect]], modality: str, planted: str
) -> None:
    found = strength(trained[1], modality)
    found.pop(WHOLE_REPORT, None)
    assert max(found, key=lambda name: found[name]) == planted, found


def test_planted_effects_have_the_sign_of_what_was_planted(trained: tuple[StudyData, list[Effect]]) -> None:
    data, effects = trained
    row_of = {case: row for row, case in enumerate(data.cohort.ids)}

    def agreement(name: str, planted: dict[str, float]) -> float:
        pairs = [
            (planted[one.case], one.effect) for one in effects if one.name == name and one.case in planted
        ]
        return float(np.corrcoef(np.array(pairs).T)[0, 1])

    assert data.genomics is not None
    assert data.slides is not None
    age = {case: float(str(data.cohort.cases[row].covariates["age"])) for case, row in row_of.items()}
    grade = {
        case: float(report.statements[0].value or 0)
        for case, row in row_of.items()
        if (report := data.reports[row]) is not None
    }
    driver = dict(
        zip(
            data.genomics.case_ids, data.genomics.values[:, : len(GROUPS["driver"])].mean(axis=1), strict=True
        )
    )
    slides = {
        case: float(data.slides.bag(row)[:, 0].mean())
        for case, row in row_of.items()
        if data.slides.present[row]
    }
    for name, planted in (("age", age), ("grade", grade), ("driver", driver), ("all patches", slides)):
        assert agreement(name, {str(case): value for case, value in planted.items()}) > 0.6, name


def test_effects_over_folds_are_of_each_case_once(trained: tuple[StudyData, list[Effect]]) -> None:
    data, effects = trained
    age = [effect.case for effect in effects if effect.name == "age"]
    assert sorted(age) == sorted(data.cohort.ids)


def test_explaining_twice_gives_the_same(trained: tuple[StudyData, list[Effect]], tmp_path: Path) -> None:
    data, effects = trained
    training = TRAINING.model_copy(update={"epochs": 5, "patience": 5})
    context = crossval(data, tmp_path, models=(specs()[-1],), training=training)
    task = Task(1, specs()[-1].name)
    run_unit(context, task)
    again = read_json(read_unit(context, task)[1] / "explained.json")["effects"]
    of_fold = {data.cohort.ids[row] for row in context.fold(1).test}
    assert [Effect(**effect) for effect in again] == [effect for effect in effects if effect.case in of_fold]


# --- a report without one field ---------------------------------------------------------------


def test_without_a_kind_its_statement_is_gone_and_its_quote_is_masked() -> None:
    report = refined(("grade", "3", "Grade 3"), ("necrosis", "present", "Necrosis: present"), filler=["end"])
    less = without_kind(report, "grade")
    assert less is not None
    assert [one.kind for one in less.statements] == ["necrosis"]
    assert less.text == f"{MASK * 7}. Necrosis: present. end"
    assert all(verify(one, less.text) is None for one in less.statements), "the other quotes still stand"
    assert report.text == "Grade 3. Necrosis: present. end", "the original is left as it was"


def test_every_statement_of_a_kind_is_masked() -> None:
    report = refined(
        ("sentence", "", "The vein is free"), ("grade", "2", "Grade 2"), ("sentence", "", "No node")
    )
    less = without_kind(report, "sentence")
    assert less is not None
    assert less.text == f"{MASK * 16}. Grade 2. {MASK * 7}. "


def test_a_statement_without_a_quote_is_dropped_and_masks_nothing() -> None:
    report = RefinedReport(
        statements=(Statement(kind="grade", text="Tumour grade: G1", value="1"),),
        text="Some text.",
        masked={},
    )
    less = without_kind(report, "grade")
    assert less is not None
    assert (less.statements, less.text) == ((), "Some text.")


def test_a_report_that_does_not_state_the_kind_is_unchanged() -> None:
    report = refined(("grade", "3", "Grade 3"))
    assert without_kind(report, "necrosis") == report
    assert without_kind(None, "necrosis") is None


def test_a_field_left_out_is_missed_by_every_reader(study: StudyData, transforms: FoldTransforms) -> None:
    """Statement, value and words: nothing of the features tells what the grade was."""
    low, high = (
        refined(
            ("grade", grade, f"Fuhrman nuclear grade {grade}"),
            ("necrosis", "absent", "Tumour necrosis: absent"),
        )
        for grade in ("1", "4")
    )
    one, other = (transforms.report_part([without_kind(report, "grade")]) for report in (low, high))
    torch.testing.assert_close(one.tokens.values, other.tokens.values)
    for name, view in one.views.items():
        np.testing.assert_array_equal(view.values, other.views[name].values)
