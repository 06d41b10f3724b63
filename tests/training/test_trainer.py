"""The training loop: what it may look at, where it stops, and that it finds what is there."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from kemm.core.errors import UsageError
from kemm.model.batch import Bags, CaseBatch, Inputs, Tokens
from kemm.model.kemm import KEMM, ModelConfig, build_kemm
from kemm.survival import discrete_time
from kemm.survival.metrics import harrell_c
from kemm.training.stacking import Noise
from kemm.training.together import drop_tokens, predict
from kemm.training.trainer import Ensemble, History, Member, Outcomes, TrainingConfig, train

PATCHES, WIDTH = 6, 3
SETTINGS = TrainingConfig(
    seeds=[0],
    epochs=6,
    patience=6,
    batch=16,
    learning_rate=5e-3,
    weight_decay=0.05,
    token_dropout=0.1,
    patches=4,
)


SMALL = {"width": 8, "heads": 2, "learned_queries": 2, "dropout": 0.1, "input_dropout": 0.0}


class MadeUpCases:
    """Covariates and slides of made-up cases, and a diary of what was asked for."""

    def __init__(self, cases: int, seed: int, offset: Tensor | None = None) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.covariates = torch.randn(cases, 2, 1, generator=generator)
        self.slides = torch.randn(cases, PATCHES, WIDTH, generator=generator)
        self.offset = offset
        self.asked: list[tuple[list[int], int | None, bool]] = []

    def patches(self, row: int) -> int:
        return PATCHES

    def batch(self, rows: Sequence[int], patches: int | None = None, epoch: int | None = None) -> CaseBatch:
        self.asked.append((list(rows), patches, epoch is not None))
        at = list(rows)
        return CaseBatch(
            {
                "covariates": Tokens(self.covariates[at], torch.ones(len(at), 2, dtype=torch.bool)),
                "slides": Tokens(self.slides[at], torch.ones(len(at), PATCHES, dtype=torch.bool)),
            },
            {},
            None if self.offset is None else self.offset[at],
        )


def drawn(log_hazard: Tensor, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    until_event = rng.exponential(30 * np.exp(-log_hazard.numpy()))
    until_censored = rng.uniform(10, 100, size=len(log_hazard))
    return np.minimum(until_event, until_censored), until_event <= until_censored


EVERYTHING = Inputs(slide_features=WIDTH, covariates=2, covariate_features=1)
COVARIATES_ONLY = Inputs(covariates=2, covariate_features=1)


def network(
    months: np.ndarray, event: np.ndarray, seed: int = 0, inputs: Inputs = EVERYTHING, **settings: object
) -> KEMM:
    edges = discrete_time.fit_intervals(torch.from_numpy(months).float(), torch.from_numpy(event), 4)
    torch.manual_seed(seed)
    model = build_kemm(
        ModelConfig(**{**SMALL, **settings}),
        inputs,
        edges,
    )
    model.head.start_at(torch.from_numpy(months).float(), torch.from_numpy(event))
    return model


def state_of(model: KEMM) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def run(
    members: list[Member],
    reader: MadeUpCases,
    settings: TrainingConfig,
    on_epoch: Callable[[int], None] = lambda _: None,
) -> History:
    """Training where what is learned from is also what is predicted from."""
    return train([Ensemble(members, reader, reader)], settings, on_epoch=on_epoch)[0]


@pytest.fixture
def cases() -> MadeUpCases:
    return MadeUpCases(60, seed=0)


@pytest.fixture
def outcomes(cases: MadeUpCases) -> tuple[np.ndarray, np.ndarray]:
    return drawn(1.5 * cases.covariates[:, 0, 0], seed=1)


def member(
    outcomes: tuple[np.ndarray, np.ndarray],
    *,
    seed: int = 3,
    inputs: Inputs = EVERYTHING,
    **settings: object,
) -> Member:
    rows = np.arange(60)
    return Member(
        network(*outcomes, inputs=inputs, **settings),
        Outcomes.of(rows[:40], *outcomes),
        Outcomes.of(rows[40:], *outcomes),
        seed,
    )


# --- what it may look at ---------------------------------------------------------------------


def test_outcomes_of_the_selecting_cases_move_no_weight(
    cases: MadeUpCases, outcomes: tuple[np.ndarray, np.ndarray]
) -> None:
    """They may choose among epochs; in no epoch are parameters others for it."""
    paths = []
    for seed in (0, 1):
        one = member(outcomes)
        months, event = drawn(torch.zeros(60), seed=100 + seed)
        one.select = Outcomes.of(np.arange(40, 60), months, event)
        path: list[dict[str, Tensor]] = []

        def keep(_: int, path: list[dict[str, Tensor]] = path, model: KEMM = one.model) -> None:
            path.append({name: value.detach().clone() for name, value in model.named_parameters()})

        run([one], cases, SETTINGS, keep)
        paths.append(path)
    for epoch, (first, second) in enumerate(zip(*paths, strict=True), start=1):
        assert same(first, second), f"epoch {epoch}"
    assert not same(paths[0][0], paths[0][-1])


def test_each_epoch_trains_on_every_fitting_case_once_and_on_no_other(
    cases: MadeUpCases, outcomes: tuple[np.ndarray, np.ndarray]
) -> None:
    run([member(outcomes)], cases, SETTINGS)
    trained_on = [row for rows, _, training in cases.asked if training for row in rows]
    assert sorted(trained_on) == sorted(list(range(40)) * SETTINGS.epochs)


def test_training_steps_see_some_patches_and_predictions_all(
    cases: MadeUpCases, outcomes: tuple[np.ndarray, np.ndarray]
) -> None:
    run([member(outcomes)], cases, SETTINGS)
    assert {patches for _, patches, training in cases.asked if training} == {SETTINGS.patches}
    assert {patches for _, patches, training in cases.asked if not training} == {None}


def test_steps_are_of_equal_size(cases: MadeUpCases, outcomes: tuple[np.ndarray, np.ndarray]) -> None:
    # 40 cases, about 16 a step: 2.5 steps are rounded to 2 of 20, not 16 + 16 + 8.
    run([member(outcomes)], cases, SETTINGS.model_copy(update={"epochs": 1}))
    assert [len(rows) for rows, _, training in cases.asked if training] == [20, 20]


def test_steps_are_taken_on_what_is_to_be_learned_from_and_epochs_chosen_on_what_is_used(
    cases: MadeUpCases, outcomes: tuple[np.ndarray, np.ndarray]
) -> None:
    used = MadeUpCases(60, seed=0)
    train([Ensemble([member(outcomes)], used, cases)], SETTINGS)
    assert all(training for _, _, training in cases.asked)
    assert not any(training for _, _, training in used.asked)
    assert {row for rows, _, _ in used.asked for row in rows} == set(range(40, 60))


# --- where it stops --------------------------------------------------------------------------


def test_the_epoch_is_that_of_the_least_held_out_loss_and_training_stops_after_patience(
    cases: MadeUpCases, outcomes: tuple[np.ndarray, np.ndarray]
) -> None:
    one = member(outcomes)
    patient = SETTINGS.model_copy(update={"epochs": 60, "patience": 4, "learning_rate": 3e-2})
    states = []
    history = run([one], cases, patient, lambda _: states.append(state_of(one.model)))
    assert 0 < history.best_epoch == int(np.argmin(history.inner_loss))
    assert len(history.inner_loss) == 1 + history.best_epoch + 4 < 61, "stopped early"
    assert same(state_of(one.model), states[history.best_epoch - 1])


def test_the_loss_it_reports_is_that_of_the_network_it_leaves(
    cases: MadeUpCases, outcomes: tuple[np.ndarray, np.ndarray]
) -> None:
    one = member(outcomes)
    history = run([one], cases, SETTINGS)
    output = predict([one.model], [cases], [one.select.rows])[0].output
    loss = one.model.head.loss(output, one.select.months, one.select.event).item()
    assert loss == pytest.approx(history.inner_loss[history.best_epoch], rel=1e-5)


def test_members_of_an_ensemble_share_the_epoch_and_are_trained_apart(
    cases: MadeUpCases, outcomes: tuple[np.ndarray, np.ndarray]
) -> None:
    """The second member's parameters are the same, up to rounding, whether or not the first is there."""
    rows = np.arange(60)
    once = SETTINGS.model_copy(update={"epochs": 2})

    def pair() -> list[Member]:
        return [
            Member(
                network(*outcomes, seed=seed), Outcomes.of(fit, *outcomes), Outcomes.of(held, *outcomes), seed
            )
            for seed, fit, held in ((3, rows[:30], rows[30:]), (4, rows[30:], rows[:30]))
        ]

    def watched(members: list[Member]) -> list[dict[str, Tensor]]:
        path: list[dict[str, Tensor]] = []
        run(
            members,
            cases,
            once,
            lambda _: path.append(
                {name: value.detach().clone() for name, value in members[-1].model.named_parameters()}
            ),
        )
        return path

    together, alone = watched(pair()), watched(pair()[1:])
    for one, other in zip(together, alone, strict=True):
        # Adam divides by the size of a gradient: where that is next to nothing, rounding is a part of a step.
        torch.testing.assert_close(one, other, atol=once.learning_rate / 20, rtol=1e-4)


