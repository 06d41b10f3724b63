"""Prototypes: the kinds of patch that training cases have, and nothing of the others."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kemm.modalities.slides import SlideBags
from kemm.training import prototypes
from kemm.training.prototypes import fit_prototypes

KINDS = np.array([[0.0, 0.0, 0.0], [50.0, 0.0, 0.01], [0.0, 800.0, -0.01]], dtype=np.float32)


def packed(bags: list[NDArray[np.float32]]) -> SlideBags:
    return SlideBags(np.concatenate(bags), np.cumsum([0, *map(len, bags)]))


def study(cases: int = 12, patches: int = 60) -> SlideBags:
    """Cases with patches of three kinds, the last case's elsewhere."""
    random = np.random.default_rng(0)
    bags = [
        (
            KINDS[random.integers(3, size=patches)] + random.normal(size=(patches, 3)) * [0.5, 5.0, 0.0005]
        ).astype(np.float32)
        for _ in range(cases)
    ]
    bags[3] = bags[3][:0]
    bags[-1] = bags[-1] + 1e4
    return packed(bags)


def in_order(centres: NDArray[np.float32]) -> NDArray[np.float32]:
    return centres[np.lexsort((centres[:, 1], centres[:, 0]))]


def test_they_are_the_kinds_of_patch_whatever_the_features_scales() -> None:
    found = fit_prototypes(study(), range(11), 3, seed=1)
    assert found.dtype == np.float32
    expected = in_order(KINDS)[np.argsort(in_order(KINDS) @ [1, -1, 0])]
    found = found[np.argsort(found @ [1, -1, 0])]
    np.testing.assert_allclose(found, expected, atol=2.0)
    np.testing.assert_allclose(found[:, 2], expected[:, 2], atol=1e-3)


def test_the_same_each_time_in_any_order_of_cases_and_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    first = fit_prototypes(study(), range(11), 5, seed=1)
    assert np.array_equal(first, fit_prototypes(study(), [*range(10, -1, -1)], 5, seed=1))
    assert not np.array_equal(first, fit_prototypes(study(), range(11), 5, seed=2))
    # And if patches are drawn.
    monkeypatch.setattr(prototypes, "MOST_PATCHES", 100)
    drawn = fit_prototypes(study(), range(11), 5, seed=1)
    assert np.array_equal(drawn, fit_prototypes(study(), range(11), 5, seed=1))
    assert not np.array_equal(drawn, first)


def test_no_patch_of_other_cases_plays_a_part() -> None:
    slides = study()
    before = fit_prototypes(slides, range(11), 4, seed=0)
    slides.features[slides.offsets[11] :] = np.nan
    assert np.array_equal(before, fit_prototypes(slides, range(11), 4, seed=0))


def test_each_case_gives_an_even_share_of_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """One case has most of all patches, and all of one kind: it does not take all prototypes."""
    monkeypatch.setattr(prototypes, "MOST_PATCHES", 40)
    asked: list[int] = []
    whole = prototypes._drawn

    def drawn(slides: SlideBags, row: int, most: int, seed: int) -> NDArray[np.float32]:
        found = whole(slides, row, most, seed)
        asked.append(len(found))
        return found

    monkeypatch.setattr(prototypes, "_drawn", drawn)
    bags = [np.full((size, 2), row, np.float32) for row, size in enumerate((5000, 7, 30, 30))]
    found = fit_prototypes(packed(bags), range(4), 4, seed=0)
    assert asked == [10, 7, 10, 10]
    assert sorted(found[:, 0].round(3).tolist()) == [0.0, 1.0, 2.0, 3.0]


def test_few_patches_are_repeated_and_none_is_zeros() -> None:
    patches = np.array([[1.0, 2.0], [3.0, 5.0]], dtype=np.float32)
    slides = packed([patches, patches[:0]])
    np.testing.assert_allclose(fit_prototypes(slides, [0, 1], 5, seed=0), patches[[0, 1, 0, 1, 0]], atol=1e-6)
    assert fit_prototypes(slides, [1], 5, seed=0).tolist() == [[0.0, 0.0]] * 5


def test_patches_that_are_all_the_same_are_no_trouble() -> None:
    slides = packed([np.ones((30, 2), np.float32), np.ones((30, 2), np.float32)])
    assert fit_prototypes(slides, [0, 1], 4, seed=0).tolist() == [[1.0, 1.0]] * 4


def test_values_that_are_missing_are_the_mean() -> None:
    slides = study()
    slides.features[::7, 1] = np.nan
    slides.features[:, 2] = np.nan
    found = fit_prototypes(slides, range(11), 3, seed=0)
    assert np.isfinite(found).all()
    assert not found[:, 2].any()
