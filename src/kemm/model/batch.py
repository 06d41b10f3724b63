"""What enters a model and what leaves it: tokens by modality, outcomes apart, one forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """Vectors that enter attention. A missing modality is a case with no token present."""

    values: Float[Tensor, "case token width"]
    present: Bool[Tensor, "case token"]
    kind: Int[Tensor, "case token"] | None = None
    """What sort of statement each is, for a learned embedding; None where there are no kinds."""

    @property
    def case_present(self) -> Bool[Tensor, " case"]:
        """Whether the case has any token."""
        return self.present.any(dim=1)

    def to(self, device: torch.device) -> Tokens:
        """The same on another device."""
        kind = None if self.kind is None else self.kind.to(device)
        return Tokens(self.values.to(device), self.present.to(device), kind)

    def take(self, cases: Sequence[int]) -> Tokens:
        """Those of some cases, in this order."""
        at = torch.tensor(list(cases), dtype=torch.long, device=self.values.device)
        return Tokens(self.values[at], self.present[at], None if self.kind is None else self.kind[at])

    def without(self, drop: Bool[Tensor, "case token"]) -> Tokens:
        """The same tokens, those marked absent."""
        return replace(self, present=self.present & ~drop)

    def __len__(self) -> int:
        """Tokens a case, absent ones included."""
        return self.values.shape[1]

    @classmethod
    def cat(cls, parts: list[Tokens]) -> Tokens:
        """Several sets of tokens of the same cases, end to end. Kinds are dropped."""
        return cls(
            torch.cat([part.values for part in parts], dim=1),
            torch.cat([part.present for part in parts], dim=1),
        )


@dataclass(frozen=True)
class Bags:
    """Bags of patch features, of 1 to any number of patches: nothing is padded, and nothing copied before its turn.

    Features are as an encoder gave them. What brings them to mean 0 and deviation 1 is kept beside
    them: it goes into the weights, so that no patch is touched for it, and bags can be shared by folds.
    """

    patches: tuple[Float[Tensor, "_ feature"], ...]
    """Of each bag; none where a case has none. May be views of a file."""
    mean: Float[Tensor, "#member feature"] | None = None
    """One for all, or one for each of several networks side by side."""
    scale: Float[Tensor, "#member feature"] | None = None
    precision: torch.dtype = torch.float32
    """What products with patches are computed in: a bag is brought to it when its turn comes, so that a step holds
    patches as they are stored."""
    keep: int = 2**29
    """Bytes that a step may keep of adapted patches and attention for its way back; beyond it they are made again there."""
    bag_of: tuple[int, ...] | None = None
    """The bag of each case, where several networks share bags: -1 where a case is not there. None: in their order."""

    def __len__(self) -> int:
        """Cases."""
        return len(self.patches if self.bag_of is None else self.bag_of)

    @property
    def cases(self) -> tuple[int, ...]:
        """The bag of each case."""
        return tuple(range(len(self.patches))) if self.bag_of is None else self.bag_of

    @property
    def lengths(self) -> tuple[int, ...]:
        """Patches of each bag."""
        return tuple(map(len, self.patches))

    @property
    def case_lengths(self) -> tuple[int, ...]:
        """Patches of each case."""
        lengths = self.lengths
        return tuple(lengths[bag] if bag >= 0 else 0 for bag in self.cases)

    @property
    def case_present(self) -> Bool[Tensor, " case"]:
        """Whether the case has any patch."""
        there = [bag >= 0 and len(self.patches[bag]) > 0 for bag in self.cases]
        return torch.tensor(there, dtype=torch.bool, device=self.patches[0].device)

    def kind(self, weight: Tensor) -> torch.dtype:
        """Of products with patches: bfloat16 where that is their precision, else the weights' own."""
        return torch.bfloat16 if self.precision == torch.bfloat16 else weight.dtype

    def to(self, device: torch.device) -> Bags:
        """The same on another device."""
        return replace(
            self,
            patches=tuple(one.to(device, non_blocking=True) for one in self.patches),
            mean=None if self.mean is None else self.mean.to(device),
            scale=None if self.scale is None else self.scale.to(device),
        )

    def take(self, cases: Sequence[int]) -> Bags:
        """Those of some cases, in this order: of networks side by side, as many of each."""
        wanted = [self.cases[case] for case in cases]
        # One is always there, if only to say where it is.
        there = sorted({bag for bag in wanted if bag >= 0}) or [0]
        place = {bag: number for number, bag in enumerate(there)}
        return replace(
            self,
            patches=tuple(self.patches[bag] for bag in there),
            bag_of=tuple(place.get(bag, -1) if bag >= 0 else -1 for bag in wanted),
        )

    def tokens(self) -> Tokens:
        """The same, standardised and padded: for what cannot do with bags. Needs memory for the largest, each time."""
        first = self.patches[0]
        longest = max(1, *self.lengths)
        values = first.new_zeros((len(self), longest, first.shape[1]), dtype=torch.float32)
        present = torch.zeros((len(self), longest), dtype=torch.bool, device=first.device)
        members = 1 if self.mean is None else self.mean.shape[0]
        for case, bag in enumerate(self.cases):
            if bag < 0:
                continue
            patches = self.patches[bag].float()
            if self.mean is not None and self.scale is not None:
                member = case * members // len(self)
                patches = (patches - self.mean[member]) / self.scale[member]
            values[case, : len(patches)] = patches
            present[case, : len(patches)] = True
        return Tokens(values, present)


