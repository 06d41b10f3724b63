"""Made-up cases with bags of patches of unequal length and gene groups, some absent; and networks to see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.batch import Bags, CaseBatch, Inputs, Tokens
from kemm.model.kemm import ModelConfig, build_head
from kemm.model.survival_model import SurvivalModel
from kemm.training.stacking import Noise, alone, stack

GROUPS, GENE_FEATURES, PATCH_FEATURES = 4, 3, 6
EDGES = torch.tensor([0.0, 10.0, 25.0, 60.0])
INPUTS = Inputs(gene_groups=GROUPS, gene_features=GENE_FEATURES, slide_features=PATCH_FEATURES)
CONFIG = BaselinesConfig(width=16, heads=2)
MEAN, SCALE = torch.linspace(-1, 1, PATCH_FEATURES)[None], torch.linspace(0.5, 2, PATCH_FEATURES)[None]


def network(baseline: Baseline, seed: int = 0, config: BaselinesConfig = CONFIG) -> SurvivalModel:
    torch.manual_seed(seed)
    return baseline.build(config, INPUTS, build_head(ModelConfig(), EDGES)).eval()


def awake(model: SurvivalModel, seed: int = 5) -> SurvivalModel:
    """The network as if it had learned something: it begins with scores of zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def cases(
    lengths: Sequence[int] = (5, 9, 0, 7, 0), seed: int = 0, *, no_genes: Sequence[int] = (3, 4)
) -> CaseBatch:
    """Cases with as many patches each. The second lacks one gene group, those of `no_genes` all."""
    generator = torch.Generator().manual_seed(seed)
    patches = tuple(
        torch.randn(length, PATCH_FEATURES, generator=generator) * SCALE + MEAN for length in lengths
    )
    present = torch.ones(len(lengths), GROUPS, dtype=torch.bool)
    present[1, 2] = False
    for case in no_genes:
        present[case] = False
    genes = Tokens(torch.randn(len(lengths), GROUPS, GENE_FEATURES, generator=generator), present)
    return CaseBatch({"genes": genes}, bags={"slides": Bags(patches, MEAN, SCALE)})


def take(whole: CaseBatch, rows: Sequence[int]) -> CaseBatch:
    """Some cases of a batch."""
    genes, bags = whole.tokens["genes"], whole.bags["slides"]
    some = replace(bags, patches=tuple(bags.patches[bags.cases[row]] for row in rows), bag_of=None)
    return CaseBatch(
        {"genes": Tokens(genes.values[list(rows)], genes.present[list(rows)])}, bags={"slides": some}
    )


def side_by_side(parts: Sequence[CaseBatch]) -> CaseBatch:
    """Cases of several networks, as many of each, one after the other. Bags are scaled alike."""
    genes = [part.tokens["genes"] for part in parts]
    patches = tuple(bag for part in parts for bag in part.bags["slides"].patches)
    return CaseBatch(
        {
            "genes": Tokens(
                torch.cat([one.values for one in genes]), torch.cat([one.present for one in genes])
            )
        },
        bags={"slides": Bags(patches, MEAN, SCALE)},
    )


def scores(model: SurvivalModel, batch: CaseBatch) -> Tensor:
    with torch.no_grad():
        return model.branch_scores(batch)


def stacked_and_alone(
    models: Sequence[SurvivalModel], parts: Sequence[CaseBatch]
) -> tuple[SurvivalModel, list[SurvivalModel], Tensor, list[Tensor]]:
    """Networks in one pass and each by itself, in training, and the scores of each."""
    seeds = range(len(models))
    together = stack(list(models), Noise(list(seeds))).train()
    apart = [alone(model, Noise([seed])).train() for seed, model in zip(seeds, models, strict=True)]
    said = together.branch_scores(side_by_side(parts))
    return together, apart, said, [one.branch_scores(part) for one, part in zip(apart, parts, strict=True)]
