"""Batches of cases as a model takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from kemm.model.batch import Bags, CaseBatch, Tokens
from kemm.training.features import CaseFeatures
from kemm.training.resident import resident

CPU = torch.device("cpu")
BLOCKS = 16
"""Patches are drawn in about so many pieces that lie side by side, each as long as can be: short reads are slow ones."""


class CaseReader(Protocol):
    """Gives cases as a model takes them."""

    def batch(self, rows: Sequence[int], patches: int | None = None, epoch: int | None = None) -> CaseBatch:
        """The cases at `rows`; at most `patches` patches of each, drawn anew in each epoch."""
        ...

    def patches(self, row: int) -> int:
        """How many patches the case at `row` has."""
        ...


@dataclass(frozen=True)
class Reader:
    """Gives a model's batches: of the inputs named, with the offset of each case."""

    features: CaseFeatures
    names: tuple[str, ...]
    offset: Tensor | None = None
    """Log risk known beforehand, in the order of the features' cases."""
    precision: torch.dtype = torch.float32
    """Of patches."""
    keep: int = 2**29
    """Bytes of adapted patches and attention, see `Bags.keep`."""
    hold: int = 0
    """Bytes of memory that all patches may be held in, see `resident`."""

    def batch(self, rows: Sequence[int], patches: int | None = None, epoch: int | None = None) -> CaseBatch:
        """The cases at rows of the cohort; at most `patches` patches of each, drawn by epoch and row."""
        batch = self.without_bags(rows)
        if self.has_slides:
            batch.bags["slides"] = self.slides(rows, patches, epoch)
        return batch

    def patches(self, row: int) -> int:
        """How many patches the case at a row of the cohort has."""
        slides = self.features.slides
        return int(slides.offsets[row + 1] - slides.offsets[row]) if slides and self.has_slides else 0

    @property
    def has_slides(self) -> bool:
        """Whether batches have bags of patches."""
        return "slides" in self.names and self.features.slides is not None

    def without_bags(self, rows: Sequence[int]) -> CaseBatch:
        """The cases at rows of the cohort, without their patches."""
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
        return CaseBatch(tokens, background, None if self.offset is None else self.offset[at], {})

    def slides(
        self, rows: Sequence[int], patches: int | None, epoch: int | None, device: torch.device = CPU
    ) -> Bags:
        """Bags of the cases at rows of the cohort; those that are held, or as they are stored."""
        slides, scaler = self.features.slides, self.features.scaler
        assert slides is not None
        assert scaler is not None
        held = None if slides.means is None else resident(slides, device, self.precision, self.hold)
        whole = torch.from_numpy(slides.features) if held is None else held
        bags = []
        for row in rows:
            pieces = [whole[start:stop] for start, stop in self._pieces(row, patches, epoch)]
            bags.append(pieces[0] if len(pieces) == 1 else torch.cat(pieces))
        if slides.means is None:
            measured = tuple(torch.from_numpy(scaler(bag.float().numpy())) for bag in bags)
            return Bags(measured, precision=self.precision, keep=self.keep)
        return Bags(
            tuple(bags),
            torch.from_numpy(scaler.mean)[None],
            torch.from_numpy(scaler.scale)[None],
            self.precision,
            self.keep,
        )

    def expect(self, row: int, patches: int | None, epoch: int | None, device: torch.device) -> None:
        """Have a case's patches read from disk meanwhile, if they are not held."""
        slides = self.features.slides
        if slides is not None and resident(slides, device, self.precision, self.hold) is None:
            for start, stop in self._pieces(row, patches, epoch):
                slides.expect(start, stop)

    def _pieces(self, row: int, patches: int | None, epoch: int | None) -> list[tuple[int, int]]:
        """Rows of the packed features, from and to, in their order."""
        assert self.features.slides is not None
        start, stop = map(int, self.features.slides.offsets[row : row + 2])
        if patches is None or stop - start <= patches:
            return [(start, stop)]
        # By epoch and case alone: all networks that train on a case in an epoch are shown the same patches of it.
        generator = torch.Generator().manual_seed(1_000_003 * (epoch or 0) + row)
        return [(start + begin, start + end) for begin, end in draw_pieces(stop - start, patches, generator)]


