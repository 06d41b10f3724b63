"""From the text of a background file to a `Background`, or to every fault in it."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from kemm.core.errors import Fault, InvalidInput, nearest
from kemm.modalities.background.record import Author, Background, RiskStatements

if TYPE_CHECKING or not yaml.__with_libyaml__:
    from yaml import SafeLoader as _SafeLoader
else:
    from yaml import CSafeLoader as _SafeLoader

LONGEST_FILE = 2**20
"""Characters: a background file is a few pages."""

_MERGE_TAG = "tag:yaml.org,2002:merge"
_SEE = "docs/background.md shows a whole file"
_FIELDS: dict[tuple[str, ...], list[str]] = {
    (): list(Background.model_fields),
    ("author",): list(Author.model_fields),
    ("slides",): list(RiskStatements.model_fields),
    ("genes",): list(RiskStatements.model_fields),
}


class _PlainLoader(_SafeLoader):
    """Safe YAML, without the two of its features that lose or multiply text unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == _MERGE_TAG:
                raise yaml.constructor.ConstructorError(
                    None, None, "a merge key (<<) has no place here", key.start_mark
                )
            # YAML would keep the last of two equal keys and drop the first one's statements.
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the field {key.value!r} is written twice", key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


def parse_background(text: str, place: str) -> Background:
    """The background in the YAML `text`; `place` names the file in messages.

    Raises:
        InvalidInput: Not plain YAML, or fields that are missing, unknown or of another kind; all
            faults of the fields at once.
    """
    if len(text) > LONGEST_FILE:
        problem = f"{len(text):,} characters are more than the {LONGEST_FILE:,} a background may have"
        raise InvalidInput([Fault(file=place, problem=problem, remedy="Keep the statements only.")])
    content = _plain_yaml(text, place)
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        problem = f"a background file is a mapping of fields, but this holds {found}"
        raise InvalidInput([Fault(file=place, problem=problem, remedy=f"{_SEE}.")])
    try:
        return Background.model_validate(content)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        raise InvalidInput([_fault(place, detail) for detail in details]) from error


def _plain_yaml(text: str, place: str) -> object:
    try:
        # As yaml.safe_load: _PlainLoader is a SafeLoader, which builds plain Python values only.
        return yaml.load(text, Loader=_PlainLoader)
    except yaml.MarkedYAMLError as error:
        problem = error.problem or "not readable as YAML"
        remedy = f"Put a sentence that holds ': ' or ' #' in quotes, indent with spaces; {_SEE}."
        if "could not determine a constructor for the tag" in problem:
            problem = f"the YAML tag {problem.split()[-1]} is refused"
            remedy = "Delete it: a background file is plain text, and nothing in it is ever run."
        elif "has no place here" in problem or "is written twice" in problem:
            remedy = f"Write every field once, in full; {_SEE}."
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise InvalidInput([Fault(file=place, problem=line + problem, remedy=remedy)]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        fault = Fault(file=place, problem=f"not readable as YAML ({reason})", remedy=f"{_SEE}.")
        raise InvalidInput([fault]) from error


def _fault(place: str, detail: Any) -> Fault:
    """One fault of pydantic's, in the words of someone who edits the file."""
    location: tuple[str | int, ...] = detail["loc"]
    names = [str(part) for part in location if isinstance(part, str)]
    numbers = [f"statement {part + 1}" for part in location if isinstance(part, int)]
    where = ", ".join([".".join(names) or "the file as a whole", *numbers])
    problem, remedy = detail["msg"], f"Correct it; {_SEE}."
    match detail["type"]:
        case "missing":
            problem, remedy = "the field is missing", f"Add it; {_SEE}."
        case "extra_forbidden":
            hint = nearest(names[-1], _FIELDS.get(tuple(names[:-1]), []))
            problem, remedy = "there is no such field", f"Rename or delete it: {hint}"
        case "tuple_type":
            problem, remedy = (
                "a list of sentences is needed",
                'Start each sentence on its own line with "- ".',
            )
        case "string_type":
            problem = f"text is needed, not {_in_words(detail['input'])}"
            remedy = "Put it in quotes, or join its lines."
        case "model_type":
            problem = f"fields of its own are needed, not {_in_words(detail['input'])}"
        case kind if kind.startswith("date"):
            problem, remedy = "a date is needed", "Write it as year-month-day, such as 2026-01-31."
        case "value_error":
            problem = problem.removeprefix("Value error, ")
    return Fault(file=place, problem=f"{where}: {problem}", remedy=remedy)


def _in_words(value: object) -> str:
    words = {
        str: "one piece of text",
        dict: "a mapping (a ': ' within?)",
        list: "a list",
        bool: "yes or no",
        date: "a date",
    }
    if value is None:
        return "nothing"
    return words.get(type(value), "a number")
