"""A slide as a small picture, with the outline of its tissue and its tiles."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from kemm.core.errors import KemmError
from kemm.modalities.slides.extraction import Tiling, tissue_of
from kemm.modalities.slides.images import SlideImage
from kemm.modalities.slides.reader import Slide, open_slide
from kemm.modalities.slides.tiles import Grid, lay_tiles, require_resolution, require_tiles
from kemm.modalities.slides.tissue import Tissue, require_tissue
from kemm.results.slides_preview.page import ShownSlide

LONGEST = 640
"""Pixels of the longer side of a picture."""
LINED = 5
"""Tiles with fewer pixels along a side are tinted, not outlined: lines would hide the tissue."""
OUTLINE, TILE = (0, 110, 60), (10, 95, 180)
TINT = 0.22
QUALITY = 80


def draw_slide(tiling: Tiling, image: SlideImage) -> ShownSlide:
    """A slide with its tissue and tiles; or what is wrong with it, drawn as far as it could be read."""
    shown = ShownSlide(name=image.name, case=image.case)
    try:
        with open_slide(image.path, tiling.mpp) as slide:
            shown = replace(
                shown,
                width=slide.width,
                height=slide.height,
                levels=len(slide.levels),
                mpp=slide.mpp,
                power=slide.power,
            )
            picture = slide.thumbnail(max(slide.width, slide.height) * slide.mpp / LONGEST)
            shown = _with_picture(shown, picture)
            require_resolution(slide, tiling.side_um, tiling.tile_px)
            tissue = tissue_of(slide, tiling.tissue)
            require_tissue(tissue, image.path)
            grid = lay_tiles(slide.width, slide.height, slide.mpp, tissue, tiling.side_um, tiling.tiles)
            drawn = _drawn(picture, slide, tissue, grid)
            shown = replace(
                _with_picture(shown, drawn),
                tissue_mm2=tissue.area_mm2,
                tissue_fraction=tissue.fraction,
                tiles=len(grid.coordinates),
            )
            require_tiles(grid, image.path)
    except KemmError as error:
        return replace(shown, error=str(error).removeprefix(f"{image.path}: "))
    return shown


def _drawn(picture: NDArray[np.uint8], slide: Slide, tissue: Tissue, grid: Grid) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    out = picture.astype(np.float32)
    scale = width / slide.width
    tinted = np.zeros((height, width), dtype=bool)
    lines = np.zeros((height, width), dtype=bool)
    for left, top in (grid.coordinates * scale).tolist():
        x0, y0 = round(left), round(top)
        x1, y1 = (
            min(round(left + grid.side * scale), width - 1),
            min(round(top + grid.side * scale), height - 1),
        )
        tinted[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
        if grid.side * scale >= LINED:
            lines[y0 : y1 + 1, [x0, x1]] = True
            lines[[y0, y1], x0 : x1 + 1] = True
    out[tinted] = (1 - TINT) * out[tinted] + TINT * np.array(TILE, dtype=np.float32)
    out[lines] = 0.5 * out[lines] + 0.5 * np.array(TILE, dtype=np.float32)
    rows = np.minimum(np.arange(height) * tissue.mask.shape[0] // height, tissue.mask.shape[0] - 1)
    columns = np.minimum(np.arange(width) * tissue.mask.shape[1] // width, tissue.mask.shape[1] - 1)
    mask = tissue.mask[rows[:, None], columns[None, :]]
    edge = ndimage.binary_dilation(mask ^ ndimage.binary_erosion(mask, border_value=1))
    out[edge] = OUTLINE
    return out.round().astype(np.uint8)


def _with_picture(shown: ShownSlide, pixels: NDArray[np.uint8]) -> ShownSlide:
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "JPEG", quality=QUALITY)
    return replace(
        shown,
        picture=base64.b64encode(held.getvalue()).decode(),
        picture_width=pixels.shape[1],
        picture_height=pixels.shape[0],
    )
