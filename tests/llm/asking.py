"""A question to ask, and patience that takes no time."""

from __future__ import annotations

from typing import Any

from kemm.llm import Message, Question

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"grade": {"type": "integer", "minimum": 1, "maximum": 3}},
    "required": ["grade"],
    "additionalProperties": False,
}


def question(text: str = "A tumour of grade 2.", **more: Any) -> Question:
    turns = (Message("system", "What is the grade?"), Message("user", text))
    return Question(turns, **{"schema": SCHEMA, "schema_name": "grade", **more})


class Pauses(list[float]):
    """Stands in for sleeping: notes how long."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
