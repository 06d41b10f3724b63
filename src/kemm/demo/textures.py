"""How each pattern of the made-up slides looks: how much haematoxylin and eosin each point has taken up.

Every texture continues over its edges, so that it can cover any area. All lengths are in pixels of half a
micrometre.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from kemm.demo.hazard import SOLID_GROWTH
from kemm.demo.patches import PATTERNS

SIDE = 768
"""Of a texture."""
LEVELS = 64
"""Steps of each dye."""
STRONGEST = 1.6
"""Optical density of the last step."""

Map = NDArray[np.float32]
Dyes = tuple[Map, Map]
"""Haematoxylin and eosin as optical density, (SIDE, SIDE) each."""


@lru_cache(maxsize=1)
def textures() -> NDArray[np.uint16]:
    """(pattern + 1, SIDE, SIDE): codes as `code` makes them; the last is empty glass."""
    makers: dict[str, Callable[[np.random.Generator], Dyes]] = {
        "clear cell nests": _clear_cells,
        "tubules and glomeruli": _tubules,
        "stroma": _stroma,
        "fat": _fat,
        "vessels and blood": _blood,
        "lymphocytes": _lymphocytes,
        SOLID_GROWTH: _solid,
    }
    made = []
    for place, pattern in enumerate(PATTERNS):
        random = np.random.default_rng([11, place])
        haematoxylin, eosin = makers[pattern](random)
        grain = 0.008 * random.standard_normal((2, SIDE, SIDE)).astype(np.float32)
        made.append(code(_soft(haematoxylin) + grain[0], _soft(eosin) + grain[1]))
    return np.stack([*made, np.zeros((SIDE, SIDE), dtype=np.uint16)])


def code(haematoxylin: Map, eosin: Map) -> NDArray[np.uint16]:
    """Both dyes in one number, so that colour is one look-up."""
    steps = [
        np.clip(np.rint(dye * (LEVELS - 1) / STRONGEST), 0, LEVELS - 1).astype(np.uint16)
        for dye in (haematoxylin, eosin)
    ]
    return np.asarray(steps[0] * LEVELS + steps[1], dtype=np.uint16)


def _clear_cells(random: np.random.Generator) -> Dyes:
    """Nests of cells with empty cytoplasm and sharp borders, thin vessels between the nests."""
    first, second, cell = _nearest(38, random)
    edge = _inside(second - first, 3.2)
    nucleus = _inside(first, 6.5 + _each(cell, random, 1.0))
    nests_first, nests_second, _ = _nearest(170, random)
    septum = _inside(nests_second - nests_first, 9)
    spindle = septum * _spindles(random, 26, 3.0)
    haematoxylin = 0.03 + 0.75 * nucleus * (1 - septum) + 0.7 * spindle + 0.05 * edge
    eosin = 0.10 + 0.06 * _cloud(random, 3) + 0.42 * edge + 0.25 * nucleus
    return haematoxylin, np.where(septum > 0.5, 0.55 + 0.08 * _cloud(random, 4), eosin).astype(np.float32)


def _tubules(random: np.random.Generator) -> Dyes:
    """Rings of epithelium around a lumen; some round tufts of small cells."""
    first, second, which = _nearest(104, random)
    tuft = _each(which, random, 1.0) > 1.0
    edge = second - first
    between = _inside(edge, 8)
    lumen = _inside(first, 15) * ~tuft
    near, _, nuclei_of = _nearest(23, random)
    nucleus = _inside(near, 5.6 + _each(nuclei_of, random, 0.6))
    ring = (first > 22) & (first < 40)
    dense = _inside(_nearest(15, random)[0], 4.8) * tuft * _inside(first, 44)
    bowman = tuft & (first > 44) & (first < 50)
    haematoxylin = 0.05 + 0.72 * nucleus * ring * ~tuft * (1 - between) + 0.75 * dense
    eosin = 0.55 + 0.10 * _cloud(random, 3)
    eosin = np.where(lumen > 0.5, 0.02, eosin)
    eosin = np.where(between > 0.5, 0.35, eosin)
    eosin = np.where(tuft, np.where(bowman, 0.03, 0.45), eosin)
    return haematoxylin.astype(np.float32), eosin.astype(np.float32)


def _stroma(random: np.random.Generator) -> Dyes:
    """Wavy fibres with a few spindle-shaped nuclei along them."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    wave = 26 * _cloud(random, 60) + 5 * np.sin(2 * np.pi * 3 * columns / SIDE)
    fibres = np.sin(2 * np.pi * 64 * (rows + wave) / SIDE) * (0.6 + 0.4 * _cloud(random, 12))
    cleft = _inside(-(fibres + 0.25 * _cloud(random, 8)), -0.95)
    haematoxylin = 0.04 + 0.72 * _spindles(random, 58, 3.4, wave)
    eosin = 0.48 + 0.13 * fibres + 0.07 * _cloud(random, 20) - 0.3 * cleft
    return haematoxylin.astype(np.float32), eosin.astype(np.float32)


def _fat(random: np.random.Generator) -> Dyes:
    """Large empty cells with thin walls; now and then a flat nucleus in a wall."""
    first, second, _ = _nearest(112, random)
    wall = _inside(second - first, 5.5)
    nucleus = wall * _inside(_nearest(120, random)[0], 9)
    return (0.75 * nucleus).astype(np.float32), (0.01 + 0.42 * wall).astype(np.float32)


