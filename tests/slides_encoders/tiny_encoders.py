"""Tiles, and the shape of a tiny network, for these tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

Tiles = np.ndarray[Any, np.dtype[np.uint8]]


def tiles_of(side: int, count: int = 5, seed: int = 0) -> Tiles:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def normalised(tiles: Tiles, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """As the model cards say it: to [0, 1], minus the mean, by the standard deviation."""
    images = torch.from_numpy(tiles.copy()).permute(0, 3, 1, 2).double() / 255
    return ((images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]).float()


TIMM_ARCHITECTURE = "vit_tiny_patch16_224"
TIMM_ARGUMENTS: dict[str, Any] = {
    "img_size": 28,
    "patch_size": 14,
    "depth": 2,
    "embed_dim": 48,
    "num_heads": 3,
    "reg_tokens": 4,
    "init_values": 1e-1,
    "mlp_ratio": 5.3375,
    "dynamic_img_size": True,
}
TIMM_LAYERS = {"mlp_layer": "SwiGLUPacked", "act_layer": "silu"}
