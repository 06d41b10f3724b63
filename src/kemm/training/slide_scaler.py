"""Patch features to one scale, fitted on the patches of training cases; and the components of the mean patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kemm.modalities.slides import SlideBags

PATCHES_FOR_SCALE = 256
CLIP = 6.0
"""Measurements beyond this many standard deviations are cut off: tables of them have tails."""


@dataclass(frozen=True, kw_only=True)
class SlideScaler:
    """Patch features at mean 0 and deviation 1, by the training cases' patches; and their mean's components."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    centre: NDArray[np.float32]
    components: NDArray[np.float32]

    @classmethod
    def fit(cls, slides: SlideBags, rows: Sequence[int], components: int) -> SlideScaler:
        """From about `PATCHES_FOR_SCALE` evenly spaced patches of each training case. One bag at a time is read."""
        with_slides = [row for row in rows if slides.present[row]]
        if not with_slides:
            width = slides.width
            zero = np.zeros(width, np.float32)
            return cls(mean=zero, scale=zero + 1, centre=zero, components=np.zeros((1, width), np.float32))
        some = np.concatenate([_some(slides, row) for row in with_slides]).astype(np.float64)
        some[:, np.isnan(some).all(axis=0)] = 0.0  # never measured in training
        mean, scale = np.nanmean(some, axis=0).astype(np.float32), np.nanstd(some, axis=0)
        scale = np.where(np.isfinite(scale) & (scale > 1e-6), scale, 1.0).astype(np.float32)
        pooled = np.stack([_mean_patch(slides, row, mean, scale) for row in with_slides])
        centre = pooled.mean(axis=0)
        _, _, directions = np.linalg.svd(pooled - centre, full_matrices=False)
        return cls(mean=mean, scale=scale, centre=centre, components=directions[:components])

    def __call__(self, bag: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standardised measurements; a value that is missing is the mean, and tails are cut off."""
        return _standard(bag, self.mean, self.scale)

    def pooled(self, slides: SlideBags, row: int) -> NDArray[np.float64]:
        """Components of a case's mean patch, (component,)."""
        mean = _mean_patch(slides, row, self.mean, self.scale)
        value: NDArray[np.float64] = (self.components @ (mean - self.centre)).astype(np.float64)
        return value


def _some(slides: SlideBags, row: int) -> NDArray[np.float32]:
    start, stop = slides.offsets[row], slides.offsets[row + 1]
    step = max(1, (stop - start) // PATCHES_FOR_SCALE)
    return np.asarray(slides.features[start:stop:step], dtype=np.float32)


def _mean_patch(
    slides: SlideBags, row: int, mean: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    if slides.means is not None:
        known: NDArray[np.float32] = (slides.means[row] - mean) / scale
        return known
    looked_at: NDArray[np.float32] = _standard(slides.bag(row), mean, scale).mean(axis=0)
    return looked_at


def _standard(
    bag: NDArray[np.float32], mean: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    standard: NDArray[np.float32] = np.clip(np.nan_to_num((bag - mean) / scale, nan=0.0), -CLIP, CLIP)
    return standard
