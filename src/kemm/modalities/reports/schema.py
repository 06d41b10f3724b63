"""The closed shape of an answer about one report, for any program that is asked to read it.

    {"fields": {name: {"value": ..., "quote": ...} or null, ...}, "sentences": [quote, ...]}

Every field of the organ is there, null where the report does not state it. Closed values are listed;
numbers are strings, for the value is text that a parser checks against the quote (see `grounding`).
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, create_model
from pydantic import Field as Described

from kemm.modalities.reports.field import CANNOT_BE_ASSESSED, Field
from kemm.modalities.reports.fields import fields_for
from kemm.modalities.reports.sentences import MOST_SENTENCES


class _Closed(BaseModel):
    """Nothing beyond what is declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_ABOUT_VALUE = "as the quote says it, in the form asked for"
_ABOUT_QUOTE = "the words of the report that say so, copied exactly: 3 to 400 characters, with any negation"
_ABOUT_SENTENCES = f"up to {MOST_SENTENCES} further sentences that bear on prognosis and that no field covers, copied exactly"


@cache
def report_model(organ: str | None = None) -> type[BaseModel]:
    """The answer about a report on `organ`; where it is None, what reports on all organs are asked.

    Raises:
        UnknownName: There is no such organ.
    """
    asked = {
        name: (_said(field.values) | None, Described(description=_question(field)))
        for name, field in fields_for(organ).items()
    }
    fields = create_model("Fields", __base__=_Closed, **asked)  # type: ignore[call-overload]
    return create_model(
        "Report",
        __base__=_Closed,
        fields=(fields, ...),  # a described reference is refused by some strict decoders
        sentences=(list[str], Described(description=_ABOUT_SENTENCES)),
    )


@cache
def _said(values: tuple[str, ...]) -> type[BaseModel]:
    # One model for all fields with the same values keeps the schema short.
    allowed: Any = Literal[(*values, CANNOT_BE_ASSESSED)] if values else str
    name = "Said" + "".join(_word(value) for value in values) if values else "SaidInWords"
    return create_model(
        name,
        __base__=_Closed,
        value=(allowed, Described(description=_ABOUT_VALUE)),
        quote=(str, Described(description=_ABOUT_QUOTE)),
    )


def _word(value: str) -> str:
    plain = value.replace("<", "Below ").replace(">=", "From ").replace("%", "")
    return "".join(part[:1].upper() + part[1:] for part in plain.replace("-", " ").split())


def _question(field: Field) -> str:
    free = "" if field.values else f' Or "{CANNOT_BE_ASSESSED}".'
    return f"{field.title}: {field.asks}.{free}"


@cache
def _schema(organ: str | None) -> str:
    schema = report_model(organ).model_json_schema()
    return json.dumps(_without_titles(schema))


def report_schema(organ: str | None = None) -> dict[str, Any]:
    """JSON schema of `report_model`: everything required, nothing else allowed, as strict decoders want it."""
    schema: dict[str, Any] = json.loads(_schema(organ))
    return schema


def schema_version(organ: str | None = None) -> str:
    """Changes whenever what is asked about the organ does; part of the key of every stored answer."""
    return hashlib.sha256(_schema(organ).encode()).hexdigest()[:16]


def _without_titles(part: Any) -> Any:
    """Without pydantic's titles, which repeat the names. A property may itself be called "title"."""
    if isinstance(part, list):
        return [_without_titles(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        key: {name: _without_titles(one) for name, one in value.items()}
        if key in {"properties", "$defs"}
        else _without_titles(value)
        for key, value in part.items()
        if key != "title"
    }
