"""Typical patches of the training part of a fold."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from kemm.modalities.slides import SlideBags
from kemm.training.reading import draw_pieces

MOST_PATCHES = 50_000
"""Patches that prototypes are found among: of each case at most an even share of these."""
STARTS = 3
BATCH = 4096


def fit_prototypes(slides: SlideBags, rows: Sequence[int], count: int, seed: int) -> NDArray[np.float32]:
    """Centres of k-means among patches of the cases at `rows`, in the encoder's scale, (prototype, feature).

    Distances are taken at mean 0 and deviation 1, as networks see patches; a value that is missing is the mean.
    Always `count` of them: where there are fewer patches, these are repeated in turn; where there is none, zeros.
    Of tables of measurements, whose bags reach a network scaled, the prototypes must pass the `SlideScaler` too.
    """
    with_slides = sorted(row for row in set(map(int, rows)) if slides.present[row])
    if not with_slides:
        return np.zeros((count, slides.width), dtype=np.float32)
    share = max(1, MOST_PATCHES // len(with_slides))
    patches = np.concatenate([_drawn(slides, row, share, seed) for row in with_slides])
    patches[:, np.isnan(patches).all(axis=0)] = 0.0  # never measured in training
    mean, scale = np.nanmean(patches, axis=0), np.nanstd(patches, axis=0)
    scale = np.where(scale > 1e-6, scale, 1.0)
    standard = np.nan_to_num((patches - mean) / scale, nan=0.0)
    if len(standard) <= count:
        centres = standard[np.arange(count) % len(standard)]
    else:
        means = MiniBatchKMeans(count, random_state=seed, n_init=STARTS, batch_size=BATCH)
        with warnings.catch_warnings():
            # Where fewer patches differ than there are prototypes, some prototypes are the same.
            warnings.simplefilter("ignore", ConvergenceWarning)
            centres = means.fit(standard).cluster_centers_
    found: NDArray[np.float32] = (centres * scale + mean).astype(np.float32)
    return found


def _drawn(slides: SlideBags, row: int, most: int, seed: int) -> NDArray[np.float32]:
    start, stop = map(int, slides.offsets[row : row + 2])
    if stop - start <= most:
        return slides.bag(row)
    generator = torch.Generator().manual_seed(1_000_003 * seed + row)
    pieces = draw_pieces(stop - start, most, generator)
    return np.concatenate(
        [np.asarray(slides.features[start + first : start + last], np.float32) for first, last in pieces]
    )
