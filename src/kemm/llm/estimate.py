"""What asking would send and cost, without asking: for a dry run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from kemm.llm.backend import Question
from kemm.llm.settings import LLMConfig

CHARACTERS_A_TOKEN = 4
"""Of English prose with common tokenizers. Numbers, codes and other languages take more tokens: up to twice as many."""


class Tokenizer(Protocol):
    """As of transformers."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""
        ...


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run would send."""

    questions: int
    """Not in the journal, so to be sent."""
    known: int
    """Answered in the journal already."""
    characters: int
    tokens_in: int
    tokens_out_most: int
    """If every answer were as long as it may be; closed questions take a fraction."""
    money_most: float | None
    """None where no prices are set. Repair turns, at most one a question, come on top."""

    def __str__(self) -> str:
        cost = "no prices are set" if self.money_most is None else f"costs at most {self.money_most:.2f}"
        return (
            f"{self.questions} questions with {self.characters} characters (about {self.tokens_in} tokens), "
            f"answers of at most {self.tokens_out_most} tokens: {cost}; "
            f"{self.known} more are in the journal and cost nothing"
        )


def estimate(
    questions: Iterable[Question],
    config: LLMConfig,
    *,
    is_known: Callable[[Question], bool] = lambda question: False,
    tokenizer: Tokenizer | None = None,
) -> Estimate:
    """Count questions, one at a time. `is_known` says which are answered in the journal (`Client.is_known`)."""
    sent = known = characters = tokens_in = tokens_out = 0
    for question in questions:
        if is_known(question):
            known += 1
            continue
        sent += 1
        characters += question.characters
        tokens_in += tokens_of(question, tokenizer)
        tokens_out += question.max_tokens or config.max_tokens
    priced = config.price_in is not None or config.price_out is not None
    return Estimate(
        questions=sent,
        known=known,
        characters=characters,
        tokens_in=tokens_in,
        tokens_out_most=tokens_out,
        money_most=config.money(tokens_in, tokens_out) if priced else None,
    )


def tokens_of(question: Question, tokenizer: Tokenizer | None = None) -> int:
    """About how many tokens a question is: 4 characters each, unless a tokenizer counts."""
    if tokenizer is None:
        return math.ceil(question.characters / CHARACTERS_A_TOKEN)
    return sum(len(tokenizer.encode(message.content)) for message in question.messages)
