"""What is planted is as strong as declared, where it was declared, and changes nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_study import small_study

from kemm.core.errors import UsageError
from kemm.training.dataset import StudyData
from kemm.training.planting import MODALITIES, plant, signal, worse_than_expected


@pytest.fixture(scope="module")
def study() -> StudyData:
    return small_study(140, seed=5, missing=0.0).data


def test_who_dies_soonest_does_worse_than_expected_and_who_lives_longest_best() -> None:
    months = np.array([1.0, 2, 3, 4, 5, 60])
    event = np.array([True, True, False, True, False, False])
    # Residuals by hand: hazards 1/6, 1/5, 1/3: 5/6, 19/30, -11/30, 0.3, -0.7, -0.7.
    score = worse_than_expected(months, event)
    assert np.argsort(-score, kind="stable").tolist() == [0, 1, 3, 2, 4, 5]
    assert score[4] == score[5]
    assert score.std() == pytest.approx(1)


def test_a_signal_correlates_as_declared() -> None:
    data = small_study(4000, seed=0).data
    known = worse_than_expected(data.cohort.months, data.cohort.event)
    assert np.corrcoef(signal(data, 0.6, seed=3), known)[0, 1] == pytest.approx(0.6, abs=0.03)


def test_nothing_can_be_planted_in_what_is_not_there(study: StudyData) -> None:
    bare = replace(study, genomics=None, groups=None)
    with pytest.raises(UsageError, match="nothing can be planted in genes: the study has none"):
        plant(bare, "genes", np.zeros(140), 0)


def test_planting_changes_the_identity_of_the_study(study: StudyData) -> None:
    values = np.zeros(140)
    names = {plant(study, modality, values, seed).identity for modality in MODALITIES for seed in (0, 1)}
    assert len(names | {study.identity}) == 9


def test_a_planted_sentence_stands_on_its_quote(study: StudyData) -> None:
    planted = plant(study, "report", np.arange(140.0), 0)
    for report in planted.reports:
        assert report is not None
        last = report.statements[-1]
        assert report.text[last.start : last.end] == last.quote
