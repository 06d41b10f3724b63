"""Background knowledge written by a language model: the two questions put to it, its answer checked and kept as a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from typing import Any

import yaml
from pydantic import ValidationError

from kemm.core.errors import ServiceError
from kemm.llm import Client, Message, Question, ask_structured
from kemm.modalities.background.loader import background_prompt, prompt_template
from kemm.modalities.background.record import LONGEST_STATEMENT, Background

SCHEMA_NAME = "prognostic_background"
FEWEST, MOST = 5, 9
"""Statements a list, as the prompt asks."""
CELLS = (("slides", "high"), ("slides", "low"), ("genes", "high"), ("genes", "low"))


def background_question(cancer_type: str) -> Question:
    """The prompt for a cancer type. It holds no patient's data."""
    listed = {"type": "array", "items": {"type": "string"}}
    risks = _closed({"high": listed, "low": listed})
    return Question(
        (
            Message("system", "Answer with one JSON object in the form that is given, and nothing else."),
            Message("user", background_prompt(cancer_type)),
        ),
        _closed({"slides": risks, "genes": risks}),
        SCHEMA_NAME,
    )


async def write_background(
    client: Client, cancer_type: str, *, code: str, name: str, today: date
) -> Background:
    """Ask for the four lists, have what is wrong mended once, and give the record, with its author.

    Raises:
        ServiceError: No usable answer came, after one repair; says what was wrong with it.
    """
    answered = await ask_structured(client, background_question(cancer_type), check_lists)
    if answered.result is None or answered.faults:
        raise ServiceError(
            f"{client.config.model} gave no usable background on {cancer_type!r}: {'; '.join(answered.faults)}. "
            "Try again with another model or a higher llm.max_tokens."
        )
    return Background.model_validate(
        {
            "code": code,
            "name": name,
            "author": {"kind": "large language model", "name": answered.answers[-1].model, "date": today},
            "reviewed_by_clinicians": False,
            "prompt": PROMPT_BESIDE,
            "prompt_sha256": hashlib.sha256(prompt_template().encode()).hexdigest(),
            **answered.result,
        }
    )


PROMPT_BESIDE = "prognostic_background.md"
"""The prompt's file beside a file of one's own."""


def check_lists(answer: Mapping[str, Any]) -> tuple[dict[str, dict[str, list[str]]], list[str]]:
    """The four lists of an answer, and what is wrong with them."""
    lists: dict[str, dict[str, list[str]]] = {"slides": {}, "genes": {}}
    faults = []
    for modality, risk in CELLS:
        cell = answer.get(modality)
        said = cell.get(risk) if isinstance(cell, Mapping) else None
        if not isinstance(said, list) or not all(isinstance(one, str) for one in said):
            faults.append(f"{modality}.{risk}: give a list of sentences")
            continue
        lists[modality][risk] = said
        if not FEWEST <= len(said) <= MOST:
            faults.append(f"{modality}.{risk}: {len(said)} sentences; give {FEWEST} to {MOST}")
        long = [one for one in said if len(one) > LONGEST_STATEMENT]
        faults += [
            f"{modality}.{risk}: a sentence of {len(one)} characters; at most {LONGEST_STATEMENT}"
            for one in long
        ]
    if not faults:
        try:
            Background.model_validate({**_ANYONE, **lists})
        except ValidationError as error:
            faults += [
                f"{'.'.join(map(str, one['loc'])) or 'the answer'}: {one['msg'].removeprefix('Value error, ')}"
                for one in error.errors()
            ]
    return lists, faults


_ANYONE = {
    "code": "X",
    "name": "X",
    "author": {"kind": "x", "name": "x", "date": "2000-01-01"},
    "reviewed_by_clinicians": False,
}


def as_yaml(background: Background) -> str:
    """The file, with a first line that says what it is."""
    content = background.model_dump(mode="json", exclude_none=True)
    content["author"]["date"] = background.author.date
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    return f"# Written by {background.author.name} and not reviewed by clinicians.\n{body}"


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