def _blood(random: np.random.Generator) -> Dyes:
    """Red cells in vessels with pink walls."""
    first, second, _ = _nearest(210, random)
    shift = 0.5 * (second - first)
    wall = shift < 17
    lining = (shift >= 17) & (shift < 23)
    near, _, red = _nearest(13.5, random)
    full = _cloud(random, 40) > -0.9
    cell = _inside(near, 6.0) * full
    eosin = np.where(wall, 0.55 + 0.1 * np.sin(shift * 0.9), 0.04 + cell * (0.95 + _each(red, random, 0.12)))
    haematoxylin = np.where(wall, 0.05 + 0.6 * _spindles(random, 48, 3.0), 0.02)
    haematoxylin = np.where(lining, 0.6 * _inside(_nearest(26, random)[0], 7), haematoxylin)
    return haematoxylin.astype(np.float32), eosin.astype(np.float32)


def _lymphocytes(random: np.random.Generator) -> Dyes:
    """Small dark nuclei side by side, with hardly any cytoplasm."""
    near, _, which = _nearest(14.5, random)
    nucleus = _inside(near, 5.4 + _each(which, random, 0.5))
    clumps = 0.12 * _cloud(random, 1.6)
    return (0.08 + nucleus * (1.05 + clumps)).astype(np.float32), (0.22 + 0.1 * nucleus).astype(np.float32)


def _solid(random: np.random.Generator) -> Dyes:
    """Sheets of large cells with granular pink cytoplasm, large nuclei and a dot in each; no vessels between."""
    first, second, which = _nearest(34, random)
    nucleus = _inside(first, 8.8 + _each(which, random, 1.4))
    nucleolus = _inside(first, 2.4)
    edge = _inside(second - first, 2.4)
    haematoxylin = 0.07 + nucleus * (0.58 + 0.10 * _cloud(random, 2)) + 0.35 * nucleolus
    eosin = 0.82 + 0.16 * _cloud(random, 1.4) + 0.06 * _cloud(random, 25) + 0.14 * edge - 0.25 * nucleus
    return haematoxylin.astype(np.float32), eosin.astype(np.float32)


def _nearest(spacing: float, random: np.random.Generator) -> tuple[Map, Map, NDArray[np.int32]]:
    """Distance to the nearest and the second nearest of points that lie about `spacing` apart, and which the first is."""
    across = max(2, round(SIDE / spacing))
    step = SIDE / across
    rows, columns = np.mgrid[0:across, 0:across]
    # Every other row is shifted, and all points are moved a little: close to how cells pack.
    points = np.stack([rows.ravel() + 0.5, columns.ravel() + 0.5 * (rows.ravel() % 2) + 0.25], axis=1)
    points = (points + 0.24 * random.standard_normal(points.shape)) * step % SIDE
    distance, which = cKDTree(points, boxsize=SIDE).query(_pixels(), k=2)
    shape = (SIDE, SIDE)
    return (
        distance[:, 0].reshape(shape).astype(np.float32),
        distance[:, 1].reshape(shape).astype(np.float32),
        which[:, 0].reshape(shape).astype(np.int32),
    )


@lru_cache(maxsize=1)
def _pixels() -> NDArray[np.float64]:
    return np.indices((SIDE, SIDE)).reshape(2, -1).T.astype(np.float64)


def _spindles(random: np.random.Generator, spacing: float, width: float, bend: Map | float = 0.0) -> Map:
    """Nuclei five times as long as they are wide, lying along the rows (bent as `bend` says)."""
    across = max(2, round(SIDE / spacing))
    points = random.random((across * across, 2)) * SIDE
    squeeze = 5.0
    grid = _pixels().copy()
    grid[:, 0] = (grid[:, 0] + np.ravel(bend)) % SIDE if np.ndim(bend) else grid[:, 0]
    tree = cKDTree(points * [1, 1 / squeeze], boxsize=[SIDE, SIDE / squeeze])
    distance, _ = tree.query(grid * [1, 1 / squeeze], k=1)
    return _inside(distance.reshape(SIDE, SIDE).astype(np.float32), width)


def _inside(distance: Map, radius: Map | float) -> Map:
    """1 within the radius, 0 outside, with an edge of two pixels."""
    return np.asarray(np.clip((radius - distance) / 2 + 0.5, 0, 1), dtype=np.float32)


def _each(which: NDArray[np.int32], random: np.random.Generator, spread: float) -> Map:
    """A number of its own for each cell, by chance."""
    return np.asarray(spread * random.standard_normal(int(which.max()) + 1)[which], dtype=np.float32)


def _cloud(random: np.random.Generator, size: float) -> Map:
    """Smooth noise of mean 0 and deviation 1 that continues over the edges."""
    noise = gaussian_filter(random.standard_normal((SIDE, SIDE)).astype(np.float32), size, mode="wrap")
    return np.asarray((noise - noise.mean()) / noise.std(), dtype=np.float32)


def _soft(dye: Map) -> Map:
    """As through an objective: nothing is sharper than a micrometre."""
    return np.asarray(gaussian_filter(dye, 0.8, mode="wrap"), dtype=np.float32)
