"""kemm's own training, in each way it can be arranged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from benchmarks.training.ceilings import DTYPES, Precision
from benchmarks.training.cohort import Cohort
from benchmarks.training.peer import CASES_A_STEP, INTERVALS
from kemm.modalities.slides import SlideBags
from kemm.model.batch import Inputs, Tokens
from kemm.model.kemm import ModelConfig, build_kemm
from kemm.survival.discrete_time import fit_intervals
from kemm.training.features import CaseFeatures
from kemm.training.memory import StepMemory, step_memory
from kemm.training.reading import Reader
from kemm.training.slide_scaler import SlideScaler
from kemm.training.together import Learner, Optimiser, Together
from kemm.training.trainer import TrainingConfig

INPUTS = ("report", "background", "genes", "slides")
OnePass = Literal["run", "fold"]


class Engine:
    """A candidate: KEMM at the baseline's width, in the order of tokens that the baseline has, on kemm's feature store.

    Dropout of patches and features is left out, as the baseline has none: all patches are trained on.
    """

    def __init__(
        self, one_pass: OnePass = "run", precision: Precision = "fp32", linear: bool = False, seeds: int = 1
    ) -> None:
        self.one_pass, self.precision, self.linear, self.seeds = one_pass, DTYPES[precision], linear, seeds
        self.stacks: list[Together] = []

    def store(self, cohort: Cohort, folder: Path) -> None:
        """All features end to end in half precision, and the mean patch of each patient."""
        whole = folder / f"{cohort.work.key}-packed.npy"
        if whole.is_file():
            return
        scratch = whole.with_suffix(".part")
        means = np.zeros((len(cohort), cohort.work.features), dtype=np.float32)
        shape = (sum(cohort.patches), cohort.work.features)
        packed = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.float16, shape=shape)
        first = 0
        for case, patches in enumerate(cohort.patches):
            bag = cohort.draw_bag(case).numpy()
            packed[first : first + patches], means[case] = bag, bag.mean(axis=0)
            first += patches
        packed.flush()
        np.save(folder / f"{cohort.work.key}-means.npy", means)
        scratch.rename(whole)

    def prepare(self, cohort: Cohort, folder: Path, device: torch.device) -> None:
        """Networks side by side, and an epoch on a few patches of each patient to warm up."""
        slides = SlideBags(
            np.load(folder / f"{cohort.work.key}-packed.npy", mmap_mode="c"),
            np.concatenate([[0], np.cumsum(cohort.patches)]),
            means=np.load(folder / f"{cohort.work.key}-means.npy"),
        )
        folds = cohort.work.folds
        self.order = list(range(len(cohort)))
        self.steps = max(1, round(len(cohort) * (1 - 1 / folds) / CASES_A_STEP))
        networks = self.seeds * (folds if self.one_pass == "run" else 1)
        memory = self._memory(cohort, slides, networks, device)
        learners = [
            one
            for fold in range(folds)
            for one in _learners(cohort, slides, fold, self.linear, self.precision, self.seeds, memory)
        ]
        groups = [learners[first : first + networks] for first in range(0, len(learners), networks)]
        self.stacks = [Together(some, Optimiser(2e-4, 1e-5), device) for some in groups]
        # In steps as large as those that are timed: one of all patients would need memory that training never does.
        for stack in self.stacks:
            stack.epoch(0, self.order, self.steps, patches=16, token_dropout=0.0)

    def _memory(self, cohort: Cohort, slides: SlideBags, networks: int, device: torch.device) -> StepMemory:
        """What patches may take, as `kemm run` would have it by default."""
        return step_memory(
            np.diff(slides.offsets),
            slides.features.dtype,
            slides.width,
            training=TrainingConfig(patches=None, inner_parts=cohort.work.folds),
            precision=self.precision,
            cases=min(len(cohort), -(-len(cohort) // self.steps)),
            networks=[cohort.work.width] * networks,
            queries=cohort.work.heads * cohort.work.knowledge,
            device=device,
        )

    def epoch(self) -> None:
        """Every network trains on every patient of its training part, on all patches."""
        for stack in self.stacks:
            stack.epoch(1, self.order, self.steps, patches=None, token_dropout=0.0)


def _learners(
    cohort: Cohort,
    slides: SlideBags,
    fold: int,
    linear: bool,
    precision: torch.dtype,
    seeds: int,
    memory: StepMemory,
) -> list[Learner]:
    rows = np.array(cohort.training_cases(fold))
    edges = fit_intervals(cohort.months[rows], cohort.event[rows], INTERVALS)
    reader = Reader(
        _features(cohort, slides, rows.tolist()), INPUTS, None, precision, memory.keep, memory.held
    )
    config = ModelConfig(
        width=cohort.work.width,
        heads=cohort.work.heads,
        dropout=0.1,
        input_dropout=0.0,
        fusion_layers=2,
        alone=False,
        linear_adapter=linear,
        head="proportional-hazards",
    )
    found = []
    for seed in range(seeds):
        torch.manual_seed(1000 * fold + seed)
        model = build_kemm(config, _inputs(cohort), edges)
        found.append(
            Learner(model, reader, rows, cohort.months[rows], cohort.event[rows], 1000 * fold + seed)
        )
    return found


def _inputs(cohort: Cohort) -> Inputs:
    return Inputs(
        text=cohort.work.text,
        statement_kinds=1,
        gene_groups=cohort.work.gene_groups,
        gene_features=max(cohort.gene_group_sizes),
        slide_features=cohort.work.features,
        background=("genes", "slides"),
    )


def _features(cohort: Cohort, slides: SlideBags, training: Sequence[int]) -> CaseFeatures:
    own = cohort.work.knowledge - cohort.work.background
    genes = torch.zeros(len(cohort), cohort.work.gene_groups, max(cohort.gene_group_sizes))
    for group, values in enumerate(cohort.genes.split(list(cohort.gene_group_sizes), dim=1)):
        genes[:, group, : values.shape[1]] = values
    background = _present(cohort.knowledge[:1, own:], kinds=True)
    return CaseFeatures(
        rows=tuple(range(len(cohort))),
        tokens={"report": _present(cohort.knowledge[:, :own], kinds=True), "genes": _present(genes)},
        views={},
        statements=[[] for _ in range(len(cohort))],
        background={"genes": background, "slides": background},
        type_of=torch.zeros(len(cohort), dtype=torch.long),
        slides=slides,
        scaler=SlideScaler.fit(slides, training, 1),
    )


def _present(values: torch.Tensor, *, kinds: bool = False) -> Tokens:
    present = torch.ones(values.shape[:2], dtype=torch.bool)
    return Tokens(values, present, torch.zeros(values.shape[:2], dtype=torch.long) if kinds else None)