# --- reproducibility -------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_whatever_was_drawn_before(
    cases: MadeUpCases, outcomes: tuple[np.ndarray, np.ndarray]
) -> None:
    one, other = member(outcomes), member(outcomes)
    first = run([one], cases, SETTINGS)
    torch.randn(17)
    second = run([other], cases, SETTINGS)
    assert first == second
    assert same(state_of(one.model), state_of(other.model))


def test_another_seed_trains_another_network(
    cases: MadeUpCases, outcomes: tuple[np.ndarray, np.ndarray]
) -> None:
    one, other = member(outcomes, seed=3), member(outcomes, seed=4)
    losses = [run([each], cases, SETTINGS).inner_loss for each in (one, other)]
    assert losses[0][0] == losses[1][0], "they began alike"
    assert losses[0][1:] != losses[1][1:]


# --- what it finds ---------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["proportional-hazards", "hazards", "cox"])
def test_a_planted_signal_is_found_in_cases_never_seen(head: str) -> None:
    reader = MadeUpCases(260, seed=6)
    truth = 1.5 * reader.covariates[:, 0, 0]
    outcomes = drawn(truth, seed=7)
    rows = np.arange(260)
    one = Member(
        network(*outcomes, head=head),
        Outcomes.of(rows[:120], *outcomes),
        Outcomes.of(rows[120:160], *outcomes),
        0,
    )
    history = run([one], reader, SETTINGS.model_copy(update={"epochs": 30, "learning_rate": 1e-2}))
    assert history.best_epoch > 0
    unseen = rows[160:]
    risk = one.model.head.risk(predict([one.model], [reader], [unseen])[0].output).double().numpy()
    c = harrell_c(outcomes[0][unseen], outcomes[1][unseen], risk).c
    best = harrell_c(outcomes[0][unseen], outcomes[1][unseen], truth[unseen].double().numpy()).c
    assert c > best - 0.05, f"{c:.3f}, where the truth has {best:.3f}"


