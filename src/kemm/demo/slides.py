"""Made-up whole-slide images: tissue whose patterns are where a map says, as small pyramidal TIFFs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from kemm.core.errors import UsageError
from kemm.core.files import writing
from kemm.demo.patches import PATTERNS
from kemm.demo.textures import LEVELS, SIDE, STRONGEST, textures

MPP = 0.5
REGION_BITS = 7
REGION_PX = 2**REGION_BITS
"""Side of a region of one pattern: 64 micrometres."""
REGIONS_A_PATCH = 2
"""A patch of the bags of features becomes so many regions, in slides of ordinary size."""
FEWEST_REGIONS, MOST_REGIONS = 100, 360
GLASS = -1
MARGIN_REGIONS = 1
SMALLEST_PX = 2048
STEP_PX = 256
"""Sides of slides are multiples of a JPEG tile."""
LEVEL_STEP = 4
LEVELS_WRITTEN = 3
QUALITY = 52

STRIP_PX = 32
_STAIN_SEED = 7
HAEMATOXYLIN, EOSIN = (0.80, 0.86, 0.36), (0.08, 0.80, 0.34)
"""Optical density of red, green and blue: haematoxylin as Ruifrok and Johnston (2001) measured it, eosin pinker."""
_WANDER_PX = 26.0
"""How far the border between two regions strays from a straight line."""


@dataclass(frozen=True)
class PatternMap:
    """Which pattern is where on a slide."""

    regions: NDArray[np.int8]
    """Index into `PATTERNS`, `GLASS` where there is no tissue, (row, column) of squares of `REGION_PX`."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        rows, columns = self.regions.shape
        return columns * REGION_PX, rows * REGION_PX

    def shares(self) -> NDArray[np.float64]:
        """Of the tissue, by pattern."""
        tissue = self.regions[self.regions != GLASS]
        return np.bincount(tissue, minlength=len(PATTERNS)) / len(tissue)

    def frame(self, slide: str) -> pd.DataFrame:
        """A row a region of tissue, for truth_patches.parquet."""
        rows, columns = np.nonzero(self.regions != GLASS)
        return pd.DataFrame(
            {
                "slide_id": slide,
                "left": (columns * REGION_PX).astype(np.int32),
                "top": (rows * REGION_PX).astype(np.int32),
                "side": np.int32(REGION_PX),
                "pattern": np.array(PATTERNS)[self.regions[rows, columns]],
            }
        )


