"""The memory that patches take: by hand, bounded by a setting, and read from disk before its turn."""

from __future__ import annotations

import mmap
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from small_study import crossval, small_study, specs

from kemm.core.errors import UsageError
from kemm.modalities.slides import SlideBags
from kemm.model import attention
from kemm.training.crossval import Task, Work, read_unit
from kemm.training.device import Precision
from kemm.training.memory import StepMemory
from kemm.training.networks import untrained
from kemm.training.reading import Reader
from kemm.training.together import Learner, Optimiser, Together
from kemm.training.units import fitted, run_work


def test_memory_of_a_step_by_hand(tmp_path: Path) -> None:
    context = crossval(small_study(80).data, tmp_path)
    found = context.memory(context.models[-1])
    assert found is not None
    # 40 training cases in one step; 3 networks of width 8, each with two thirds of them; bags of at most 6 patches,
    # 5 numbers of 4 bytes; of more patches in a prediction, whose places wait for the next step. Two heads ask for
    # 4 statements, the whole report and 2 statements of background.
    queries = 2 * (4 + 1 + 2)
    bags = context.data.slides
    assert bags is not None
    drawn = sorted((bags.offsets[1:] - bags.offsets[:-1]).clip(max=6))[-40:]
    assert (found.cases, found.networks, found.patches, found.width) == (40, 3, 6, 5)
    assert found.features == 4 * 5 * sum(drawn)
    assert found.keep == pytest.approx(4 * 3 * (8 + queries) * sum(drawn) * 2 / 3, abs=4)
    longest = max(bags.offsets[1:] - bags.offsets[:-1])
    assert longest > 6
    assert found.one_bag == 4 * longest * (5 + 3 * 3 * (8 + queries))
    assert found.step == found.features + found.keep + found.one_bag


def test_what_is_kept_is_cut_to_the_memory_allowed_and_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    context = crossval(small_study(80).data, tmp_path)

    def allowed(count: int) -> StepMemory:
        training = context.training.model_copy(update={"memory_gb": count / 1e9})
        found = replace(context, training=training).memory(context.models[-1])
        assert found is not None
        return found

    whole = allowed(10**9)
    least = whole.features + whole.one_bag
    assert whole.keep == whole.would_keep > 100
    # What is kept has its place for good, beside a prediction too.
    some = allowed(max(least, whole.prediction) + 100)
    assert some.keep == 100
    assert some.peak == some.limit
    some.require()
    with pytest.raises(
        UsageError, match=r"patches need .* GB .* training.memory_gb allows .*: .*raise training.memory_gb to"
    ):
        allowed(1000).require()


def test_patches_are_held_in_half_precision_only_if_there_is_room_beside_all_else(tmp_path: Path) -> None:
    context = crossval(small_study(80).data, tmp_path)
    bags = context.data.slides
    assert bags is not None
    measured = replace(context, training=context.training.model_copy(update={"precision": "bf16"}))
    table = measured.memory(context.models[-1])
    assert table is not None
    assert table.held == 0  # a table of measurements, which is brought to scale in every step
    encoded = replace(bags, means=np.zeros((80, 5), dtype=np.float32))
    context = replace(context, data=replace(context.data, slides=encoded))

    def allowed(count: int, precision: Precision = "bf16") -> StepMemory:
        training = context.training.model_copy(update={"memory_gb": count / 1e9, "precision": precision})
        found = replace(context, training=training).memory(context.models[-1])
        assert found is not None
        return found

    free = allowed(10**9)
    assert free.held == 2 * 5 * bags.offsets[-1]
    assert free.peak == max(free.step, free.prediction + free.keep) + free.held
    assert allowed(free.peak).held == free.held
    short = allowed(free.peak - 1)
    assert short.held == 0
    assert short.keep == free.keep
    assert allowed(10**9, "fp32").held == 0


