"""What a file is, whatever its name says."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from kemm.core.errors import InputError

_CHUNK = 2**20
_HEAD = 512

_PICKLE = ("a Python pickle", "it can run code and is never opened; export it in another format")
_HTML = ("an HTML page (a login or error page?)", "download it again, signed in")
_PICTURE = "give the text or table it shows"

PARQUET, ZIP, HDF5 = b"PAR1", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "a git-lfs pointer, not the file itself",
        "run `git lfs pull` where it came from",
    ),
    (b"<!doctype html", *_HTML),
    (b"<html", *_HTML),
    (b"\x1f\x8b", "a gzip archive", "unpack it with gunzip"),
    (b"BZh", "a bzip2 archive", "unpack it with bunzip2"),
    (b"\xfd7zXZ", "an xz archive", "unpack it with unxz"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it with unzstd"),
    (b"\xff\xfe", "text in UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save it as UTF-8"),
    (b"%PDF", "a PDF", "export its text first"),
    (b"\xd0\xcf\x11\xe0", "an old Office file (.xls, .doc)", "save it as .xlsx or .csv"),
    (b"{\\rtf", "a rich-text document", "save it as plain text"),
    (b"\x89PNG", "a PNG picture", _PICTURE),
    (b"\xff\xd8\xff", "a JPEG picture", _PICTURE),
    (ZIP, "a zip archive (or a renamed .xlsx or .docx)", "unpack it, or give it its true suffix"),
    (PARQUET, "a Parquet file", "rename it to .parquet"),
    (HDF5, "an HDF5 file", "rename it to .h5"),
    (b"\x80\x02", *_PICKLE),
    (b"\x80\x03", *_PICKLE),
    (b"\x80\x04", *_PICKLE),
    (b"\x80\x05", *_PICKLE),
)


def refuse_other_kinds(path: Path, *, expected: str, accept: Sequence[bytes] = ()) -> None:
    """Raise `InputError`, naming what the file is, where its first bytes are not what was `expected`.

    `accept` are the signatures it should have; without any, it should be text.
    """
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    if any(head.startswith(signature) for signature in accept):
        return
    found = name_other_kind(path)
    if found is not None:
        raise InputError(f"{path}: expected {expected}, but this is {found[0]}. To mend it: {found[1]}.")
    if accept:
        raise InputError(f"{path}: expected {expected}, but it does not begin like one. Copy it again.")
    if b"\0" in head:
        # Mostly ASCII in UTF-16 without its mark has a zero in every second byte.
        halves = max(head[0::2].count(0), head[1::2].count(0)) * 2
        if halves > 0.8 * len(head):
            raise InputError(
                f"{path}: expected {expected}, but this is text in UTF-16. To mend it: save it as UTF-8."
            )
        raise InputError(f"{path}: expected {expected}, but this is a binary file. Export it as text.")


def name_other_kind(path: Path) -> tuple[str, str] | None:
    """What a file is that should be something else, and how to mend it, as far as its first bytes tell."""
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    as_text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for signature, what, remedy in _SIGNATURES:
        if head.startswith(signature) or as_text.startswith(signature):
            return what, remedy
    return None


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
