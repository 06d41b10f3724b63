"""Write the reference of study.yaml from the settings themselves: each key's docstring is its line.

python scripts/reference.py [--write docs/study-yaml.md]
"""

from __future__ import annotations

import argparse
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kemm.config import StudyConfig

HEAD = """\
# study.yaml: every setting

Written by `make docs-reference` from the settings' docstrings; change those, not this page.

Only `cohort` is required. A modality without a section is not used. A misspelt key is an error that suggests the
nearest right one. Paths are relative to study.yaml and may not leave its folder, except into `data_root`. Any
setting can be changed for one run: `--set section.key=value`. [Quick start](quick-start.md) has a commented example.
"""

BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def reference() -> str:
    """The whole page, as Markdown."""
    return "\n".join([HEAD, *_section("", StudyConfig)]).rstrip() + "\n"


def _section(path: str, model: type[BaseModel]) -> Iterator[str]:
    """A table of a section's keys, then the sections within it."""
    inner = []
    yield f"## {_title(path)}" if path.count(".") == 0 else f"### {_title(path)}"
    yield ""
    yield " ".join((model.__doc__ or "").split())
    yield ""
    yield "| key | value | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in model.model_fields.items():
        place, section = nested(f"{path}.{name}".lstrip("."), field.annotation)
        if section is not None:
            inner.append((place, section))
        yield f"| {' | '.join((f'`{name}`', _value(field), _default(field), _meaning(field, place, section)))} |"
    yield ""
    for place, section in inner:
        yield from _section(place, section)


def _title(path: str) -> str:
    return f"`{path}`" if path else "Top level"


def nested(path: str, annotation: Any) -> tuple[str, type[BaseModel] | None]:
    """The section that a key leads to, and its path: "cohort.endpoints.NAME", "genomics.tables[]"."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return path, annotation
    origin = get_origin(annotation)
    more = ".NAME" if origin is dict else "[]" if origin is list else ""
    for inner in get_args(annotation):
        found, section = nested(path + more, inner)
        if section is not None:
            return found, section
    return path, None


def _value(field: FieldInfo) -> str:
    """What may be given: "text", "number, at least 0", "`a` or `b`"."""
    bounds = [
        f"{word} {_plain(getattr(rule, name))}"
        for rule in field.metadata
        for name, word in BOUNDS.items()
        if getattr(rule, name, None) is not None
    ]
    nothing = [] if field.is_required() or field.default is None else _nothing(field.annotation)
    return ", ".join([_type(field.annotation), *bounds, *nothing])


def _nothing(annotation: Any) -> list[str]:
    """Where leaving the key out is not the same as giving nothing."""
    return ["or `null` for none"] if type(None) in get_args(annotation) else []


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return _either([f"`{one}`" for one in arguments])
    if origin in (Union, types.UnionType):
        return _either([_type(one) for one in arguments if one is not type(None)])
    if origin is list:
        return f"list of {_type(arguments[0]).replace('number', 'numbers').replace('section', 'sections')}"
    if origin is dict:
        return f"{_type(arguments[1])} by name"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {str: "text", int: "whole number", float: "number", bool: "`true` or `false`"}[annotation]


def _either(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    return "" if value is None or value == {} else f"`{_plain(value)}`"


def _plain(value: object) -> str:
    """A value as YAML would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    return str(value)


def _meaning(field: FieldInfo, place: str, section: type[BaseModel] | None) -> str:
    text = " ".join((field.description or (section.__doc__ if section else "") or "").split())
    if section is not None:
        text += f" See [{place}](#{re.sub(r'[^a-z0-9_-]', '', place.lower())})."
    return text.replace("|", "\\|")


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, metavar="FILE")
    file: Path | None = parser.parse_args().write
    if file is None:
        sys.stdout.write(reference())
    else:
        file.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
