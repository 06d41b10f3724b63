"""Networks of one kind side by side: their parameters gain a first axis, and one pass computes all of them.

Cases of a batch are those of the first network, then as many of the second, and so on. What has no parameters
does not care; a layer that has some multiplies each network's cases with that network's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class NotStackable(Exception):
    """A module with parameters that nobody has said how to put side by side."""


class Noise:
    """Random numbers for dropout that depend on a network's seed, the step and the place in it, and on nothing else:
    the same whether a network is trained alone or among others."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = list(seeds)
        self.step = self.place = 0
        self._generators: dict[torch.device, torch.Generator] = {}

    def at(self, step: int) -> None:
        """Begin a step."""
        self.step, self.place = step, 0

    def uniform(self, shape: Sequence[int], device: torch.device) -> Tensor:
        """Between 0 and 1, of this shape; its first axis is of the networks' cases."""
        self.place += 1
        generator = self._generators.setdefault(device, torch.Generator(device))
        drawn = torch.empty(tuple(shape), device=device)
        for seed, part in zip(self.seeds, drawn.chunk(len(self.seeds)), strict=True):
            generator.manual_seed(_mixed(seed, self.step, self.place))
            # Contiguous, and filled in order: more cases behind change nothing of those before.
            part.uniform_(generator=generator)
        return drawn


def _mixed(*numbers: int) -> int:
    """One seed of several numbers (the finaliser of splitmix64 after each)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & (2**64 - 1)
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        state ^= state >> 31
    return state >> 1


class KeyedDropout(nn.Module):
    """Dropout by `Noise`."""

    def __init__(self, p: float, noise: Noise) -> None:
        super().__init__()
        self.p, self.noise = p, noise

    def forward(self, values: Tensor) -> Tensor:
        """Values, each zero by the chance `p`, the others raised to make up for it."""
        if not self.training or self.p == 0:
            return values
        # In place, and as numbers: one product here, one on the way back.
        kept = self.noise.uniform(values.shape, values.device).ge_(self.p).div_(1 - self.p)
        return values * kept


class StackedLinear(nn.Module):
    """Linear layers; weight (member, out, in)."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = _stack([layer.weight for layer in layers])
        self.bias = None if layers[0].bias is None else _stack([layer.bias for layer in layers])

    def forward(self, values: Tensor) -> Tensor:
        """Each network's cases through its own layer."""
        members, out, features = self.weight.shape
        grouped = values.reshape(members, -1, features)
        if self.bias is None:
            made = torch.bmm(grouped, self.weight.mT)
        else:
            made = torch.baddbmm(self.bias[:, None], grouped, self.weight.mT)
        return made.view(*values.shape[:-1], out)


class StackedLayerNorm(nn.Module):
    """Layer norms over the last axis; weight (member, width)."""

    def __init__(self, layers: Sequence[nn.LayerNorm]) -> None:
        super().__init__()
        first = layers[0]
        if not first.elementwise_affine or len(first.normalized_shape) != 1:
            raise NotStackable("a layer norm over several axes, or without parameters")
        self.eps = first.eps
        self.weight = _stack([layer.weight for layer in layers])
        self.bias = None if first.bias is None else _stack([layer.bias for layer in layers])

    def forward(self, values: Tensor) -> Tensor:
        """Each network's cases at its own scale."""
        members, width = self.weight.shape
        plain = nn.functional.layer_norm(values, (width,), eps=self.eps).view(members, -1, width)
        made = plain * self.weight[:, None]
        if self.bias is not None:
            made = made + self.bias[:, None]
        return made.view(values.shape)


class StackedEmbedding(nn.Module):
    """Embeddings; weight (member, kind, width)."""

    def __init__(self, layers: Sequence[nn.Embedding]) -> None:
        super().__init__()
        self.weight = _stack([layer.weight for layer in layers])

    def forward(self, kinds: Tensor) -> Tensor:
        """Each network's cases by its own table."""
        members, count, width = self.weight.shape
        first = count * torch.arange(members, device=kinds.device)
        places = kinds.reshape(members, -1) + first[:, None]
        return self.weight.view(-1, width)[places].view(*kinds.shape, width)


STACKED: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    nn.Linear: StackedLinear,
    nn.LayerNorm: StackedLayerNorm,
    nn.Embedding: StackedEmbedding,
}


class _Marked(Protocol):
    side_by_side: bool


def stack(models: Sequence[Module], noise: Noise) -> Module:
    """The models as one. Their heads are left out.

    Raises:
        NotStackable: Some module has parameters of its own and is not marked `side_by_side`; or shapes differ.
    """
    return _side_by_side(list(models), noise, {"head"})  # type: ignore[return-value]


def alone(model: Module, noise: Noise) -> Module:
    """A copy of one model without its head, its dropout by `noise`."""
    made = copy.deepcopy(model)
    made.head = nn.Identity()
    for module in list(made.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout):
                setattr(module, name, KeyedDropout(child.p, noise))
    return made


def _side_by_side(modules: list[Any], noise: Noise, without: set[str]) -> nn.Module:
    first = modules[0]
    if isinstance(first, nn.Dropout):
        return KeyedDropout(first.p, noise)
    if type(first) in STACKED:
        return STACKED[type(first)](modules)
    own = {name for name, value in first._parameters.items() if value is not None}
    if (own or first._buffers) and not getattr(first, "side_by_side", False):
        raise NotStackable(f"{type(first).__name__} has parameters of its own")
    made: nn.Module = copy.copy(first)
    made.__dict__ = dict(first.__dict__)
    made._buffers = dict(first._buffers)
    made._parameters = dict.fromkeys(first._parameters)
    for name in own:
        made._parameters[name] = _stack([module._parameters[name] for module in modules])
    made._modules = {
        name: nn.Identity()
        if name in without
        else _side_by_side([module._modules[name] for module in modules], noise, set())
        for name, child in first._modules.items()
        if child is not None
    }
    return made


def _stack(parameters: Sequence[Tensor]) -> nn.Parameter:
    if len({one.shape for one in parameters}) > 1:
        raise NotStackable("parameters of different shapes")
    return nn.Parameter(torch.stack([one.detach() for one in parameters]))
