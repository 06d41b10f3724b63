"""Attention to every patch of the cases of a fold's test part, kept beside what was explained of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kemm.core.errors import nearest
from kemm.core.files import read_arrays, write_arrays
from kemm.modalities.slides import PackedSlide

FILE = "attention.safetensors"
LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class PatchAttention:
    """How many times the even share each patch of a case got, in the order of its bag."""

    queries: tuple[str, ...]
    """Kinds of statement, and statements of the background; without those that nobody can name."""
    weights: NDArray[np.float16]
    """First the mean over all statements, then a row a query, (1 + query, patch)."""
    slides: tuple[PackedSlide, ...] = ()
    """Whose patches they are, in the same order; empty where that was not kept."""

    @classmethod
    def of(
        cls,
        queries: Sequence[str],
        relative: NDArray[np.float32],
        overall: NDArray[np.float32],
        slides: tuple[PackedSlide, ...] = (),
    ) -> PatchAttention:
        """From a row a query, (query, patch); rows of one name are averaged."""
        names = tuple(dict.fromkeys(query for query in queries if query))
        rows = [
            relative[[place for place, query in enumerate(queries) if query == name]].mean(axis=0)
            for name in names
        ]
        weights = np.minimum(np.stack([overall, *rows]), LARGEST).astype(np.float16)
        return cls(names, weights, slides)

    def row(self, query: str | None = None) -> NDArray[np.float32]:
        """Of one query, or the mean over all, (patch,).

        Raises:
            KeyError: No such query; says which there are.
        """
        if query is None:
            return np.asarray(self.weights[0], dtype=np.float32)
        if query not in self.queries:
            raise KeyError(nearest(query, self.queries))
        return np.asarray(self.weights[1 + self.queries.index(query)], dtype=np.float32)


def write_patch_attention(folder: Path, attention: Mapping[str, PatchAttention]) -> None:
    """Write it into a unit's folder; nothing where no case has a slide."""
    if not attention:
        return
    about = {
        case: {"queries": list(one.queries), "slides": [asdict(slide) for slide in one.slides]}
        for case, one in attention.items()
    }
    # Cases by number: an id may be a word that safetensors keeps for itself.
    arrays = {str(number): one.weights for number, one in enumerate(attention.values())}
    text = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    write_arrays(folder / FILE, {**arrays, "about": text})


def read_patch_attention(folder: Path) -> dict[str, PatchAttention]:
    """By case; empty where the unit has none.

    Raises:
        IntegrityError: The file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    arrays = read_arrays(path)
    about: dict[str, Any] = json.loads(arrays["about"].tobytes())
    return {case: _read(said, arrays[str(number)]) for number, (case, said) in enumerate(about.items())}


def _read(said: Any, weights: NDArray[np.float16]) -> PatchAttention:
    if isinstance(said, list):  # written before slides were kept
        return PatchAttention(tuple(said), weights)
    slides = tuple(PackedSlide(**slide) for slide in said["slides"])
    return PatchAttention(tuple(said["queries"]), weights, slides)
