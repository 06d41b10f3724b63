"""Where networks are computed, and how precisely."""

from __future__ import annotations

import time
from typing import Literal

import torch

from kemm.core.errors import UsageError

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]
SLOW_BF16 = 2.0
"""Times as long as in fp32. Processors with instructions for bf16 take half as long, those without ten times and more."""


def resolve_device(wanted: Device) -> torch.device:
    """The device that is meant; "auto" is a CUDA GPU where torch sees one, else the processor.

    Raises:
        UsageError: It is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return torch.device("cuda" if there["cuda"] else "cpu")
    if not there[wanted]:
        found = ", ".join(name for name, is_there in there.items() if is_there)
        raise UsageError(
            f"training.device is {wanted!r}, which torch does not see here; there is: {found}. "
            "`kemm doctor` says which torch is installed; leave the setting at auto to take what is there."
        )
    return torch.device(wanted)


def resolve_precision(wanted: Precision, device: torch.device) -> torch.dtype:
    """What patches are held and multiplied in; all else is of 32 bits. "auto" is bf16 on a GPU, fp32 elsewhere."""
    if wanted == "auto":
        wanted = "bf16" if device.type == "cuda" else "fp32"
    return torch.bfloat16 if wanted == "bf16" else torch.float32


def cost_of_bf16() -> float:
    """Times as long as in fp32 that this processor takes for a product in bf16: the fastest of a few, in 20 ms.

    Measured, as torch computes in bf16 on any processor, and which are slow is a matter of its libraries, too.
    """
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        left, right = torch.ones(256, 256, dtype=kind), torch.ones(256, 64, dtype=kind)
        taken = []
        for _ in range(4):
            began = time.perf_counter()
            torch.mm(left, right)
            taken.append(time.perf_counter() - began)
        seconds[kind] = min(taken)
    return seconds[torch.bfloat16] / seconds[torch.float32]
