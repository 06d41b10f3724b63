"""Where networks are computed, and how precisely."""

from __future__ import annotations

from typing import Literal

import torch

from kemm.core.errors import UsageError

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]


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
