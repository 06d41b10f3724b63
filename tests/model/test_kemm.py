"""The whole network: any modality may be missing, of the study or of a case; cases stay apart."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from small_batches import (
    BACKGROUND,
    EDGES,
    EVERYTHING,
    GROUPS,
    PATCH_FEATURES,
    PATCHES,
    STATEMENTS,
    awake,
    batch,
    changed,
    inputs,
    outcomes,
    settings,
    take,
)
from torch import Tensor, nn

from kemm.model import by_length
from kemm.model.batch import Bags, CaseBatch, Tokens
from kemm.model.kemm import KEMM, ModelConfig, build_kemm, count_parameters
from kemm.model.layers import Adapter

SMALL = {"width": 8, "heads": 2, "learned_queries": 3}
EVERY_SETTING = settings(**SMALL)
BY_NAME = {"argvalues": EVERY_SETTING, "ids": [changed(one) for one in EVERY_SETTING]}


def network(config: ModelConfig, names: tuple[str, ...] = EVERYTHING, seed: int = 0) -> KEMM:
    torch.manual_seed(seed)
    model = build_kemm(config, inputs(names), EDGES)
    return model.eval()


def forecast(model: KEMM, cases: CaseBatch) -> Tensor:
    with torch.no_grad():
        output: Tensor = model(cases).output
    return output


# Every set of inputs a study may have; background alone says nothing of a patient.
STUDIES = [
    names
    for size in range(1, len(EVERYTHING) + 1)
    for names in combinations(EVERYTHING, size)
    if names != ("background",)
]


@pytest.mark.parametrize("names", STUDIES, ids="+".join)
def test_a_study_may_have_any_subset_of_the_inputs(names: tuple[str, ...]) -> None:
    model, cases = awake(network(ModelConfig(**SMALL), names)), batch(3, names)
    said, looks = model(cases), model.looks(cases)
    assert said.output.shape[0] == 3
    assert torch.isfinite(said.output).all()
    assert set(looks) == {"genes", "slides"} & set(names)
    assert len({round(value, 5) for value in model.head.risk(said.output).tolist()}) == 3


@pytest.mark.parametrize("config", **BY_NAME)
def test_a_case_may_lack_any_subset_of_the_modalities(config: ModelConfig) -> None:
    every = [
        lacks
        for size in range(5)
        for lacks in combinations(("report", "genes", "slides", "covariates"), size)
    ]
    model = awake(network(config))
    output = forecast(model, batch(len(every), EVERYTHING, missing=every))
    assert torch.isfinite(output).all()


@pytest.mark.parametrize("config", **BY_NAME)
def test_a_case_with_no_token_at_all_is_forecast_from_its_offset_alone(config: ModelConfig) -> None:
    model = awake(network(config))
    nothing = [EVERYTHING] * 2
    one, other = batch(2, EVERYTHING, seed=1, missing=nothing), batch(2, EVERYTHING, seed=2, missing=nothing)
    same_offset = CaseBatch(other.tokens, other.background, one.offset)
    assert not any(tokens.case_present.any() for tokens in one.tokens.values())
    torch.testing.assert_close(forecast(model, one), forecast(model, same_offset))
    order = model.head.risk(forecast(model, one)).argsort()
    assert one.offset is not None
    assert torch.equal(order, one.offset.argsort())


def test_missing_values_are_not_read() -> None:
    """Whatever stands where a modality is absent, the forecast is the same."""
    model = awake(network(ModelConfig(**SMALL)))
    missing = [("report",), ("genes",), ("slides",), ("covariates",), ("genes", "slides")]
    cases = batch(5, EVERYTHING, missing=missing)
    scribbled = {
        name: Tokens(torch.where(one.present[..., None], one.values, 50.0), one.present, one.kind)
        for name, one in cases.tokens.items()
    }
    torch.testing.assert_close(
        forecast(model, cases), forecast(model, CaseBatch(scribbled, cases.background, cases.offset))
    )


@pytest.mark.parametrize("config", **BY_NAME)
def test_cases_of_a_batch_do_not_influence_one_another(config: ModelConfig) -> None:
    model = awake(network(config))
    cases = batch(4, EVERYTHING, missing=[(), ("report",), ("slides", "genes"), ("covariates",)])
    together = forecast(model, cases)
    alone = torch.cat([forecast(model, take(cases, [case])) for case in range(4)])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)
    backwards = forecast(model, take(cases, [3, 2, 1, 0]))
    torch.testing.assert_close(backwards.flip(0), together, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", **BY_NAME)
def test_padding_of_any_modality_changes_nothing(config: ModelConfig) -> None:
    model, cases = awake(network(config)), batch(3, EVERYTHING, missing=[(), ("report",), ("slides",)])

    def padded(tokens: Tokens) -> Tokens:
        more = (len(tokens.present), 5)
        return Tokens(
            torch.cat([tokens.values, torch.full((*more, tokens.values.shape[2]), 30.0)], dim=1),
            torch.cat([tokens.present, torch.zeros(more, dtype=torch.bool)], dim=1),
            None
            if tokens.kind is None
            else torch.cat([tokens.kind, torch.zeros(more, dtype=torch.long)], dim=1),
        )

    # Gene groups and covariates have encoders of their own, in a fixed order: they are never padded.
    wider = {name: padded(one) if name in ("report", "slides") else one for name, one in cases.tokens.items()}
    background = {name: padded(one) for name, one in cases.background.items()}
    torch.testing.assert_close(
        forecast(model, CaseBatch(wider, background, cases.offset)),
        forecast(model, cases),
        atol=1e-5,
        rtol=1e-5,
    )


@pytest.mark.parametrize("modality", ["report", "genes", "slides", "covariates", "background"])
def test_every_input_moves_the_forecast(modality: str) -> None:
    model, cases = awake(network(ModelConfig(**SMALL))), batch(2, EVERYTHING)

    def shifted(one: Tokens) -> Tokens:
        return Tokens(one.values + torch.linspace(-1, 1, one.values.shape[2]), one.present, one.kind)

    tokens = {name: shifted(one) if name == modality else one for name, one in cases.tokens.items()}
    background = {
        name: shifted(one) if modality == "background" else one for name, one in cases.background.items()
    }
    moved = (forecast(model, CaseBatch(tokens, background, cases.offset)) - forecast(model, cases)).abs()
    assert moved.amax(dim=1).min() > 1e-4


@pytest.mark.parametrize("config", **BY_NAME)
def test_before_training_risks_are_in_the_order_of_the_offset(config: ModelConfig) -> None:
    model, cases = network(config), batch(20, EVERYTHING)
    assert cases.offset is not None
    risk = model.head.risk(forecast(model, cases))
    assert torch.equal(risk.argsort(), cases.offset.argsort())


@pytest.mark.parametrize("config", **BY_NAME)
def test_before_training_without_an_offset_everyone_has_the_same_forecast(config: ModelConfig) -> None:
    model, cases = network(config), batch(5, EVERYTHING)
    output = forecast(model, CaseBatch(cases.tokens, cases.background))
    torch.testing.assert_close(output, output[:1].expand_as(output))


@pytest.mark.parametrize("config", **BY_NAME)
def test_a_saved_network_loaded_into_another_forecasts_the_same(config: ModelConfig) -> None:
    model, other = awake(network(config)), network(config, seed=9)
    cases = batch(3, EVERYTHING)
    assert not torch.equal(forecast(model, cases), forecast(other, cases))
    other.load_state_dict(model.state_dict())
    assert torch.equal(forecast(other, cases), forecast(model, cases))


@pytest.mark.parametrize("config", **BY_NAME)
def test_gradients_reach_every_parameter(config: ModelConfig) -> None:
    assert without_gradient(config, EVERYTHING) == []


@pytest.mark.parametrize("names", STUDIES, ids="+".join)
def test_no_parameter_is_idle_whatever_a_study_has(names: tuple[str, ...]) -> None:
    assert without_gradient(ModelConfig(**SMALL), names) == []


def without_gradient(config: ModelConfig, names: tuple[str, ...]) -> list[str]:
    model, cases = awake(network(config, names)), batch(12, names)
    months, event = outcomes(12)
    model.head.loss(model(cases).output, months, event).backward()
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not torch.isfinite(parameter.grad).all() or not parameter.grad.any()
    ]


def test_attention_has_a_query_for_each_statement_then_each_of_the_background() -> None:
    looks = network(ModelConfig(**SMALL)).looks(batch(2, EVERYTHING))
    assert torch.stack(list(looks["genes"])).shape == (2, STATEMENTS + BACKGROUND, GROUPS)
    slides = torch.stack(list(looks["slides"]))
    assert slides.shape == (2, STATEMENTS + BACKGROUND, PATCHES)
    torch.testing.assert_close(slides.sum(dim=2), torch.ones(2, STATEMENTS + BACKGROUND))


@pytest.mark.parametrize(
    ("config", "queries"),
    [
        (ModelConfig(**SMALL, report=False), BACKGROUND),
        (ModelConfig(**SMALL, background=False), STATEMENTS),
        (ModelConfig(**SMALL, report=False, background=False), SMALL["learned_queries"]),
        (ModelConfig(**SMALL, queries="learned"), SMALL["learned_queries"]),
    ],
    ids=["background only", "report only", "neither", "learned"],
)
def test_who_asks_is_a_setting(config: ModelConfig, queries: int) -> None:
    looks = network(config).looks(batch(2, EVERYTHING))
    assert torch.stack(list(looks["slides"])).shape == (2, queries, PATCHES)


def in_bags(cases: CaseBatch) -> CaseBatch:
    """The same cases, their patches end to end at another scale and place, with what brings them back."""
    slides = cases.tokens["slides"]
    mean, scale = torch.linspace(-1, 1, PATCH_FEATURES), torch.linspace(0.5, 2, PATCH_FEATURES)
    bags = Bags(
        tuple(
            values[present] * scale + mean
            for values, present in zip(slides.values, slides.present, strict=True)
        ),
        mean[None],
        scale[None],
    )
    others = {name: one for name, one in cases.tokens.items() if name != "slides"}
    return CaseBatch(others, cases.background, cases.offset, {"slides": bags})


@pytest.mark.parametrize("change", [{"two_way": True}, {"evidence": "gated"}])
def test_patches_that_are_padded_are_predicted_in_groups_of_a_length(
    change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = awake(network(ModelConfig(**SMALL).model_copy(update=change)))
    cases = batch(4, EVERYTHING, missing=[(), ("slides",), ("report",), ("slides", "genes")])
    cases.tokens["slides"].present[0, 2:] = False
    at_once = forecast(model, in_bags(cases))
    padded_to, of_bags = [], Adapter.of_bags

    def padded(adapter: Adapter, bags: Bags) -> Tokens:
        padded_to.append(max(bags.lengths))
        return of_bags(adapter, bags)

    monkeypatch.setattr(by_length, "CASES_OF_A_LENGTH", 2)
    monkeypatch.setattr(Adapter, "of_bags", padded)
    torch.testing.assert_close(forecast(model, in_bags(cases)), at_once, atol=1e-5, rtol=1e-5)
    assert padded_to == [0, PATCHES]


@pytest.mark.parametrize("config", **BY_NAME)
def test_bags_of_patches_say_what_padded_patches_say(config: ModelConfig) -> None:
    model = awake(network(config))
    cases = batch(4, EVERYTHING, missing=[(), ("slides",), ("report",), ("slides", "genes")])
    cases.tokens["slides"].present[0, 3:] = False
    torch.testing.assert_close(forecast(model, cases), forecast(model, in_bags(cases)), atol=1e-5, rtol=1e-5)
    padded, packed = model.looks(cases)["slides"], model.looks(in_bags(cases))["slides"]
    for case, present in enumerate(cases.tokens["slides"].present):
        torch.testing.assert_close(padded[case][:, present], packed[case], atol=1e-5, rtol=1e-5)


def test_dropout_takes_the_same_features_from_all_patches_of_a_case() -> None:
    model = awake(network(ModelConfig(**SMALL, input_dropout=0.5))).train()
    adapter = model.adapters["slides"]
    assert isinstance(adapter, Adapter)
    kept = adapter.kept(50)
    assert kept is not None
    assert kept.shape == (50, PATCH_FEATURES)
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert model.eval().adapters["slides"].kept(3) is None


@pytest.mark.parametrize("linear", [False, True])
def test_bags_as_tokens_are_what_the_adapter_makes_of_them_under_one_dropout_a_case(linear: bool) -> None:
    torch.manual_seed(0)
    adapter = Adapter(PATCH_FEATURES, 8, 0.5, linear=linear)
    cases = batch(3, EVERYTHING, missing=[(), ("slides",), ()])
    cases.tokens["slides"].present[0, 2:] = False
    bags, tokens = in_bags(cases).bags["slides"], cases.tokens["slides"]
    plain = adapter.eval().of_bags(bags)
    assert torch.equal(plain.present, tokens.present)
    torch.testing.assert_close(
        plain.values[plain.present], adapter(tokens).values[tokens.present], atol=1e-5, rtol=1e-5
    )

    def dropped(some: Bags) -> Tokens:
        torch.manual_seed(7)
        return adapter.train().of_bags(some)

    torch.manual_seed(7)
    kept = adapter.train().kept(3)
    assert kept is not None
    expected = adapter.eval()(Tokens(tokens.values * kept[:, None], tokens.present)).values
    found = dropped(bags)
    torch.testing.assert_close(found.values[found.present], expected[tokens.present], atol=1e-5, rtol=1e-5)
    # The largest bag, of the last case, is cut: the first case is padded less, and is the same.
    shorter = dropped(replace(bags, patches=(*bags.patches[:2], bags.patches[2][:3])))
    assert shorter.values.shape[1] < found.values.shape[1]
    torch.testing.assert_close(shorter.values[0, :2], found.values[0, :2])


GATED = ModelConfig(**SMALL, evidence="gated")


def test_gated_evidence_is_one_token_a_modality_and_nobody_asks_for_it() -> None:
    model = awake(network(GATED))
    cases = batch(3, EVERYTHING, missing=[(), ("slides",), ("report",)])
    sources = model.sources(cases)
    assert list(sources) == ["slides", "genes", "report", "covariates"]
    assert [sources[name].present.tolist() for name in ("slides", "genes")] == [
        [[True], [False], [True]],
        [[True], [True], [True]],
    ]
    looks = model.looks(cases)
    assert [one.shape for one in looks["slides"]] == [(1, PATCHES)] * 3
    assert [round(one.sum().item(), 5) for one in looks["slides"]] == [1, 0, 1]
    assert len(model.knowledge("slides", model._adapted(cases), cases)) == 0
    assert model.own("slides", sources["slides"], cases) is sources["slides"]
    assert not model.has_named_queries("slides")
    assert network(ModelConfig(**SMALL)).has_named_queries("slides")
    assert not network(ModelConfig(**SMALL, queries="learned")).has_named_queries("slides")


@pytest.mark.parametrize("change", [{"two_way": True}, {"queries": "learned"}, {"background": False}])
def test_where_nobody_asks_it_does_not_matter_who_would(change: dict[str, object]) -> None:
    model, other = network(GATED), network(GATED.model_copy(update=change))
    assert {name: one.shape for name, one in model.state_dict().items()} == {
        name: one.shape for name, one in other.state_dict().items()
    }
    assert not any(
        name.startswith(("learned", "answer", "adapters.background")) for name in model.state_dict()
    )


@pytest.mark.parametrize("names", STUDIES, ids="+".join)
def test_no_parameter_is_idle_where_nobody_asks(names: tuple[str, ...]) -> None:
    assert without_gradient(GATED, names) == []


def test_statements_say_nothing_about_where_gated_pooling_looks() -> None:
    model, cases = awake(network(GATED)), batch(2, EVERYTHING)
    other = batch(2, EVERYTHING, seed=8)
    swapped = CaseBatch({**cases.tokens, "report": other.tokens["report"]}, other.background, cases.offset)
    for modality in ("slides", "genes"):
        assert torch.equal(model.sources(cases)[modality].values, model.sources(swapped)[modality].values)


def test_a_report_that_is_not_used_changes_nothing() -> None:
    model = awake(network(ModelConfig(**SMALL, report=False)))
    cases = batch(3, EVERYTHING)
    without = CaseBatch(
        {name: one for name, one in cases.tokens.items() if name != "report"}, cases.background, cases.offset
    )
    assert torch.equal(forecast(model, cases), forecast(model, without))


def test_background_that_is_not_used_changes_nothing() -> None:
    model = awake(network(ModelConfig(**SMALL, background=False)))
    cases = batch(3, EVERYTHING)
    assert torch.equal(forecast(model, cases), forecast(model, CaseBatch(cases.tokens, {}, cases.offset)))


def test_the_order_of_patches_means_nothing() -> None:
    model, cases = awake(network(ModelConfig(**SMALL))), batch(2, EVERYTHING)
    order = torch.randperm(PATCHES, generator=torch.Generator().manual_seed(1))
    slides = cases.tokens["slides"]
    shuffled = {**cases.tokens, "slides": Tokens(slides.values[:, order], slides.present[:, order])}
    torch.testing.assert_close(
        forecast(model, CaseBatch(shuffled, cases.background, cases.offset)),
        forecast(model, cases),
        atol=1e-5,
        rtol=1e-5,
    )


def test_gene_groups_are_not_interchangeable() -> None:
    model, cases = awake(network(ModelConfig(**SMALL))), batch(2, EVERYTHING)
    genes = cases.tokens["genes"]
    swapped = {**cases.tokens, "genes": Tokens(genes.values.flip(1), genes.present)}
    moved = forecast(model, CaseBatch(swapped, cases.background, cases.offset)) - forecast(model, cases)
    assert moved.abs().max() > 1e-3


def test_the_same_seed_builds_the_same_network() -> None:
    one, same, other = (network(ModelConfig(**SMALL), seed=seed) for seed in (4, 4, 5))
    state, again = one.state_dict(), same.state_dict()
    assert all(torch.equal(state[name], again[name]) for name in state)
    assert any(not torch.equal(state[name], value) for name, value in other.state_dict().items())


def test_only_what_is_trained_is_counted() -> None:
    layers = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))
    assert count_parameters(layers) == 3 * 4 + 4 + 4 * 2
    layers[0].requires_grad_(False)
    assert count_parameters(layers) == 4 * 2
