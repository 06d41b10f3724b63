"""Bags of a few networks side by side, and what pooling makes of them, patch by patch."""

from __future__ import annotations

import torch
from torch import Tensor

from kemm.model.batch import Bags

MEMBERS, CASES, FEATURES, WIDTH = 3, 6, 6, 5
LENGTHS = (4, 1, 0, 7)
BAG_OF = (0, 3, 3, 1, 2, -1)


def spelled_out(
    bags: Bags, weight: Tensor, bias: Tensor, query: Tensor, kept: Tensor | None, linear: bool
) -> Tensor:
    seen = []
    for case, bag in enumerate(bags.cases):
        if bag < 0 or not bags.lengths[bag]:
            seen.append(torch.zeros_like(query[case]))
            continue
        member = case * len(weight) // len(bags)
        patches = bags.patches[bag].to(weight.dtype)
        if bags.mean is not None and bags.scale is not None:
            patches = (patches - bags.mean[member]) / bags.scale[member]
        if kept is not None:
            patches = patches * kept[case]
        adapted = patches @ weight[member] + bias[member]
        adapted = adapted if linear else torch.nn.functional.gelu(adapted)
        seen.append((query[case] @ adapted.T).softmax(dim=-1) @ adapted)
    return torch.stack(seen)


def made_up(rows: int, scaled: bool, dropped: bool) -> tuple[Bags, Tensor, Tensor, Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(rows)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    bags = Bags(
        normal(sum(LENGTHS), FEATURES).split(LENGTHS),
        normal(MEMBERS, FEATURES) if scaled else None,
        1 + normal(MEMBERS, FEATURES).abs() if scaled else None,
        bag_of=BAG_OF,
    )
    kept = 2 * torch.rand(CASES, FEATURES, generator=generator, dtype=torch.float64) if dropped else None
    weights = normal(MEMBERS, FEATURES, WIDTH), normal(MEMBERS, WIDTH), normal(CASES, rows, WIDTH)
    return bags, *(one.requires_grad_() for one in weights), kept
