"""A model in this process: tiny, with random weights, and yet its JSON is JSON by construction."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from asking import question

from kemm.core.errors import PolicyError, ServiceError, UsageError
from kemm.llm import Answer, Client, Journal, LLMConfig, NotTaken, Question, ask_structured, make_backend
from tiny_model import saved_model

TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "grade": {"enum": ["1", "2", "3", None]},
        "invaded": {"type": "boolean"},
        "quote": {"type": "string", "maxLength": 12},
    },
    "required": ["grade", "invaded", "quote"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("model"), template=TEMPLATE)


def settings(folder: Path, **more: Any) -> LLMConfig:
    return LLMConfig(**{"backend": "transformers", "model": str(folder), "max_tokens": 120, **more})


def answered(config: LLMConfig, *questions: Question) -> list[Answer]:
    async def run() -> list[Answer]:
        backend = make_backend(config)
        try:
            return [await backend.ask(one) for one in questions]
        finally:
            await backend.close()

    return asyncio.run(run())


def closed(text: str = "Grade 2.") -> Question:
    return question(text, schema=CLOSED)


def valid(text: str) -> bool:
    data = json.loads(text)
    return (
        list(data) == ["grade", "invaded", "quote"]
        and data["grade"] in ("1", "2", "3", None)
        and isinstance(data["invaded"], bool)
        and len(data["quote"]) <= 12
    )


@pytest.mark.parametrize("more", [{}, {"temperature": 1.5, "seed": 1}, {"temperature": None}])
def test_random_weights_give_valid_json(more: dict[str, Any], model: Path) -> None:
    answers = answered(settings(model, **more), *(closed(f"Report {number}.") for number in range(4)))
    assert [valid(answer.text) for answer in answers] == [True] * 4
    assert {answer.finish_reason for answer in answers} == {"stop"}
    assert {answer.mode for answer in answers} == {"json_schema"}
    assert all(answer.tokens_in and answer.tokens_out and answer.tokens_out <= 120 for answer in answers)


def test_any_of_several_end_tokens_ends_an_answer(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "model")
    generation = folder / "generation_config.json"
    told = json.loads(generation.read_text())
    # Chat models end a turn with a token of their own, which is not the tokenizer's.
    generation.write_text(json.dumps({**told, "eos_token_id": [0, 5], "repetition_penalty": 5.0}))
    (answer,) = answered(settings(folder), closed("broken \udc00 text"))
    assert valid(answer.text)
    assert answer.finish_reason == "stop"


def test_without_the_grammar_random_weights_give_none(model: Path) -> None:
    (answer,) = answered(settings(model, structured="text"), closed())
    with pytest.raises(ValueError, match=r"Expecting|Extra|Unterminated|Invalid"):
        json.loads(answer.text)
    assert answer.mode == "text"


def test_an_answer_at_the_limit_is_cut_off(model: Path) -> None:
    (answer,) = answered(settings(model, max_tokens=5), closed())
    assert (answer.finish_reason, answer.tokens_out) == ("length", 5)


def test_the_same_seed_gives_the_same_words_and_leaves_others_chance_alone(model: Path) -> None:
    import torch

    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    texts = [
        answered(settings(model, temperature=2.0, seed=seed), closed("one"))[0].text for seed in (5, 5, 6)
    ]
    assert texts[0] == texts[1] != texts[2]
    torch.testing.assert_close(torch.rand(3), expected)


def test_what_the_model_reads_follows_its_template(model: Path, tmp_path: Path) -> None:
    plain = saved_model(tmp_path / "plain")
    strict = saved_model(
        tmp_path / "strict",
        template="{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
        + TEMPLATE,
    )
    expected = {
        model: "<system>What is the grade?</s><user>Grade 2.</s><assistant>",
        plain: "What is the grade?\n\nGrade 2.\n\nAnswer:\n",
        strict: "<user>What is the grade?\n\nGrade 2.</s><assistant>",
    }
    for folder, text in expected.items():
        backend: Any = make_backend(settings(folder))
        assert backend._tokenizer.decode(backend._tokens(closed())[0]) == text
        assert valid(asyncio.run(backend.ask(closed())).text)
        asyncio.run(backend.close())


def test_other_weights_behind_one_name_are_another_model(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "model")

    def run(text: str) -> Answer:
        async def ask() -> Answer:
            config = settings(folder)
            with Journal(tmp_path / "journal.sqlite") as journal:
                async with Client(make_backend(config), journal, config) as client:
                    return await client.ask(closed(text))

        return asyncio.run(ask())

    first = run("one")
    assert first.model.startswith(f"{folder}@")
    assert run("one").replayed
    saved_model(folder, seed=1)
    with pytest.raises(PolicyError, match="answered with the model"):
        run("two")


def test_the_loop_lives_while_the_model_thinks(model: Path) -> None:
    async def run() -> tuple[int, Answer]:
        config, beats = settings(model), 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.002)
                beats += 1

        backend = make_backend(config)
        heart = asyncio.ensure_future(beat())
        answer = await backend.ask(closed())
        heart.cancel()
        await backend.close()
        return beats, answer

    beats, answer = asyncio.run(run())
    assert valid(answer.text)
    assert beats >= 5


def test_a_question_that_is_given_up_stops_the_model(model: Path) -> None:
    async def run() -> float:
        backend = make_backend(settings(model, structured="text", max_tokens=450))
        started = time.monotonic()
        task = asyncio.ensure_future(backend.ask(question("x", schema=None)))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await backend.close()
        return time.monotonic() - started

    whole = answered(settings(model, structured="text", max_tokens=450), question("x", schema=None))[0]
    assert asyncio.run(run()) < max(whole.seconds / 2, 0.3)


def test_an_answer_that_takes_too_long_is_told(model: Path) -> None:
    with pytest.raises(
        NotTaken, match=r"was not done with an answer after 0\.02 s and \d+ tokens\. Raise llm\.timeout_s"
    ):
        answered(settings(model, timeout_s=0.02, max_tokens=400, structured="text"), closed())


def test_a_question_beyond_the_window_is_refused_with_the_numbers(model: Path) -> None:
    with pytest.raises(
        NotTaken, match=r"a question of \d+ tokens and an answer of up to 120 do not fit into the 512 tokens"
    ):
        answered(settings(model), closed("word " * 2000))


def test_a_schema_that_no_grammar_can_follow_is_told(model: Path) -> None:
    impossible = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?<=x)y"}}}
    with pytest.raises(NotTaken, match="the schema of the answer cannot be turned into a grammar"):
        answered(settings(model), question(schema=impossible))


def test_repair_works_in_process_too(model: Path, tmp_path: Path) -> None:
    async def run() -> Any:
        config = settings(model)
        with Journal(tmp_path / "journal.sqlite") as journal:
            async with Client(make_backend(config), journal, config) as client:
                return await ask_structured(client, closed(), lambda data: (data, ["never good enough"]))

    found = asyncio.run(run())
    assert found.faults == ("never good enough",)
    assert len(found.answers) == 2


def test_a_model_that_is_not_here_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(
        ServiceError, match=r"'nobody/nothing' could not be loaded: .*hf download nobody/nothing"
    ):
        make_backend(LLMConfig(backend="transformers", model="nobody/nothing"))
    with pytest.raises(ServiceError, match="could not be loaded"):
        make_backend(LLMConfig(backend="transformers", model=str(tmp_path)))


def test_missing_optional_parts_are_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    with monkeypatch.context() as without:
        without.setitem(sys.modules, "llguidance", None)
        with pytest.raises(
            UsageError, match=r"pip install 'kemm\[llm-local\]', or set llm.structured to text"
        ):
            answered(settings(model), closed())
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'kemm\[llm-local\]'"):
        make_backend(settings(model))
