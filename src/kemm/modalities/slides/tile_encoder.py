"""What turns tiles into patch features: the protocol, and who may be asked by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kemm.core.registry import Registry
from kemm.core.settings import Section


class TileEncoderConfig(Section):
    """The frozen network that makes patch features of tiles."""

    name: str = "colour-texture"
    """"colour-texture" (built in, no download), one the field uses ("uni2", "virchow2", "phikon-v2", ...: docs/encoders.md
    lists them), or "timm" or "transformers" with `model`."""
    model: str | None = None
    """Where its weights are: a folder, or another Hugging Face name than the encoder's own."""
    feature: Literal["class", "mean", "class+mean", "pooled"] | None = None
    """Of a model by "timm" or "transformers", what becomes the vector: the class token, the mean of the patch tokens, both,
    or what the network itself pools. Default: the class token where there is one, else what it pools."""
    tile_side_um: float | None = Field(None, gt=0)
    """Of a model by "timm" or "transformers", the side of a tile on the tissue that it is for. Default: half a micrometre
    a pixel."""
    device: str = "auto"
    """"auto" (a GPU where there is one), "cpu", "cuda" (or "cuda:1", ...), "mps"."""
    precision: str = "auto"
    """"auto" (bf16 or fp16 on a GPU, fp32 elsewhere), "fp32", "fp16" or "bf16"."""
    batch: int = Field(64, ge=1)
    """Tiles at once."""
    compile: bool = False
    """Use torch.compile: faster on many slides, slow to start."""


@runtime_checkable
class TileEncoder(Protocol):
    """Makes a vector of each tile. Frozen; each tile by itself."""

    @property
    def identity(self) -> str:
        """Changes whenever the same tile could get another vector: weights, transform, precision."""
        ...

    @property
    def dim(self) -> int:
        """Numbers a tile."""
        ...

    @property
    def tile_px(self) -> int:
        """Side that tiles are resized to before they are given to it."""
        ...

    @property
    def tile_side_um(self) -> float:
        """Side on the tissue that it was trained for, in micrometres."""
        ...

    def encode(self, tiles: NDArray[np.uint8]) -> NDArray[np.float16]:
        """(tile, dim) of tiles (tile, tile_px, tile_px, 3), RGB."""
        ...


TILE_ENCODERS: Registry[Callable[[TileEncoderConfig], TileEncoder]] = Registry("tile encoder")
"""Each makes an encoder from settings; what it needs is imported only then."""
