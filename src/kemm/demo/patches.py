"""Made-up slides: bags of patch features, of which a varying share shows the pattern that matters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kemm.demo.hazard import SOLID_GROWTH

PATTERNS: tuple[str, ...] = (
    "clear cell nests",
    "tubules and glomeruli",
    "stroma",
    "fat",
    "vessels and blood",
    "lymphocytes",
    SOLID_GROWTH,
)
WIDTH = 48
SMALLEST_SHARE, LARGEST_SHARE = 0.02, 0.40
SECOND_SLIDE_SHARE = 0.2
FEWEST_PATCHES, MOST_PATCHES = 40, 400

_ENCODER_SEED = 7
"""The imaginary patch encoder: one for all cohorts, as a real one would be."""
_PATCH_NOISE, _SLIDE_SHIFT, _SITE_SHIFT = 0.7, 0.35, 0.2
_SOLID_FROM_CLEAR = 0.9
"""Solid growth is near the clear cell pattern, where patches of a slide differ, but the means of slides hardly do."""


@dataclass(frozen=True)
class Slide:
    """One slide's patches: features (patch, WIDTH) in half precision, and the pattern each patch shows."""

    features: NDArray[np.float16]
    pattern: NDArray[np.int64]
    """Index into `PATTERNS`, (patch,)."""


def draw_solid_shares(cases: int, random: np.random.Generator) -> NDArray[np.float64]:
    """The share of patches with solid growth in each case, (case,): mostly small."""
    return SMALLEST_SHARE + (LARGEST_SHARE - SMALLEST_SHARE) * random.beta(0.9, 1.6, cases)


def draw_slides(solid_share: float, site: int, random: np.random.Generator) -> list[Slide]:
    """The one or two slides of a case. Every slide, and every site, is stained a little differently."""
    slides = 2 if random.random() < SECOND_SLIDE_SHARE else 1
    # The other patterns vary from case to case for no reason that concerns the outcome.
    composition = random.dirichlet(np.array([6.0, 2.0, 2.5, 1.0, 1.5, 1.0]))
    prototypes, site_shift = _prototypes(), _site_shift(site)
    drawn = []
    for _ in range(slides):
        patches = int(np.clip(np.exp(random.normal(np.log(120), 0.55)), FEWEST_PATCHES, MOST_PATCHES))
        solid = max(1, round(solid_share * patches))
        others = random.choice(len(PATTERNS) - 1, size=patches - solid, p=composition)
        pattern = random.permutation(np.concatenate([np.full(solid, len(PATTERNS) - 1), others]))
        stain = site_shift + _SLIDE_SHIFT * random.standard_normal(WIDTH)
        noise = _PATCH_NOISE * random.standard_normal((patches, WIDTH))
        drawn.append(Slide((prototypes[pattern] + stain + noise).astype(np.float16), pattern))
    return drawn


def _prototypes() -> NDArray[np.float64]:
    random = np.random.default_rng(_ENCODER_SEED)
    prototypes = random.standard_normal((len(PATTERNS), WIDTH))
    prototypes[-1] = prototypes[0] + _SOLID_FROM_CLEAR * random.standard_normal(WIDTH)
    return prototypes


def _site_shift(site: int) -> NDArray[np.float64]:
    return _SITE_SHIFT * np.random.default_rng([_ENCODER_SEED, site]).standard_normal(WIDTH)
