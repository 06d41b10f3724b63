"""What an encoder may be given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kemm.core.errors import InputError


def require_tiles(tiles: NDArray[np.uint8], tile_px: int, name: str) -> None:
    """Raise unless these are tiles an encoder takes.

    Raises:
        InputError: Another shape or type.
    """
    if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[1:] != (tile_px, tile_px, 3):
        raise InputError(
            f"the tile encoder {name!r} takes tiles (tile, {tile_px}, {tile_px}, 3) of uint8, "
            f"not {tiles.shape} of {tiles.dtype}. Resize them to {tile_px} x {tile_px} RGB first."
        )
