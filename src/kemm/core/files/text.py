"""Plain text in UTF-8."""

from __future__ import annotations

from pathlib import Path

from kemm.core.errors import InputError
from kemm.core.files.kinds import refuse_other_kinds
from kemm.core.files.paths import require_file

MAX_TEXT_BYTES = 64 * 2**20


def read_text(path: Path, *, expected: str = "plain text in UTF-8", most_bytes: int = MAX_TEXT_BYTES) -> str:
    """The text of a file; a byte-order mark is dropped, line ends become "\\n".

    Raises:
        InputError: Missing, empty, binary, not UTF-8, or larger than `most_bytes`.
    """
    require_file(path)
    size = path.stat().st_size
    if size > most_bytes:
        raise InputError(
            f"{path}: {size:,} bytes are more than the {most_bytes:,} that {expected} may have. "
            "Check that this is the right file, or split it."
        )
    refuse_other_kinds(path, expected=expected)
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        as_latin = data[error.start : error.start + 1].decode("cp1252", errors="replace")
        raise InputError(
            f"{path}: expected {expected}, but line {line} holds a byte that is not UTF-8 "
            f"({as_latin!r}, if this is Windows-1252 or Latin-1). Save it as UTF-8."
        ) from error
    if "\0" in text:
        raise InputError(f"{path}: expected {expected}, but this is a binary file. Export it as text.")
    return text.replace("\r\n", "\n").replace("\r", "\n")
