"""The section llm of study.yaml."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kemm.llm import LLMConfig


def test_by_default_nothing_leaves_the_machine_and_nothing_is_fetched() -> None:
    config = LLMConfig(model="m")
    assert config.base_url == "http://localhost:8000/v1"
    assert config.allow_host is None
    assert config.local_files_only
    assert not config.allow_mixture


def test_a_budget_needs_prices() -> None:
    for given in ({}, {"price_in": 1}, {"price_out": 1}):
        with pytest.raises(ValidationError, match="a budget needs price_in and price_out"):
            LLMConfig(model="m", budget=5, **given)


@pytest.mark.parametrize("name", ["api_key", "key", "headers", "temprature"])
def test_a_key_or_a_misspelt_setting_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        LLMConfig(model="m", **{name: "x"})


def test_every_setting_is_explained() -> None:
    assert [
        name for name, field in LLMConfig.model_fields.items() if name != "model" and not field.description
    ] == []


def test_money_of_a_million_tokens() -> None:
    config = LLMConfig(model="m", price_in=2.5, price_out=10)
    assert config.money(1e6, 0) == 2.5
    assert config.money(0, 5e5) == 5
    assert LLMConfig(model="m").money(1e9, 1e9) == 0
