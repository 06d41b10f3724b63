"""The store: derived things, keyed by the fingerprint of all that shaped them.

An entry is a folder `<kind>/<key>/` with its files and `entry.json`, which holds the SHA-256 of each
file and who made it. `entry.json` is written last, so an entry that has one is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kemm.core.errors import IntegrityError
from kemm.core.files import read_json, sha256_of, write_json
from kemm.core.provenance import environment

FORMAT = 1
_MANIFEST = "entry.json"


@dataclass(frozen=True)
class Entry:
    """One finished thing in the store."""

    folder: Path
    made_by: dict[str, Any]

    def path(self, name: str) -> Path:
        """The file `name` of this entry."""
        return self.folder / name


class Store:
    """Finished work below one folder. Two processes may share it: the first to finish wins."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _folder(self, kind: str, key: str) -> Path:
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
        manifest = read_json(folder / _MANIFEST)
        for name, expected in manifest["sha256"].items():
            path = folder / name
            if not path.is_file() or sha256_of(path) != expected:
                state = "was changed" if path.is_file() else "is missing"
                raise IntegrityError(
                    f"{path} {state} since it was written. Delete the folder {folder} and run again: it is made anew."
                )
        return Entry(folder, manifest["made_by"])

    @contextmanager
    def adding(self, kind: str, key: str, **made_by: Any) -> Iterator[Path]:
        """A scratch folder to fill; it becomes the entry when the block ends well."""
        final = self._folder(kind, key)
        scratch = final.with_name(f".{key}.part")
        if scratch.exists():
            shutil.rmtree(scratch)  # left by a killed run
        scratch.mkdir(parents=True)
        try:
            yield scratch
            digests = {path.name: sha256_of(path) for path in sorted(scratch.iterdir())}
            write_json(
                scratch / _MANIFEST,
                {"format": FORMAT, "sha256": digests, "made_by": made_by | {"environment": environment()}},
            )
            if final.exists():
                shutil.rmtree(scratch if self.has(kind, key) else final)
            if scratch.exists():
                scratch.replace(final)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
