"""Which models can be compared on which inputs, and what is said of the others."""

from __future__ import annotations

import pytest

from kemm.core.errors import UsageError
from kemm.model.baselines import BASELINES
from kemm.model.kemm import ModelConfig
from kemm.training import catalogue as module
from kemm.training.ablations import ablations, modality_subsets
from kemm.training.catalogue import Catalogue, catalogue
from kemm.training.comparators import CLINICAL, KAPLAN_MEIER, ComparatorsConfig
from kemm.training.variants import VARIANTS

EVERYTHING = ("covariates", "age+sex", "report", "background", "genes", "slides", "site")
WITHOUT_SLIDES = tuple(one for one in EVERYTHING if one != "slides")


def known(available: tuple[str, ...] = EVERYTHING, **model: object) -> Catalogue:
    return catalogue(available, ModelConfig.model_validate(model), ComparatorsConfig())


def test_every_network_of_the_field_can_be_asked_for() -> None:
    names = {spec.name for spec in known().specs}
    for (
        wanted
    ) in "abmil transmil clam snn porpoise mcat motcat cmta survpath mmp panther concatenation".split():
        assert wanted in names
    assert {spec.name for spec in known().specs if spec.role == "baseline"} == set(BASELINES)
    assert known().missing == {}


def test_the_main_model_is_last_and_no_name_stands_twice() -> None:
    for available in (EVERYTHING, WITHOUT_SLIDES, ("covariates",), ("report", "background"), ("genes",)):
        names = [spec.name for spec in known(available).specs]
        assert len(set(names)) == len(names)
        assert known(available).main.role == "kemm"


def test_no_model_is_given_what_the_study_does_not_have() -> None:
    found = known(WITHOUT_SLIDES)
    assert all("slides" not in spec.inputs for spec in found.specs)
    assert found.missing["abmil"] == "it needs slides, and the study has no slides"
    assert (
        known(("covariates",)).missing["mcat"]
        == "it needs slides and genes, and the study has no slides and no genes"
    )
    assert "snn" in {spec.name for spec in found.specs}


def test_the_clinical_model_and_kemm_are_always_among_the_chosen() -> None:
    chosen = [spec.name for spec in known().choose(["ABMIL", "rsf"])]
    assert chosen == [KAPLAN_MEIER, CLINICAL, "forest-all", "abmil", "kemm+clinical"]


def test_kemm_stands_for_both() -> None:
    assert [spec.name for spec in known().choose(["kemm", "clinical-cox"])] == [
        KAPLAN_MEIER,
        CLINICAL,
        "kemm",
        "kemm+clinical",
    ]


def test_forests_are_trained_only_when_asked_for() -> None:
    assert not any(name.startswith("forest") for name in known().usual)
    assert any(name.startswith("boosting") for name in known().usual)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"there is no model called 'transmill': did you mean 'transmil'\?"):
        known().choose(["transmill"])


def test_a_model_the_study_cannot_train_is_refused_by_name() -> None:
    with pytest.raises(
        UsageError, match="mcat cannot be compared: it needs slides and genes, and the study has no slides"
    ):
        known(WITHOUT_SLIDES).choose(["mcat"])


def test_trees_without_their_optional_part_are_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_installed", lambda method: method in ("ridge", "elastic-net"))
    found = known()
    assert "boosting-all" not in {spec.name for spec in found.specs}
    assert "pip install 'kemm[trees]'" in found.missing["boosting-all"]


# --- ablations --------------------------------------------------------------------------------


def parts(available: tuple[str, ...] = EVERYTHING, **model: object) -> dict[str, str]:
    found = known(available, **model)
    others = [spec for spec in found.specs[:-1] if spec.network == "kemm"]
    return {
        one.change: one.spec.name for one in ablations(found.main, others, ModelConfig.model_validate(model))
    }


def test_every_part_of_kemm_is_taken_away_once() -> None:
    assert parts() == {
        "without the report": "without-report",
        "without background knowledge": "without-background",
        "without slides": "without-slides",
        "without genes": "without-genes",
        "without covariates": "kemm",
        **{variant.change: variant.name for variant in VARIANTS.values()},
        "learned queries in place of knowledge": "learned-queries",
        "gated pooling in place of KECM": "gated-pooling",
        "attention both ways": "two-way",
        "without the linear offset": "offset-none",
        "beyond the covariates alone": "offset-clinical",
    }


def test_what_a_study_does_not_have_cannot_be_taken_away() -> None:
    found = parts(("report", "background", "genes"))
    assert "without slides" not in found
    assert "beyond the covariates alone" not in found
    assert set(parts(("covariates",))) == {"without the linear offset"}


def test_an_ablation_differs_from_the_main_model_in_one_thing() -> None:
    found, model = known(), ModelConfig()
    for one in ablations(found.main, (), model):
        changes = [
            set(one.spec.inputs) != set(found.main.inputs),
            one.spec.model is not None and one.spec.model != model,
            one.variant is not None,
        ]
        assert sum(changes) == 1, one.change


def test_a_network_whose_attention_goes_both_ways_is_ablated_to_one() -> None:
    assert parts(two_way=True)["attention one way"] == "one-way"


def test_every_set_of_modalities_but_all_is_there_once() -> None:
    found = known()
    others = [spec for spec in found.specs[:-1] if spec.network == "kemm"]
    subsets = modality_subsets(found.main, others, ModelConfig())
    assert len(subsets) == 2**4 - 2
    assert len({one.change for one in subsets}) == len({one.spec.name for one in subsets}) == 14
    for one in subsets:
        kept = set(one.change.split(", "))
        assert set(one.spec.inputs) - {"background"} == kept
        assert ("background" in one.spec.inputs) == bool(kept & {"genes", "slides"})


def test_a_network_that_is_trained_anyway_is_not_trained_again() -> None:
    found = known()
    kemm = next(spec for spec in found.specs if spec.name == "kemm")
    subsets = {one.change: one.spec for one in modality_subsets(found.main, [kemm], ModelConfig())}
    assert subsets["report, genes, slides"] is kemm
