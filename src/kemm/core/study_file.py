"""A study.yaml as it was written: read, with what the command sets for one run, but not yet understood."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kemm.core.errors import InputError, UsageError
from kemm.core.files import read_text
from kemm.core.provenance import fingerprint

FILE_NAME = "study.yaml"
STORE_NAME = ".kemm"
WHERE_IT_RUNS = "execution"
"""The section that shapes no result."""


@dataclass(frozen=True)
class StudyFile:
    """What a study.yaml says, in YAML's own kinds of values."""

    path: Path
    raw: dict[str, Any]
    set_here: dict[tuple[str, ...], str]
    """The options of the command, by the path of the setting."""

    @property
    def folder(self) -> Path:
        """The study's."""
        return self.path.parent.resolve()

    @property
    def identity(self) -> str:
        """The same as long as the settings say the same, environment variables filled in; comments count for nothing."""
        shaping = {key: value for key, value in self.raw.items() if key != WHERE_IT_RUNS}
        return fingerprint(self.folder.name, _plain(shaping))


def read_study_file(path: str | Path, overrides: Sequence[str] = ()) -> StudyFile:
    """The study.yaml in a folder, or the file itself. `overrides`: "section.key=value", as --set takes them.

    Raises:
        InputError: It is not there, or not YAML.
        UsageError: An override is none.
    """
    path = Path(path).expanduser()
    file = path / FILE_NAME if path.is_dir() else path
    if not path.exists():
        raise InputError(
            f"{path}: there is no such folder. Name the study's folder, or its {FILE_NAME}; "
            "`kemm demo` makes one to try."
        )
    if not file.exists():
        raise InputError(
            f"{file}: there is no such file. `kemm init {path}` writes one from the tables found there."
        )
    try:
        raw = yaml.load(read_text(file, expected="settings in YAML"), StrictLoader)
    except yaml.YAMLError as error:
        raise InputError(
            f"{file}: this is not YAML: {' '.join(str(error).split())}. "
            "Look at that line: it needs `key: value`, spaces for indentation, and quotes around text with a colon."
        ) from error
    if not isinstance(raw, dict):
        found = "nothing but comments" if raw is None else brief(raw)
        raise InputError(
            f"{file}: expected `key: value` lines, found {found}. `kemm init` writes an example."
        )
    return StudyFile(file, raw, {set_setting(raw, override): override for override in overrides})


def run_folder(study: Path, name: str) -> Path:
    """Where a run's results go, in the study's folder."""
    return study / "runs" / name


class StrictLoader(yaml.SafeLoader):
    """YAML without the silent rule that of two equal keys the second counts."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are all different."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands here twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def set_setting(raw: dict[str, Any], override: str) -> tuple[str, ...]:
    """Change one setting; returns its path.

    Raises:
        UsageError: Not "section.key=value".
    """
    key, equals, value = override.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        raise UsageError(
            f"--set takes section.key=value, not {override!r}. For instance: --set training.epochs=20"
        )
    place = raw
    for section in path[:-1]:
        inner = place.get(section)
        if inner is None:
            inner = place[section] = {}
        if not isinstance(inner, dict):
            raise UsageError(f"--set {override}: {section!r} is a value, not a section.")
        place = inner
    try:
        place[path[-1]] = yaml.load(value, StrictLoader)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {override}: the value is not YAML. Put quotes around it.") from error
    return path


def brief(value: Any) -> str:
    """A value as a message can quote it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _plain(value: Any) -> Any:
    """The same with text keys, which can be sorted, and with environment variables filled in."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return os.path.expanduser(os.path.expandvars(value)) if isinstance(value, str) else value