@dataclass(frozen=True)
class CaseBatch:
    """Everything known about some cases before anything happened to them. Holds no outcome.

    `tokens` by name: "report" (statements), "genes", "slides", "covariates"; a modality the study does
    not have is not a key. `background` by modality: the statements of each case's cancer type.
    `offset` is a log risk known beforehand, that the network adds to. `bags` by name: tokens that are too many to
    be padded, as the patches of slides.
    """

    tokens: dict[str, Tokens]
    background: dict[str, Tokens] = field(default_factory=dict)
    offset: Float[Tensor, " case"] | None = None
    bags: dict[str, Bags] = field(default_factory=dict)

    def to(self, device: torch.device) -> CaseBatch:
        """The same on another device."""
        return CaseBatch(
            {name: one.to(device) for name, one in self.tokens.items()},
            {name: one.to(device) for name, one in self.background.items()},
            None if self.offset is None else self.offset.to(device),
            {name: one.to(device) for name, one in self.bags.items()},
        )

    def take(self, cases: Sequence[int]) -> CaseBatch:
        """Some cases, in this order."""
        return CaseBatch(
            {name: one.take(cases) for name, one in self.tokens.items()},
            {name: one.take(cases) for name, one in self.background.items()},
            None if self.offset is None else self.offset[list(cases)],
            {name: one.take(cases) for name, one in self.bags.items()},
        )

    def __len__(self) -> int:
        for tokens in self.tokens.values():
            return tokens.values.shape[0]
        return len(next(iter(self.bags.values())))


@dataclass(frozen=True)
class Forecast:
    """What a model says of each case.

    `output` is the head's: hazard logits (case, interval) or log risk (case, 1); the head turns it into a
    loss, a risk and a curve.
    """

    output: Float[Tensor, "case output"]
    scores: Float[Tensor, "case branch score"]
    """What each branch adds, before it is weighed."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Widths of what enters: a modality that is absent from the study has width 0."""

    text: int = 0
    statement_kinds: int = 0
    gene_groups: int = 0
    gene_features: int = 0
    slide_features: int = 0
    covariates: int = 0
    covariate_features: int = 0
    background: tuple[str, ...] = field(default=())
    """Modalities with background statements."""
    prototypes: Float[Tensor, "prototype feature"] | None = None
    """Typical patches of the training part, as the encoder gives them; for models that ask for them."""
