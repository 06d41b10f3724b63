"""Patch features that stay as they are computed with, from one epoch to the next: on a card, or in memory."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from kemm.modalities.slides import SlideBags
from kemm.model.rooms import new_room

CPU = torch.device("cpu")
SHARE = 0.5
"""Of the card's free memory that features may take. Larger ones are sent bag by bag, in every step."""
ROWS_AT_ONCE = 2**13

_held: WeakKeyDictionary[SlideBags, dict[tuple[torch.device, torch.dtype], Tensor | None]] = (
    WeakKeyDictionary()
)


def resident(
    slides: SlideBags, device: torch.device, precision: torch.dtype, memory: int = 0
) -> Tensor | None:
    """All packed features on the device, (patch, width): as stored or, for products in bf16, in bf16.

    None where each bag is brought in its turn: the device shares the processor's memory, or has too little of its own.
    On a processor they are held for products in bf16 alone, which no file is stored for, and if `memory` bytes
    are enough. Whoever asks for something else there, or for other slides, has what is held let go.
    """
    kind = torch.bfloat16 if precision == torch.bfloat16 else torch.from_numpy(slides.features[:0]).dtype
    known = _held.setdefault(slides, {})
    if device.type == "cuda":
        if (device, kind) not in known:
            known[device, kind] = _sent(slides, device, kind)
    elif kind != torch.bfloat16 or device.type != "cpu" or slides.features.size * kind.itemsize > memory:
        known.pop((CPU, torch.bfloat16), None)
    elif (device, kind) not in known:
        for others in _held.values():
            others.pop((CPU, torch.bfloat16), None)
        known[device, kind] = _brought(slides, device, kind)
    return known.get((device, kind))


def _sent(slides: SlideBags, device: torch.device, kind: torch.dtype) -> Tensor | None:
    free, _ = torch.cuda.mem_get_info(device)
    return _brought(slides, device, kind) if slides.features.size * kind.itemsize <= SHARE * free else None


@torch.inference_mode(False)  # the first to ask may be a prediction; those who train come after it
def _brought(slides: SlideBags, device: torch.device, kind: torch.dtype) -> Tensor:
    made = new_room(None, slides.features.shape, kind, device)
    for start in range(0, len(made), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        some = torch.from_numpy(slides.features[rows]).to(device)
        # By way of 32 bits, which processors convert from and to several at once.
        made[rows] = some.float() if kind == torch.bfloat16 else some
        slides.leave(start, min(start + ROWS_AT_ONCE, len(made)))  # else memory would hold them twice
    return made
