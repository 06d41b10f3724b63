"""What `kemm doctor` says of this machine."""

from __future__ import annotations

from importlib.util import find_spec

from kemm.core.provenance import environment
from kemm.execution import usable_cores

OPTIONAL = {
    "openpyxl": ("excel", "clinical tables as Excel workbooks"),
    "transformers": ("text", "pretrained text encoders, and models that find names"),
    "openai": ("llm", "language models behind a server"),
    "llguidance": ("llm-local", "language models in this process"),
    "openslide": ("wsi", "whole-slide images"),
    "xgboost": ("trees", "boosted trees and forests beside KEMM"),
    "timm": ("encoders", "pretrained tile encoders"),
}


def diagnose() -> list[str]:
    """Lines for a person: versions, device, optional parts."""
    import torch

    lines = [f"{name:14} {version}" for name, version in environment().items()]
    lines.append(f"{'cores':14} {usable_cores()}")
    if torch.cuda.is_available():
        lines.append(f"{'device':14} {torch.cuda.get_device_name()}")
    else:
        from kemm.training.device import SLOW_BF16, cost_of_bf16

        times = cost_of_bf16()
        slow = f", where bf16 takes {times:.0f} times as long as fp32" if times >= SLOW_BF16 else ""
        lines.append(f"{'device':14} CPU{slow}")
    for module, (extra, what) in OPTIONAL.items():
        found = find_spec(module) is not None
        state = "installed" if found else f"not installed: pip install 'kemm[{extra}]'"
        lines.append(f"{module:14} {state} ({what})")
    return lines
