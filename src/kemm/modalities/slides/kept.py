"""Bags that are done: where they are, and the record beside each of how it was made."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from kemm.core.errors import KemmError
from kemm.core.files import read_json, sha256_of, write_json
from kemm.modalities.slides.bag import SlideBag, write_bag

RECORDS = ".made"
"""Folder beside the bags with a record of how each was made."""
IMPORTED = "imported"


class Record(BaseModel):
    """How a bag was made."""

    model_config = ConfigDict(frozen=True)

    key: str
    """Of slide, tiling and encoder; an imported bag's begins with "imported"."""
    sha256: str
    """Of the bag."""
    tiles: int
    left_out: int = 0
    """Tiles on tissue that were ink or blurred."""
    seconds: float = 0


def bag_path(folder: Path, name: str) -> Path:
    """Where the bag of a slide is."""
    return folder / f"{name}.safetensors"


def record_path(folder: Path, name: str) -> Path:
    """Where the record of that bag is."""
    return folder / RECORDS / f"{name}.json"


def read_record(folder: Path, name: str) -> Record | None:
    """How a slide's bag was made; None where there is none, or nobody wrote down how."""
    if not bag_path(folder, name).is_file() or not record_path(folder, name).is_file():
        return None
    try:
        return Record.model_validate(read_json(record_path(folder, name)))
    except (KemmError, ValueError):
        return None


def keep(folder: Path, name: str, bag: SlideBag, record: Record) -> None:
    """Write a bag, then its record: a bag without one is made again."""
    record_path(folder, name).unlink(missing_ok=True)
    write_bag(bag_path(folder, name), bag)
    whole = record.model_copy(update={"sha256": sha256_of(bag_path(folder, name))})
    write_json(record_path(folder, name), whole.model_dump())