def side_by_side(
    readers: Sequence[CaseReader],
    rows: Sequence[Sequence[int]],
    patches: int | None,
    epoch: int | None,
    device: torch.device = CPU,
) -> CaseBatch:
    """One batch, on the device, for networks side by side: the cases of the first, then of the second, filled up to
    as many.

    Bags of encoded slides are read once, whoever looks at them.
    """
    most = max(map(len, rows))
    shared = _shared(readers)
    batches = [
        reader.without_bags(some)
        if isinstance(reader, Reader) and shared
        else reader.batch(some, patches, epoch)
        for reader, some in zip(readers, rows, strict=True)
    ]
    offsets = [batch.offset for batch in batches if batch.offset is not None]
    return CaseBatch(
        _filled([batch.tokens for batch in batches], most),
        _filled([batch.background for batch in batches], most),
        torch.cat([_fill(offset, most) for offset in offsets]) if offsets else None,
        {"slides": _shared_bags(shared, rows, patches, epoch, device)}
        if shared
        else _bags_apart(batches, most),
    ).to(device)


def expect(
    readers: Sequence[CaseReader],
    rows: Sequence[Sequence[int]],
    patches: int | None,
    epoch: int | None,
    device: torch.device = CPU,
) -> None:
    """Have the patches of a batch read from disk meanwhile, which `side_by_side` will be asked for next."""
    for reader in _shared(readers)[:1]:
        for row in sorted({row for some in rows for row in some}):
            reader.expect(row, patches, epoch, device)


def _shared(readers: Sequence[CaseReader]) -> list[Reader]:
    """The readers, if they read the same bags and bring them to scale by weights; else none."""
    found = [one for one in readers if isinstance(one, Reader) and one.has_slides]
    if len(found) < len(readers):
        return []
    slides = found[0].features.slides
    same = all(one.features.slides is slides for one in found)
    return found if same and slides is not None and slides.means is not None else []


def _shared_bags(
    readers: Sequence[Reader],
    rows: Sequence[Sequence[int]],
    patches: int | None,
    epoch: int | None,
    device: torch.device,
) -> Bags:
    most = max(map(len, rows))
    union = sorted({row for some in rows for row in some})
    bag_of = {row: bag for bag, row in enumerate(union)}
    bags = readers[0].slides(union, patches, epoch, device)
    scalers = [one.features.scaler for one in readers]
    return Bags(
        bags.patches,
        torch.from_numpy(np.stack([one.mean for one in scalers if one is not None])),
        torch.from_numpy(np.stack([one.scale for one in scalers if one is not None])),
        readers[0].precision,
        readers[0].keep,
        tuple(bag for some in rows for bag in ([bag_of[row] for row in some] + [-1] * (most - len(some)))),
    )


def _bags_apart(batches: Sequence[CaseBatch], most: int) -> dict[str, Bags]:
    """Bags that each network brought its own of."""
    found: dict[str, Bags] = {}
    for name in batches[0].bags:
        bags = [batch.bags[name] for batch in batches]
        scaled = [one for one in bags if one.mean is not None and one.scale is not None]
        first, bag_of = 0, []
        for one in bags:
            own = [first + bag if bag >= 0 else -1 for bag in one.cases]
            bag_of += own + [-1] * (most - len(own))
            first += len(one.patches)
        found[name] = Bags(
            tuple(patches for one in bags for patches in one.patches),
            torch.cat([one.mean for one in scaled if one.mean is not None]) if scaled else None,
            torch.cat([one.scale for one in scaled if one.scale is not None]) if scaled else None,
            bags[0].precision,
            bags[0].keep,
            tuple(bag_of),
        )
    return found


def _filled(parts: Sequence[Mapping[str, Tokens]], most: int) -> dict[str, Tokens]:
    """Tokens of several batches end to end, each with absent cases up to `most`."""
    return {
        name: Tokens(
            torch.cat([_fill(part[name].values, most) for part in parts]),
            torch.cat([_fill(part[name].present, most) for part in parts]),
            None
            if parts[0][name].kind is None
            else torch.cat([_fill(kind, most) for part in parts if (kind := part[name].kind) is not None]),
        )
        for name in parts[0]
    }


def _fill(values: Tensor, most: int) -> Tensor:
    missing = most - len(values)
    return torch.cat([values, values.new_zeros(missing, *values.shape[1:])]) if missing else values


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
