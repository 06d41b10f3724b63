"""Which models a study's inputs allow, and what each may see."""

from itertools import combinations

import pytest

from kemm.model.kemm import ModelConfig
from kemm.training.comparators import CLINICAL, KAPLAN_MEIER, ComparatorsConfig, ModelSpec, models_of

EVERYTHING = ("covariates", "age+sex", "report", "background", "genes", "slides", "site")


def models(
    available: tuple[str, ...] = EVERYTHING, *, without_covariates: bool = True, **model: object
) -> dict[str, ModelSpec]:
    found = models_of(
        available, ModelConfig(**model), ComparatorsConfig(without_covariates=without_covariates)
    )
    return {spec.name: spec for spec in found}


def test_with_every_input_every_comparator_stands_beside_kemm() -> None:
    assert list(models()) == [
        KAPLAN_MEIER,
        "site",
        "age+sex",
        CLINICAL,
        "report",
        "genes",
        "slides",
        "clinical+report",
        "linear",
        "kemm",
        "kemm+clinical",
    ]


SUBSETS = [
    names
    for size in range(1, 6)
    for names in combinations(("covariates", "report", "genes", "slides", "background"), size)
    if names != ("background",)
]


@pytest.mark.parametrize("available", SUBSETS, ids="+".join)
def test_no_model_sees_what_the_study_does_not_have_and_the_main_one_sees_all(
    available: tuple[str, ...],
) -> None:
    found = list(models(available).values())
    for spec in found:
        assert set(spec.inputs) <= set(available), spec.name
    main = found[-1]
    assert main.is_network
    assert set(main.inputs) == set(available)
    assert len({spec.name for spec in found}) == len(found)


@pytest.mark.parametrize("available", SUBSETS, ids="+".join)
def test_no_two_comparators_are_the_same_model(available: tuple[str, ...]) -> None:
    comparators = [
        spec for spec in models(available).values() if not spec.is_network and spec.name != "age+sex"
    ]
    assert len({spec.views for spec in comparators}) == len(comparators)


def test_a_network_stands_on_the_same_inputs_as_its_offset() -> None:
    for name in ("kemm", "kemm+clinical"):
        spec = models()[name]
        seen = {"fields": "report"}
        assert {seen.get(view, view) for view in spec.views} == set(spec.inputs) - {"background"}
    assert "covariates" not in models()["kemm"].inputs


def test_the_offset_is_a_setting() -> None:
    assert models(offset="none")["kemm+clinical"].views == ()
    assert models(offset="clinical")["kemm+clinical"].views == ("covariates",)
    assert models(offset="clinical")["kemm"].views == ()


def test_knowledge_that_is_switched_off_is_no_input() -> None:
    assert "report" not in models(report=False)["kemm+clinical"].inputs
    assert "background" not in models(background=False)["kemm+clinical"].inputs
    assert "report" in models(report=False)["report"].inputs, "the comparator still reads it"


def test_kemm_without_covariates_can_be_left_out_unless_there_are_none() -> None:
    assert "kemm" not in models(without_covariates=False)
    assert "kemm" in models(("report", "genes"), without_covariates=False)


def test_the_linear_model_of_all_inputs_is_not_shown_twice() -> None:
    assert "linear" not in models(("covariates", "report"))
    assert models(("covariates", "genes"))["linear"].inputs == ("covariates", "genes")
    assert "linear" not in models(("genes",))


def test_controls_are_no_comparators() -> None:
    roles = {name: spec.role for name, spec in models().items()}
    assert {name for name, role in roles.items() if role == "control"} == {KAPLAN_MEIER, "site"}
    assert {name for name, role in roles.items() if role == "kemm"} == {"kemm", "kemm+clinical"}


def test_age_and_sex_need_a_covariate_of_that_name() -> None:
    assert "age+sex" not in models(("covariates", "genes"))
    assert "age+sex" in models(("covariates", "age+sex", "genes"))
