"""Tiles lie side by side on tissue, each of the size asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemm.core.errors import InputError
from kemm.modalities.slides.reader import open_slide
from kemm.modalities.slides.tiles import (
    Grid,
    TilesConfig,
    is_usable,
    lay_tiles,
    require_resolution,
    require_tiles,
    tissue_share,
)
from kemm.modalities.slides.tissue import Tissue
from slides.synthetic import BLACK_INK, BLUE_INK, GREEN_INK, disc, glass, section, stained, write_svs


def test_tiles_of_a_hand_drawn_mask() -> None:
    # 400 x 300 pixels of 0.5 um, so 200 x 150 um; the mask's squares are 10 um, tiles 50 um or 100 pixels.
    mask = np.zeros((15, 20), dtype=bool)
    mask[0:5, 5:10] = True  # exactly the second tile of the first row
    mask[5:10, 0:3] = True  # 60% of the first tile of the second row
    mask[10:15, 15:17] = True  # 40% of the last tile
    grid = lay_tiles(400, 300, 0.5, Tissue(mask, 10), 50, TilesConfig(least_tissue=0.5))
    assert grid.side == 100
    assert grid.coordinates.tolist() == [[100, 0], [0, 100]]


@given(st.floats(3, 40), st.integers(0, 2**32 - 1))
def test_share_is_the_mean_of_the_mask_under_the_tile(side: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((12, 16)) < 0.5
    starts = np.arange(int(120 // side), dtype=np.int32) * int(side)
    share = tissue_share(Tissue(mask, 10), starts, starts, int(side), 160, 120)
    fine = mask.repeat(10, axis=0).repeat(10, axis=1)  # one square a pixel of the slide
    for row, top in enumerate(starts):
        for column, left in enumerate(starts):
            part = fine[top : top + int(side), left : left + int(side)]
            assert share[row, column] == pytest.approx(part.mean(), abs=1e-6)


@given(st.integers(100, 3000), st.integers(100, 3000), st.floats(0.2, 1.1), st.floats(20, 200))
def test_tiles_never_leave_the_slide_nor_overlap(width: int, height: int, mpp: float, side_um: float) -> None:
    tissue = Tissue(np.ones((7, 9), dtype=bool), 10)
    grid = lay_tiles(width, height, mpp, tissue, side_um, TilesConfig())
    assert len(grid.coordinates) == int(width // grid.side) * int(height // grid.side)
    if len(grid.coordinates):
        assert (grid.coordinates.max(axis=0) + grid.side <= np.array([width, height]) + 1).all()
        assert len(np.unique(grid.coordinates, axis=0)) == len(grid.coordinates)


@pytest.mark.parametrize("ink", [BLUE_INK, GREEN_INK, BLACK_INK])
def test_a_tile_under_ink_is_left_out(ink: tuple[int, int, int]) -> None:
    tile = stained(glass((224, 224)), np.ones((224, 224), dtype=bool))
    assert is_usable(tile, TilesConfig())
    tile[:, :100] = ink
    assert not is_usable(tile, TilesConfig())
    assert is_usable(tile, TilesConfig(most_ink=1))


def test_a_blurred_tile_is_left_out_where_asked_for() -> None:
    from scipy import ndimage

    sharp = stained(glass((224, 224)), disc((224, 224), 100, 100, 90))
    blurred = ndimage.gaussian_filter(sharp, (5, 5, 0))
    assert is_usable(blurred, TilesConfig())
    assert is_usable(sharp, TilesConfig(least_sharpness=15))
    assert not is_usable(blurred, TilesConfig(least_sharpness=15))


def test_a_slide_that_was_scanned_too_coarsely_says_which_tiles_it_could_give(tmp_path: Path) -> None:
    with open_slide(write_svs(tmp_path / "a.svs", section(600)[0], mpp=1.0, power=10)) as slide:
        require_resolution(slide, side_um=224, tile_px=224)
        with pytest.raises(
            InputError, match=r"a\.svs: scanned at 1 micrometres .*slides\.tile_side_um of 224"
        ):
            require_resolution(slide, side_um=112, tile_px=224)


def test_tissue_too_thin_for_a_tile_is_an_error_of_that_slide() -> None:
    grid = Grid(np.empty((0, 2), dtype=np.int32), 512, 256)
    with pytest.raises(InputError, match=r"no tile of 256 micrometres has enough of it.*least_tissue"):
        require_tiles(grid, Path("a.svs"))
