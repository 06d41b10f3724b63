"""Patch features on a card, from one epoch to the next: read from disk and sent there once."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from kemm.modalities.slides import SlideBags

SHARE = 0.5
"""Of the card's free memory that features may take. Larger ones are sent bag by bag, in every step."""
ROWS_AT_ONCE = 2**16

_held: WeakKeyDictionary[SlideBags, dict[tuple[torch.device, torch.dtype], Tensor | None]] = (
    WeakKeyDictionary()
)


def resident(slides: SlideBags, device: torch.device, precision: torch.dtype) -> Tensor | None:
    """All packed features on the device, (patch, width), as stored or, for products in bf16, in bf16.

    None where they stay in memory: the device is the processor, shares its memory, or has too little of its own.
    """
    if device.type != "cuda":
        return None
    kind = torch.bfloat16 if precision == torch.bfloat16 else torch.from_numpy(slides.features[:0]).dtype
    known = _held.setdefault(slides, {})
    if (device, kind) not in known:
        known[device, kind] = _sent(slides, device, kind)
    return known[device, kind]


def _sent(slides: SlideBags, device: torch.device, kind: torch.dtype) -> Tensor | None:
    free, _ = torch.cuda.mem_get_info(device)
    if slides.features.size * kind.itemsize > SHARE * free:
        return None
    sent = torch.empty(slides.features.shape, dtype=kind, device=device)
    for start in range(0, len(sent), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        sent[rows] = torch.from_numpy(slides.features[rows]).to(device)
    return sent
