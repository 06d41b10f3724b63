"""Cases with bags of made-up patches, for the field's networks of slides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from kemm.model.baselines import abmil, clam, mmp, panther, transmil
from kemm.model.baselines.baseline import Baseline, BaselinesConfig
from kemm.model.batch import Bags, CaseBatch, Inputs, Tokens
from kemm.model.heads import SurvivalHead
from kemm.model.kemm import ModelConfig, build_head
from kemm.model.survival_model import SurvivalModel

FEATURES, PROTOTYPES, GROUPS, GROUP_FEATURES = 5, 3, 4, 2
EDGES = torch.tensor([0.0, 10.0, 25.0, 60.0])
CONFIG = BaselinesConfig(width=16, heads=2)
EVERY: dict[str, Baseline] = {
    one.BASELINE.name: one.BASELINE for one in (abmil, clam, transmil, panther, mmp)
}


def model(
    name: str, *, seed: int = 0, head: str = "proportional-hazards", asleep: bool = False
) -> SurvivalModel:
    """One of the networks, as if it had learned something unless it is asleep; prototypes of its own by seed."""
    generator = torch.Generator().manual_seed(seed)
    inputs = Inputs(
        slide_features=FEATURES,
        gene_groups=GROUPS,
        gene_features=GROUP_FEATURES,
        prototypes=3 * torch.randn(PROTOTYPES, FEATURES, generator=generator),
    )
    torch.manual_seed(seed)
    made = EVERY[name].build(CONFIG, inputs, small_head(head))
    if not asleep:
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.requires_grad:
                    parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return made


def small_head(name: str = "proportional-hazards") -> SurvivalHead:
    return build_head(ModelConfig.model_validate({"head": name}), EDGES)


def cases(lengths: Sequence[int], *, seed: int = 0, shift: float = 0.0, members: int = 1) -> CaseBatch:
    """Cases with so many patches each; features at a mean and a scale of each member."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    bags = Bags(
        tuple(2 * normal(length, FEATURES) + shift for length in lengths),
        normal(members, FEATURES),
        1 + normal(members, FEATURES).abs(),
    )
    present = torch.ones(len(lengths), GROUPS, dtype=torch.bool)
    genes = Tokens(normal(len(lengths), GROUPS, GROUP_FEATURES), present)
    return CaseBatch({"genes": genes}, bags={"slides": bags})


def without_genes(batch: CaseBatch, rows: Sequence[int]) -> CaseBatch:
    """The batch, these cases without genes."""
    genes = batch.tokens["genes"]
    present = genes.present.clone()
    present[list(rows)] = False
    return replace(batch, tokens={"genes": Tokens(genes.values, present)})


def some(batch: CaseBatch, rows: Sequence[int], member: int | None = None) -> CaseBatch:
    """Cases of a batch by themselves, at a member's mean and scale."""
    bags, genes = batch.bags["slides"], batch.tokens["genes"]
    assert bags.mean is not None
    assert bags.scale is not None
    at = list(rows)
    own = [bags.patches[bags.cases[row]] if bags.cases[row] >= 0 else bags.patches[0][:0] for row in at]
    chosen = slice(None) if member is None else slice(member, member + 1)
    alone = Bags(tuple(own), bags.mean[chosen], bags.scale[chosen])
    return CaseBatch({"genes": Tokens(genes.values[at], genes.present[at])}, bags={"slides": alone})


def standardised(batch: CaseBatch, case: int) -> Tensor:
    """A case's patches at mean 0 and deviation 1."""
    bags = batch.bags["slides"]
    assert bags.mean is not None
    assert bags.scale is not None
    return (bags.patches[case] - bags.mean[0]) / bags.scale[0]
