"""Networks trained in one pass end as each does by itself: the passes share reading and arithmetic, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_study import MODEL, TRAINING, crossval, small_study, spec
from test_side_by_side import encoded
from torch import Tensor, nn

from kemm.model.batch import CaseBatch
from kemm.model.heads import DiscreteHazards
from kemm.model.kemm import ModelConfig
from kemm.model.survival_model import SurvivalModel
from kemm.training.crossval import Crossval
from kemm.training.dataset import StudyData
from kemm.training.networks import untrained
from kemm.training.stacking import KeyedDropout, Noise, NotStackable, alone, stack
from kemm.training.together import Learner, Optimiser, Together, predict
from kemm.training.trainer import Ensemble, History, TrainingConfig, train
from kemm.training.units import fitted

CHOICES = [
    {},
    {"linear_adapter": True},
    {"two_way": True},
    {"queries": "learned", "learned_queries": 3},
    {"evidence": "gated"},
    {"evidence": "gated", "linear_adapter": True},
    {"head": "cox"},
    {"head": "hazards"},
    {"alone": False},
]
SEEDS = TrainingConfig(
    **{**TRAINING.model_dump(), "seeds": [0, 7], "epochs": 5, "patience": 2, "learning_rate": 1e-2}
)

ROUNDING = 2e-4 if torch.cuda.is_available() else 2e-5
"""A card takes another product for another number of networks, and training multiplies what that rounds."""


@pytest.fixture(scope="module")
def study() -> StudyData:
    return small_study(60, seed=3).data


def ensembles(context: Crossval) -> list[Ensemble]:
    """Of both folds and both seeds."""
    main = spec("kemm+clinical")
    return [one.ensemble for fold in context.folds for one in untrained(context, fitted(context, fold), main)]


def trained(context: Crossval, some: list[Ensemble], one_pass: str = "run") -> list[History]:
    rows = range(len(context.data.cohort))
    config = context.training.model_copy(update={"one_pass": one_pass})
    return train(some, config, rows=rows, steps=context.steps)


def forecasts(some: list[Ensemble]) -> list[Tensor]:
    """What each network says of everyone. Not its parameters: where one has no effect, as a key's bias, its gradient is
    rounding, and AdamW makes steps of that."""
    every = [(member, one.reader) for one in some for member in one.members]
    return [predict([one.model], [reader], [range(60)])[0].scores for one, reader in every]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("shared", [True, False], ids=["encoded", "table"])
def test_all_folds_and_seeds_in_one_pass_end_as_each_by_itself(
    study: StudyData, tmp_path: Path, choice: dict[str, object], shared: bool
) -> None:
    data = encoded(study) if shared else study
    model = ModelConfig(**{**MODEL.model_dump(), **choice})
    context = crossval(data, tmp_path, model=model, training=SEEDS)
    together, apart, single = ensembles(context), ensembles(context), ensembles(context)
    all_at_once = trained(context, together)
    one_by_one = trained(context, apart, "network")
    each = [history for one in single for history in trained(context, [one])]
    assert len(all_at_once) == 4
    for other in (one_by_one, each):
        for mine, theirs in zip(all_at_once, other, strict=True):
            assert mine.best_epoch == theirs.best_epoch
            assert mine.inner_loss == pytest.approx(theirs.inner_loss, abs=ROUNDING)
    for mine, *others in zip(forecasts(together), forecasts(apart), forecasts(single), strict=True):
        for theirs in others:
            torch.testing.assert_close(mine, theirs, atol=ROUNDING, rtol=1e-3)


def test_who_goes_on_without_the_others_is_not_disturbed(study: StudyData, tmp_path: Path) -> None:
    context = crossval(encoded(study), tmp_path, training=SEEDS)
    steps = Optimiser(learning_rate=3e-3, weight_decay=0.5)

    def learners() -> list[Learner]:
        return [
            Learner(one.model, some.learning, one.fit.rows, one.fit.months, one.fit.event, one.seed)
            for some in ensembles(context)
            for one in some.members
        ]

    def epochs(stack: Together, numbers: range) -> None:
        for number in numbers:
            stack.epoch(number, range(60), 2, patches=6, token_dropout=0.2)

    many, one = learners(), learners()[3:4]
    assert len(many) > 6
    company, lonely = Together(many, steps), Together(one, steps)
    epochs(company, range(1, 3))
    company.keep([1, 3, 6])
    company.keep([1])
    epochs(company, range(3, 5))
    epochs(lonely, range(1, 5))
    torch.testing.assert_close(many[3].model.state_dict(), one[0].model.state_dict(), atol=1e-5, rtol=1e-4)
    moved = many[3].model.state_dict()["adapters.report.project.weight"]
    assert not torch.equal(moved, learners()[3].model.state_dict()["adapters.report.project.weight"])


def test_noise_is_a_matter_of_seed_step_and_place_only() -> None:
    together, lonely = Noise([5, 9]), Noise([9])
    for step in (1, 2):
        together.at(step)
        lonely.at(step)
        for _ in range(2):
            both = together.uniform((2 * 7, 3, 4), torch.device("cpu"))
            # Fewer cases: the others are only there to fill up.
            own = lonely.uniform((5, 3, 4), torch.device("cpu"))
            assert torch.equal(both[7:12], own)
            assert not torch.equal(both[:5], own)
    lonely.at(1)
    first = lonely.uniform((400, 25), torch.device("cpu"))
    assert abs(first.mean().item() - 0.5) < 0.01
    assert not torch.equal(first, lonely.uniform((400, 25), torch.device("cpu")))
    lonely.at(1)
    assert torch.equal(first, lonely.uniform((400, 25), torch.device("cpu")))


def test_dropout_takes_its_share_of_each_network_and_makes_up_for_it() -> None:
    noise = Noise([0, 7])
    dropout = KeyedDropout(0.3, noise)
    values = torch.full((2, 400, 50), 1.4)
    noise.at(3)
    for own in dropout(values).unbind():
        kept = own != 0
        torch.testing.assert_close(own[kept], torch.full_like(own[kept], 2.0))
        assert float(kept.float().mean()) == pytest.approx(0.7, abs=4 * (0.21 / own.numel()) ** 0.5)
    assert dropout.eval()(values) is values


class OneScore(SurvivalModel):
    """A small model with a layer given."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__(["one"], DiscreteHazards(torch.tensor([0.0, 5.0, 9.0]), proportional=True))
        self.layer = layer
        self.last = nn.Linear(4, 1)

    def branch_scores(self, batch: CaseBatch) -> Tensor:
        scores: Tensor = self.last(self.layer(batch.tokens["covariates"].values)).mean(dim=1, keepdim=True)
        return scores


class Scale(nn.Module):
    """Has a parameter of its own, and nobody said how to put several side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(4))

    def forward(self, values: Tensor) -> Tensor:
        return values * self.factor


def test_a_model_of_usual_layers_is_put_side_by_side_and_another_is_not() -> None:
    usual = [
        OneScore(nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4), nn.GELU(), nn.Dropout(0.5)))
        for _ in range(3)
    ]
    made = stack(usual, Noise([0, 1, 2]))
    assert sum(one.numel() for one in made.parameters()) == 3 * sum(
        parameter.numel() for name, parameter in usual[0].named_parameters() if not name.startswith("head")
    )
    with pytest.raises(NotStackable, match="Scale has parameters of its own"):
        stack([OneScore(Scale()), OneScore(Scale())], Noise([0, 1]))
    with pytest.raises(NotStackable, match="different shapes"):
        stack(
            [OneScore(nn.Linear(4, 4)), OneScore(nn.Linear(3, 4))],
            Noise([0, 1]),
        )
    copy = alone(OneScore(nn.Sequential(Scale(), nn.Dropout(0.5))), Noise([0]))
    assert [name for name, _ in copy.named_parameters()] == ["layer.0.factor", "last.weight", "last.bias"]
