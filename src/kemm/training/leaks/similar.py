"""Texts that are nearly the same, found without comparing each with each.

References:
    Broder (1997), On the resemblance and containment of documents, doi:10.1109/SEQUEN.1997.666900.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from kemm.modalities.reports import MASK

ALIKE = 0.9
"""Share of two texts' phrases that both have, from which they are told."""
PHRASE = 4
"""Words."""
BANDS, BAND = 12, 4
"""Texts are compared where all hashes of a band agree: of likeness 0.9 fewer than one pair in 100,000 is missed so."""

_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of a text, without case, spacing, signs and what was masked."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold().replace(MASK, " "))


def similar_pairs(words: Mapping[int, Sequence[str]]) -> list[tuple[tuple[int, int], float]]:
    """Pairs of keys whose texts are alike by `ALIKE` or more, with how alike, in the order of keys."""
    phrases = {key: _phrases(said) for key, said in sorted(words.items()) if len(said) >= PHRASE}
    draws = np.random.default_rng(0).integers(1, 2**63, size=(2, BANDS * BAND), dtype=np.uint64)
    buckets: dict[tuple[int, bytes], list[int]] = {}
    for key, own in phrases.items():
        # Odd factors: multiplication then exchanges 64-bit numbers and loses none.
        least = np.array(
            [(own * (factor | np.uint64(1)) + shift).min() for factor, shift in draws.T], dtype=np.uint64
        )
        for band in range(BANDS):
            agreed = least[band * BAND : (band + 1) * BAND].tobytes()
            buckets.setdefault((band, agreed), []).append(key)
    candidates = sorted({pair for keys in buckets.values() for pair in combinations(keys, 2)})
    alike = [(pair, _likeness(phrases[pair[0]], phrases[pair[1]])) for pair in candidates]
    return [(pair, likeness) for pair, likeness in alike if likeness >= ALIKE]


def _phrases(words: Sequence[str]) -> NDArray[np.uint64]:
    """A number for each different phrase of a text, ascending."""
    hashed = np.array([zlib.crc32(word.encode()) for word in words], dtype=np.uint64)
    numbers = np.zeros(len(words) - PHRASE + 1, dtype=np.uint64)
    for place in range(PHRASE):
        numbers = numbers * np.uint64(0x9E3779B97F4A7C15) + hashed[place : place + len(numbers)]
    return np.unique(numbers ^ (numbers >> np.uint64(29)))


def _likeness(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> float:
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)
