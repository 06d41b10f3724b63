"""The closed shape of an answer: strict, complete, and the same as the registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from kemm.core.errors import UnknownName
from kemm.modalities.reports import (
    CANNOT_BE_ASSESSED,
    FIELDS,
    fields_for,
    ground,
    organ_of,
    report_model,
    report_schema,
    schema_version,
)
from kemm.modalities.reports.organs import ORGANS

EVERY = [None, *ORGANS]


def objects(part: Any) -> Iterator[dict[str, Any]]:
    """Every schema of an object below a part."""
    if isinstance(part, list):
        for one in part:
            yield from objects(one)
    if isinstance(part, dict):
        if part.get("type") == "object":
            yield part
        for one in part.values():
            yield from objects(one)


def nested(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What a reference means."""
    return schema["$defs"][part["$ref"].removeprefix("#/$defs/")] if "$ref" in part else part


@pytest.mark.parametrize("organ", EVERY)
def test_a_schema_is_strict_json_and_asks_what_the_registry_asks(organ: str | None) -> None:
    schema = report_schema(organ)
    assert json.loads(json.dumps(schema)) == schema
    assert schema["type"] == "object"
    found = list(objects(schema))
    assert len(found) > 3
    for one in found:
        assert one["additionalProperties"] is False
        assert one["required"] == list(one["properties"])
        assert "default" not in json.dumps(one)
    fields = nested(schema, schema["properties"]["fields"])
    assert list(fields["properties"]) == list(fields_for(organ))
    for name, part in fields["properties"].items():
        said, null = part["anyOf"]
        assert null == {"type": "null"}
        value = nested(schema, said)["properties"]["value"]
        assert value["type"] == "string"
        wanted = [*FIELDS[name].values, CANNOT_BE_ASSESSED] if FIELDS[name].values else None
        assert value.get("enum") == wanted
    # A reference stands alone: some strict decoders refuse anything beside it.
    assert all(list(part) == ["$ref"] for part in _references(schema))


def _references(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, list):
        for one in part:
            yield from _references(one)
    if isinstance(part, dict):
        if "$ref" in part:
            yield part
        for one in part.values():
            yield from _references(one)


def test_an_answer_is_closed_and_goes_straight_to_grounding() -> None:
    text = "Kidney, left. Fuhrman grade 3. The margin is not seen."
    empty = dict.fromkeys(fields_for("kidney"))
    answer = {
        "fields": {**empty, "grade": {"value": "3", "quote": "Fuhrman grade 3"}},
        "sentences": ["The margin is not seen."],
    }
    said = report_model("kidney").model_validate(answer, strict=True).model_dump()
    found = ground(said["fields"], text, "kidney", sentences=said["sentences"])
    assert [s.value for s in found.statements] == ["3"]
    assert [s.text for s in found.sentences] == ["The margin is not seen."]
    for wrong in (
        {**answer, "risk": "high"},
        {"fields": {**empty, "mood": None}, "sentences": []},
        {"fields": {"grade": None}, "sentences": []},
        {"fields": {**empty, "grade": {"value": "5", "quote": "x"}}, "sentences": []},
        {"fields": {**empty, "grade": {"value": "3"}}, "sentences": []},
        {"fields": empty},
    ):
        with pytest.raises(ValidationError):
            report_model("kidney").model_validate(wrong, strict=True)


def test_the_version_tells_organs_apart_and_is_the_same_every_time() -> None:
    versions = {schema_version(organ) for organ in EVERY}
    # Two organs that are asked the same have one schema.
    assert len(versions) == len({tuple(fields_for(organ)) for organ in EVERY})
    assert schema_version("lung") == schema_version("lung")
    assert report_schema("lung") is not report_schema("lung")


def test_an_organ_is_known_or_refused() -> None:
    assert organ_of("KIRP") == "kidney"
    assert organ_of("brca") == "breast"
    assert organ_of("LAML") is None
    assert organ_of(None) is None
    for ask in (report_model, report_schema, schema_version, fields_for):
        with pytest.raises(UnknownName, match="no organ is called 'uterus'"):
            ask("uterus")


def test_every_study_but_those_of_blood_and_lymph_has_an_organ() -> None:
    studies = (
        "ACC BLCA BRCA CESC CHOL COAD ESCA GBM HNSC KICH KIRC KIRP LGG LIHC LUAD LUSC MESO OV PAAD PCPG PRAD READ "
        "SARC SKCM STAD TGCT THCA THYM UCEC UCS UVM"
    ).split()
    assert all(organ_of(study) in ORGANS for study in studies)
    assert {organ_of(study) for study in studies} == set(ORGANS)
    assert [organ_of(study) for study in ("DLBC", "LAML")] == [None, None]


def test_every_field_of_an_organ_is_asked_of_organs_there_are() -> None:
    for field in FIELDS.values():
        assert set(field.organs) <= set(ORGANS)
        assert CANNOT_BE_ASSESSED not in field.values
    assert set(fields_for(None)) == {name for name, field in FIELDS.items() if not field.organs}
