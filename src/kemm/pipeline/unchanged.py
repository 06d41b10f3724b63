"""Knows that nothing a finished run was made of has changed, without loading what computes.

A run leaves a list of all it has looked at. Where the list still holds, byte for byte, the run is finished; where
it does not, nothing is concluded: the inputs are read, and the run's own fingerprint decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from kemm.core.errors import KemmError
from kemm.core.files import read_json, sha256_of, write_json
from kemm.core.files.locks import LOCK_NAME
from kemm.core.provenance import environment, fingerprint
from kemm.core.study_file import STORE_NAME, WHERE_IT_RUNS, read_study_file
from kemm.execution import ExecutionConfig
from kemm.pipeline.runs import REPORT, RunResult, fingerprint_of, named_run, read_run

ABSENT = "absent"


class Sight(BaseModel):
    """What a run has looked at, as it was before the run read it. Paths are as in study.yaml, or absolute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: str
    """The identity of study.yaml."""
    program: str
    """Of kemm itself: another version may compute other numbers."""
    contents: dict[str, str]
    """Of files and folders of small files, by path; also of those that are not there, which may come."""
    stamps: dict[str, str]
    """Of folders of large files: their names, sizes and times."""

    @classmethod
    def of(cls, folder: Path, settings: str, contents: Sequence[str], stamps: Sequence[str]) -> Sight:
        """What is there now.

        Raises:
            OSError: Something cannot be read.
        """
        return cls(
            settings=settings,
            program=_program(),
            contents={path: _content(folder / path) for path in contents},
            stamps={path: _stamps(folder / path) for path in stamps},
        )

    def holds(self, folder: Path, settings: str) -> bool:
        """Whether it would be the same now."""
        try:
            return (self.settings, self.program) == (settings, _program()) and self == Sight.of(
                folder, settings, list(self.contents), list(self.stamps)
            )
        except OSError:
            return False


class _Remembered(BaseModel):
    """A sight, and the finished run it belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sight: Sight
    fingerprint: str
    """The run's."""
    said: list[str]
    """What a run says of its inputs."""


@dataclass(frozen=True)
class Unchanged:
    """A finished run that would come out the same."""

    result: RunResult
    said: list[str]


def remember(study: Path, name: str, sight: Sight, fingerprint: str, said: Sequence[str]) -> None:
    """Leave a note that the run of this fingerprint was made of what was seen."""
    note = _Remembered(sight=sight, fingerprint=fingerprint, said=list(said))
    write_json(_note(study, name), note.model_dump(mode="json"))


def unchanged_run(path: Path, name: str, overrides: Sequence[str] = ()) -> Unchanged | None:
    """The finished run of a study, where it is certain that a new one would be the same.

    Raises:
        InputError: There is no study.yaml, or it is not YAML.
        UsageError: An override, or the run's name, is none.
        IntegrityError: A record of the run is damaged.
    """
    file = read_study_file(path, overrides)
    run = named_run(file.folder, name)
    made_of = fingerprint_of(run)
    # Somebody at this run may be about to change it.
    if made_of is None or (run / LOCK_NAME).exists() or not _note(file.folder, name).is_file():
        return None
    try:
        note = _Remembered.model_validate(read_json(_note(file.folder, name)))
        # It is no part of the settings' identity, and yet must not be wrong unnoticed.
        ExecutionConfig.model_validate(file.raw.get(WHERE_IT_RUNS, {}))
    except (KemmError, ValidationError):
        return None
    if note.fingerprint != made_of or not note.sight.holds(file.folder, file.identity):
        return None
    return Unchanged(
        read_run(run), [*note.said, f"nothing has changed since this run finished: {run / REPORT}"]
    )


def _note(study: Path, name: str) -> Path:
    return study / STORE_NAME / "seen" / f"{name}.json"


def _content(path: Path) -> str:
    """Changes with any byte of a file, or of the files directly in a folder."""
    if path.is_dir():
        return fingerprint(
            [[one.name, sha256_of(one) if one.is_file() else ""] for one in sorted(path.iterdir())]
        )
    return sha256_of(path) if path.exists() else ABSENT


def _stamps(path: Path) -> str:
    """Changes with the names, sizes and times of the files directly in a folder: terabytes are not read."""
    if not path.is_dir():
        return ABSENT
    found = [(one.name, one.stat()) for one in sorted(path.iterdir())]
    return fingerprint([[name, stat.st_size, stat.st_mtime_ns] for name, stat in found])


@cache
def _program() -> str:
    """Every file of the package, whatever its version says."""
    root = Path(__file__).parents[1]
    files = sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    digests = [[path.relative_to(root).as_posix(), sha256_of(path)] for path in files]
    return fingerprint(environment().get("kemm", ""), digests)
