"""What a dry run says, against a count by hand."""

from __future__ import annotations

from asking import question

from kemm.llm import Estimate, LLMConfig, estimate
from kemm.llm.estimate import tokens_of


def test_an_estimate_of_a_hand_counted_run() -> None:
    # 18 characters of instructions and 382 of text are 400, so 100 tokens; twice that is 200.
    items = [
        question("x" * 382, schema=None),
        question("y" * 382, schema=None, max_tokens=500),
        question("known", schema=None),
    ]
    config = LLMConfig(model="m", max_tokens=1000, price_in=2, price_out=10)
    found = estimate(items, config, is_known=lambda one: one.messages[1].content == "known")
    assert found == Estimate(
        questions=2,
        known=1,
        characters=800,
        tokens_in=200,
        tokens_out_most=1500,
        money_most=(200 * 2 + 1500 * 10) / 1e6,
    )
    assert "2 questions with 800 characters (about 200 tokens)" in str(found)
    assert "costs at most 0.02; 1 more are in the journal" in str(found)


def test_without_prices_no_money_is_told() -> None:
    found = estimate([question()], LLMConfig(model="m"))
    assert found.money_most is None
    assert "no prices are set" in str(found)


def test_a_tokenizer_counts_where_there_is_one() -> None:
    class Words:
        def encode(self, text: str) -> list[int]:
            return [0] * len(text.split())

    assert tokens_of(question("three words here"), Words()) == 4 + 3


def test_the_schema_is_sent_too() -> None:
    assert tokens_of(question()) > tokens_of(question(schema=None)) + 20
