"""Lets timm and transformers import torchvision where its library does not go with the torch that is there."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from kemm.core.errors import UsageError

_declared: list[Any] = []


def let_torchvision_import() -> None:
    """Import torchvision where it is installed; both libraries do, the one always, the other for pictures.

    The wheel of the package index is built for CUDA. Beside a torch for the CPU its library does not load, and
    its import ends at "operator torchvision::nms does not exist": an operator of object detection that no
    encoder uses. Declared by name beforehand, it imports.
    """
    import torch

    if find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)  # it withdraws its declarations when it is collected
        import_module("torchvision")


def imported(library: str) -> Any:
    """timm or transformers, torchvision before it.

    Raises:
        UsageError: It is not installed.
    """
    try:
        let_torchvision_import()
        return import_module(library)
    except ImportError as error:
        raise UsageError("this tile encoder needs the optional part: pip install 'kemm[encoders]'") from error