def draw_pattern_map(pattern: NDArray[np.int64], random: np.random.Generator) -> PatternMap:
    """A map with the patterns of a bag in the same shares, like beside like.

    `pattern`: index into `PATTERNS` of each patch of the slide, (patch,).
    """
    regions = int(np.clip(REGIONS_A_PATCH * len(pattern), FEWEST_REGIONS, MOST_REGIONS))
    counts = _apportioned(np.bincount(pattern, minlength=len(PATTERNS)) / len(pattern), regions)
    stretch = random.uniform(0.8, 1.25)
    wide = int(np.ceil(np.sqrt(1.25 * regions * stretch))) + 2 * MARGIN_REGIONS
    high = int(np.ceil(np.sqrt(1.25 * regions / stretch))) + 2 * MARGIN_REGIONS
    columns, rows = (_rounded(side * REGION_PX) // REGION_PX for side in (wide, high))
    down, across = np.mgrid[0:rows, 0:columns]
    away = np.hypot((down - (rows - 1) / 2) / high, (across - (columns - 1) / 2) / wide)
    outline = away + 0.06 * _smooth((rows, columns), 2.5, random)
    border = (
        np.minimum.reduce([down, across, rows - 1 - down, columns - 1 - across]) < 1
    )  # a slide's edge is glass
    outline[border] = np.inf
    tissue = np.argsort(outline, axis=None, kind="stable")[:regions]
    found = np.full(rows * columns, GLASS, dtype=np.int8)
    free = tissue
    # The rarest first: it finds a place in one piece. Fat lies outside.
    for kind in np.argsort(counts, kind="stable"):
        wish = _smooth((rows, columns), 2.4, random)
        if PATTERNS[kind] == "fat":
            wish = wish + 6 * away
        order = free[np.argsort(-wish.ravel()[free], kind="stable")]
        found[order[: counts[kind]]] = kind
        free = order[counts[kind] :]
    return PatternMap(found.reshape(rows, columns))


def render(where: PatternMap, site: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """The slide at full resolution, (height, width, 3) RGB."""
    width, height = where.size
    offset = random.integers(0, SIDE, 4)
    across = np.arange(width)
    sideways = _wander().T[:, (across + offset[3]) % SIDE] + across + REGION_PX
    downwards = _wander()[:, (across + offset[1]) % SIDE]
    # A rim of glass, so that no point looks outside; and already the place where the texture begins.
    regions = np.pad(where.regions, 1, constant_values=GLASS).astype(np.intp)
    regions = np.where(regions == GLASS, len(PATTERNS), regions) * (SIDE * SIDE)
    texture_columns = (across + offset[1]) % SIDE
    # Four bytes at once are looked up faster than three.
    colours = np.zeros((LEVELS * LEVELS, 4), dtype=np.uint8)
    colours[:, :3] = _colours(site, random)
    colour, texture = colours.view(np.uint32).ravel(), textures().ravel()
    image = np.empty((height, width, 3), dtype=np.uint8)
    # In strips, which stay in the processor's cache, and in place, which asks for no memory.
    for top in range(0, height, STRIP_PX):
        down = np.arange(top, min(top + STRIP_PX, height))
        places = downwards[(down + offset[0]) % SIDE]
        places += down[:, None] + REGION_PX
        places >>= REGION_BITS
        places *= regions.shape[1]
        columns = sideways[(down + offset[2]) % SIDE]
        columns >>= REGION_BITS
        places += columns
        regions.take(places, out=columns, mode="clip")
        columns += (down[:, None] + offset[0]) % SIDE * SIDE
        columns += texture_columns
        seen = colour.take(texture.take(columns)).view(np.uint8).reshape(len(down), width, 4)
        for channel in range(3):
            image[top : top + len(down), :, channel] = seen[..., channel]
    return image


def write_slide(path: Path, where: PatternMap, site: int, random: np.random.Generator) -> None:
    """Render it and write a tiled pyramid as a scanner of the Aperio kind does.

    Raises:
        UsageError: tifffile or imagecodecs is not installed.
    """
    tifffile, pillow = _libraries()
    image = render(where, site, random)
    width, height = where.size
    about = f"Aperio Image Library vKEMM demo\r\n{width}x{height} (256x256) JPEG/RGB Q={QUALITY}|AppMag = 20|MPP = {MPP}"
    with writing(path) as scratch, tifffile.TiffWriter(scratch) as handle:
        for level in range(LEVELS_WRITTEN):
            if level:
                image = np.asarray(pillow.fromarray(image).reduce(LEVEL_STEP))
            handle.write(
                image,
                photometric="rgb",
                tile=(STEP_PX, STEP_PX),
                compression="jpeg",
                compressionargs={"level": QUALITY},
                description=about,
                metadata=None,
                software=False,
                subfiletype=1 if level else 0,
                maxworkers=1,
            )


def require_slide_writer() -> None:
    """Raise `UsageError` where slides cannot be written, before anything is."""
    _libraries()


def planted_share(
    truth: pd.DataFrame, slide: str, coordinates: NDArray[np.integer], tile_side: float, pattern: str
) -> NDArray[np.float64]:
    """The share of each tile's area that shows a pattern, (tile,); for tests of what a model looked at.

    `truth`: truth_patches.parquet of a demo with images. `coordinates`: left and top of the tiles, (tile, 2).
    """
    shown = truth[(truth["slide_id"] == slide) & (truth["pattern"] == pattern)]
    share = np.zeros(len(coordinates))
    for left, top, side in shown[["left", "top", "side"]].to_numpy():
        overlap = [
            np.clip(
                np.minimum(coordinates[:, axis] + tile_side, start + side)
                - np.maximum(coordinates[:, axis], start),
                0,
                None,
            )
            for axis, start in enumerate((left, top))
        ]
        share += overlap[0] * overlap[1] / tile_side**2
    return share


def _libraries() -> tuple[Any, Any]:
    try:
        import_module("imagecodecs")
        return import_module("tifffile"), import_module("PIL.Image")
    except ImportError as error:
        raise UsageError(
            f"slides are written with tifffile and imagecodecs, and {error.name} is not installed here: "
            "pip install 'kemm[wsi]'"
        ) from error


def _apportioned(shares: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Whole numbers that add up to `total`, in these shares as nearly as can be (largest remainder)."""
    exact = shares * total
    counts = np.floor(exact).astype(np.int64)
    most = np.argsort(-(exact - counts), kind="stable")[: total - int(counts.sum())]
    counts[most] += 1
    return counts


def _rounded(pixels: int) -> int:
    return max(SMALLEST_PX, -(-pixels // STEP_PX) * STEP_PX)


def _smooth(shape: tuple[int, int], size: float, random: np.random.Generator) -> NDArray[np.float64]:
    noise = gaussian_filter(random.standard_normal(shape), size)
    return np.asarray((noise - noise.mean()) / noise.std())


@lru_cache(maxsize=1)
def _wander() -> NDArray[np.intp]:
    """How far each point looks aside for its region: makes borders wavy, and keeps areas as they are."""
    noise = np.random.default_rng(3).standard_normal((SIDE, SIDE))
    coarse, fine = (gaussian_filter(noise, size, mode="wrap") for size in (30, 6))
    field = coarse / coarse.std() + 0.25 * fine / fine.std()
    # No further than one region, so that a rim of one is enough.
    wander = np.rint(_WANDER_PX * (field - field.mean()))
    return np.asarray(np.clip(wander, 1 - REGION_PX, REGION_PX - 1), dtype=np.intp)


def _colours(site: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """RGB of each code, (LEVELS squared, 3): every site stains in its way, every slide a little differently."""
    of_site = np.random.default_rng([_STAIN_SEED, site])
    strength = np.exp(0.14 * of_site.standard_normal(2) + 0.05 * random.standard_normal(2))
    vectors = np.array([HAEMATOXYLIN, EOSIN])
    vectors = vectors + 0.035 * of_site.standard_normal((2, 3)) + 0.01 * random.standard_normal((2, 3))
    vectors = np.clip(vectors, 0.02, None)
    dye = np.linspace(0, STRONGEST, LEVELS)
    density = (
        strength[0] * dye[:, None, None] * vectors[0] + strength[1] * dye[None, :, None] * vectors[1]
    ).reshape(-1, 3)
    glass = 243 + 3 * of_site.standard_normal()
    return np.asarray(np.rint(np.clip(glass, 235, 250) * np.exp(-density)), dtype=np.uint8)
