"""What enters a model and what leaves it: tokens by modality, outcomes apart, one forecast."""

from __future__ import annotations

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

    def without(self, drop: Bool[Tensor, "case token"]) -> Tokens:
        """The same tokens, those marked absent."""
        return replace(self, present=self.present & ~drop)

    def __len__(self) -> int:
        """Tokens a case, absent ones included."""
        return self.values.shape[1]

    def split(self, lengths: list[int]) -> list[Tokens]:
        """Consecutive parts of the tokens."""
        parts = zip(self.values.split(lengths, dim=1), self.present.split(lengths, dim=1), strict=True)
        return [Tokens(values, present) for values, present in parts]

    @classmethod
    def cat(cls, parts: list[Tokens]) -> Tokens:
        """Several sets of tokens of the same cases, end to end. Kinds are dropped."""
        return cls(
            torch.cat([part.values for part in parts], dim=1),
            torch.cat([part.present for part in parts], dim=1),
        )


@dataclass(frozen=True)
class CaseBatch:
    """Everything known about some cases before anything happened to them. Holds no outcome.

    `tokens` by name: "report" (statements), "genes", "slides", "covariates"; a modality the study does
    not have is not a key. `background` by modality: the statements of each case's cancer type.
    `offset` is a log risk known beforehand, that the network adds to.
    """

    tokens: dict[str, Tokens]
    background: dict[str, Tokens] = field(default_factory=dict)
    offset: Float[Tensor, " case"] | None = None

    def __len__(self) -> int:
        return next(iter(self.tokens.values())).values.shape[0]


@dataclass(frozen=True)
class Forecast:
    """What a model says of each case.

    `output` is the head's: hazard logits (case, interval) or log risk (case, 1); the head turns it into a
    loss, a risk and a curve.
    """

    output: Float[Tensor, "case output"]
    scores: Float[Tensor, "case branch score"]
    """What each branch adds, before it is weighed."""
