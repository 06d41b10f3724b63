"""A loss of a network's own, carried by its scores to where the training loop differentiates."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def carrying(
    scores: Float[Tensor, "case branch score"], loss: Float[Tensor, " member"]
) -> Float[Tensor, "case branch score"]:
    """The scores as they are; but whoever differentiates a loss of them differentiates that loss plus this one.

    The training loop knows only a loss of scores. What is differentiated must itself be that loss, and not a
    multiple of it.
    """
    carried: Tensor = _Carrying.apply(scores, loss)  # type: ignore[no-untyped-call]
    return carried


class _Carrying(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, loss: Tensor) -> Tensor:
        ctx.save_for_backward(loss)
        return scores.view_as(scores)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (loss,) = ctx.saved_tensors
        return gradient, torch.ones_like(loss)
