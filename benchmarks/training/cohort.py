"""A made-up cohort with the sizes of a real one: bags of patches, gene groups, knowledge tokens, outcomes.

Features are drawn, never zeros: processors are faster on zeros. Every patient has a random stream of its
own, so a cohort of 100 begins with the cohort of 20, and a bag can be drawn without those before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from benchmarks.training.work import Work

GENE_GROUP_SIZES = (3, 10)
SLIDES = (0.75, 0.2, 0.05)
"""Share of patients with one, two and three slides."""
MARKED_FEATURES = 16
"""Leading patch features that the hidden risk moves."""
SHAPE, BAG, SHARED = 0, 1, 2
"""Streams of random numbers."""


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Everything but the patches, which are many: `draw_slides` draws those of one patient."""

    work: Work
    names: tuple[str, ...]
    slides: tuple[tuple[int, ...], ...]
    """By patient: the number of patches of each slide."""
    risk: Float[Tensor, " case"]
    """Hidden from candidates: what features and outcomes were drawn from."""
    months: Float[Tensor, " case"]
    event: Bool[Tensor, " case"]
    fold: Int[Tensor, " case"]
    """The fold whose test part a patient is in."""
    genes: Float[Tensor, "case feature"]
    gene_group_sizes: tuple[int, ...]
    knowledge: Float[Tensor, "case token text"]
    """Statements of the patient's own, then the background."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def patches(self) -> tuple[int, ...]:
        """By patient: over all slides."""
        return tuple(map(sum, self.slides))

    @property
    def training_visits(self) -> int:
        """How often a patient is trained on in an epoch, over all patients and folds."""
        return len(self) * (self.work.folds - 1)

    def training_cases(self, fold: int) -> list[int]:
        """Places of the patients that a fold trains on."""
        return torch.nonzero(self.fold != fold).flatten().tolist()

    def draw_slides(self, case: int) -> list[Float[Tensor, "patch feature"]]:
        """Patch features of a patient, one array a slide; the same at every call."""
        generator = _stream(self.work, BAG, case)
        features = generator.standard_normal((self.patches[case], self.work.features), dtype=np.float32)
        features[:, :MARKED_FEATURES] += self.work.signal * float(self.risk[case])
        return list(torch.from_numpy(features).split(list(self.slides[case])))

    def draw_bag(self, case: int) -> Float[Tensor, "patch feature"]:
        """All slides of a patient, end to end."""
        return torch.cat(self.draw_slides(case))


def make_cohort(work: Work) -> Cohort:
    """The cohort that the settings describe."""
    shared = _stream(work, SHARED, 0)
    low, high = GENE_GROUP_SIZES
    sizes = tuple(shared.integers(low, high + 1, work.gene_groups).tolist())
    own = work.knowledge - work.background
    background = shared.standard_normal((work.knowledge - own, work.text), dtype=np.float32)

    slides, risks, months, events, genes, knowledge = [], [], [], [], [], []
    for case in range(work.cases):
        generator = _stream(work, SHAPE, case)
        slides.append(_slides(work, generator))
        risk = float(generator.standard_normal())
        death = generator.exponential(40 * np.exp(-risk))
        end_of_follow_up = generator.uniform(5, 120)
        risks.append(risk)
        months.append(min(death, end_of_follow_up))
        events.append(death <= end_of_follow_up)
        genes.append(generator.standard_normal(sum(sizes), dtype=np.float32) + work.signal * risk)
        statements = generator.standard_normal((own, work.text), dtype=np.float32)
        knowledge.append(np.concatenate([statements, background]))
    return Cohort(
        work=work,
        names=tuple(f"case-{case:05d}" for case in range(work.cases)),
        slides=tuple(slides),
        risk=torch.tensor(risks),
        months=torch.tensor(months, dtype=torch.float32),
        event=torch.tensor(events),
        fold=torch.arange(work.cases) % work.folds,
        genes=torch.from_numpy(np.stack(genes).astype(np.float32)),
        gene_group_sizes=sizes,
        knowledge=torch.from_numpy(np.stack(knowledge)),
    )


def _slides(work: Work, generator: np.random.Generator) -> tuple[int, ...]:
    drawn = work.patches * np.exp(work.spread * generator.standard_normal())
    patches = int(np.clip(round(drawn), work.fewest, work.most))
    count = min(1 + int(generator.choice(len(SLIDES), p=SLIDES)), patches)
    each, left = divmod(patches, count)
    return tuple(each + (slide < left) for slide in range(count))


def _stream(work: Work, *place: int) -> np.random.Generator:
    return np.random.default_rng((work.seed, *place))


def say_sizes(patches: Sequence[int]) -> str:
    """The sizes of bags in a line."""
    return (
        f"{len(patches):,} patients, {sum(patches):,} patches "
        f"({min(patches):,} to {max(patches):,} a patient, median {np.median(patches):,.0f})"
    )
