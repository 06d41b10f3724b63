"""What a library's model becomes: a module from images to vectors, and the transform it was trained with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kemm.core.errors import InputError, UsageError
from kemm.modalities.slides.encoders.records import IMAGENET_MEAN, IMAGENET_STD, Feature, Triple


@dataclass(frozen=True)
class Network:
    """A loaded encoder, on the CPU in 32 bits."""

    module: nn.Module
    """(tile, 3, tile_px, tile_px), normalised, to (tile, dim)."""
    dim: int
    tile_px: int
    mean: Triple
    std: Triple
    made_of: dict[str, Any]
    """Architecture, arguments, and how the vector is taken; part of the identity."""
    weights_digest: str


def pool(tokens: Tensor, prefix: int, feature: Feature) -> Tensor:
    """A vector (tile, dim) of tokens (tile, token, dim); `prefix` tokens come before those of patches."""
    if feature == "class":
        return tokens[:, 0]
    patches = tokens[:, prefix:].mean(dim=1)
    if feature == "mean":
        return patches
    return torch.cat([tokens[:, 0], patches], dim=-1)


def refuse_mismatch(
    origin: str, missing: Iterable[str], unexpected: Iterable[str], other_shapes: Iterable[str] = ()
) -> None:
    """Raise where weights do not fit: a network that is partly random gives plausible vectors all the same.

    Raises:
        InputError: Always, where there is any.
    """
    parts = [
        f"{len(names)} {what} (the first is {names[0]!r})"
        for what, some in (
            ("missing", missing),
            ("not known", unexpected),
            ("of another shape", other_shapes),
        )
        if (names := sorted(some))
    ]
    if parts:
        raise InputError(
            f"{origin}: the weights are not those of the architecture: {', '.join(parts)}. "
            "Download them again, or choose the encoder that they belong to."
        )


def side_of(size: object, origin: str) -> int:
    """The side of square tiles that a config's size declares, as 224, [224, 224], [3, 224, 224] or {"height": 224}.

    Raises:
        InputError: None is declared, or not a square.
    """
    if isinstance(size, dict):
        edge = size.get("shortest_edge")
        size = [size.get("height", edge), size.get("width", edge)]
    sides = list(size)[-2:] if isinstance(size, (list, tuple)) else [size, size]
    if len(sides) == 2 and sides[0] == sides[1] and isinstance(sides[0], int) and sides[0] > 0:
        return int(sides[0])
    raise InputError(
        f"{origin}: its config declares no square input (it says {size!r}); kemm's tiles are squares."
    )


def triple_of(values: object, otherwise: Triple, origin: str) -> Triple:
    """Three numbers of a config.

    Raises:
        InputError: Something else.
    """
    if values is None:
        return otherwise
    if (
        isinstance(values, (list, tuple))
        and len(values) == 3
        and all(isinstance(v, (int, float)) for v in values)
    ):
        return (float(values[0]), float(values[1]), float(values[2]))
    raise InputError(f"{origin}: mean and std are three numbers each, not {values!r}.")


def needs_tokens(feature: Feature, what: str) -> UsageError:
    """The error for a network without patch tokens."""
    return UsageError(
        f'encoder.feature is {feature!r}, but {what} has no class token and patch tokens. Set it to "pooled".'
    )


__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Network",
    "needs_tokens",
    "pool",
    "refuse_mismatch",
    "side_of",
    "triple_of",
]