def test_what_a_straight_line_cannot_say_is_found_on_top_of_the_offset() -> None:
    """Both ends of a covariate are dangerous: a linear model of it says nothing."""
    reader = MadeUpCases(400, seed=8, offset=torch.zeros(400))
    truth = 1.5 * (reader.covariates[:, 0, 0].abs() - 0.8)
    outcomes = drawn(truth, seed=9)
    rows = np.arange(400)
    one = Member(
        network(*outcomes), Outcomes.of(rows[:200], *outcomes), Outcomes.of(rows[200:280], *outcomes), 0
    )
    run([one], reader, SETTINGS.model_copy(update={"epochs": 40, "learning_rate": 1e-2, "batch": 32}))
    unseen = rows[280:]
    months, event = outcomes[0][unseen], outcomes[1][unseen]
    line = harrell_c(months, event, reader.covariates[unseen, 0, 0].double().numpy()).c
    risk = one.model.head.risk(predict([one.model], [reader], [unseen])[0].output).double().numpy()
    assert abs(line - 0.5) < 0.1
    assert harrell_c(months, event, risk).c > 0.6


# --- predicting ------------------------------------------------------------------------------


def test_predictions_do_not_depend_on_how_many_cases_are_taken_at_once(
    cases: MadeUpCases, outcomes: tuple[np.ndarray, np.ndarray]
) -> None:
    one = member(outcomes)
    run([one], cases, SETTINGS)
    rows = np.array([50, 3, 3, 17, 42])
    whole, single = (predict([one.model], [cases], [rows], at_once=many)[0] for many in (64, 1))
    torch.testing.assert_close(whole.output, single.output, atol=1e-6, rtol=1e-5)
    assert torch.equal(single.output[1], single.output[2])


