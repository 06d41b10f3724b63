"""What the linear part makes of each patch: sums to the stack's slides part, and finds what was planted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_study import TRAINING, crossval, run_unit, small_study, specs

from kemm.core.store import Store
from kemm.modalities.slides import SlideBags
from kemm.training.crossval import KIND, Crossval, Task
from kemm.training.linear import RidgeCox
from kemm.training.networks import untrained
from kemm.training.patch_risk import PatchRisk, read_slides_weighed, seeds_using
from kemm.training.slide_scaler import SlideScaler
from kemm.training.units import fitted


def encoded(slides: SlideBags) -> SlideBags:
    """The same bags as an encoder's: their mean patches are kept, and no tail is cut off."""
    means = np.zeros((len(slides.offsets) - 1, slides.width), dtype=np.float32)
    for row in np.flatnonzero(slides.present):
        means[row] = slides.bag(row).mean(axis=0, dtype=np.float64)
    return replace(slides, means=means)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Crossval, Path]:
    """A fold's main model with two seeds, and its unit."""
    data = small_study(160, slides=1.0).data
    assert data.slides is not None
    context = crossval(
        replace(data, slides=encoded(data.slides)),
        tmp_path_factory.mktemp("store"),
        training=TRAINING.model_copy(update={"seeds": [0, 1]}),
    )
    task = Task(0, context.models[-1].name)
    run_unit(context, task)
    return context, Store(context.store).get(KIND, context.key(task)).folder


def bags_of(context: Crossval) -> SlideBags:
    assert context.data.slides is not None
    return context.data.slides


def test_patches_sum_to_the_slides_part_of_the_stack(trained: tuple[Crossval, Path]) -> None:
    context, folder = trained
    risk = read_slides_weighed(folder).risk
    assert risk is not None
    fold, shared = context.folds[0], fitted(context, context.folds[0])
    view = shared.features.views["slides"]
    parts = []
    for one in untrained(context, fitted(context, fold), context.models[-1]):
        assert one.stack is not None
        parts.append(one.stack.part("slides", view))
    whole = np.mean(parts, axis=0)
    compared = 0
    for position, row in enumerate((*fold.train, *fold.test)):
        if view.present[position]:
            bag = bags_of(context).bag(row)
            assert (risk(bag) / len(bag)).sum() == pytest.approx(whole[position], abs=1e-6)
            compared += 1
    assert compared > 120
    assert whole.std() > 0.1


def test_zero_is_the_mean_of_the_training_part(trained: tuple[Crossval, Path]) -> None:
    context, folder = trained
    risk, bags = read_slides_weighed(folder).risk, bags_of(context)
    assert risk is not None
    means = [risk(bags.bag(row)).mean() for row in context.folds[0].train if bags.present[row]]
    assert np.mean(means) == pytest.approx(0, abs=1e-5)


def test_patches_of_what_was_planted_add_more_in_cases_nobody_trained_on(
    trained: tuple[Crossval, Path],
) -> None:
    # The first feature is what raises the hazard; the others are noise.
    context, folder = trained
    risk, bags = read_slides_weighed(folder).risk, bags_of(context)
    assert risk is not None
    patches = np.concatenate([bags.bag(row) for row in context.folds[0].test if bags.present[row]])
    adds = risk(patches)
    much, little = patches[:, 0] > 1, patches[:, 0] < -1
    assert adds[much].mean() > 0 > adds[little].mean()
    assert np.corrcoef(adds, patches[:, 0])[0, 1] > 0.8


def test_a_hand_worked_patch() -> None:
    # Two features at mean 1 and 0, scale 2 and 1. One component: the first; its training mean 0.5, scale 0.25.
    scaler = SlideScaler(
        mean=np.array([1, 0], np.float32),
        scale=np.array([2, 1], np.float32),
        centre=np.array([0.5, 0], np.float32),
        components=np.array([[1, 0]], np.float32),
    )
    model = RidgeCox(np.array([0.0]), np.array([0.25]), np.array([0.1]))
    risk = PatchRisk.of(scaler, [(model, 2.0)])
    # (5 - 1) / 2 = 2; 2 - 0.5 = 1.5; 1.5 / 0.25 * 0.1 * 2 = 1.2. A patch at 2 is at the centre.
    np.testing.assert_allclose(risk(np.array([[5.0, 9.0], [2.0, -3.0]])), [1.2, 0.0], atol=1e-12)


def test_a_component_that_is_constant_weighs_nothing() -> None:
    one = np.ones(1, np.float32)
    scaler = SlideScaler(mean=0 * one, scale=one, centre=0 * one, components=one[None])
    nothing = PatchRisk.of(scaler, [(RidgeCox(np.zeros(1), np.array([np.inf]), np.ones(1)), 1.0)])
    assert nothing.is_zero
    assert nothing(np.array([[3.0]])).tolist() == [0.0]


def test_a_model_whose_linear_part_has_no_slides_makes_nothing_of_patches(tmp_path: Path) -> None:
    data = small_study(40).data
    context = crossval(data, tmp_path)
    models = tuple(replace(one, views=("covariates",)) for one in specs())
    context = replace(context, models=models)
    task = Task(0, models[-1].name)
    run_unit(context, task)
    weighed = read_slides_weighed(Store(tmp_path).get(KIND, context.key(task)).folder)
    assert weighed.risk is None
    assert weighed.seeds == 1


@pytest.mark.parametrize(
    ("weights", "slides", "genes"),
    [
        ([{"slides": 0.0, "together": 0.0, "genes": 1.0}], 0, 1),
        ([{"slides": 0.1, "together": 0.0}], 1, 0),
        ([{"together": 0.2}, {"together": 0.0}], 1, 1),
        ([{"report": 1.0}], 0, 0),
    ],
)
def test_slides_have_weight_by_their_own_branch_or_where_all_meet(
    tmp_path: Path, weights: list[dict[str, float]], slides: int, genes: int
) -> None:
    about = [{"seed": seed, "best_epoch": 0, "branch_weights": one} for seed, one in enumerate(weights)]
    (tmp_path / "about.json").write_text(json.dumps(about))
    found = read_slides_weighed(tmp_path)
    assert seeds_using(about, "genes") == genes
    assert (found.looking, found.seeds, found.trained, found.risk) == (slides, len(weights), False, None)
