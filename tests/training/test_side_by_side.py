"""Batches: which patches are drawn, and what networks side by side are given."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_study import FEATURES, GENOMICS, TEXT, small_study

from kemm.modalities.slides import SlideBags
from kemm.training.dataset import StudyData
from kemm.training.features import CaseFeatures, FoldTransforms
from kemm.training.reading import Reader, draw_pieces, side_by_side

INPUTS = ("report", "background", "genes", "slides", "covariates")


@given(st.integers(1, 500), st.integers(1, 600), st.integers(0, 5))
def test_as_many_places_are_drawn_as_wanted_each_once(total: int, wanted: int, seed: int) -> None:
    wanted = min(wanted, total)
    pieces = draw_pieces(total, wanted, torch.Generator().manual_seed(seed))
    places = [place for start, stop in pieces for place in range(start, stop)]
    assert len(places) == wanted == len(set(places))
    assert set(places) <= set(range(total))
    assert pieces == sorted(pieces)
    assert len(pieces) <= 2 * 16 + 2


def test_each_place_is_drawn_as_often_as_any_other() -> None:
    drawn = Counter(
        place
        for seed in range(4000)
        for start, stop in draw_pieces(50, 20, torch.Generator().manual_seed(seed))
        for place in range(start, stop)
    )
    # Binomial with 4,000 draws of chance 0.4: five standard deviations are 155.
    assert all(abs(drawn[place] - 1600) < 155 for place in range(50))


def encoded(data: StudyData) -> StudyData:
    """The same study, its patches as from an encoder, with their means known."""
    assert data.slides is not None
    slides = data.slides
    means = np.stack(
        [
            slides.bag(row).mean(axis=0) if slides.present[row] else np.zeros(slides.width)
            for row in range(len(data.cohort))
        ]
    ).astype(np.float32)
    return replace(data, slides=SlideBags(slides.features, slides.offsets, slides.slides, means))


@pytest.fixture(scope="module")
def study() -> StudyData:
    return small_study(40, seed=4).data


def features_of(data: StudyData, train: range) -> CaseFeatures:
    made = FoldTransforms.fit(data, train, config=FEATURES, text=TEXT, genomics=GENOMICS)
    return made.apply(data, range(len(data.cohort)))


def test_known_means_give_the_components_that_all_patches_give(study: StudyData) -> None:
    apart, known = (features_of(data, range(30)).views["slides"] for data in (study, encoded(study)))
    np.testing.assert_allclose(apart.values, known.values, atol=1e-4)


@pytest.mark.parametrize("patches", [None, 5])
def test_patches_that_are_held_are_those_that_each_step_would_convert(
    study: StudyData, patches: int | None
) -> None:
    stepwise = Reader(features_of(encoded(study), range(30)), INPUTS, precision=torch.bfloat16)
    held = replace(stepwise, hold=10**6)
    rows, how = [3, 0, 7, 39], (patches, 2)
    pairs = zip(stepwise.slides(rows, *how).patches, held.slides(rows, *how).patches, strict=True)
    for apart, together in pairs:
        assert apart.dtype == torch.float32
        assert together.dtype == torch.bfloat16
        assert torch.equal(apart.bfloat16(), together)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("patches", [None, 5])
def test_networks_side_by_side_are_given_what_each_is_given_alone(
    study: StudyData, shared: bool, patches: int | None
) -> None:
    data = encoded(study) if shared else study
    readers = [
        Reader(features_of(data, part), INPUTS, torch.arange(40.0) + number)
        for number, part in enumerate((range(20), range(10, 30)))
    ]
    rows = [[3, 17, 5], [17, 30]]
    batch = side_by_side(readers, rows, patches, 2)
    bags = batch.bags["slides"]
    assert len(batch) == len(bags) == 6
    if shared:
        assert len(bags.patches) == 4, "case 17 is read once"
    padded = bags.tokens()
    for network, (reader, own) in enumerate(zip(readers, rows, strict=True)):
        alone = reader.batch(own, patches, 2)
        assert alone.offset is not None
        assert batch.offset is not None
        lonely = alone.bags["slides"].tokens()
        for place in range(len(own)):
            case = 3 * network + place
            assert batch.offset[case] == alone.offset[place]
            for name, tokens in alone.tokens.items():
                assert torch.equal(batch.tokens[name].values[case], tokens.values[place])
                assert torch.equal(batch.tokens[name].present[case], tokens.present[place])
            mine = lonely.values[place][lonely.present[place]]
            torch.testing.assert_close(padded.values[case][padded.present[case]], mine)
    assert not padded.present[5].any()
    assert not any(tokens.present[5].any() for tokens in batch.tokens.values())
