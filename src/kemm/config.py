"""A study: the settings of every stage, from its study.yaml."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, ValidationError

from kemm.core.cohort import CohortConfig
from kemm.core.errors import Fault, InputError, InvalidInput, UsageError, nearest
from kemm.core.files import read_text, resolve
from kemm.core.settings import Section
from kemm.modalities.background import BackgroundConfig
from kemm.modalities.encoders import TextConfig
from kemm.modalities.genomics import GenomicsConfig
from kemm.modalities.reports import ReportsConfig
from kemm.modalities.slides import SlidesConfig
from kemm.model.kemm import ModelConfig
from kemm.results.evaluation import EvaluationConfig
from kemm.training.comparators import ComparatorsConfig
from kemm.training.features import FeaturesConfig
from kemm.training.splits import FoldsConfig
from kemm.training.trainer import TrainingConfig

FILE_NAME = "study.yaml"
STORE_NAME = ".kemm"


class StudyConfig(Section):
    """study.yaml. Only `cohort` is required; a modality without a section is not used."""

    name: str | None = None
    """The study's name in reports; by default the folder's."""
    data_root: str | None = None
    """Folder outside the study that relative paths may also point into. Environment variables are expanded: ${DATA}/cohort."""
    cohort: CohortConfig
    reports: ReportsConfig | None = None
    genomics: GenomicsConfig | None = None
    slides: SlidesConfig | None = None
    background: BackgroundConfig = Field(default_factory=BackgroundConfig)
    text: TextConfig = Field(default_factory=TextConfig)
    features: FeaturesConfig = Field(default_factory=FeaturesConfig)
    folds: FoldsConfig = Field(default_factory=FoldsConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    comparators: ComparatorsConfig = Field(default_factory=ComparatorsConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)


@dataclass(frozen=True)
class Study:
    """A folder with a study.yaml, and what it says."""

    folder: Path
    config: StudyConfig

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Study:
        """The study in a folder (or of a study.yaml). `overrides`: "section.key=value", as --set takes them.

        Raises:
            InputError: No study.yaml, not YAML, or settings that are wrong: all named, with the nearest right name.
        """
        path = Path(path).expanduser()
        file = path / FILE_NAME if path.is_dir() else path
        if not file.is_file():
            raise InputError(
                f"{file}: there is no such file. `kemm init {path}` writes one from the tables found there."
            )
        try:
            raw = yaml.safe_load(read_text(file, expected="settings in YAML"))
        except yaml.YAMLError as error:
            raise InputError(f"{file}: this is not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(raw, dict):
            raise InputError(f"{file}: expected `key: value` lines, found {type(raw).__name__}.")
        for override in overrides:
            _set(raw, override)
        return cls(file.parent.resolve(), _validated(raw, file))

    @property
    def name(self) -> str:
        """The study's name."""
        return self.config.name or self.folder.name

    @cached_property
    def data_root(self) -> Path | None:
        """The declared folder outside the study, if any."""
        if self.config.data_root is None:
            return None
        return (self.folder / _expanded(self.config.data_root)).resolve()

    def resolve(self, path: str) -> Path:
        """A path of study.yaml: below the study folder, or below the declared `data_root`.

        A relative path that is in the study is meant there; else it is meant in the data root.

        Raises:
            PolicyError: It points outside both.
        """
        path = str(_expanded(path))
        if self.data_root is None:
            return resolve(path, self.folder)
        if not Path(path).is_absolute() and (self.folder / path).exists():
            return resolve(path, self.folder)
        return resolve(path, self.data_root, allowed=[self.folder])

    @property
    def store_folder(self) -> Path:
        """Where derived things are kept."""
        return self.folder / STORE_NAME

    def run_folder(self, name: str) -> Path:
        """Where a run's results go."""
        return self.folder / "runs" / name


def _expanded(text: str) -> Path:
    missing = [name for name in re.findall(r"\$\{?(\w+)\}?", text) if name not in os.environ]
    if missing:
        raise UsageError(
            f"{text} needs the environment variable {missing[0]}, which is not set. "
            f"Run `export {missing[0]}=/folder/of/the/data`, or give `--set data_root=/folder/of/the/data`."
        )
    return Path(os.path.expandvars(text)).expanduser()


def _set(raw: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UsageError(
            f"--set takes section.key=value, not {override!r}. For instance: --set training.epochs=20"
        )
    place = raw
    *sections, last = key.strip().split(".")
    for section in sections:
        inner = place.get(section)
        if inner is None:
            inner = place[section] = {}
        if not isinstance(inner, dict):
            raise UsageError(f"--set {override}: {section!r} is a value, not a section.")
        place = inner
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {override}: the value is not YAML. Put quotes around it.") from error


def _validated(raw: Mapping[str, Any], file: Path) -> StudyConfig:
    try:
        return StudyConfig.model_validate(_as_declared(raw))
    except ValidationError as error:
        faults = []
        for detail in error.errors():
            path = [str(part) for part in detail["loc"]]
            if detail["type"] == "extra_forbidden":
                known = _keys_at(StudyConfig, path[:-1])
                problem, remedy = f"there is no setting {path[-1]!r}", nearest(path[-1], known)
            elif detail["type"] == "missing":
                problem, remedy = "this setting is required", "Add it."
            else:
                problem, remedy = f"{detail['input']!r} is not right: {detail['msg']}", "Correct the value."
            faults.append(
                Fault(
                    problem=problem,
                    remedy=remedy[:1].upper() + remedy[1:],
                    file=str(file),
                    column=".".join(path),
                )
            )
        raise InvalidInput(faults) from error


def _as_declared(value: Any) -> Any:
    """YAML reads 1 and on as numbers and truths; event codes and levels are text."""
    if isinstance(value, dict):
        texts = ("event_value", "censored_value")
        return {
            str(key): str(int(inner) if isinstance(inner, bool) else inner)
            if key in texts
            else _as_declared(inner)
            for key, inner in value.items()
        } | (
            {"order": [str(level) for level in value["order"]]}
            if isinstance(value.get("order"), list)
            else {}
        )
    if isinstance(value, list):
        return [_as_declared(inner) for inner in value]
    return value


def _keys_at(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The settings of the section that a path of study.yaml leads to."""
    for part in path:
        if part not in model.model_fields:
            continue  # the name of an endpoint or the place in a list
        inner = _section_in(model.model_fields[part].annotation)
        if inner is None:
            break
        model = inner
    return list(model.model_fields)


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, dict, list):
        for inner in get_args(annotation):
            found = _section_in(inner)
            if found is not None:
                return found
    return None