@pytest.mark.parametrize(
    ("inputs", "queries", "knows", "asking"),
    [
        (None, "knowledge", True, 4 + 1 + 2),
        (("slides", "report"), "knowledge", True, 4 + 1),
        (("slides", "background"), "knowledge", True, 2),
        (("slides",), "knowledge", True, 3),
        (None, "knowledge", False, 3),
        (None, "learned", True, 3),
    ],
)
def test_who_asks_slides_is_counted_as_the_networks_have_it(
    inputs: tuple[str, ...] | None,
    queries: Literal["knowledge", "learned"],
    knows: bool,
    asking: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = crossval(small_study(30).data, tmp_path)
    spec = context.models[-1]
    model = context.model.model_copy(update={"queries": queries, "learned_queries": 3})
    data = context.data if knows else replace(context.data, reports=[None] * 30, background={})
    context = replace(context, model=model, data=data)
    views = tuple(name for name in spec.views if knows or name not in ("report", "fields"))
    spec = replace(spec, inputs=inputs or spec.inputs, views=views)
    found = context.memory(spec)
    assert found is not None
    asked = []
    seen = attention.pool

    def pool(*given: Any, **named: Any) -> Any:
        asked.append(given[3].shape[1])
        return seen(*given, **named)

    monkeypatch.setattr(attention, "pool", pool)
    ensemble = untrained(context, fitted(context, context.folds[0]), spec)[0].ensemble
    batch = ensemble.reader.batch(ensemble.members[0].fit.rows[:8].tolist())
    ensemble.members[0].model.branch_scores(batch)
    assert max(asked) == model.heads * asking
    lengths = np.diff(context.data.slides.offsets) if context.data.slides else np.zeros(0)
    rows = found.one_bag / 4 / lengths.max() - 5
    assert rows == found.networks * 3 * (model.width + model.heads * asking)


def test_numbers_are_the_same_whatever_is_kept(tmp_path: Path) -> None:
    context = crossval(small_study(40).data, tmp_path)
    spec, fold = context.models[-1], context.folds[0]
    frames = []
    for keep in (0.0, 10.0):
        training = context.training.model_copy(update={"memory_gb": 4.0, "epochs": 2})
        one = replace(context, training=training, store=tmp_path / str(keep))
        found = one.memory(spec)
        assert found is not None
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(StepMemory, "keep", int(keep * 1e9))
            run_work(one, Work(spec.name, (fold.index,)))
        frames.append(read_unit(one, Task(fold.index, spec.name))[0])
    pd.testing.assert_frame_equal(*frames)


def test_without_slides_there_is_no_such_memory(tmp_path: Path) -> None:
    without = crossval(small_study(40).data, tmp_path, models=specs(("covariates", "age+sex", "report")))
    assert all(without.memory(spec) is None for spec in without.models)


class Recorded:
    """A memory map that notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, int]] = []

    def madvise(self, advice: int, first: int, length: int) -> None:
        self.asked.append((advice, first, length))


def test_rows_that_are_wanted_next_are_asked_of_the_system_by_whole_pages(tmp_path: Path) -> None:
    np.save(tmp_path / "packed.npy", np.zeros((5000, 7), dtype=np.float16))
    features = np.load(tmp_path / "packed.npy", mmap_mode="c")
    bags = SlideBags(features, np.array([0, 5000]))
    bags.expect(1000, 2000)  # the real map takes it
    features._mmap = recorded = Recorded()
    bags.expect(1000, 2000)
    bags.expect(7, 7)
    ((advice, first, length),) = recorded.asked
    begin, end = features.offset + 1000 * 14, features.offset + 2000 * 14
    assert advice == mmap.MADV_WILLNEED
    assert first % mmap.PAGESIZE == 0
    assert begin - mmap.PAGESIZE < first <= begin
    assert first + length == end


def test_a_step_asks_for_the_patches_of_the_next_before_it_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = crossval(small_study(40).data, tmp_path)
    assert context.data.slides is not None
    encoded = replace(context.data.slides, means=np.zeros((40, 5), dtype=np.float32))
    context = replace(context, data=replace(context.data, slides=encoded))
    ensemble = untrained(context, fitted(context, context.folds[0]), context.models[-1])[0].ensemble
    learners = [
        Learner(one.model, ensemble.learning, one.fit.rows, one.fit.months, one.fit.event, one.seed)
        for one in ensemble.members
    ]
    told: list[tuple[str, Any]] = []
    monkeypatch.setattr(Reader, "expect", lambda self, row, *how: told.append(("expect", (row, how))))
    read = Reader.slides

    def slides(self: Reader, rows: list[int], *how: Any) -> Any:
        told.append(("read", [(row, how) for row in rows]))
        return read(self, rows, *how)

    monkeypatch.setattr(Reader, "slides", slides)
    Together(learners, Optimiser(1e-3, 0.0)).epoch(3, range(40), 3, patches=2, token_dropout=0.0)
    reads = [place for place, (what, _) in enumerate(told) if what == "read"]
    assert len(reads) == 3
    for before, after in zip([-1, *reads], reads[1:], strict=False):
        expected = [one for what, one in told[before + 1 : after] if what == "expect"]
        assert expected[: len(told[after][1])] == told[after][1]
