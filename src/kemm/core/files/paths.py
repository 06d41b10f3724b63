"""Where a path may point, and whether a file is there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from kemm.core.errors import InputError, PolicyError, nearest

_NAME_CHARACTERS = 40


def resolve(path: str | Path, root: Path, allowed: Sequence[Path] = ()) -> Path:
    """The file a user's path names, below `root` or one of the declared `allowed` folders.

    Raises:
        PolicyError: It points elsewhere (through "..", an absolute path or a link).
        InputError: It cannot be a path.
    """
    try:
        target = (root / Path(path).expanduser()).resolve()
    except (ValueError, OSError, RuntimeError) as error:
        raise InputError(f"{str(path)!r} cannot be a path ({error}). Correct it in study.yaml.") from error
    for folder in (root, *allowed):
        if target.is_relative_to(folder.resolve()):
            return target
    places = " and ".join(map(str, (root, *allowed)))
    raise PolicyError(
        f"{path!s} points outside {'the study folder' if not allowed else 'the declared folders'} {places}, to {target}. "
        "Move the file into the study, or declare the folder it is in: "
        "`data_root: /that/folder` in study.yaml (or --set data_root=/that/folder)."
    )


def safe_name(text: str) -> str:
    """A file name for an id: readable where it can be, never a path, never ambiguous."""
    readable = "".join(
        character if character.isascii() and (character.isalnum() or character in "-_") else "_"
        for character in text
    )[:_NAME_CHARACTERS]
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def require_file(path: Path) -> None:
    """Raise `InputError` unless `path` is a readable, regular, non-empty file."""
    try:
        if not path.exists():
            raise InputError(f"{path}: there is no such file; {_beside(path)}")
        if not path.is_file():
            kind = "folder" if path.is_dir() else "device"
            raise InputError(f"{path}: this is not a regular file but a {kind}. Name a file.")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty (0 bytes). Copy it again.")
        if not os.access(path, os.R_OK):
            raise PermissionError(13, "Permission denied")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot be read ({reason}). Mend its name or its permissions.") from error


def _beside(path: Path) -> str:
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    visible = [name for name in siblings if not name.startswith(".")]
    if not visible:
        return f"the folder {path.parent} does not exist or is empty"
    return nearest(path.name, visible)
