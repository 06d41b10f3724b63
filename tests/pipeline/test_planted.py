"""The whole demonstration: does KEMM find what was planted, in each modality, and look where it is?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kemm import Study, run
from kemm.demo import make_demo_study
from kemm.demo.hazard import SOLID_GROWTH
from kemm.demo.slides import planted_share
from kemm.modalities.slides import read_places
from kemm.pipeline import extract_slides
from kemm.pipeline.running import RunResult
from kemm.pipeline.slide_attention import risk_of_slides
from kemm.training.patch_attention import read_patch_attention
from kemm.training.patch_risk import read_slides_weighed


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, RunResult]:
    """What `make demo` does."""
    pytest.importorskip("openslide")
    pytest.importorskip("imagecodecs")
    folder = make_demo_study(tmp_path_factory.mktemp("planted") / "demo", slides="images")
    study = Study.load(folder)
    extract_slides(study)
    return study, run(study)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kemm_finds_each_thing_that_was_planted(finished: tuple[Study, RunResult]) -> None:
    _, result = finished
    truth = result.evaluation.truth
    assert truth is not None
    assert {signal.modality for signal in truth.planted} == {"covariates", "report", "genes", "slides"}
    assert [signal.name for signal in truth.planted if not signal.found] == []
    c = {model.name: model.metrics["harrell_c"].value for model in result.evaluation.models}
    assert c["kemm+clinical"] > c["clinical"] + 0.03
    assert truth.correlation["kemm+clinical"] > truth.correlation["clinical"] + 0.1


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_planted_regions_of_slides_get_the_attention(finished: tuple[Study, RunResult]) -> None:
    study, _ = finished
    truth = pd.read_parquet(study.folder / "truth_patches.parquet")
    ratios = []
    for case, attention in _attention(study).items():
        places = [read_places(path) for path in sorted((study.folder / "features").glob(f"{case}-*"))]
        share = np.concatenate(
            [planted_share(truth, one.slide, one.coordinates, one.tile_side, SOLID_GROWTH) for one in places]
        )
        looked = attention.row()
        assert len(share) == len(looked)
        if (share > 0.5).any() and (share < 0.1).any():
            ratios.append(looked[share > 0.5].mean() / looked[share < 0.1].mean())
    assert len(ratios) > 150
    assert np.median(ratios) > 1.05
    assert np.mean(np.array(ratios) > 1) > 0.8


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_planted_regions_add_more_to_the_linear_part_of_the_risk(
    finished: tuple[Study, RunResult],
) -> None:
    study, _ = finished
    truth = pd.read_parquet(study.folder / "truth_patches.parquet")
    more = []
    for folder in (study.folder / ".kemm" / "units").glob("*"):
        attention = read_patch_attention(folder)
        risk = read_slides_weighed(folder).risk if attention else None
        for case, seen in attention.items():
            assert risk is not None
            paths = sorted((study.folder / "features").glob(f"{case}-*"))
            for one in risk_of_slides(paths, seen, risk)[0]:
                share = planted_share(truth, one.slide, one.coordinates, one.tile_side, SOLID_GROWTH)
                if (share > 0.5).any() and (share < 0.1).any():
                    more.append(one.weights[share > 0.5].mean() - one.weights[share < 0.1].mean())
    assert len(more) > 150
    assert np.median(more) > 0.3
    assert np.mean(np.array(more) > 0) > 0.9


def _attention(study: Study):  # type: ignore[no-untyped-def]
    units = (study.folder / ".kemm" / "units").glob("*")
    return {case: one for folder in units for case, one in read_patch_attention(folder).items()}
