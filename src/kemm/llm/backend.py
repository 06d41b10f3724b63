"""A question, its answer, and who gives it. Knows nothing of pathology, retries or the journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

from kemm.core.errors import ServiceError
from kemm.core.registry import Registry
from kemm.llm.settings import LLMConfig

REFUSED = "refusal"
"""Finish reason of an answer in which the model declines."""
CUT_OFF = "length"
"""Finish reason of an answer that was cut off at a limit."""
ANSWER_BYTES = 2_000_000
"""An answer is read this far; a longer one counts as cut off."""


@dataclass(frozen=True)
class Message:
    """One turn. What must be told apart from instructions (a patient's text) is always a user's."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Question:
    """What is asked, and the JSON schema of its answer."""

    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None = None
    """JSON schema of an object; None for an answer in prose."""
    schema_name: str = "answer"
    max_tokens: int | None = None
    """Longest answer, where it differs from the settings'."""

    @cached_property
    def prompt_hash(self) -> str:
        """SHA-256 of the instructions: the system's messages."""
        return _hash([message.content for message in self.messages if message.role == "system"])

    @cached_property
    def text_hash(self) -> str:
        """SHA-256 of everything else that was said."""
        return _hash([(turn.role, turn.content) for turn in self.messages if turn.role != "system"])

    @cached_property
    def schema_hash(self) -> str:
        """SHA-256 of the schema, "" without one: its version."""
        # Order counts: a model fills the fields in the order in which the schema lists them.
        return "" if self.schema is None else _hash(self.schema)

    @cached_property
    def characters(self) -> int:
        """How much is sent."""
        schema = 0 if self.schema is None else len(json.dumps(self.schema))
        return schema + sum(len(message.content) for message in self.messages)


def sendable(text: str) -> str:
    """`text` without what UTF-8 has no place for: halves of broken surrogate pairs."""
    return text.encode("utf-8", "replace").decode()


def _hash(value: object) -> str:
    # Half of a broken surrogate pair is text too.
    return hashlib.sha256(json.dumps(value, ensure_ascii=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, complete or not."""

    text: str
    """The answer; for a refusal, the model's words."""
    model: str
    """The model that answered, as it names itself."""
    finish_reason: str
    """"stop" for a whole answer, "length" for one cut off, "refusal", or the server's own word."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float = 0.0
    mode: str = ""
    """How JSON was asked for."""
    replayed: bool = field(default=False, compare=False)
    """Whether it comes from the journal."""


@runtime_checkable
class Backend(Protocol):
    """Gives one answer to one question, or one of the failures below. Never tries twice."""

    @property
    def identity(self) -> str:
        """Changes whenever answers would, as far as can be known here."""
        ...

    @property
    def host(self) -> str:
        """Where questions go: "name:port", or "in-process"."""
        ...

    @property
    def model(self) -> str:
        """The name that is asked for."""
        ...

    async def ask(self, question: Question) -> Answer:
        """The answer.

        Raises:
            Busy: It may work later.
            NotTaken: This question will never be answered; others may be.
            ServiceError: No question will.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and memory."""
        ...


class Busy(ServiceError):
    """A failure that may pass: an overloaded server, a dropped connection, no answer in time."""

    def __init__(self, message: str, *, outcome: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.outcome = outcome
        """For the journal: "429", "timeout", "connection"."""
        self.retry_after = retry_after
        """Seconds that the server asks to wait."""


class NotTaken(ServiceError):
    """This question is refused, for what it is; others may be answered."""

    def __init__(self, message: str, *, outcome: str) -> None:
        super().__init__(message)
        self.outcome = outcome


BACKENDS: Registry[Callable[[LLMConfig], Backend]] = Registry("language model backend")
"""Each makes a backend from settings; what it needs is imported only then."""
