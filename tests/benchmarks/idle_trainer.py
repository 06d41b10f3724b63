"""A candidate that does nothing but hold memory, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from benchmarks.training.cohort import Cohort


class Idle:
    def __init__(self, held_bytes: int = 0) -> None:
        self.held_bytes = held_bytes

    def store(self, cohort: Cohort, folder: Path) -> None:
        (folder / f"{cohort.work.key}-idle").write_text("stored", encoding="utf-8")

    def prepare(self, cohort: Cohort, folder: Path, device: torch.device) -> None:
        assert (folder / f"{cohort.work.key}-idle").read_text(encoding="utf-8") == "stored"
        self.held = np.ones(self.held_bytes, dtype=np.uint8)

    def epoch(self) -> None:
        pass


class Failing(Idle):
    def epoch(self) -> None:
        raise RuntimeError("the epoch went wrong")