def test_predicting_uses_no_dropout_and_keeps_no_gradient(
    cases: MadeUpCases, outcomes: tuple[np.ndarray, np.ndarray]
) -> None:
    one = member(outcomes)
    run([one], cases, SETTINGS)
    one.model.train()
    first, second = (predict([one.model], [cases], [np.arange(5)])[0].output for _ in range(2))
    assert torch.equal(first, second)
    assert not first.requires_grad


# --- dropping tokens -------------------------------------------------------------------------


def everything(cases: int = 200) -> CaseBatch:
    def tokens(count: int) -> Tokens:
        present = torch.ones(cases, count, dtype=torch.bool)
        present[0] = False
        return Tokens(torch.randn(cases, count, 2), present)

    bags = Bags(torch.randn(9 * cases, 2).split(9))
    return CaseBatch(
        {"report": tokens(5), "genes": tokens(4), "covariates": tokens(3)}, bags={"slides": bags}
    )


def test_dropping_tokens_leaves_patches_alone() -> None:
    batch = everything()
    less = drop_tokens(batch, 0.9, Noise([0]))
    assert less.bags is batch.bags


def test_other_tokens_are_dropped_with_the_chance_given() -> None:
    batch = everything()
    less = drop_tokens(batch, 0.3, Noise([0]))
    for name in ("report", "genes", "covariates"):
        kept = less.tokens[name].present[1:].float().mean().item()
        assert kept == pytest.approx(0.7, abs=0.05), name
        assert not less.tokens[name].present[0].any(), "what is absent stays absent"
        assert torch.equal(less.tokens[name].values, batch.tokens[name].values)


def test_dropping_with_no_chance_changes_nothing_and_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = everything()
    assert drop_tokens(batch, 0.0, generator) is batch
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(0).get_state())


# --- settings and outcomes -------------------------------------------------------------------


def test_outcomes_of_rows_are_theirs() -> None:
    some = Outcomes.of([4, 1], np.arange(5) * 10.0, np.array([False, True, False, False, False]))
    assert some.rows.tolist() == [4, 1]
    assert some.months.tolist() == [40, 10]
    assert some.event.tolist() == [False, True]
    taken = some.take(np.array([1]))
    assert (taken.rows.tolist(), taken.months.tolist(), taken.event.tolist()) == ([1], [10], [True])


@pytest.mark.parametrize(
    ("field", "value"),
    [("seeds", []), ("epochs", 0), ("learning_rate", 0), ("token_dropout", 1.0), ("patches", 0)],
)
def test_settings_that_cannot_train_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        TrainingConfig(**{field: value})


def test_training_that_diverges_says_what_to_lower(
    cases: MadeUpCases, outcomes: tuple[np.ndarray, np.ndarray]
) -> None:
    cases.covariates[50] = torch.inf
    with pytest.raises(UsageError, match=r"training diverged: .*Set training\.learning_rate below 0\.005"):
        run([member(outcomes)], cases, SETTINGS)
