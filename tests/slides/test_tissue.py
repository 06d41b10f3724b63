"""Tissue is found where it was drawn, whatever else is on the slide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kemm.core.errors import InputError
from kemm.modalities.slides.tissue import Tissue, TissueConfig, find_tissue, otsu, require_tissue
from slides.synthetic import (
    BLACK_INK,
    BLUE_INK,
    GREEN_INK,
    Mask,
    Picture,
    disc,
    glass,
    overlap,
    painted,
    section,
    stained,
)

SHAPE = (400, 600)
TRUE = disc(SHAPE, 200, 220, 110)
MPP = 10.0


def found(picture: Picture, config: TissueConfig | None = None) -> Mask:
    return find_tissue(picture, MPP, config or TissueConfig()).mask


@pytest.mark.parametrize("strength", [1.0, 0.5, 0.25], ids=["full", "half", "faint"])
def test_a_section_is_found_however_faint_its_stain(strength: float) -> None:
    assert overlap(found(stained(glass(SHAPE), TRUE, strength=strength)), TRUE) > 0.95


@pytest.mark.parametrize("tint", [(250, 244, 232), (228, 230, 236), (255, 255, 255)], ids=str)
def test_the_tint_of_the_glass_is_not_tissue(tint: tuple[int, int, int]) -> None:
    assert overlap(found(stained(glass(SHAPE, colour=tint), TRUE)), TRUE) > 0.95


@pytest.mark.parametrize("ink", [BLUE_INK, GREEN_INK, BLACK_INK], ids=["blue", "green", "black"])
def test_ink_beside_tissue_is_not_tissue(ink: tuple[int, int, int]) -> None:
    line = np.zeros(SHAPE, dtype=bool)
    line[40:360, 450:462] = True
    line[100:112, 400:560] = True
    assert overlap(found(painted(stained(glass(SHAPE), TRUE), line, ink)), TRUE) > 0.95


@pytest.mark.parametrize("ink", [BLUE_INK, GREEN_INK, BLACK_INK], ids=["blue", "green", "black"])
def test_tissue_under_ink_is_left_out(ink: tuple[int, int, int]) -> None:
    line = np.zeros(SHAPE, dtype=bool)
    line[150:170, 60:400] = True
    mask = found(painted(stained(glass(SHAPE), TRUE), line, ink))
    assert not mask[line].any()
    assert overlap(mask, TRUE & ~line) > 0.9


def test_black_borders_are_not_tissue() -> None:
    border = np.zeros(SHAPE, dtype=bool)
    border[:30] = border[:, :40] = border[-25:] = True
    assert overlap(found(painted(stained(glass(SHAPE), TRUE), border, (6, 6, 7))), TRUE) > 0.95


def test_the_rim_of_an_air_bubble_is_not_tissue() -> None:
    rim = disc(SHAPE, 200, 460, 90) & ~disc(SHAPE, 200, 460, 80)
    assert overlap(found(painted(stained(glass(SHAPE), TRUE), rim, (150, 150, 152))), TRUE) > 0.95


def test_every_one_of_several_sections_is_found() -> None:
    true = disc(SHAPE, 100, 100, 60) | disc(SHAPE, 280, 260, 70) | disc(SHAPE, 150, 480, 50)
    assert overlap(found(stained(glass(SHAPE), true)), true) > 0.95


def test_a_section_that_fills_the_slide_is_all_tissue() -> None:
    true = np.ones(SHAPE, dtype=bool)
    assert found(stained(glass(SHAPE), true)).mean() > 0.98


def test_dust_is_dropped_and_a_lumen_filled_but_not_a_large_hole() -> None:
    dust, lumen, hole = disc(SHAPE, 60, 520, 5), disc(SHAPE, 170, 170, 12), disc(SHAPE, 240, 250, 40)
    mask = found(stained(glass(SHAPE), (TRUE | dust) & ~lumen & ~hole))
    assert not mask[dust].any()
    assert mask[lumen].all()
    assert not mask[disc(SHAPE, 240, 250, 35)].any()


def test_settings_decide_on_islands_holes_and_ink() -> None:
    dust, hole = disc(SHAPE, 60, 520, 6), disc(SHAPE, 240, 250, 40)
    picture = stained(glass(SHAPE), (TRUE | dust) & ~hole)
    mask = found(picture, TissueConfig(smallest_piece_mm2=0, largest_hole_mm2=1))
    assert mask[dust].mean() > 0.8
    assert mask[hole].all()
    line = np.zeros(SHAPE, dtype=bool)
    line[:, 500:520] = True
    assert found(painted(picture, line, BLUE_INK), TissueConfig(ink=False))[line].mean() > 0.9


@pytest.mark.parametrize(
    "picture",
    [
        np.full((*SHAPE, 3), 255, dtype=np.uint8),
        glass(SHAPE),
        np.zeros((*SHAPE, 3), dtype=np.uint8),
        painted(glass(SHAPE), disc(SHAPE, 200, 300, 90), (120, 120, 121)),
    ],
    ids=["white", "glass", "black", "grey dirt"],
)
def test_a_slide_without_tissue_is_an_error_of_that_slide(picture: Picture) -> None:
    tissue = find_tissue(picture, MPP, TissueConfig())
    with pytest.raises(InputError, match=r"a\.svs: no tissue was found on this slide"):
        require_tissue(tissue, Path("a.svs"))


def test_otsu_parts_two_heaps_between_them() -> None:
    values = np.array([0.0] * 50 + [0.01] * 50 + [0.5] * 20 + [0.52] * 20, dtype=np.float32)
    assert 0.01 < otsu(values) < 0.5
    assert otsu(np.zeros(0, dtype=np.float32)) == 0


def test_area_and_share_are_those_of_the_mask() -> None:
    picture, true = section(256)
    tissue = find_tissue(picture, MPP, TissueConfig())
    assert tissue.fraction == pytest.approx(true.mean(), rel=0.05)
    assert Tissue(np.ones((10, 20), dtype=bool), 100.0).area_mm2 == pytest.approx(2.0)
