"""How far training has come, kept on disk: a run that was stopped goes on from there and ends in the same bytes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kemm.core.errors import IntegrityError
from kemm.core.files import read_arrays, write_arrays

SECONDS = 10.0
"""Between two: what is lost at most, where an epoch takes no longer."""
_ABOUT = "about"


@dataclass
class Checkpoint:
    """One file, written anew now and then."""

    path: Path
    seconds: float = SECONDS
    _last: float = field(default_factory=time.monotonic)

    @property
    def exists(self) -> bool:
        """Whether something was kept: an earlier process was stopped."""
        return self.path.is_file()

    def due(self) -> bool:
        """Whether the last one is long ago."""
        return time.monotonic() - self._last >= self.seconds

    def write(self, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Keep this, in place of what was kept before; whole or not at all."""
        arrays: dict[str, NDArray[Any]] = {
            name: value.detach().cpu().numpy() for name, value in tensors.items()
        }
        text = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(self.path, {**arrays, _ABOUT: text})
        self._last = time.monotonic()

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was kept; None where nothing was, or it is damaged: then training begins anew."""
        if not self.path.is_file():
            return None
        try:
            arrays = read_arrays(self.path)
            about: dict[str, Any] = json.loads(arrays.pop(_ABOUT).tobytes())
        except (IntegrityError, KeyError, ValueError):
            return None
        return {name: torch.from_numpy(value.copy()) for name, value in arrays.items()}, about

    def remove(self) -> None:
        """Training is over."""
        self.path.unlink(missing_ok=True)
