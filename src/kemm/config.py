"""A study: the settings of every stage, from its study.yaml."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError

from kemm.core.cohort import CohortConfig
from kemm.core.errors import Fault, InvalidInput, UsageError, nearest
from kemm.core.files import resolve
from kemm.core.settings import Section
from kemm.core.study_file import FILE_NAME, STORE_NAME, brief, read_study_file, run_folder, set_setting
from kemm.execution import ExecutionConfig
from kemm.llm import LLMConfig
from kemm.modalities.background import BackgroundConfig
from kemm.modalities.encoders import TextConfig
from kemm.modalities.genomics import GenomicsConfig
from kemm.modalities.reports import ReportsConfig
from kemm.modalities.slides import SlidesConfig
from kemm.model.baselines import BaselinesConfig
from kemm.model.kemm import ModelConfig
from kemm.results.evaluation import EvaluationConfig
from kemm.training.comparators import ComparatorsConfig
from kemm.training.features import FeaturesConfig
from kemm.training.splits import FoldsConfig
from kemm.training.trainer import TrainingConfig


class StudyConfig(Section):
    """study.yaml. Only `cohort` is required; a modality without a section is not used."""

    name: str | None = None
    """The study's name in reports; by default the folder's."""
    data_root: str | None = None
    """Folder outside the study that relative paths may also point into. Environment variables are expanded: ${DATA}/cohort."""
    cohort: CohortConfig
    reports: ReportsConfig | None = None
    llm: LLMConfig | None = None
    genomics: GenomicsConfig | None = None
    slides: SlidesConfig | None = None
    background: BackgroundConfig = Field(default_factory=BackgroundConfig)
    text: TextConfig = Field(default_factory=TextConfig)
    features: FeaturesConfig = Field(default_factory=FeaturesConfig)
    folds: FoldsConfig = Field(default_factory=FoldsConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    comparators: ComparatorsConfig = Field(default_factory=ComparatorsConfig)
    baselines: BaselinesConfig = Field(default_factory=BaselinesConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    execution: ExecutionConfig = Field(default_factory=ExecutionConfig, exclude=True)
    # Excluded: what is dumped is what identifies a run, and where it was computed changes nothing of it.


@dataclass(frozen=True)
class Study:
    """A folder with a study.yaml, and what it says."""

    folder: Path
    config: StudyConfig
    overrides: tuple[str, ...] = ()
    """What was set for this run only: "section.key=value"."""
    identity: str = ""
    """Of what study.yaml says; empty for a study that was not read from a file."""

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Study:
        """The study in a folder (or of a study.yaml). `overrides`: "section.key=value", as --set takes them.

        Raises:
            InputError: No study.yaml, not YAML, or settings that are wrong: all named, with the nearest right name.
        """
        file = read_study_file(path, overrides)
        config = _validated(StudyConfig, file.raw, file.path, file.set_here)
        return cls(file.folder, config, tuple(overrides), file.identity)

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
            return resolve(path, self.folder, allowed=[self.data_root])
        return resolve(path, self.data_root, allowed=[self.folder])

    def places(self, paths: Sequence[str]) -> list[str]:
        """Everywhere that paths of study.yaml may be found: in the study, and in the data root."""
        texts = [str(_expanded(path)) for path in paths]
        if self.config.data_root is None:
            return texts
        root = _expanded(self.config.data_root)
        return [*texts, *(str(root / text) for text in texts)]

    @property
    def store_folder(self) -> Path:
        """Where derived things are kept."""
        return self.folder / STORE_NAME

    def run_folder(self, name: str) -> Path:
        """Where a run's results go."""
        return run_folder(self.folder, name)


def llm_settings(folder: Path, overrides: Sequence[str]) -> LLMConfig:
    """The language model of the study in a folder, or, where there is none, the one that `overrides` name.

    Raises:
        InputError: The settings are wrong.
        UsageError: No model is named.
    """
    if (folder / FILE_NAME).is_file() or folder.is_file():
        config = Study.load(folder, overrides).config.llm
    else:
        raw: dict[str, Any] = {}
        set_here = {set_setting(raw, override): override for override in overrides}
        config = _validated(_WithoutStudy, raw, folder / FILE_NAME, set_here).llm
    if config is None:
        raise UsageError(
            "no language model is named. Give --model and --base-url, or a section llm in study.yaml."
        )
    return config


class _WithoutStudy(Section):
    """The settings that a command takes where there is no study."""

    llm: LLMConfig | None = None


def _expanded(text: str) -> Path:
    missing = [name for name in re.findall(r"\$\{?(\w+)\}?", text) if name not in os.environ]
    if missing:
        raise UsageError(
            f"{text} needs the environment variable {missing[0]}, which is not set. "
            f"Run `export {missing[0]}=/folder/of/the/data`, or give `--set data_root=/folder/of/the/data`."
        )
    return Path(os.path.expandvars(text)).expanduser()


Settings = TypeVar("Settings", bound=BaseModel)


def _validated(
    model: type[Settings], raw: Mapping[str, Any], file: Path, set_here: Mapping[tuple[str, ...], str]
) -> Settings:
    """The settings, all that is wrong with them told at once. `set_here`: the --set options, by path."""
    try:
        return model.model_validate(_as_declared(raw))
    except ValidationError as error:
        problems: dict[tuple[str, ...], tuple[list[str], str]] = {}
        for detail in error.errors():
            path = tuple(str(part) for part in detail["loc"] if not _UNION_MEMBER.fullmatch(str(part)))
            setting = _shown(path)
            if detail["type"] == "extra_forbidden":
                hint = nearest(path[-1], _keys_at(model, path[:-1]))
                problem, remedy = f"there is no setting {setting!r}", f"{hint[0].upper()}{hint[1:]}"
            elif detail["type"] == "missing":
                problem, remedy = f"the setting {setting!r} is required", "Add it."
            else:
                problem = f"{setting} cannot be {brief(detail['input'])}: {detail['msg']}"
                remedy = "Correct the value."
            # A value that may be of several kinds is wrong for each of them: one fault, with what each expects.
            told, remedy = problems.setdefault(path, ([], remedy))
            told.append(detail["msg"] if told else problem)
        raise InvalidInput(
            [
                _fault(path, "; ".join(told), remedy, file, set_here)
                for path, (told, remedy) in problems.items()
            ]
        ) from error


_UNION_MEMBER = re.compile(r"(literal|list|dict)\[.*\]|str|int|float|bool")
"""What pydantic appends to the path of a value, where it may be of several kinds."""


def _fault(
    path: tuple[str, ...], problem: str, remedy: str, file: Path, set_here: Mapping[tuple[str, ...], str]
) -> Fault:
    for place, option in set_here.items():
        shared = min(len(place), len(path))
        if place[:shared] == path[:shared]:
            return Fault(
                problem=problem, remedy=remedy, file=f"--set {option}", exit_code=UsageError.exit_code
            )
    return Fault(problem=problem, remedy=remedy, file=str(file))


def _shown(path: Sequence[str]) -> str:
    """ "genomics.tables[0].path": as a person says where a setting stands."""
    return "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path).removeprefix(".")


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
