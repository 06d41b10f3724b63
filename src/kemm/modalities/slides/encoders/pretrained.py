"""Runs a pretrained tile encoder: frozen, in batches, on the device and in the precision asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kemm.core.errors import IntegrityError
from kemm.core.provenance import fingerprint
from kemm.modalities.slides.encoders.device import choose_device, choose_precision
from kemm.modalities.slides.encoders.given import require_tiles
from kemm.modalities.slides.encoders.network import Network
from kemm.modalities.slides.tile_encoder import TileEncoderConfig

HALF_MAX = 65_504.0
"""The largest number of 16 bits."""
_HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Pretrained:
    """A network, its transform, and where it runs.

    Vectors are kept in 16 bits. A number beyond their range (65,504) is set to the end of it, with its sign,
    and counted in `clamped`. What is not finite in reduced precision is computed again in 32 bits; a vector
    that is not finite there either is an error.
    """

    def __init__(
        self,
        network: Network,
        config: TileEncoderConfig,
        *,
        tile_side_um: float,
        interpolation: str = "bicubic",
        about: str = "",
    ) -> None:
        self.device = choose_device(config)
        self.precision = choose_precision(config, self.device)
        self.interpolation = interpolation
        self.clamped = 0
        self._name, self._batch = config.name, config.batch
        self._dim, self._tile_px, self._tile_side_um = network.dim, network.tile_px, tile_side_um
        self._identity = fingerprint(
            "tile-encoder/1",
            about,
            network.made_of,
            network.weights_digest,
            [network.tile_px, tile_side_um, interpolation, *network.mean, *network.std],
            self.precision,
        )
        self._module = network.module.to(self.device).eval().requires_grad_(False)
        self._fast = torch.compile(self._module, dynamic=False) if config.compile else self._module
        self._compiled = config.compile
        # (x / 255 - mean) / std in one multiplication and one addition.
        mean, std = torch.tensor(network.mean), torch.tensor(network.std)
        self._scale = (1 / (255 * std)).view(1, 3, 1, 1).to(self.device)
        self._shift = (-mean / std).view(1, 3, 1, 1).to(self.device)

    @property
    def identity(self) -> str:
        """Of the record, the weights, the transform and the precision."""
        return f"{self._name}/{self._identity}"

    @property
    def dim(self) -> int:
        """Numbers a tile."""
        return self._dim

    @property
    def tile_px(self) -> int:
        """Side of a tile in pixels."""
        return self._tile_px

    @property
    def tile_side_um(self) -> float:
        """Side of a tile on the tissue that it was trained for."""
        return self._tile_side_um

    def encode(self, tiles: NDArray[np.uint8]) -> NDArray[np.float16]:
        """(tile, dim) of tiles (tile, tile_px, tile_px, 3), RGB.

        Raises:
            InputError: Tiles of another shape or type.
            IntegrityError: A vector that is not finite, or of another width: the weights are not what they seem.
        """
        require_tiles(tiles, self._tile_px, self._name)
        if len(tiles) == 0:
            return np.zeros((0, self._dim), dtype=np.float16)
        with torch.inference_mode():
            # One wait for the device at the end, not one a batch.
            vectors = torch.cat([self._vectors(some) for some in self._batches(tiles)])
            if vectors.shape[1] != self._dim:
                raise IntegrityError(
                    f"the tile encoder {self._name!r} gave {vectors.shape[1]} numbers a tile, not {self._dim}. "
                    "Its weights are not those of its name; download them again."
                )
            vectors = self._finite(vectors, tiles)
            self.clamped += int((vectors.abs() > HALF_MAX).sum())
            halves: NDArray[np.float16] = vectors.clamp(-HALF_MAX, HALF_MAX).half().cpu().numpy()
        return halves

    def _batches(self, tiles: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(tiles), self._batch):
            yield tiles[start : start + self._batch]

    def _vectors(self, tiles: NDArray[np.uint8]) -> Tensor:
        """In the precision asked for, as 32 bits on the device."""
        count = len(tiles)
        if self._compiled and count < self._batch:
            # Another number of tiles would be compiled anew.
            tiles = np.concatenate([tiles, np.zeros((self._batch - count, *tiles.shape[1:]), np.uint8)])
        images = self._images(tiles)
        if self.precision == "fp32":
            vectors: Tensor = self._fast(images)
        else:
            with torch.autocast(self.device.type, dtype=_HALF[self.precision]):
                vectors = self._fast(images)
        return vectors[:count].float()

    def _images(self, tiles: NDArray[np.uint8]) -> Tensor:
        """(tile, 3, side, side), normalised, on the device."""
        # Copied where it is a view with gaps, or may not be written to, which torch does not know of.
        pixels = torch.from_numpy(np.require(tiles, requirements=["C", "W"]))
        if self.device.type == "cuda":
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
        else:
            pixels = pixels.to(self.device)
        return torch.addcmul(self._shift, pixels.permute(0, 3, 1, 2).float(), self._scale)

    def _finite(self, vectors: Tensor, tiles: NDArray[np.uint8]) -> Tensor:
        bad = ~torch.isfinite(vectors).all(dim=1)
        if not bool(bad.any()):
            return vectors
        rows = bad.nonzero()[:, 0].cpu().numpy()
        again = [self._module(self._images(some)).float() for some in self._batches(tiles[rows])]
        vectors[bad] = torch.cat(again)
        if not bool(torch.isfinite(vectors).all()):
            raise IntegrityError(
                f"the tile encoder {self._name!r} gave numbers that are not finite for {len(rows)} of {len(tiles)} "
                "tiles, also in 32 bits. Its weights are damaged; download them again."
            )
        return vectors
