"""The field's networks of slides in the one training loop: side by side or one by one, they end the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_study import PATCH_WIDTH, crossval, small_study, spec
from test_side_by_side import encoded

from kemm.model.baselines import abmil, clam, mmp, panther, transmil
from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.batch import Inputs
from kemm.model.kemm import build_head
from kemm.training.crossval import Crossval
from kemm.training.dataset import StudyData
from kemm.training.networks import untrained
from kemm.training.prototypes import fit_prototypes
from kemm.training.together import Learner, Optimiser, Together, predict
from kemm.training.units import fitted

EVERY = [one.BASELINE for one in (abmil, clam, transmil, panther, mmp)]
CONFIG = BaselinesConfig(width=8, heads=2)


@pytest.fixture(scope="module")
def study() -> StudyData:
    return encoded(small_study(40, seed=3).data)


def learners(baseline: Baseline, context: Crossval) -> list[Learner]:
    """Networks of two folds, each with its fold's prototypes, on what KEMM's would be trained on."""
    slides = context.data.slides
    assert slides is not None
    found = []
    for fold in context.folds[:2]:
        ensemble = untrained(context, fitted(context, fold), spec("kemm+clinical"))[0].ensemble
        prototypes = fit_prototypes(slides, fold.train, 3, seed=0)
        for number, member in enumerate(ensemble.members[:2]):
            genes = ensemble.learning.batch([0]).tokens["genes"].values
            inputs = Inputs(
                slide_features=PATCH_WIDTH,
                gene_groups=genes.shape[1],
                gene_features=genes.shape[2],
                prototypes=torch.from_numpy(prototypes),
            )
            torch.manual_seed(number)
            model = baseline.build(CONFIG, inputs, build_head(context.model, member.model.head.edges))
            fit = member.fit
            found.append(Learner(model, ensemble.learning, fit.rows, fit.months, fit.event, number))
    return found


@pytest.mark.parametrize("baseline", EVERY, ids=lambda one: one.name)
def test_networks_of_folds_and_seeds_in_one_pass_end_as_each_alone(
    study: StudyData, tmp_path: Path, baseline: Baseline
) -> None:
    context = crossval(study, tmp_path)
    steps = Optimiser(learning_rate=3e-3, weight_decay=0.5)
    many, single = learners(baseline, context), learners(baseline, context)
    begun = learners(baseline, context)[0].model.state_dict()

    def epochs(stack: Together) -> None:
        for number in range(1, 4):
            stack.epoch(number, range(40), 2, patches=6, token_dropout=0.2)

    together = Together(many, steps)
    assert together.stacked
    epochs(together)
    for one in single:
        epochs(Together([one], steps))
    every = np.arange(40)
    at_once = predict([one.model for one in many], [one.reader for one in many], [every] * len(many))
    for place, one in enumerate(single):
        alone = predict([one.model], [one.reader], [every])[0]
        torch.testing.assert_close(at_once[place].scores, alone.scores, atol=2e-5, rtol=1e-3)
    ended = many[0].model.state_dict()
    assert not torch.equal(ended["score.weight"], begun["score.weight"])
    for name, value in ended.items():
        if name.endswith("prototypes"):
            assert torch.equal(value, begun[name])
