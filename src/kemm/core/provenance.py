"""Who made a thing, from what: fingerprints, and the record kept beside every result."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel

VERSIONED = ("kemm", "torch", "numpy", "scipy", "pandas", "scikit-learn", "pyarrow")


def fingerprint(
    *parts: BaseModel | str | bytes | int | float | list[Any] | dict[str, Any] | tuple[Any, ...],
) -> str:
    """A short name that changes whenever any part does. 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        # The whole config, never a hand-picked subset: a forgotten field is a stale cache.
        if isinstance(part, bytes):
            data = part
        elif isinstance(part, BaseModel):
            data = part.model_dump_json().encode()
        else:
            data = json.dumps(part, sort_keys=True, default=str).encode()
        digest.update(f"{type(part).__name__}:{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


def environment() -> dict[str, str]:
    """Versions of what computes, as far as installed, and the machine."""
    found = {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": platform.machine(),
    }
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
