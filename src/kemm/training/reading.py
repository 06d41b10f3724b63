"""Batches of cases as a model takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kemm.model.batch import Bags, CaseBatch, Tokens
from kemm.training.features import CaseFeatures

BLOCKS = 16
"""Patches are drawn in about so many pieces that lie side by side, each as long as can be: short reads are slow ones."""


@dataclass(frozen=True)
class Reader:
    """Gives a model's batches: of the inputs named, with the offset of each case."""

    features: CaseFeatures
    names: tuple[str, ...]
    offset: Tensor | None = None
    """Log risk known beforehand, in the order of the features' cases."""

    def batch(
        self, rows: Sequence[int], patches: int | None = None, generator: torch.Generator | None = None
    ) -> CaseBatch:
        """The cases at rows of the cohort; at most `patches` patches of each, drawn with `generator`."""
        at = torch.tensor([self.features.position_of[row] for row in rows])
        tokens = {
            name: Tokens(one.values[at], one.present[at], None if one.kind is None else one.kind[at])
            for name, one in self.features.tokens.items()
            if name in self.names
        }
        background = {}
        if "background" in self.names:
            kind = self.features.type_of[at]
            background = {
                name: Tokens(
                    one.values[kind], one.present[kind], None if one.kind is None else one.kind[kind]
                )
                for name, one in self.features.background.items()
            }
        bags = {}
        if "slides" in self.names and self.features.slides is not None:
            bags["slides"] = self._slides(rows, patches, generator)
        return CaseBatch(tokens, background, None if self.offset is None else self.offset[at], bags)

    def _slides(self, rows: Sequence[int], patches: int | None, generator: torch.Generator | None) -> Bags:
        slides, scaler = self.features.slides, self.features.scaler
        assert slides is not None
        assert scaler is not None
        drawn = [
            [slides.features[start:stop] for start, stop in self._pieces(row, patches, generator)]
            for row in rows
        ]
        lengths = tuple(sum(map(len, pieces)) for pieces in drawn)
        values = np.empty((sum(lengths), slides.width), dtype=np.float32)
        if any(lengths):
            np.concatenate([piece for pieces in drawn for piece in pieces], out=values, casting="same_kind")
        if slides.means is None:
            return Bags(torch.from_numpy(scaler(values)), lengths)
        return Bags(
            torch.from_numpy(values),
            lengths,
            torch.from_numpy(scaler.mean)[None],
            torch.from_numpy(scaler.scale)[None],
        )

    def _pieces(
        self, row: int, patches: int | None, generator: torch.Generator | None
    ) -> list[tuple[int, int]]:
        """Rows of the packed features, from and to, in their order."""
        assert self.features.slides is not None
        start, stop = map(int, self.features.slides.offsets[row : row + 2])
        if patches is None or stop - start <= patches:
            return [(start, stop)]
        return [(start + begin, start + end) for begin, end in draw_pieces(stop - start, patches, generator)]


def draw_pieces(total: int, wanted: int, generator: torch.Generator | None) -> list[tuple[int, int]]:
    """`wanted` of `total` places in about `BLOCKS` pieces, in their order; each place is as likely as any other."""
    length = -(-wanted // BLOCKS)
    # The blocks begin anywhere, and what goes over the end goes on at the beginning.
    turn = int(torch.randint(total, (1,), generator=generator))
    order = torch.randperm(-(-total // length), generator=generator).tolist()
    pieces: list[tuple[int, int]] = []
    left = wanted
    for block in order:
        begin = block * length
        end = min(begin + length, total, begin + left)
        left -= end - begin
        begin, end = begin + turn, end + turn
        pieces += [
            (low % total, low % total + high - low)
            for low, high in ((begin, min(end, total)), (max(begin, total), end))
            if low < high
        ]
        if not left:
            break
    return sorted(pieces)
