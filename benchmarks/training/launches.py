"""Count the operations a processor is asked to start: on a card, small ones cost as much as large ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.training.peer import PeerFold

NO_WORK = frozenset(
    "as_strided view _unsafe_view _reshape_alias alias detach expand permute transpose t unsqueeze squeeze select "
    "slice split unbind unflatten empty empty_like empty_strided resize_ set_ resolve_conj resolve_neg lift_fresh "
    "result_type is_nonzero item _local_scalar_dense".split()
)
"""Operations that only make a view or reserve memory, or hand a number over."""


@dataclass(frozen=True)
class Launches:
    """Kernel-like operations of a patient and training step, and of a step of the optimiser."""

    forward: int
    backward: int
    optimiser: int


def count_launches(run: Callable[[], object], device: torch.device) -> int:
    """Kernels on a card; on a CPU, innermost operations that compute something."""
    if device.type == "cuda":
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            run()
            torch.cuda.synchronize(device)
        return sum(event.device_type == DeviceType.CUDA for event in seen.events() or ())
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        run()
    operations = [event for event in seen.events() or () if event.name.startswith("aten::")]
    return sum(
        event.name.removeprefix("aten::") not in NO_WORK
        and not any(_computes(child.name) for child in event.cpu_children)
        for event in operations
    )


def _computes(name: str) -> bool:
    return name.startswith("aten::") and name.removeprefix("aten::") not in NO_WORK


def launches_of_peer(fold: PeerFold, patches: torch.Tensor) -> Launches:
    """Of the baseline, for one patient."""
    case = fold.training[0]
    fold.loss(case, patches).backward()
    fold.step()  # makes the optimiser's state
    losses: list[torch.Tensor] = []
    forward = count_launches(lambda: losses.append(fold.loss(case, patches)), fold.device)
    backward = count_launches(lambda: losses[0].backward(), fold.device)
    return Launches(forward, backward, count_launches(fold.step, fold.device))
