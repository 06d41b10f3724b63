"""The store: derived things, keyed by the fingerprint of all that shaped them.

An entry is a folder `<kind>/<key>/` with its files and `entry.json`, which holds the SHA-256 of each
file and who made it. An entry is filled aside and renamed into place, so one that exists is whole.
"""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import getpid
from pathlib import Path
from secrets import token_hex
from typing import Any

from kemm.core.errors import IntegrityError
from kemm.core.files import read_json, sha256_of, write_json
from kemm.core.files.locks import process_is_alive
from kemm.core.files.output import cannot_write
from kemm.core.provenance import environment

FORMAT = 1
_MANIFEST = "entry.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Entry:
    """One finished thing in the store."""

    folder: Path
    made_by: dict[str, Any]

    def path(self, name: str) -> Path:
        """The file `name` of this entry."""
        return self.folder / name


class Store:
    """Finished work below one folder. Several processes may share it: the first to finish wins."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _folder(self, kind: str, key: str) -> Path:
        if not (_NAME.fullmatch(kind) and _NAME.fullmatch(key)):
            raise ValueError(f"kind {kind!r} and key {key!r} must be plain names: they become folders")
        return self.root / kind / key

    def has(self, kind: str, key: str) -> bool:
        """Whether the entry is finished."""
        return (self._folder(kind, key) / _MANIFEST).is_file()

    def get(self, kind: str, key: str) -> Entry:
        """A finished entry, its bytes checked against their SHA-256.

        Raises:
            IntegrityError: A file is missing or was changed; says which and how to recover.
        """
        folder = self._folder(kind, key)
        remedy = f"Delete the folder {folder} and run again: it is made anew."
        manifest_path = folder / _MANIFEST
        if not manifest_path.is_file():
            raise IntegrityError(f"{manifest_path} is missing. {remedy}")
        manifest = read_json(manifest_path)
        if not isinstance(manifest, dict) or not {"format", "sha256", "made_by"} <= manifest.keys():
            raise IntegrityError(f"{manifest_path} was changed since it was written. {remedy}")
        if manifest["format"] != FORMAT:
            raise IntegrityError(
                f"{folder} was written by another version of kemm (format {manifest['format']}, not {FORMAT}). {remedy}"
            )
        for name, expected in manifest["sha256"].items():
            path = folder / name
            if not path.is_file() or sha256_of(path) != expected:
                state = "was changed" if path.is_file() else "is missing"
                raise IntegrityError(f"{path} {state} since it was written. {remedy}")
        return Entry(folder, manifest["made_by"])

    @contextmanager
    def adding(self, kind: str, key: str, **made_by: Any) -> Iterator[Path]:
        """A scratch folder to fill; it becomes the entry when the block ends well, and vanishes when not.

        Where another process finished the same entry meanwhile, that one stays.

        Raises:
            InputError: The store cannot be written, or the disk is full.
        """
        final = self._folder(kind, key)
        _remove_leftovers(final)
        scratch = final.with_name(f".{key}.{_here()}.{getpid()}.{token_hex(4)}.part")
        try:
            scratch.mkdir(parents=True)
        except OSError as error:
            raise cannot_write(scratch, error) from error
        try:
            yield scratch
            digests = {
                path.relative_to(scratch).as_posix(): sha256_of(path)
                for path in sorted(scratch.rglob("*"))
                if path.is_file()
            }
            write_json(
                scratch / _MANIFEST,
                {"format": FORMAT, "sha256": digests, "made_by": made_by | {"environment": environment()}},
            )
            self._put_in_place(scratch, final)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    @staticmethod
    def _put_in_place(scratch: Path, final: Path) -> None:
        if final.exists() and not (final / _MANIFEST).is_file():
            shutil.rmtree(final)
        try:
            scratch.replace(final)
        except OSError as error:
            # A folder cannot be renamed onto a full one: another process was first, which is as good.
            if not (final / _MANIFEST).is_file():
                raise cannot_write(final, error) from error


def _here() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())


def _remove_leftovers(final: Path) -> None:
    """Scratch folders of this entry that killed processes of this host left."""
    for scratch in final.parent.glob(f".{final.name}.{_here()}.*.part"):
        pid = scratch.name.split(".")[-3]
        if pid.isdigit() and not process_is_alive(int(pid)):
            shutil.rmtree(scratch, ignore_errors=True)
