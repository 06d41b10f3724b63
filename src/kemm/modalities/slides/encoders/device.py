"""Where and in which numbers a network runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemm.core.errors import UsageError
from kemm.modalities.slides.tile_encoder import TileEncoderConfig

if TYPE_CHECKING:
    import torch

PRECISIONS = ("fp32", "fp16", "bf16")


def choose_device(config: TileEncoderConfig) -> torch.device:
    """The device of the settings.

    Raises:
        UsageError: It is not there, or no device is called so.
    """
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if config.device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    kind, _, number = config.device.partition(":")
    if kind not in there or (number and not number.isdecimal()):
        raise UsageError(
            f'encoder.device is {config.device!r}: it is one of "auto", "cpu", "cuda", "cuda:1" or "mps".'
        )
    if not there[kind]:
        built = f"this torch ({torch.__version__}) sees no such device"
        raise UsageError(
            f'encoder.device is {config.device!r}, but {built}. Set it to "auto" or "cpu", '
            "or install the build of torch that goes with the machine's driver."
        )
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        raise UsageError(
            f"encoder.device is {config.device!r}, but the machine has {torch.cuda.device_count()} such devices, "
            "counted from 0."
        )
    return torch.device(config.device)


def choose_precision(config: TileEncoderConfig, device: torch.device) -> str:
    """ "fp32", "fp16" or "bf16"; by itself, half of the bits only on a GPU that computes with them fast.

    Raises:
        UsageError: No precision is called so.
    """
    import torch

    if config.precision == "auto":
        if device.type != "cuda":
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if config.precision not in PRECISIONS:
        raise UsageError(
            f'encoder.precision is {config.precision!r}: it is one of "auto", "fp32", "fp16" or "bf16".'
        )
    return config.precision
